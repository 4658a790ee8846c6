//! Room that is kept, so that something can be removed when the disk is full: what is removed from packs is noted first.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Disk, OpenMode};

use crate::BlobError;

/// Enough for the notes of a thousand removals, after which removed files give room for more.
const BYTES: usize = 64 << 10;

/// A file that is given up when the disk is full, and made again when it is not any more.
#[derive(Debug)]
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    is_there: Mutex<bool>,
}

impl Reserve {
    /// Makes the file in the directory of a store, if there is room; or finds it there.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, BlobError> {
        let path = dir.join("reserve");
        let is_there = disk.exists(&path).map_err(BlobError::io(&path))?;
        let reserve = Self { disk: Arc::clone(disk), path, is_there: Mutex::new(is_there) };
        reserve.fill();
        Ok(reserve)
    }

    fn is_there(&self) -> MutexGuard<'_, bool> {
        self.is_there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the file unless it is there; that there is no room for it is no failure.
    pub(super) fn fill(&self) {
        let mut is_there = self.is_there();
        if *is_there || self.disk.is_volatile() {
            return;
        }
        let made = (|| {
            let file = self.disk.open(&self.path, OpenMode::Create)?;
            base::write_all_at(&*file, &[0; BYTES], 0)?;
            file.sync_data()
        })();
        match made {
            Ok(()) => *is_there = true,
            Err(cause) => {
                let _ = self.disk.remove(&self.path);
                tracing::warn!(file = %self.path.display(), %cause, "no room is kept for removing blobs when the disk is full");
            }
        }
    }

    /// Gives the room up; tells whether there was any.
    pub(super) fn give_up(&self) -> bool {
        let mut is_there = self.is_there();
        let given = *is_there && self.disk.remove(&self.path).is_ok();
        *is_there &= !given;
        if given {
            tracing::warn!("the disk is full: room that was kept for it is used to remove blobs");
        }
        given
    }
}
