//! Directories for tests of the machine's file system.

use std::path::{Path, PathBuf};

use crate::{Disk, LogId, SystemDisk, SystemRandom};

/// A directory of its own for one test, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new() -> Self {
        let name = format!("netdb-base-{}", LogId::random(&SystemRandom));
        let path = std::env::temp_dir().join(name);
        SystemDisk.create_directories(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // What cannot be removed stays in the machine's directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
