//! Giving back the room of what was removed from packs: what is still needed moves to the newest pack, and the file goes.

use base::Hash;
use rustc_hash::FxHashSet;

use super::pack_index;
use super::packs::{Packs, State, pack_path};
use super::record::{Record, What};
use crate::BlobError;

/// What the rewriting of a pack gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Bytes of the file that went.
    pub freed: u64,
    /// Bytes that were written elsewhere for it.
    pub moved: u64,
}

impl Packs {
    /// Returns the packs of which at least such a share is garbage, the oldest first. If the newest is one of them, another
    /// one is begun.
    pub(super) fn wasteful(&self, share: f64) -> Result<Vec<u32>, BlobError> {
        let mut state = self.state();
        let is_wasteful = |state: &State, number: u32| {
            let Some(in_pack) = state.index.uses().get(&number) else { return false };
            let oldest = state.index.uses().keys().next() == Some(&number);
            let garbage = in_pack.garbage() + if oldest { in_pack.removals } else { 0 };
            garbage > 0 && garbage as f64 >= share * in_pack.bytes as f64
        };
        let newest = state.writer.number;
        if is_wasteful(&state, newest) {
            self.roll(&mut state)?;
        }
        let numbers = state.index.uses().keys().copied().filter(|number| *number != state.writer.number);
        Ok(numbers.filter(|number| is_wasteful(&state, *number)).collect())
    }

    /// Moves what is needed of a full pack to the newest one, and removes its files. A pack of which something needed is
    /// damaged stays as it is: `None`.
    pub(super) fn compact(&self, number: u32) -> Result<Option<Compacted>, BlobError> {
        let records = pack_index::load_or_make(&*self.disk, &self.dir, number)?;
        let dead_before = self.dead_before(number, &records)?;
        let mut moved = 0;
        for (record, offset) in &records {
            match self.move_record(number, record, *offset, &dead_before)? {
                Some(bytes) => moved += bytes,
                None => return Ok(None),
            }
        }
        self.sync()?;
        let path = pack_path(&self.dir, number);
        let freed = {
            let mut state = self.state();
            let in_pack = state.index.uses().get(&number).copied().unwrap_or_default();
            if in_pack.live > 0 {
                tracing::error!(
                    pack = number,
                    bytes = in_pack.live,
                    "a pack is kept in which not all reads any more that is needed"
                );
                return Ok(None);
            }
            state.open.retain(|(open, _)| *open != number);
            state.index.forget_pack(number);
            in_pack.bytes
        };
        self.disk.remove(&path).map_err(BlobError::io(&path))?;
        pack_index::remove(&*self.disk, &self.dir, number);
        self.disk.sync_directory(&self.dir).map_err(BlobError::io(&self.dir))?;
        Ok(Some(Compacted { freed, moved }))
    }

    /// Moves a record if it is needed, and returns how much that took; `None` where it is needed and damaged.
    fn move_record(
        &self,
        number: u32,
        record: &Record,
        offset: u64,
        dead_before: &FxHashSet<Hash>,
    ) -> Result<Option<u64>, BlobError> {
        let content = match record.what {
            What::Object(kind) => {
                let here = |place: &super::index::Place| place.pack == number && place.offset == offset;
                let Some(place) = self.find(&record.name).filter(here) else { return Ok(Some(0)) };
                let content = self.read(&place)?;
                if kind.name_of(&content) != record.name {
                    tracing::error!(pack = number, name = %record.name, "a pack with a damaged object is kept as it is");
                    return Ok(None);
                }
                content
            }
            What::PutWhole
            | What::Removed
            | What::NoBlob
            | What::Sent
            | What::Away
            | What::NotSent
            | What::Freed => Vec::new(),
            What::Closed => return Ok(Some(0)),
        };
        let mut record = *record;
        let mut state = self.state();
        // It may have been removed, put again or moved meanwhile.
        let (place, whole) = (state.index.find(&record.name), state.index.whole(&record.name));
        let lies = state.index.elsewhere(&record.name);
        let is_needed = match record.what {
            What::Object(_) => place.is_some_and(|place| place.pack == number && place.offset == offset),
            What::PutWhole => {
                whole.is_some_and(|whole| whole.pack == number && whole.put_at == record.put_at)
            }
            What::Removed | What::NoBlob => whole.is_none() && dead_before.contains(&record.name),
            // Of several of a chunk it is the last that counts.
            What::Sent | What::Away => lies.is_some_and(|lies| {
                let bytes = (record.what == What::Away).then_some(record.content_crc);
                (lies.pack, lies.bytes, lies.put_at) == (number, bytes, record.put_at)
            }),
            What::NotSent => lies.is_none() && dead_before.contains(&record.name),
            What::Freed => place.is_none() && dead_before.contains(&record.name),
            What::Closed => false,
        };
        if !is_needed {
            return Ok(Some(0));
        }
        if record.what == What::Removed && place.is_some() {
            // It was put again since, as a part of something.
            record.what = What::NoBlob;
        }
        self.append_to(&mut state, record, &content)?;
        Ok(Some(record.length() as u64))
    }

    /// Returns which of those that `records` take back stand in an older pack.
    fn dead_before(&self, number: u32, records: &[(Record, u64)]) -> Result<FxHashSet<Hash>, BlobError> {
        let takes_back = |record: &Record| {
            matches!(record.what, What::Removed | What::NoBlob | What::NotSent | What::Freed)
        };
        let removed = records.iter().filter(|(record, _)| takes_back(record));
        let removed: FxHashSet<Hash> = removed.map(|(record, _)| record.name).collect();
        let mut dead = FxHashSet::default();
        if removed.is_empty() {
            return Ok(dead);
        }
        let older: Vec<u32> = {
            let state = self.state();
            let older = state.index.uses().range(..number).filter(|(_, in_pack)| in_pack.garbage() > 0);
            older.map(|(number, _)| *number).collect()
        };
        for older in older {
            let records = pack_index::load_or_make(&*self.disk, &self.dir, older)?;
            let names = records.iter().map(|(record, _)| record.name);
            dead.extend(names.filter(|name| removed.contains(name)));
        }
        Ok(dead)
    }
}
