//! Chunks that lie where the store overflows to, and not here.
//!
//! What becomes of a chunk is noted before it happens: first that something of it may lie there, then, when it was read back, that it
//! does; only then the copy here goes. Whatever a crash leaves, a note tells what is to be removed from there.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use base::{Hash, Timestamp};

use super::index::Elsewhere;
use super::removal::Candidate;
use super::{ObjectInfo, ObjectPlace, ObjectStore, Shared, Sweep};
use crate::BlobError;
use crate::adapter::{ObjectName, VerifiedAdapter};
use crate::object::ObjectKind;
use crate::overflow::heat::Heat;

/// The place that the store overflows to.
#[derive(Debug, Default)]
pub(super) struct Away {
    target: RwLock<Option<VerifiedAdapter>>,
    heat: Mutex<Heat>,
}

/// A chunk that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalChunk {
    pub name: Hash,
    pub bytes: u64,
    pub put_at: Timestamp,
}

/// How much lies where the store overflows to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AwayUse {
    /// Chunks that lie there; some of them here as well.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks of which something may be left there, to be removed.
    pub left: u64,
}

impl ObjectStore {
    /// Says where chunks lie that are away; they are fetched from there whenever they are read.
    pub fn set_away(&self, target: Option<VerifiedAdapter>) {
        *self.shared.away.target.write().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Returns the place that was set.
    pub(crate) fn away_target(&self) -> Option<VerifiedAdapter> {
        self.shared.away.target.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how much lies where the store overflows to.
    pub fn away_use(&self) -> AwayUse {
        let mut sum = AwayUse::default();
        for (_, lies) in self.shared.packs.all_elsewhere() {
            match lies.bytes {
                Some(bytes) => {
                    sum.chunks += 1;
                    sum.bytes += u64::from(bytes);
                }
                None => sum.left += 1,
            }
        }
        sum
    }

    /// Returns the bytes of all files that hold objects. The first time, each is looked at.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn stored_bytes(&self) -> Result<u64, BlobError> {
        Ok(self.shared.packs.bytes() + self.shared.loose.all_bytes()?)
    }

    /// Returns what is known of a chunk that was read back from elsewhere.
    pub(super) fn away_info(&self, name: &Hash) -> Option<ObjectInfo> {
        let Elsewhere { bytes, put_at, .. } = self.shared.packs.elsewhere(name)?;
        let bytes = u64::from(bytes?);
        Some(ObjectInfo { kind: ObjectKind::Chunk, bytes, put_at, place: ObjectPlace::Away })
    }

    /// Fetches a chunk from elsewhere, verified.
    pub(super) fn read_away(&self, name: &Hash) -> Result<(ObjectInfo, Vec<u8>), BlobError> {
        let info = self.away_info(name).ok_or(BlobError::NotFound { hash: *name })?;
        let target = self.away_target().ok_or(BlobError::NoAway { hash: *name })?;
        let fetched = target.fetch_object(&chunk(*name));
        let content = fetched.map_err(|source| BlobError::Away { hash: *name, source: Box::new(source) })?;
        Ok((info, content))
    }

    /// Notes that somebody read an object, which therefore stays here longer.
    pub(super) fn note_read(&self, name: &Hash, kind: ObjectKind) {
        if kind == ObjectKind::Chunk && self.shared.away.is_set() {
            self.shared.away.heat().touch(*name, self.shared.doors.clock.monotonic());
        }
    }

    /// Returns how often a chunk was read lately.
    pub(crate) fn heat_of(&self, name: &Hash) -> f32 {
        self.shared.away.heat().of(name, self.shared.doors.clock.monotonic())
    }

    /// Tells of every chunk that is here.
    pub(crate) fn visit_local_chunks(&self, mut visit: impl FnMut(LocalChunk)) -> Result<(), BlobError> {
        let Shared { packs, loose, .. } = &*self.shared;
        for part in 0..Sweep::parts() {
            for (name, place) in packs.shard(part, |_, place| place.kind == ObjectKind::Chunk) {
                visit(LocalChunk { name, bytes: place.bytes.into(), put_at: place.put_at });
            }
        }
        for name in loose.all()? {
            match loose.find(&name) {
                Ok(Some(object)) if object.kind == ObjectKind::Chunk => {
                    visit(LocalChunk { name, bytes: object.bytes.into(), put_at: object.put_at });
                }
                // What is damaged stays, to be found.
                Ok(_) | Err(BlobError::Decode { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the chunks that lie elsewhere and not here.
    pub(crate) fn chunks_away(&self) -> Result<Vec<Hash>, BlobError> {
        let mut away = Vec::new();
        for (name, lies) in self.shared.packs.all_elsewhere() {
            if lies.bytes.is_some() && !self.is_here(&name)? {
                away.push(name);
            }
        }
        Ok(away)
    }

    /// Returns the chunks of which something may lie elsewhere, though nobody relies on it.
    pub(crate) fn chunks_left(&self) -> Vec<Hash> {
        let all = self.shared.packs.all_elsewhere().into_iter();
        all.filter(|(_, lies)| lies.bytes.is_none()).map(|(name, _)| name).collect()
    }

    /// Notes durably that chunks are about to be sent, unless they were sent before; returns those that are to be sent now.
    pub(crate) fn begin_sending(&self, chunks: &[LocalChunk]) -> Result<Vec<LocalChunk>, BlobError> {
        let packs = &self.shared.packs;
        // A note that says another length is damaged: the chunk is sent as if it never had been.
        let is_there = |chunk: &LocalChunk| {
            let bytes = packs.elsewhere(&chunk.name).and_then(|lies| lies.bytes);
            bytes.is_some_and(|bytes| u64::from(bytes) == chunk.bytes)
        };
        let to_send: Vec<_> = chunks.iter().filter(|chunk| !is_there(chunk)).copied().collect();
        for chunk in &to_send {
            packs.note_sent(chunk.name, chunk.put_at)?;
        }
        packs.sync()?;
        Ok(to_send)
    }

    /// Returns a chunk that is here, verified.
    pub(crate) fn get_local(&self, name: &Hash) -> Result<Vec<u8>, BlobError> {
        let (info, content) = self.read_local(name)?;
        self.check(name, info.kind, &content)?;
        Ok(content)
    }

    /// Notes that a chunk was read back from elsewhere; durable once [`sync`](Self::sync) returns.
    pub(crate) fn note_away(&self, chunk: &LocalChunk) -> Result<(), BlobError> {
        let bytes = u32::try_from(chunk.bytes).map_err(|_| BlobError::TooLarge { max: u32::MAX.into() })?;
        self.shared.packs.note_away(chunk.name, bytes, chunk.put_at)
    }

    /// Notes that nothing of a chunk lies elsewhere any more.
    pub(crate) fn note_not_sent(&self, name: Hash) -> Result<(), BlobError> {
        self.shared.packs.note_not_sent(name, self.shared.doors.clock.now())
    }

    /// Removes the copy here of a chunk that lies elsewhere durably. Returns the bytes of its file, and whether it was packed:
    /// then its room comes back when its pack is written anew.
    pub(crate) fn free(&self, name: Hash) -> Result<(u64, bool), BlobError> {
        if self.away_info(&name).is_none() {
            return Ok((0, false));
        }
        let was_packed = self.shared.packs.free(name, self.shared.doors.clock.now())?;
        Ok((self.shared.loose.remove(&name)?, was_packed))
    }

    /// Takes a chunk back that lies elsewhere, and returns its length; `None` where it is here. What lies elsewhere stays there.
    /// Durable once [`sync`](Self::sync) returns.
    pub(crate) fn take_back(&self, name: &Hash) -> Result<Option<u64>, BlobError> {
        if self.is_here(name)? {
            return Ok(None);
        }
        let (info, content) = self.read_away(name)?;
        self.write(info.kind, *name, &content, info.put_at)?;
        Ok(Some(content.len() as u64))
    }

    /// Has nobody rely any more on what lies of a chunk elsewhere, if it is here as well.
    pub(crate) fn doubt_away(&self, name: &Hash) -> Result<(), BlobError> {
        match self.away_info(name) {
            Some(info) if self.is_here(name)? => self.shared.packs.note_sent(*name, info.put_at),
            _ => Ok(()),
        }
    }

    /// Has nobody rely any more on what lies elsewhere and here as well.
    pub(crate) fn doubt_all_away(&self) -> Result<(), BlobError> {
        for (name, _) in self.shared.packs.all_elsewhere() {
            self.doubt_away(&name)?;
        }
        self.sync()
    }

    /// Reads and verifies every object, as [`verify`](Self::verify), and writes those anew that are damaged and lie elsewhere as
    /// well. Returns what is left damaged, and how many were mended.
    ///
    /// *Durability*: what was mended survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify) and [`put`](Self::put).
    pub fn repair(&self) -> Result<(super::ObjectReport, u64), BlobError> {
        let (mut report, mut mended) = (self.verify()?, 0);
        let mut left = Vec::new();
        for damaged in report.damaged {
            match self.read_away(&damaged.hash) {
                Ok((info, content)) => {
                    self.put(info.kind, &content)?;
                    mended += 1;
                }
                Err(error) => {
                    tracing::info!(object = %damaged.hash, %error, "a damaged object cannot be mended");
                    left.push(damaged);
                }
            }
        }
        report.damaged = left;
        self.sync()?;
        Ok((report, mended))
    }

    /// Fetches everything that lies elsewhere, and returns what is missing or damaged there.
    ///
    /// # Errors
    ///
    /// [`BlobError::NoAway`] where no place is set; [`BlobError::Away`] where it cannot be reached: what is wrong with a chunk stands
    /// in what is returned.
    pub fn verify_away(&self) -> Result<super::ObjectReport, BlobError> {
        let mut report = super::ObjectReport::default();
        for (hash, lies) in self.shared.packs.all_elsewhere() {
            if lies.bytes.is_none() {
                continue;
            }
            report.objects += 1;
            match self.read_away(&hash) {
                Ok((_, content)) => report.bytes += content.len() as u64,
                // It was collected meanwhile.
                Err(BlobError::NotFound { .. }) => report.objects -= 1,
                Err(error) if error.is_of_object() => {
                    report.damaged.push(super::DamagedObject { hash, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(report)
    }
}

impl Sweep {
    /// Returns the chunks as candidates that lie elsewhere and not here, and are not needed.
    pub(crate) fn away(&self, is_needed: impl Fn(&Hash) -> bool) -> Result<Vec<Candidate>, BlobError> {
        let mut found = Vec::new();
        for (name, Elsewhere { bytes, put_at, .. }) in self.store().shared.packs.all_elsewhere() {
            let Some(bytes) = bytes.map(u64::from) else { continue };
            if !is_needed(&name) && !self.store().is_here(&name)? {
                found.push(Candidate { name, kind: ObjectKind::Chunk, bytes, put_at, levels: 0 });
            }
        }
        Ok(found)
    }
}

impl Away {
    fn is_set(&self) -> bool {
        self.target.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn heat(&self) -> MutexGuard<'_, Heat> {
        self.heat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names a chunk.
pub(crate) fn chunk(hash: Hash) -> ObjectName {
    ObjectName { kind: ObjectKind::Chunk, hash }
}
