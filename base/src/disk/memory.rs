//! A file system in memory.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::contents::Contents;
use super::locks::Locks;
use super::tree::{Tree, normalized};
use super::{Disk, DiskFile, DiskLock, OpenMode, bad_descriptor};

/// Large enough that looking a page up costs nothing beside copying it.
const PAGE_BYTES: usize = 64 << 10;

type Shared = Arc<RwLock<Contents<PAGE_BYTES>>>;

/// A file system in memory, for databases that need not outlive the process. Cloning shares it.
///
/// *Durability*: nothing survives; every sync returns at once.
///
/// Ranges that were never written, or written with zeros only, take no memory. An open file stays usable
/// after its name was given to another one or removed.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    tree: Arc<RwLock<Tree<Shared>>>,
    locks: Locks,
}

impl MemoryDisk {
    /// Makes an empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    fn tree(&self) -> RwLockReadGuard<'_, Tree<Shared>> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tree_mut(&self) -> RwLockWriteGuard<'_, Tree<Shared>> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, path: &Path, must_be_new: bool) -> io::Result<Shared> {
        let mut tree = self.tree_mut();
        if let Some(file) = tree.find_or_place(path, must_be_new)? {
            return Ok(Arc::clone(file));
        }
        let file = Shared::default();
        tree.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let path = normalized(path);
        let contents = match mode {
            OpenMode::Read | OpenMode::Write => Arc::clone(self.tree().file(&path)?),
            OpenMode::Create | OpenMode::CreatePrivate => self.create(&path, true)?,
            OpenMode::OpenOrCreate => self.create(&path, false)?,
        };
        Ok(Arc::new(MemoryFile { contents, writable: mode != OpenMode::Read }))
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.tree_mut().create_directories(&normalized(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.tree().list(&normalized(path))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.tree().exists(&normalized(path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tree_mut().rename(&normalized(from), &normalized(to)).map(drop)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.tree_mut().remove(&normalized(path)).map(drop)
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.tree().check_directory(&normalized(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let path = normalized(path);
        self.create(&path, false)?;
        self.locks.lock(path)
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let path = normalized(path);
        Ok(self.tree().exists(&path) && self.locks.is_locked(&path))
    }
}

#[derive(Debug)]
struct MemoryFile {
    contents: Shared,
    writable: bool,
}

impl MemoryFile {
    fn contents(&self) -> RwLockReadGuard<'_, Contents<PAGE_BYTES>> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn contents_mut(&self) -> io::Result<RwLockWriteGuard<'_, Contents<PAGE_BYTES>>> {
        if !self.writable {
            return Err(bad_descriptor());
        }
        Ok(self.contents.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.contents().read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.contents_mut()?.write_at(bytes, offset)?;
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.contents().length())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.contents_mut()?.set_length(bytes)
    }
}
