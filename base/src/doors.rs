//! The three doors together.

use std::sync::Arc;

use crate::{Clock, Disk, MemoryDisk, Random, SystemClock, SystemDisk, SystemRandom};

/// The ways to the outside world, passed to whatever needs them. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Doors {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Storage.
    pub disk: Arc<dyn Disk>,
}

impl Doors {
    /// The machine's own clock, randomness and file systems.
    pub fn system() -> Self {
        Self::with_disk(Arc::new(SystemDisk))
    }

    /// The machine's clock and randomness over an empty disk in memory.
    pub fn memory() -> Self {
        Self::with_disk(Arc::new(MemoryDisk::default()))
    }

    /// The machine's clock and randomness over another disk.
    pub fn with_disk(disk: Arc<dyn Disk>) -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom), disk }
    }
}
