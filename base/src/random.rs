//! The door to randomness.

use std::sync::Mutex;

/// Where random bytes come from.
///
/// # Contract
///
/// `fill` overwrites the whole buffer. Identifiers and keys are drawn from it, so a production implementation
/// must be unpredictable; a simulated one must give the same bytes for the same seed.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system provides random bytes once it has booted");
    }
}

/// A repeatable source: the BLAKE3 output stream of a seed. For simulation and tests only.
#[derive(Debug)]
pub struct SeededRandom(Mutex<blake3::OutputReader>);

impl SeededRandom {
    /// Starts the stream that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        let reader = blake3::Hasher::new_derive_key("netdb simulated randomness")
            .update(&seed.to_le_bytes())
            .finalize_xof();
        Self(Mutex::new(reader))
    }

    /// Draws a number below `bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }
}

impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut reader = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reader.fill(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let draw = |seed| {
            let mut bytes = [0; 40];
            SeededRandom::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn the_system_source_overwrites_the_buffer() {
        let mut bytes = [0; 64];
        SystemRandom.fill(&mut bytes);
        assert_ne!(bytes, [0; 64]);
    }
}
