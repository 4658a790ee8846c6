//! Locks among the users of one disk in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::DiskLock;

/// The locks that are held. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Locks(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    /// The number of the guard that holds each locked path.
    guards: BTreeMap<PathBuf, u64>,
    guards_made: u64,
}

impl Locks {
    /// Takes the lock on a path.
    ///
    /// # Errors
    ///
    /// Kind `WouldBlock` when it is held.
    pub(super) fn lock(&self, path: PathBuf) -> io::Result<Box<dyn DiskLock>> {
        let mut held = self.held();
        if held.guards.contains_key(&path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        held.guards_made += 1;
        let number = held.guards_made;
        held.guards.insert(path.clone(), number);
        Ok(Box::new(Guard { locks: self.clone(), path, number }))
    }

    pub(super) fn is_locked(&self, path: &Path) -> bool {
        self.held().guards.contains_key(path)
    }

    /// Takes every lock from its holder, as the end of all processes does.
    pub(super) fn release_all(&self) {
        self.held().guards.clear();
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Guard {
    locks: Locks,
    path: PathBuf,
    number: u64,
}

impl DiskLock for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut held = self.locks.held();
        if held.guards.get(&self.path) == Some(&self.number) {
            held.guards.remove(&self.path);
        }
    }
}
