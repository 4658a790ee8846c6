//! Objects as files.
//!
//! ```text
//! DIR/lock          held by who has it open
//! DIR/ab/cdef..     an object: two digits of its name as a directory, the other 62 as a file
//! DIR/staging/N.tmp what is being written; removed at opening
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Disk, DiskLock, Hash, OpenMode};

use super::{AdapterName, BlobAdapter, ListQuery, ObjectName, ObjectStat};
use crate::BlobError;
use crate::limits::CHUNK_BYTES_MAX;

/// An adapter that keeps each object in a file: on another file system, such as one that is mounted from elsewhere.
#[derive(Debug)]
pub struct FileSystemAdapter {
    name: AdapterName,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    next: AtomicU64,
    _lock: Box<dyn DiskLock>,
}

impl FileSystemAdapter {
    /// Opens a directory of objects, `file-system`; it is made where there is none. What a crash left half goes.
    ///
    /// # Errors
    ///
    /// [`BlobError::Locked`] while somebody else has it open; [`BlobError::Io`].
    pub fn open(dir: &Path, disk: &Arc<dyn Disk>) -> Result<Self, BlobError> {
        let staging = dir.join("staging");
        disk.create_directories(&staging).map_err(BlobError::io(&staging))?;
        let lock_path = dir.join("lock");
        let lock = disk.lock(&lock_path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => BlobError::Locked { dir: dir.to_owned() },
            _ => BlobError::Io { path: lock_path, source },
        })?;
        for name in disk.list(&staging).map_err(BlobError::io(&staging))? {
            let path = staging.join(name);
            disk.remove(&path).map_err(BlobError::io(&path))?;
        }
        let (disk, dir, next) = (Arc::clone(disk), dir.to_owned(), AtomicU64::new(0));
        Ok(Self { name: AdapterName::new("file-system", "file"), disk, dir, next, _lock: lock })
    }

    /// Has it found by another name.
    #[must_use]
    pub fn with_name(self, name: AdapterName) -> Self {
        Self { name, ..self }
    }

    /// Returns an object's directory and file.
    fn paths(&self, name: &ObjectName) -> (PathBuf, PathBuf) {
        let [first, rest] = name.path();
        let parent = self.dir.join(first);
        let path = parent.join(rest);
        (parent, path)
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), BlobError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let staged = self.dir.join("staging").join(format!("{number}.tmp"));
        let written = (|| {
            let file = self.disk.open(&staged, OpenMode::Create)?;
            base::write_all_at(&*file, content, 0)?;
            file.sync_data()?;
            self.disk.rename(&staged, path)
        })();
        written.map_err(|source| {
            // What is left of it goes when the directory is opened, if it does not now.
            let _ = self.disk.remove(&staged);
            BlobError::Io { path: staged, source }
        })
    }
}

impl BlobAdapter for FileSystemAdapter {
    fn adapter_id(&self) -> &str {
        &self.name.id
    }

    fn accepted_schemes(&self) -> &[String] {
        &self.name.schemes
    }

    /// Stores an object, and replaces one of its name that has another content.
    ///
    /// *Durability*: survives a power failure once this returns.
    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        let (parent, path) = self.paths(name);
        match self.fetch_object(name) {
            Ok(stored) if stored == content => {}
            Ok(_) => {
                tracing::warn!(adapter = self.name.id, name = %name.hash, "a damaged object is written anew");
                self.write(&path, content)?;
            }
            Err(BlobError::NotFound { .. }) => {
                self.disk.create_directories(&parent).map_err(BlobError::io(&parent))?;
                self.write(&path, content)?;
            }
            Err(error) => return Err(error),
        }
        // Also where it was there: whoever put it may not have come so far.
        self.disk.sync_directory(&parent).map_err(BlobError::io(&parent))
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        let (_, path) = self.paths(name);
        let file = self.disk.open(&path, OpenMode::Read).map_err(missing(name, &path))?;
        base::read_to_end(&*file, CHUNK_BYTES_MAX + 1).map_err(BlobError::io(&path))
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        let (_, path) = self.paths(name);
        match self.disk.open(&path, OpenMode::Read).map_err(missing(name, &path)) {
            Ok(file) => {
                let bytes = file.length().map_err(BlobError::io(&path))?;
                Ok(Some(ObjectStat { bytes, stored_at: None }))
            }
            Err(BlobError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes an object, and tells whether it was there.
    ///
    /// *Durability*: it stays away after a power failure once this returns.
    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        let (parent, path) = self.paths(name);
        match self.disk.remove(&path).map_err(missing(name, &path)) {
            Ok(()) => {
                self.disk.sync_directory(&parent).map_err(BlobError::io(&parent))?;
                Ok(true)
            }
            Err(BlobError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list_objects(&self, query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        let mut found = Vec::new();
        for first in self.disk.list(&self.dir).map_err(BlobError::io(&self.dir))? {
            if found.len() >= query.limit() {
                break;
            }
            // The lock and the staging directory are no beginnings of names.
            if first.len() != 2 || !query.meets(&first) {
                continue;
            }
            let parent = self.dir.join(&first);
            let rest = self.disk.list(&parent).map_err(BlobError::io(&parent))?;
            let names = rest.iter().filter_map(|rest| ObjectName::hash_at([&first, rest]));
            found.extend(names.filter(|name| query.matches(name)));
        }
        found.truncate(query.limit());
        Ok(found)
    }
}

/// Tells an object that is not there from one that could not be reached.
fn missing<'a>(name: &ObjectName, path: &'a Path) -> impl FnOnce(io::Error) -> BlobError + use<'a> {
    let hash = name.hash;
    move |source| match source.kind() {
        io::ErrorKind::NotFound => BlobError::NotFound { hash },
        _ => BlobError::Io { path: path.to_owned(), source },
    }
}
