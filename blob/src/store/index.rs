//! What stands where in the packs, in memory, and how much of each pack is still needed.

use std::collections::BTreeMap;

use base::{Hash, Timestamp};
use rustc_hash::FxHashMap;

use super::record::{Record, What};
use crate::object::ObjectKind;

/// Parts of the index, by the first byte of a name; who goes through all of it does so part by part.
pub(super) const SHARDS: usize = 256;

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub pack: u32,
    /// Where its record begins.
    pub offset: u64,
    pub bytes: u32,
    pub kind: ObjectKind,
    pub put_at: Timestamp,
}

/// When somebody last put an object as a blob, and the pack that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    pub put_at: Timestamp,
    pub pack: u32,
}

/// What lies of a chunk in the place that the store overflows to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Its length, if all of it was read back from there; otherwise nobody knows what lies there, if anything.
    pub bytes: Option<u32>,
    /// When the chunk was put.
    pub put_at: Timestamp,
    /// The pack that says so.
    pub pack: u32,
}

/// How much of a pack is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PackUse {
    /// Bytes of all its records.
    pub bytes: u64,
    /// Bytes of those that count.
    pub live: u64,
    /// Bytes of those that take something back: they count while an older pack has it.
    pub removals: u64,
}

impl PackUse {
    pub(super) fn garbage(&self) -> u64 {
        self.bytes.saturating_sub(self.live + self.removals)
    }
}

#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<FxHashMap<Hash, Place>>,
    whole: FxHashMap<Hash, Whole>,
    elsewhere: FxHashMap<Hash, Elsewhere>,
    uses: BTreeMap<u32, PackUse>,
}

impl Index {
    pub(super) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| FxHashMap::default()).collect();
        let (whole, elsewhere) = (FxHashMap::default(), FxHashMap::default());
        Self { shards, whole, elsewhere, uses: BTreeMap::new() }
    }

    pub(super) fn find(&self, name: &Hash) -> Option<Place> {
        self.shards[shard_of(name)].get(name).copied()
    }

    pub(super) fn whole(&self, name: &Hash) -> Option<Whole> {
        self.whole.get(name).copied()
    }

    /// Returns what was put as a blob, in no order.
    pub(super) fn all_whole(&self) -> impl Iterator<Item = (&Hash, &Whole)> {
        self.whole.iter()
    }

    pub(super) fn elsewhere(&self, name: &Hash) -> Option<Elsewhere> {
        self.elsewhere.get(name).copied()
    }

    /// Returns what lies elsewhere, in no order.
    pub(super) fn all_elsewhere(&self) -> impl Iterator<Item = (&Hash, &Elsewhere)> {
        self.elsewhere.iter()
    }

    /// Returns the objects of one part.
    pub(super) fn shard(&self, shard: usize) -> impl Iterator<Item = (&Hash, &Place)> {
        self.shards[shard].iter()
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(FxHashMap::len).sum()
    }

    /// Returns how much of each pack is needed, the oldest first.
    pub(super) fn uses(&self) -> &BTreeMap<u32, PackUse> {
        &self.uses
    }

    /// Returns the bytes of all records.
    pub(super) fn bytes(&self) -> u64 {
        self.uses.values().map(|in_pack| in_pack.bytes).sum()
    }

    pub(super) fn forget_pack(&mut self, number: u32) {
        self.uses.remove(&number);
    }

    /// Takes in a record that follows all others.
    pub(super) fn note(&mut self, pack: u32, record: &Record, offset: u64) {
        let length = record.length() as u64;
        let in_pack = self.uses.entry(pack).or_default();
        in_pack.bytes += length;
        match record.what {
            What::Object(kind) => {
                in_pack.live += length;
                let place = Place { pack, offset, bytes: record.bytes, kind, put_at: record.put_at };
                let before = self.shards[shard_of(&record.name)].insert(record.name, place);
                self.give_up(before.map(|place| (place.pack, object_bytes(&place))));
            }
            What::PutWhole => {
                in_pack.live += length;
                let before = self.whole.insert(record.name, Whole { put_at: record.put_at, pack });
                self.give_up(before.map(|whole| (whole.pack, length)));
            }
            What::Removed | What::NoBlob => {
                in_pack.removals += length;
                if record.what == What::Removed {
                    let place = self.shards[shard_of(&record.name)].remove(&record.name);
                    self.give_up(place.map(|place| (place.pack, object_bytes(&place))));
                }
                let whole = self.whole.remove(&record.name);
                self.give_up(whole.map(|whole| (whole.pack, length)));
            }
            What::Sent | What::Away => {
                in_pack.live += length;
                let bytes = (record.what == What::Away).then_some(record.content_crc);
                let lies = Elsewhere { bytes, put_at: record.put_at, pack };
                let before = self.elsewhere.insert(record.name, lies);
                self.give_up(before.map(|lies| (lies.pack, length)));
            }
            What::NotSent => {
                in_pack.removals += length;
                let before = self.elsewhere.remove(&record.name);
                self.give_up(before.map(|lies| (lies.pack, length)));
            }
            What::Freed => {
                in_pack.removals += length;
                let place = self.shards[shard_of(&record.name)].remove(&record.name);
                self.give_up(place.map(|place| (place.pack, object_bytes(&place))));
            }
            What::Closed => {}
        }
    }

    fn give_up(&mut self, record: Option<(u32, u64)>) {
        if let Some((pack, length)) = record
            && let Some(in_pack) = self.uses.get_mut(&pack)
        {
            in_pack.live = in_pack.live.saturating_sub(length);
        }
    }
}

fn shard_of(name: &Hash) -> usize {
    usize::from(name.as_bytes()[0])
}

/// Returns the bytes that an object takes in its pack.
pub(super) fn object_bytes(place: &Place) -> u64 {
    super::record::length_of(place.bytes) as u64
}
