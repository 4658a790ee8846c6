//! Salts for events of erasable channels.

use std::sync::Arc;

use base::Random;

use crate::codec::erasable::SALT_BYTES;

/// Salts for events of erasable channels, drawn many at a time: from 32 random bytes, which are forgotten at once,
/// and which nobody finds out from salts.
#[derive(Debug)]
pub(super) struct Salts {
    random: Arc<dyn Random>,
    drawn: Vec<u8>,
    used: usize,
}

impl Salts {
    const DRAWN: usize = 128 * SALT_BYTES;

    pub(super) fn new(random: Arc<dyn Random>) -> Self {
        Self { random, drawn: Vec::new(), used: 0 }
    }

    pub(super) fn next(&mut self) -> &[u8] {
        if self.used == self.drawn.len() {
            self.drawn.resize(Self::DRAWN, 0);
            let mut seed = [0; 32];
            self.random.fill(&mut seed);
            let mut stream = blake3::Hasher::new_derive_key("netdb redex 2026-11 salts");
            stream.update(&seed).finalize_xof().fill(&mut self.drawn);
            self.used = 0;
        }
        self.used += SALT_BYTES;
        &self.drawn[self.used - SALT_BYTES..self.used]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base::SeededRandom;

    use super::*;

    #[test]
    fn no_salt_is_given_twice() {
        let mut salts = Salts::new(Arc::new(SeededRandom::new(1)));
        let given: BTreeSet<Vec<u8>> = (0..1000).map(|_| salts.next().to_vec()).collect();
        assert_eq!(given.len(), 1000);
        assert!(given.iter().all(|salt| salt.len() == SALT_BYTES && salt.iter().any(|byte| *byte != 0)));
        let mut other = Salts::new(Arc::new(SeededRandom::new(2)));
        assert!(!given.contains(other.next()), "other randomness gives other salts");
    }
}
