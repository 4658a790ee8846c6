//! The operating system's randomness, as libraries ask for it: here it follows from the seed of the run.
//!
//! Openraft draws election timeouts from it, quinn the lengths of what it greases with. A run has a thread of its own, so
//! that generators that a library keeps for a thread begin anew with it. Keys of TLS sessions do not come from here; they
//! change no length and no moment.

use std::cell::RefCell;

use base::{Random as _, SeededRandom};

thread_local! {
    static SOURCE: RefCell<SeededRandom> = RefCell::new(SeededRandom::new(0));
}

/// Has all that libraries draw on this thread follow from a seed.
pub fn seed(seed: u64) {
    SOURCE.with_borrow_mut(|source| *source = SeededRandom::new(seed));
}

/// What the library `getrandom` calls when it is built with the configuration in `.cargo/config.toml`.
///
/// # Safety
///
/// `destination` is the beginning of `length` bytes that may be written.
#[allow(unsafe_code, reason = "the library's interface for other sources is a symbol")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    destination: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    let mut bytes = vec![0; length];
    SOURCE.with_borrow(|source| source.fill(&mut bytes));
    // SAFETY: the caller owns `length` bytes at `destination`, and the vector has as many of its own.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), destination, length) };
    Ok(())
}
