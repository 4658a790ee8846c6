//! Salts for events of erasable channels.

use std::sync::Arc;

use base::Random;

use crate::codec::erasable::SALT_BYTES;

/// Salts for events of erasable channels, drawn many at a time.
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
            self.random.fill(&mut self.drawn);
            self.used = 0;
        }
        self.used += SALT_BYTES;
        &self.drawn[self.used - SALT_BYTES..self.used]
    }
}
