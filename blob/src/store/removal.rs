//! Removing what nobody needs, beside those who put.

use base::{Hash, Timestamp};

use super::ObjectStore;
use super::compaction::Compacted;
use super::index::SHARDS;
use crate::BlobError;
use crate::object::ObjectKind;

/// The only collection of a store, while it lasts.
#[derive(Debug)]
pub(crate) struct Sweep {
    store: ObjectStore,
}

/// An object that may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub name: Hash,
    pub kind: ObjectKind,
    pub bytes: u64,
    pub put_at: Timestamp,
    /// For a list, how many levels it has below it, where that was found out; otherwise 0.
    pub levels: u32,
}

impl Candidate {
    /// One of which nothing can be known but its name.
    pub(crate) fn damaged(name: Hash) -> Self {
        Self { name, kind: ObjectKind::Chunk, bytes: 0, put_at: Timestamp::from_nanos(i64::MIN), levels: 0 }
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of files that went.
    pub freed: u64,
}

impl ObjectStore {
    /// Begins to remove what nobody needs, and returns what is held meanwhile; `None` where somebody else is at it.
    pub(crate) fn begin_sweep(&self) -> Option<(Sweep, Vec<Hash>)> {
        let held = self.shared.guards.begin_collection(self.shared.doors.clock.monotonic())?;
        Some((Sweep { store: self.clone() }, held))
    }

    /// Returns about how many objects there are that are packed.
    pub(crate) fn packed(&self) -> usize {
        self.shared.packs.len()
    }
}

impl Sweep {
    pub(super) fn store(&self) -> &ObjectStore {
        &self.store
    }

    /// Returns what came to be held since this was last asked.
    pub(crate) fn take_held(&self) -> Vec<Hash> {
        let mut guards = self.store.shared.guards.lock();
        guards.collection.as_mut().map(|barrier| std::mem::take(&mut barrier.roots)).unwrap_or_default()
    }

    /// Parts that the packed objects are looked through in.
    pub(crate) fn parts() -> usize {
        SHARDS
    }

    /// Returns the packed objects of one part that are not needed.
    pub(crate) fn packed(&self, part: usize, is_needed: impl Fn(&Hash) -> bool) -> Vec<Candidate> {
        let unmarked = self.store.shared.packs.shard(part, |name, _| !is_needed(name));
        let candidate = |(name, place): (Hash, super::index::Place)| Candidate {
            name,
            kind: place.kind,
            bytes: place.bytes.into(),
            put_at: place.put_at,
            levels: 0,
        };
        unmarked.into_iter().map(candidate).collect()
    }

    /// Returns the names of all objects in files of their own.
    pub(crate) fn loose(&self) -> Result<Vec<Hash>, BlobError> {
        self.store.shared.loose.all()
    }

    /// Returns an object in a file of its own as a candidate; `None` where it went.
    pub(crate) fn loose_candidate(&self, name: Hash) -> Result<Option<Candidate>, BlobError> {
        let object = self.store.shared.loose.find(&name)?;
        Ok(object.map(|object| Candidate {
            name,
            kind: object.kind,
            bytes: object.bytes.into(),
            put_at: object.put_at,
            levels: 0,
        }))
    }

    /// Removes objects that are not marked, but what somebody puts or began to put meanwhile. `None`, and nothing was removed,
    /// where something came to be held: that is to be marked first. That lists are gone is durable once this returns.
    pub(crate) fn remove(
        &self,
        batch: &[Candidate],
        is_marked: impl Fn(&Hash) -> bool,
    ) -> Result<Option<Removed>, BlobError> {
        let super::Shared { packs, loose, guards, doors, .. } = &*self.store.shared;
        let (now, mut removed, mut is_written) = (doors.clock.now(), Removed::default(), false);
        {
            let mut guards = guards.lock();
            let Some(barrier) = guards.collection.as_mut() else { return Ok(Some(removed)) };
            // What is read all the time is mostly marked already, and must not hold this up.
            barrier.roots.retain(|root| !is_marked(root));
            if !barrier.roots.is_empty() {
                return Ok(None);
            }
            for candidate in batch.iter().filter(|candidate| !barrier.touched.contains(&candidate.name)) {
                let is_packed = packs.find(&candidate.name).is_some();
                is_written |= packs.remove(candidate.name, now)?;
                match is_packed {
                    true => {
                        removed.objects += 1;
                        removed.bytes += candidate.bytes;
                    }
                    false => drop(barrier.doomed.insert(candidate.name)),
                }
            }
        }
        if is_written {
            // What is not listed may be there; what is listed must be.
            packs.sync()?;
        }
        let mut guards = guards.lock();
        let Some(barrier) = guards.collection.as_mut() else { return Ok(Some(removed)) };
        let doomed = std::mem::take(&mut barrier.doomed);
        for candidate in batch.iter().filter(|candidate| doomed.contains(&candidate.name)) {
            removed.freed += loose.remove(&candidate.name)?;
            removed.objects += 1;
            removed.bytes += candidate.bytes;
        }
        if batch.iter().any(|candidate| candidate.levels > 0) {
            loose.sync()?;
        }
        Ok(Some(removed))
    }

    /// Returns the packs of which at least such a share is garbage.
    pub(crate) fn wasteful_packs(&self, share: f64) -> Result<Vec<u32>, BlobError> {
        self.store.shared.packs.wasteful(share)
    }

    /// Gives back the room of what was removed from a pack; `None` where something that is needed of it is damaged.
    pub(crate) fn compact(&self, pack: u32) -> Result<Option<Compacted>, BlobError> {
        self.store.shared.packs.compact(pack)
    }

    /// Makes it durable that files are gone.
    pub(crate) fn finish(&self) -> Result<(), BlobError> {
        self.store.shared.loose.sync()?;
        self.store.shared.packs.keep_room();
        Ok(())
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.store.shared.guards.end_collection();
    }
}
