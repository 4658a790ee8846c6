//! What a crash can leave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::SimulatedDisk;
use super::image::Image;
use super::pending::Pending;
use super::torn::{self, Coin};
use crate::Hash;

/// Why a pending change can be applied.
const SEEN: &str = "what programs already see is not too large";

/// A simulated disk at the moment of a crash: what is durable, and the pending operations in their order.
/// Cloning it is cheap.
#[derive(Clone)]
pub struct Snapshot {
    durable: Arc<Image>,
    pending: Arc<Vec<Pending>>,
    unsynced: VecDeque<Unsynced>,
}

/// The disk as it is if a sync, and all later ones, did nothing.
#[derive(Debug, Clone)]
pub(super) struct Unsynced {
    pub(super) durable: Arc<Image>,
    pub(super) pending: Arc<Vec<Pending>>,
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
    /// All of them, but the bytes of the last writes: files have the lengths that these writes gave them, with
    /// zeros where nothing was before.
    SizeBeforeData {
        /// How many writes lose their bytes; more than there are means all.
        writes: usize,
    },
    /// All of them, but the changes of length that the last ones made: the bytes of writes are there as far as
    /// the files reach.
    DataBeforeSize {
        /// How many operations lose their change of length; more than there are means all.
        operations: usize,
    },
    /// All of them, but renames and the later operations on their names.
    LostRenames,
    /// All of them, but removals and the later operations on their names.
    LostRemovals,
    /// The last syncs, of files and of directories, returned and did nothing: each sector and operation since
    /// then survives as in [`Sectors`](Self::Sectors). What a program was told is durable may be lost.
    ///
    /// Only syncs are meant that the disk [remembers](crate::SimulatedDisk::remember_syncs); when it remembers
    /// fewer, those.
    LyingSyncs {
        /// How many syncs lied; 0 means none.
        syncs: usize,
        /// Equal seeds give equal images.
        seed: u64,
    },
}

impl Snapshot {
    pub(super) fn new(durable: Arc<Image>, pending: Arc<Vec<Pending>>, unsynced: VecDeque<Unsynced>) -> Self {
        Self { durable, pending, unsynced }
    }

    /// Returns the number of operations that a crash at this moment may undo.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Returns the number of syncs that can [lie](CrashImage::LyingSyncs).
    pub fn remembered_syncs(&self) -> usize {
        self.unsynced.len()
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
            CrashImage::SizeBeforeData { writes } => self.size_before_data(writes),
            CrashImage::DataBeforeSize { operations } => self.data_before_size(operations),
            CrashImage::LostRenames => self.without(|change| matches!(change, Pending::Rename { .. })),
            CrashImage::LostRemovals => self.without(|change| matches!(change, Pending::Remove { .. })),
            CrashImage::LyingSyncs { syncs, seed } => {
                let mut coin = Coin::biased(seed);
                let (durable, pending) = self.before_syncs(syncs);
                torn::apply(durable, pending, |_| coin.toss())
            }
        };
        let named: BTreeSet<_> = image.named().collect();
        image.keep_only(&named);
        image
    }

    fn prefix(&self, operations: usize) -> Image {
        let mut image = Image::clone(&self.durable);
        for change in self.pending.iter().take(operations) {
            image.apply(change).expect(SEEN);
        }
        image
    }

    fn size_before_data(&self, writes: usize) -> Image {
        let is_write = |change: &&Pending| matches!(change, Pending::Write { .. });
        let kept = self.pending.iter().filter(is_write).count().saturating_sub(writes);
        let mut image = Image::clone(&self.durable);
        let mut seen = 0;
        for change in self.pending.iter() {
            seen += usize::from(is_write(&change));
            match change {
                Pending::Write { inode, offset, bytes } if seen > kept => {
                    let length = image.length(*inode).max(offset + bytes.len() as u64);
                    image.set_length(*inode, length);
                }
                _ => image.apply(change).expect(SEEN),
            }
        }
        image
    }

    fn data_before_size(&self, operations: usize) -> Image {
        let (first, last) = self.pending.split_at(self.pending.len().saturating_sub(operations));
        let mut image = Image::clone(&self.durable);
        for change in first {
            image.apply(change).expect(SEEN);
        }
        let mut lengths = BTreeMap::new();
        for change in last {
            if let Some(inode) = change.inode() {
                lengths.entry(inode).or_insert_with(|| image.length(inode));
            }
            if !matches!(change, Pending::SetLength { .. }) {
                image.apply(change).expect(SEEN);
            }
        }
        for (inode, length) in lengths {
            image.set_length(inode, length);
        }
        image
    }

    fn without(&self, lost: impl Fn(&Pending) -> bool) -> Image {
        torn::apply(&self.durable, &self.pending, |operation| !lost(&self.pending[operation]))
    }

    /// Returns what is durable and what is pending if the last syncs did nothing.
    fn before_syncs(&self, syncs: usize) -> (&Image, &[Pending]) {
        let lying = syncs.min(self.unsynced.len());
        match self.unsynced.get(self.unsynced.len() - lying) {
            Some(unsynced) => (&unsynced.durable, &unsynced.pending),
            None => (&self.durable, &self.pending),
        }
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
