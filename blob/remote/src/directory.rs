//! Writing in a directory, which the object store of one does without syncing anything.
//!
//! ```text
//! DIRECTORY/ab/cdef..         an object
//! DIRECTORY/staging/RANDOM    what is being written; removed when it is a day old
//! ```

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use base::{Disk, OpenMode, Random, SystemDisk, SystemRandom};

/// Where things are written before they get their names.
pub(crate) const STAGING: &str = "staging";

/// A directory of this machine.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl Directory {
    /// Opens a directory, which is made where there is none.
    pub(crate) fn open(dir: &FilePath) -> io::Result<Self> {
        Self::open_on(Arc::new(SystemDisk), dir)
    }

    fn open_on(disk: Arc<dyn Disk>, dir: &FilePath) -> io::Result<Self> {
        disk.create_directories(&dir.join(STAGING))?;
        Ok(Self { disk, dir: dir.to_owned() })
    }

    /// Writes an object and gives it its name, both durably: a crash leaves nothing half under a name.
    pub(crate) fn write(&self, [first, rest]: &[String; 2], content: &[u8]) -> io::Result<()> {
        let staged = self.staged();
        let parent = self.dir.join(first);
        let written = (|| {
            let file = self.disk.open(&staged, OpenMode::Create)?;
            base::write_all_at(&*file, content, 0)?;
            file.sync_data()?;
            self.disk.create_directories(&parent)?;
            self.disk.rename(&staged, &parent.join(rest))?;
            self.disk.sync_directory(&parent)
        })();
        if written.is_err() {
            // What is left of it goes after a day, if it does not now.
            let _ = self.disk.remove(&staged);
        }
        written
    }

    /// Returns a path where nothing is. Several processes may write into a directory.
    fn staged(&self) -> PathBuf {
        let mut random = [0; 16];
        SystemRandom.fill(&mut random);
        self.dir.join(STAGING).join(format!("{:032x}", u128::from_le_bytes(random)))
    }

    /// Makes it durable which names there are beside this one.
    pub(crate) fn sync(&self, first: &str) -> io::Result<()> {
        self.disk.sync_directory(&self.dir.join(first))
    }
}

#[cfg(test)]
mod tests {
    use base::{CrashImage, Fault, SimulatedDisk};

    use super::*;

    fn open(disk: &SimulatedDisk) -> Directory {
        Directory::open_on(Arc::new(disk.clone()), FilePath::new("dir")).unwrap()
    }

    fn path() -> [String; 2] {
        ["ab".to_owned(), "cd".to_owned()]
    }

    #[test]
    fn what_got_its_name_survives_a_crash_whole_and_what_was_removed_stays_away() {
        let disk = SimulatedDisk::new();
        let directory = open(&disk);
        directory.write(&path(), b"content").unwrap();
        for image in [CrashImage::None, CrashImage::LostRenames] {
            let crashed = disk.snapshot().image(&image);
            assert_eq!(crashed.read("dir/ab/cd").as_deref(), Some(&b"content"[..]), "{image:?}");
        }
        disk.remove(FilePath::new("dir/ab/cd")).unwrap();
        directory.sync("ab").unwrap();
        assert_eq!(disk.snapshot().image(&CrashImage::None).read("dir/ab/cd"), None);
    }

    #[test]
    fn what_fails_at_any_operation_is_told_and_leaves_nothing_half() {
        let run = |nth: Option<u64>| {
            let disk = SimulatedDisk::new();
            let directory = open(&disk);
            let first = disk.operation_count();
            if let Some(nth) = nth {
                disk.inject(first + nth, Fault::Error(28));
            }
            let written = directory.write(&path(), b"content");
            (written.is_ok(), disk.operation_count() - first, disk)
        };
        let (_, operations, _) = run(None);
        for nth in 0..operations {
            let (is_written, _, disk) = run(Some(nth));
            assert!(!is_written, "{nth} of {operations}");
            for image in [CrashImage::None, CrashImage::All, CrashImage::SizeBeforeData { writes: 1 }] {
                let found = disk.snapshot().image(&image).read("dir/ab/cd");
                assert!(found.is_none_or(|found| found == b"content"), "{nth} of {operations}, {image:?}");
            }
            let left = disk.files().into_iter().filter(|(path, _)| path.starts_with("dir/staging"));
            assert_eq!(left.count(), 0, "{nth} of {operations}");
        }
    }

    #[test]
    fn staged_paths_differ() {
        let directory = open(&SimulatedDisk::new());
        assert_ne!(directory.staged(), directory.staged());
    }
}
