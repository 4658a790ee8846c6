//! Large objects, each in a file of its own: the content, then 64 bytes as a record of a pack begins.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Disk, DiskFile, Hash, OpenMode, Timestamp};

use super::record::{RECORD_BYTES, Record, What};
use crate::BlobError;
use crate::limits::CHUNK_BYTES_MAX;
use crate::object::ObjectKind;

/// The large objects of a store.
#[derive(Debug)]
pub(super) struct Loose {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    staging: PathBuf,
    next: AtomicU64,
    /// Whether names were added that are not durable yet.
    unsynced: AtomicBool,
    /// Held during a sync of the directory.
    syncing: Mutex<()>,
    /// Bytes of all files, once somebody asked for them.
    bytes: Mutex<Option<u64>>,
}

/// A large object, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LooseObject {
    pub kind: ObjectKind,
    pub bytes: u32,
    pub put_at: Timestamp,
}

impl Loose {
    /// Opens the large objects in a directory, which is there; what a crash left in the staging directory goes.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: PathBuf, staging: PathBuf) -> Result<Self, BlobError> {
        for name in disk.list(&staging).map_err(BlobError::io(&staging))? {
            let path = staging.join(name);
            disk.remove(&path).map_err(BlobError::io(&path))?;
        }
        let (next, unsynced) = (AtomicU64::new(0), AtomicBool::new(false));
        let (syncing, bytes) = (Mutex::default(), Mutex::default());
        Ok(Self { disk: Arc::clone(disk), dir, staging, next, unsynced, syncing, bytes })
    }

    pub(super) fn path(&self, name: &Hash) -> PathBuf {
        self.dir.join(name.to_string())
    }

    /// Opens an object's file to be read; `None` where there is none.
    fn open_file(&self, path: &Path) -> Result<Option<Arc<dyn DiskFile>>, BlobError> {
        match self.disk.open(path, OpenMode::Read) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(BlobError::io(path)(source)),
        }
    }

    /// Returns what is there of an object; `None` where nothing is.
    pub(super) fn find(&self, name: &Hash) -> Result<Option<LooseObject>, BlobError> {
        let path = self.path(name);
        let Some(file) = self.open_file(&path)? else { return Ok(None) };
        let length = file.length().map_err(BlobError::io(&path))?;
        let mut footer = [0; RECORD_BYTES];
        if let Some(at) = length.checked_sub(RECORD_BYTES as u64) {
            base::read_exact_at(&*file, &mut footer, at).map_err(BlobError::io(&path))?;
        }
        describe(&path, name, length, &footer).map(Some)
    }

    /// Tells whether there is a file of an object.
    pub(super) fn exists(&self, name: &Hash) -> Result<bool, BlobError> {
        let path = self.path(name);
        self.disk.exists(&path).map_err(BlobError::io(&path))
    }

    /// Reads an object, unverified.
    pub(super) fn read(&self, name: &Hash) -> Result<Option<(LooseObject, Vec<u8>)>, BlobError> {
        let path = self.path(name);
        let Some(file) = self.open_file(&path)? else { return Ok(None) };
        let mut bytes =
            base::read_to_end(&*file, CHUNK_BYTES_MAX + RECORD_BYTES + 1).map_err(BlobError::io(&path))?;
        let at = bytes.len().saturating_sub(RECORD_BYTES);
        let object = describe(&path, name, bytes.len() as u64, &bytes[at..])?;
        bytes.truncate(at);
        Ok(Some((object, bytes)))
    }

    /// Reads a chunk into memory of its length, unverified; tells whether there is one of that length.
    pub(super) fn read_chunk_into(&self, name: &Hash, target: &mut [u8]) -> Result<bool, BlobError> {
        let path = self.path(name);
        let Some(file) = self.open_file(&path)? else { return Ok(false) };
        let mut footer = [0; RECORD_BYTES];
        let read = file.length().and_then(|length| {
            if length != (target.len() + RECORD_BYTES) as u64 {
                return Ok(None);
            }
            base::read_exact_at(&*file, &mut footer, target.len() as u64)?;
            base::read_exact_at(&*file, target, 0)?;
            Ok(Some(length))
        });
        let Some(length) = read.map_err(BlobError::io(&path))? else { return Ok(false) };
        Ok(describe(&path, name, length, &footer)?.kind == ObjectKind::Chunk)
    }

    /// Writes an object; its content is durable once this returns, its name once [`sync`](Self::sync) does.
    pub(super) fn add(
        &self,
        kind: ObjectKind,
        name: Hash,
        content: &[u8],
        put_at: Timestamp,
    ) -> Result<(), BlobError> {
        let footer = Record::of(What::Object(kind), name, content, put_at).encode_header();
        let staged = self.staging.join(format!("{}.tmp", self.next.fetch_add(1, Ordering::Relaxed)));
        let written = (|| {
            let file = self.disk.open(&staged, OpenMode::Create)?;
            base::write_all_at(&*file, content, 0)?;
            base::write_all_at(&*file, &footer, content.len() as u64)?;
            file.sync_data()?;
            let path = self.path(&name);
            let mut bytes = self.bytes();
            let before = match &*bytes {
                Some(_) => self.length(&path)?,
                None => 0,
            };
            self.disk.rename(&staged, &path)?;
            if let Some(bytes) = &mut *bytes {
                *bytes = (*bytes + (content.len() + footer.len()) as u64).saturating_sub(before);
            }
            Ok(())
        })();
        match written {
            Ok(()) => {
                self.unsynced.store(true, Ordering::Release);
                Ok(())
            }
            Err(source) => {
                // What is left of it goes when the store is opened, if it does not now.
                let _ = self.disk.remove(&staged);
                Err(BlobError::Io { path: staged, source })
            }
        }
    }

    /// Removes an object, and returns how long its file was; 0 where there was none. That it is gone is not durable.
    pub(super) fn remove(&self, name: &Hash) -> Result<u64, BlobError> {
        let path = self.path(name);
        // Held from the beginning, since somebody else may remove it, too.
        let mut bytes = self.bytes();
        let Some(file) = self.open_file(&path)? else { return Ok(0) };
        let length = file.length().map_err(BlobError::io(&path))?;
        self.disk.remove(&path).map_err(BlobError::io(&path))?;
        *bytes = bytes.map(|bytes| bytes.saturating_sub(length));
        self.unsynced.store(true, Ordering::Release);
        Ok(length)
    }

    fn bytes(&self) -> MutexGuard<'_, Option<u64>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the length of a file; 0 where there is none.
    fn length(&self, path: &Path) -> io::Result<u64> {
        match self.disk.open(path, OpenMode::Read) {
            Ok(file) => file.length(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Returns the bytes of all files. The first time each is looked at.
    pub(super) fn all_bytes(&self) -> Result<u64, BlobError> {
        let mut bytes = self.bytes();
        if let Some(bytes) = *bytes {
            return Ok(bytes);
        }
        let mut sum = 0;
        for name in self.all()? {
            let path = self.path(&name);
            sum += self.length(&path).map_err(BlobError::io(&path))?;
        }
        *bytes = Some(sum);
        Ok(sum)
    }

    /// Makes the names durable that were added before.
    pub(super) fn sync(&self) -> Result<(), BlobError> {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.disk.sync_directory(&self.dir).map_err(|source| {
            self.unsynced.store(true, Ordering::Release);
            BlobError::Io { path: self.dir.clone(), source }
        })
    }

    /// Returns the names of all large objects, in their order.
    pub(super) fn all(&self) -> Result<Vec<Hash>, BlobError> {
        let names = self.disk.list(&self.dir).map_err(BlobError::io(&self.dir))?;
        Ok(names.iter().filter_map(|name| blake3::Hash::from_hex(name).ok().map(Hash::from)).collect())
    }
}

/// Reads the footer of a large object.
fn describe(path: &Path, name: &Hash, length: u64, footer: &[u8]) -> Result<LooseObject, BlobError> {
    let record = Record::decode(footer).filter(|record| record.name == *name);
    match record.map(|record| (record.what, record)) {
        Some((What::Object(kind), record)) if u64::from(record.bytes) + RECORD_BYTES as u64 == length => {
            Ok(LooseObject { kind, bytes: record.bytes, put_at: record.put_at })
        }
        _ => Err(BlobError::Decode { what: format!("end of {}", path.display()) }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use base::SimulatedDisk;

    use super::*;

    /// A collection and overflow may want the same gone.
    #[test]
    fn of_two_who_remove_an_object_at_the_same_time_one_does() {
        let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::new());
        let [dir, staging] = ["chunks", "staging"].map(PathBuf::from);
        for dir in [&dir, &staging] {
            disk.create_directories(dir).unwrap();
        }
        let loose = Loose::open(&disk, dir, staging).unwrap();
        for nth in 0..400_u32 {
            let name = Hash::of(&nth.to_le_bytes());
            loose.add(ObjectKind::Chunk, name, b"content", Timestamp::from_nanos(1)).unwrap();
            assert_eq!(loose.all_bytes().unwrap(), 71);
            let both = Barrier::new(2);
            let remove = || {
                both.wait();
                loose.remove(&name).unwrap()
            };
            let removed = std::thread::scope(|scope| {
                let other = scope.spawn(remove);
                [remove(), other.join().unwrap()]
            });
            assert!(matches!(removed, [71, 0] | [0, 71]), "{removed:?}");
            assert_eq!(loose.all_bytes().unwrap(), 0);
        }
    }
}
