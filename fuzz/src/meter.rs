//! How much memory a reader asks for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// The largest single request since the measure began.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// What is in use more than when the measure began, and the most of it.
    static IN_USE: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, which notes each thread's largest request.
struct Metered;

#[global_allocator]
static METERED: Metered = Metered;

fn note(bytes: usize) {
    // A thread that ends still frees and asks for memory; it measures nothing any more.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(bytes)));
}

fn note_change(bytes: usize, before: usize) {
    let _ = IN_USE.try_with(|in_use| {
        let (mut now, most) = in_use.get();
        now = now.wrapping_add_unsigned(bytes).wrapping_sub_unsigned(before);
        in_use.set((now, most.max(now)));
    });
}

// SAFETY: each request is handed to the system's allocator unchanged, which keeps the contract. Noting it does not
// allocate: the cell is initialised at compile time and has nothing to drop.
#[expect(unsafe_code)]
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        note_change(layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        note_change(layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        note(bytes);
        note_change(bytes, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, bytes) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note_change(0, layout.size());
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

/// Runs `read` and returns with its result the most bytes that this thread had in use meanwhile, beyond those from before.
pub fn most_in_use<T>(read: impl FnOnce() -> T) -> (T, usize) {
    IN_USE.set((0, 0));
    let result = read();
    (result, IN_USE.get().1.unsigned_abs())
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
