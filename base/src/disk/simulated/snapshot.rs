//! What a crash can leave.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::SimulatedDisk;
use super::image::Image;
use super::pending::Pending;
use super::torn::{self, Coin};
use crate::Hash;

/// A simulated disk at the moment of a crash: what is durable, and the pending operations in their order.
/// Cloning it is cheap.
#[derive(Clone)]
pub struct Snapshot {
    durable: Arc<Image>,
    pending: Arc<Vec<Pending>>,
}

/// Which pending operations survive a crash.
///
/// The pending operations are the writes, changes of length, creations, renames and removals that took effect
/// and that no sync has made durable. A write is atomic within a sector of 512 bytes, aligned in the file. An
/// operation on a name never survives without the earlier pending ones on that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CrashImage {
    /// None of them.
    None,
    /// All of them.
    All,
    /// The first ones, in order.
    Prefix {
        /// How many; more than there are means all.
        operations: usize,
    },
    /// Each sector of each write, each change of length and each operation on names by the toss of a coin; the
    /// seed also says how often the coin favours survival (one to seven times in eight).
    ///
    /// A sector is left as it was after the last write to it that survived, with what earlier writes had put
    /// there. The file reaches to the end of the last surviving write or change of length; sectors that were
    /// lost before that read as the durable bytes, and as zeros where there were none.
    Sectors {
        /// Equal seeds give equal images.
        seed: u64,
    },
    /// As many whole operations as the seed says, in an order that the seed says.
    ///
    /// A sector that a lost write shares with a later surviving one is left as after the latter.
    Reordered {
        /// Equal seeds give equal images.
        seed: u64,
    },
}

impl Snapshot {
    pub(super) fn new(durable: Arc<Image>, pending: Arc<Vec<Pending>>) -> Self {
        Self { durable, pending }
    }

    /// Returns the number of operations that a crash at this moment may undo.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Returns the disk after the crash and the restart: with power, without faults, and with nothing pending.
    pub fn image(&self, survivors: &CrashImage) -> SimulatedDisk {
        SimulatedDisk::with_image(self.survivors(survivors))
    }

    /// Hashes what the crash leaves, like [`SimulatedDisk::digest`] on the [`image`](Self::image).
    pub fn digest(&self, survivors: &CrashImage) -> Hash {
        self.survivors(survivors).digest()
    }

    pub(super) fn survivors(&self, survivors: &CrashImage) -> Image {
        let mut image = match *survivors {
            CrashImage::None => self.prefix(0),
            CrashImage::All => self.prefix(self.pending.len()),
            CrashImage::Prefix { operations } => self.prefix(operations),
            CrashImage::Sectors { seed } => {
                let mut coin = Coin::biased(seed);
                torn::apply(&self.durable, &self.pending, |_| coin.toss())
            }
            CrashImage::Reordered { seed } => {
                let chosen = self.chosen(seed);
                torn::apply(&self.durable, &self.pending, |operation| chosen[operation])
            }
        };
        let named: BTreeSet<_> = image.named().collect();
        image.keep_only(&named);
        image
    }

    fn prefix(&self, operations: usize) -> Image {
        let mut image = Image::clone(&self.durable);
        for change in self.pending.iter().take(operations) {
            image.apply(change).expect("what programs already see is not too large");
        }
        image
    }

    /// Marks the operations that come first in a random order, up to a random number.
    fn chosen(&self, seed: u64) -> Vec<bool> {
        let mut coin = Coin::new(seed);
        let mut order: Vec<usize> = (0..self.pending.len()).collect();
        let count = coin.below(order.len() + 1);
        let mut chosen = vec![false; order.len()];
        for place in 0..count {
            let other = place + coin.below(order.len() - place);
            order.swap(place, other);
            chosen[order[place]] = true;
        }
        chosen
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} pending)", self.pending.len())
    }
}
