//! How often chunks were read lately.

use std::time::Duration;

use base::Hash;
use rustc_hash::FxHashMap;

/// How long it takes until a read counts for half.
const HALF_LIFE: Duration = Duration::from_secs(3_600);
/// Chunks that are kept in mind; beyond that the coldest are forgotten.
const CHUNKS_MAX: usize = 1 << 20;

/// How often chunks were read, of which each read counts for less the longer ago it was. What is not in here is cold.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    chunks: FxHashMap<Hash, Warm>,
}

#[derive(Debug, Clone, Copy)]
struct Warm {
    heat: f32,
    /// When it was that warm.
    at: Duration,
}

impl Warm {
    fn heat_at(self, now: Duration) -> f32 {
        let half_lives = now.saturating_sub(self.at).as_secs_f32() / HALF_LIFE.as_secs_f32();
        self.heat * (-half_lives).exp2()
    }
}

impl Heat {
    /// Counts a read.
    pub(crate) fn touch(&mut self, name: Hash, now: Duration) {
        if self.chunks.len() >= CHUNKS_MAX && !self.chunks.contains_key(&name) {
            self.forget_the_coldest(now);
        }
        let warm = self.chunks.entry(name).or_insert(Warm { heat: 0.0, at: now });
        *warm = Warm { heat: warm.heat_at(now) + 1.0, at: now };
    }

    /// Returns how warm a chunk is: about how often it was read within the last half-life.
    pub(crate) fn of(&self, name: &Hash, now: Duration) -> f32 {
        self.chunks.get(name).map_or(0.0, |warm| warm.heat_at(now))
    }

    /// Forgets at least half of them.
    fn forget_the_coldest(&mut self, now: Duration) {
        let mut floor = 0.25;
        while self.chunks.len() > CHUNKS_MAX / 2 {
            self.chunks.retain(|_, warm| warm.heat_at(now) >= floor);
            floor *= 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> Hash {
        Hash::of(&number.to_le_bytes())
    }

    #[test]
    fn a_read_counts_for_half_after_a_half_life() {
        let mut heat = Heat::default();
        heat.touch(name(1), Duration::ZERO);
        heat.touch(name(2), HALF_LIFE);
        assert!((heat.of(&name(1), HALF_LIFE) - 0.5).abs() < 1e-6);
        heat.touch(name(1), HALF_LIFE);
        assert!((heat.of(&name(1), HALF_LIFE) - 1.5).abs() < 1e-6);
        assert!(heat.of(&name(1), HALF_LIFE) > heat.of(&name(2), HALF_LIFE));
        assert!(heat.of(&name(3), HALF_LIFE).abs() < f32::EPSILON);
    }

    #[test]
    fn the_coldest_are_forgotten_when_there_are_too_many() {
        let mut heat = Heat::default();
        for number in 0..CHUNKS_MAX as u64 {
            heat.touch(name(number), Duration::ZERO);
        }
        let later = 4 * HALF_LIFE;
        for number in 0..10 {
            heat.touch(name(number), later);
        }
        heat.touch(name(u64::MAX), later);
        assert!(heat.chunks.len() <= CHUNKS_MAX / 2 + 1);
        assert!((0..10).all(|number| heat.of(&name(number), later) > 1.0));
    }
}
