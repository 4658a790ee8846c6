//! Choices that follow from a seed.

use std::ops::Range;
use std::time::Duration;

use base::{Hash, SeededRandom};

/// A stream of choices. Each part of a run has its own, so that more choices in one change nothing in the others.
#[derive(Debug)]
pub struct Dice(SeededRandom);

impl Dice {
    /// Begins the stream of a part of the run.
    pub fn new(seed: u64, part: &str) -> Self {
        Self(SeededRandom::new(mixed(seed, part)))
    }

    /// Draws a number below `bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// Tells whether something happens that happens so often in a thousand times.
    pub fn happens(&self, in_a_thousand: u64) -> bool {
        self.below(1_000) < in_a_thousand
    }

    /// Draws a time, in microseconds.
    pub fn time(&self, range: Range<Duration>) -> Duration {
        let span = range.end.saturating_sub(range.start).as_micros();
        range.start + Duration::from_micros(self.below(u64::try_from(span).unwrap_or(u64::MAX)))
    }

    /// Draws one of several; `None` when there is none.
    pub fn pick<'a, T>(&self, from: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(at)
    }
}

/// Returns a seed for a part of a run.
pub fn mixed(seed: u64, part: &str) -> u64 {
    let hash = Hash::of(format!("{seed} {part}").as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

/// Returns 16 bytes for a part of a run.
pub fn named(seed: u64, part: &str) -> [u8; 16] {
    let hash = Hash::of(format!("{seed} {part}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    bytes
}
