//! Objects on disk: put once, named by what they hold, verified whenever they are read.
//!
//! ```text
//! DIR/packs/NNNNNNNNNN.pack    small objects, many in a file; authoritative
//! DIR/packs/NNNNNNNNNN.idx     what stands where in one that is full; derived
//! DIR/chunks/HASH              an object of 256 KiB or more
//! DIR/staging/N.tmp            what is being written; removed when the store is opened
//! DIR/reserve                  room that is given up to remove something when the disk is full
//! ```

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{DiskLock, Doors, Hash, Timestamp};

use crate::BlobError;
use crate::limits::{CHUNK_BYTES_MAX, PACKED_BYTES_MAX};
use crate::metrics::Counters;
use crate::object::ObjectKind;

mod away;
mod compaction;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod guards;
mod index;
mod loose;
mod pack_index;
mod packs;
mod record;
mod removal;
mod reserve;
mod scan;

use self::away::Away;
pub use self::away::AwayUse;
pub(crate) use self::away::{LocalChunk, chunk};
use self::guards::Guards;
pub use self::guards::Held;
pub(crate) use self::guards::Putting;
use self::index::Place;
use self::loose::{Loose, LooseObject};
use self::packs::Packs;
use self::record::{Record, What};
pub(crate) use self::removal::{Candidate, Sweep};
use self::reserve::Reserve;

/// Objects on disk. Cloning shares them.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    packs: Packs,
    loose: Loose,
    guards: Arc<Guards>,
    away: Away,
    counters: Counters,
    dir: PathBuf,
    doors: Doors,
    _lock: Box<dyn DiskLock>,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectInfo {
    /// What it is.
    pub kind: ObjectKind,
    /// Its length.
    pub bytes: u64,
    /// When it was put, the first time unless it was damaged since.
    pub put_at: Timestamp,
    /// Where it lies.
    pub place: ObjectPlace,
}

/// Where an object lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectPlace {
    /// In a pack, with others.
    Packed,
    /// In a file of its own.
    Loose,
    /// Not here, but where the store overflows to.
    Away,
}

impl ObjectPlace {
    /// Returns the name used in output: `packed`, `loose` or `away`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Loose => "loose",
            Self::Away => "away",
        }
    }
}

/// An object that is not what its name says.
#[derive(Debug)]
pub struct DamagedObject {
    /// Its name.
    pub hash: Hash,
    /// What is wrong.
    pub error: BlobError,
}

/// What a verification of all objects found.
#[derive(Debug, Default)]
pub struct ObjectReport {
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are damaged.
    pub damaged: Vec<DamagedObject>,
    /// Stretches of files that do not read: nobody knows what stood there.
    pub stretches: Vec<DamagedStretch>,
}

/// A stretch of a file that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedStretch {
    /// The file.
    pub file: PathBuf,
    /// From where to where.
    pub bytes: Range<u64>,
}

impl ObjectInfo {
    fn packed(place: &Place) -> Self {
        let (kind, bytes, put_at) = (place.kind, u64::from(place.bytes), place.put_at);
        Self { kind, bytes, put_at, place: ObjectPlace::Packed }
    }

    fn loose(object: &LooseObject) -> Self {
        let (kind, bytes, put_at) = (object.kind, u64::from(object.bytes), object.put_at);
        Self { kind, bytes, put_at, place: ObjectPlace::Loose }
    }
}

impl ObjectStore {
    /// Opens the objects in a directory, which is made where there is none.
    ///
    /// # Errors
    ///
    /// [`BlobError::Locked`], [`BlobError::UnsupportedVersion`], [`BlobError::Decode`], [`BlobError::Io`].
    pub fn open(dir: &Path, doors: &Doors) -> Result<Self, BlobError> {
        let disk = &doors.disk;
        let [packs, chunks, staging] = ["packs", "chunks", "staging"].map(|name| dir.join(name));
        for dir in [&packs, &chunks, &staging] {
            disk.create_directories(dir).map_err(BlobError::io(dir))?;
        }
        let lock_path = dir.join("lock");
        let lock = disk.lock(&lock_path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => BlobError::Locked { dir: dir.to_owned() },
            _ => BlobError::Io { path: lock_path, source },
        })?;
        let packs = Packs::open(disk, packs, Reserve::open(disk, dir)?)?;
        let loose = Loose::open(disk, chunks, staging)?;
        let (guards, away, counters) = (Arc::default(), Away::default(), Counters::default());
        let (dir, doors) = (dir.to_owned(), doors.clone());
        let shared = Shared { packs, loose, guards, away, counters, dir, doors, _lock: lock };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Puts an object, and returns its name. One that is there already is compared, and written anew where it is damaged.
    ///
    /// *Durability*: survives a power failure once a later [`sync`](Self::sync) returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`] beyond 16 MiB, [`BlobError::Io`], [`BlobError::Poisoned`].
    pub fn put(&self, kind: ObjectKind, content: &[u8]) -> Result<Hash, BlobError> {
        self.put_within(None, kind, content)
    }

    /// Puts an object as one of those that are put together, which no collection takes before they are.
    pub(crate) fn put_within(
        &self,
        putting: Option<&Putting>,
        kind: ObjectKind,
        content: &[u8],
    ) -> Result<Hash, BlobError> {
        if content.len() > CHUNK_BYTES_MAX {
            return Err(BlobError::TooLarge { max: CHUNK_BYTES_MAX as u64 });
        }
        let name = kind.name_of(content);
        let Shared { guards, doors, .. } = &*self.shared;
        guards.touch(putting, name);
        match self.read_local(&name) {
            Ok((found, stored)) if found.kind == kind && stored == content => return Ok(name),
            Ok(_) => tracing::warn!(%name, "a damaged object is written anew"),
            Err(BlobError::NotFound { .. }) => {}
            Err(BlobError::Decode { .. }) => tracing::warn!(%name, "a damaged object is written anew"),
            Err(error) => return Err(error),
        }
        self.write(kind, name, content, doors.clock.now())?;
        Ok(name)
    }

    fn write(
        &self,
        kind: ObjectKind,
        name: Hash,
        content: &[u8],
        put_at: Timestamp,
    ) -> Result<(), BlobError> {
        match content.len() < PACKED_BYTES_MAX {
            true => self.shared.packs.add(kind, name, content, put_at),
            false => self.shared.loose.add(kind, name, content, put_at),
        }
    }

    /// Begins to put objects together.
    pub(crate) fn begin_put(&self) -> Putting {
        self.shared.guards.begin_put()
    }

    /// Keeps a blob from being collected, with everything below it, as long as what is returned lives.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`], also while a collection removes it: put it again. As [`info`](Self::info).
    pub fn hold(&self, name: &Hash) -> Result<Held, BlobError> {
        let missing = || BlobError::NotFound { hash: *name };
        // In this order, since what is held stays.
        let held = self.shared.guards.hold(*name).ok_or_else(missing)?;
        self.info(name)?.ok_or_else(missing)?;
        Ok(held)
    }

    /// Keeps a blob as [`hold`](Self::hold) does, for so long: for what will be referred to in a moment.
    ///
    /// # Errors
    ///
    /// As [`hold`](Self::hold).
    pub fn hold_for(&self, name: &Hash, time: Duration) -> Result<(), BlobError> {
        let missing = || BlobError::NotFound { hash: *name };
        let now = self.shared.doors.clock.monotonic();
        match self.shared.guards.hold_until(*name, (now, now.saturating_add(time))) {
            true => self.info(name)?.map(|_| ()).ok_or_else(missing),
            false => Err(missing()),
        }
    }

    /// Notes that an object is a blob, and not only a part of one; durable as [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`], [`BlobError::Poisoned`].
    pub fn note_blob(&self, name: Hash) -> Result<(), BlobError> {
        // Small parts stand before the note, and a crash that leaves it leaves them; large ones must be there before it is written.
        self.shared.loose.sync()?;
        self.shared.packs.add_whole(name, self.shared.doors.clock.now())
    }

    /// Makes everything durable that was put before.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`], [`BlobError::Poisoned`]: then nobody knows what the disk holds.
    pub fn sync(&self) -> Result<(), BlobError> {
        self.shared.loose.sync()?;
        self.shared.packs.sync()
    }

    /// Returns an object, which is what its name says.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`]; [`BlobError::HashMismatch`] and [`BlobError::Decode`] for one that is damaged; [`BlobError::Io`].
    pub fn get(&self, name: &Hash) -> Result<(ObjectKind, Vec<u8>), BlobError> {
        let read = self.read(name).and_then(|(info, content)| {
            self.check(name, info.kind, &content)?;
            Ok((info.kind, content))
        });
        let (kind, content) = match read {
            Err(error) if error.is_of_object() && self.away_info(name).is_some() => {
                tracing::error!(%name, %error, "a damaged chunk is fetched from where it lies as well");
                let (info, content) = self.read_away(name)?;
                (info.kind, content)
            }
            read => read?,
        };
        self.note_read(name, kind);
        Ok((kind, content))
    }

    /// Reads a chunk into memory of its length; what stands there after an error is of no use.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); [`BlobError::ShortChunk`] for a chunk of another length.
    pub(crate) fn get_chunk_into(&self, name: &Hash, target: &mut [u8]) -> Result<(), BlobError> {
        let Shared { packs, loose, .. } = &*self.shared;
        // Straight to its place where it has a file of its own; whatever else there is to say, the usual way says.
        let is_read = packs.find(name).is_none() && loose.read_chunk_into(name, target).unwrap_or_default();
        if is_read && ObjectKind::Chunk.name_of(target) == *name {
            self.note_read(name, ObjectKind::Chunk);
            return Ok(());
        }
        let (_, content) = self.get(name)?;
        if content.len() != target.len() {
            let (expected, found) = (target.len() as u64, content.len() as u64);
            return Err(BlobError::ShortChunk { hash: *name, expected, found });
        }
        target.copy_from_slice(&content);
        Ok(())
    }

    fn check(&self, name: &Hash, kind: ObjectKind, content: &[u8]) -> Result<(), BlobError> {
        let found = kind.name_of(content);
        if found != *name {
            let (file, offset) = self.whereabouts(name);
            return Err(BlobError::HashMismatch { file, offset, hash: *name, found });
        }
        Ok(())
    }

    /// Reads an object from wherever it lies, unverified.
    fn read(&self, name: &Hash) -> Result<(ObjectInfo, Vec<u8>), BlobError> {
        match self.read_local(name) {
            // It goes from here once it is there.
            Err(BlobError::NotFound { .. }) => self.read_away(name),
            read => read,
        }
    }

    /// Reads an object that is here, unverified.
    fn read_local(&self, name: &Hash) -> Result<(ObjectInfo, Vec<u8>), BlobError> {
        let Shared { packs, loose, .. } = &*self.shared;
        let mut place = packs.find(name);
        while let Some(at) = place {
            let read = packs.read(&at);
            place = packs.find(name);
            // Its pack may have gone meanwhile, and it to another one.
            if read.is_ok() || place == Some(at) {
                return Ok((ObjectInfo::packed(&at), read?));
            }
        }
        let Some((object, content)) = loose.read(name)? else {
            return Err(BlobError::NotFound { hash: *name });
        };
        Ok((ObjectInfo::loose(&object), content))
    }

    /// Tells what is known of an object without reading it; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`BlobError::Decode`] for one that is damaged, [`BlobError::Io`].
    pub fn info(&self, name: &Hash) -> Result<Option<ObjectInfo>, BlobError> {
        match (self.local_info(name), self.away_info(name)) {
            (Ok(None), away) => Ok(away),
            (Err(error), Some(away)) if error.is_of_object() => Ok(Some(away)),
            (here, _) => here,
        }
    }

    fn local_info(&self, name: &Hash) -> Result<Option<ObjectInfo>, BlobError> {
        let Shared { packs, loose, .. } = &*self.shared;
        match packs.find(name) {
            Some(place) => Ok(Some(ObjectInfo::packed(&place))),
            None => Ok(loose.find(name)?.as_ref().map(ObjectInfo::loose)),
        }
    }

    /// Returns what an object is, without looking at more of it than that takes; `None` where there is none.
    pub(crate) fn kind_of(&self, name: &Hash) -> Result<Option<ObjectKind>, BlobError> {
        Ok(self.info(name)?.map(|info| info.kind))
    }

    /// Tells whether an object is here or away, without looking at it.
    pub(crate) fn exists(&self, name: &Hash) -> Result<bool, BlobError> {
        Ok(self.is_here(name)? || self.away_info(name).is_some())
    }

    fn is_here(&self, name: &Hash) -> Result<bool, BlobError> {
        Ok(self.shared.packs.find(name).is_some() || self.shared.loose.exists(name)?)
    }

    /// Notes that an object is no blob any more; durable as [`put`](Self::put).
    pub(crate) fn note_no_blob(&self, name: Hash) -> Result<bool, BlobError> {
        self.shared.packs.remove_whole(name, self.shared.doors.clock.now())
    }

    /// Tells whether an object was put as a blob.
    pub fn is_blob(&self, name: &Hash) -> bool {
        self.shared.packs.is_whole(name)
    }

    /// Returns the names of what was put as a blob, in their order.
    pub fn blobs(&self) -> Vec<Hash> {
        let mut blobs: Vec<_> = self.shared.packs.whole().into_iter().map(|(name, _)| name).collect();
        blobs.sort_unstable();
        blobs
    }

    /// Returns what was put as a blob, and when it last was, in no order.
    pub(crate) fn blobs_put(&self) -> Vec<(Hash, Timestamp)> {
        self.shared.packs.whole()
    }

    /// Reads and verifies every object.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`] where the names could not be read; what is wrong with an object stands in the report.
    pub fn verify(&self) -> Result<ObjectReport, BlobError> {
        let Shared { packs, loose, .. } = &*self.shared;
        let mut report = ObjectReport::default();
        let (mut stretches, mut superseded) = (Vec::new(), Vec::new());
        let object = |record: &Record, content: &[u8]| {
            let What::Object(kind) = record.what else { return };
            report.objects += 1;
            report.bytes += u64::from(record.bytes);
            if kind.name_of(content) != record.name {
                superseded.push(record.name);
            }
        };
        packs.visit(object, |file, bytes| stretches.push(DamagedStretch { file, bytes }))?;
        report.stretches = stretches;
        for hash in loose.all()? {
            report.objects += 1;
            match self.get_local(&hash) {
                Ok(content) => report.bytes += content.len() as u64,
                Err(error) => report.damaged.push(DamagedObject { hash, error }),
            }
        }
        // One that is damaged may have been put once more since, or be needed by nobody.
        for hash in superseded {
            match self.get_local(&hash) {
                Ok(_) | Err(BlobError::NotFound { .. }) => {}
                Err(error) => report.damaged.push(DamagedObject { hash, error }),
            }
        }
        Ok(report)
    }

    /// Returns the directory that it is in.
    pub(crate) fn dir(&self) -> &Path {
        &self.shared.dir
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.shared.doors
    }

    /// Returns the names of all objects, those that are away among them, in their order.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn list(&self) -> Result<Vec<Hash>, BlobError> {
        let Shared { packs, loose, .. } = &*self.shared;
        let mut names = loose.all()?;
        for part in 0..Sweep::parts() {
            names.extend(packs.shard(part, |_, _| true).into_iter().map(|(name, _)| name));
        }
        let elsewhere = packs.all_elsewhere().into_iter();
        names.extend(elsewhere.filter(|(_, lies)| lies.bytes.is_some()).map(|(name, _)| name));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Returns the file that an object that is here stands in, and where it begins there.
    pub fn whereabouts(&self, name: &Hash) -> (PathBuf, u64) {
        let Shared { packs, loose, .. } = &*self.shared;
        packs.find(name).map_or_else(|| (loose.path(name), 0), |place| packs.whereabouts(&place))
    }

    /// Makes everything durable, so that opening it again need not look at it.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub fn close(&self) -> Result<(), BlobError> {
        self.shared.loose.sync()?;
        self.shared.packs.close()
    }
}
