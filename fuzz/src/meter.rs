//! How much memory a reader asks for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// The largest single request since the measure began.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which notes each thread's largest request.
struct Metered;

#[global_allocator]
static METERED: Metered = Metered;

fn note(bytes: usize) {
    // A thread that ends still frees and asks for memory; it measures nothing any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

// SAFETY: each request is handed to the system's allocator unchanged, which keeps the contract. Noting it does not
// allocate: the cell is initialised at compile time and has nothing to drop.
#[expect(unsafe_code)]
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs `read` and returns with its result the bytes of the largest single request that it made in this thread.
pub fn largest_request<T>(read: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let result = read();
    (result, LARGEST.get())
}

/// Runs `read` over so many bytes of input.
///
/// # Panics
///
/// When it asked at once for more memory than the input justifies.
pub fn within_bounds<T>(input_bytes: usize, read: impl FnOnce() -> T) -> T {
    let (result, bytes) = largest_request(read);
    let most = (256 << 10) + 64 * input_bytes;
    assert!(bytes <= most, "{bytes} bytes at once for {input_bytes} bytes of input, {most} at most");
    result
}
