//! Directories that a run writes to and that vanish behind it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Result;

/// A new directory; removed with what is in it when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory of its own inside `parent`.
    ///
    /// # Errors
    ///
    /// What the operating system said.
    pub fn new(parent: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("run-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(cause) = std::fs::remove_dir_all(&self.path) {
            eprintln!("{} was not removed: {cause}", self.path.display());
        }
    }
}

/// Copies a directory and everything in it.
///
/// # Errors
///
/// What the operating system said.
pub fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_directory(&entry.path(), &target)?,
            false => std::fs::copy(entry.path(), target).map(drop)?,
        }
    }
    Ok(())
}

/// Copies a node's directory for somebody who opens it for writing: sealed segments, which nobody writes to, are
/// linked, the rest is copied and synced, so that no older write delays what is measured.
///
/// # Errors
///
/// What the operating system said.
pub fn link_log(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    let mut entries = std::fs::read_dir(from)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let is_segment =
        |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "seg");
    let newest = entries.iter().rposition(is_segment);
    for (place, entry) in entries.iter().enumerate() {
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_log(&entry.path(), &target)?;
        } else if is_segment(entry) && newest != Some(place) {
            std::fs::hard_link(entry.path(), target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
            std::fs::File::open(&target)?.sync_all()?;
        }
    }
    Ok(())
}

/// Syncs all files of a directory, so that nothing of it is left to be written while something else is measured.
///
/// # Errors
///
/// What the operating system said.
pub fn sync_directory(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => sync_directory(&entry.path())?,
            kind if kind.is_file() => std::fs::File::open(entry.path())?.sync_all()?,
            _ => {}
        }
    }
    Ok(())
}

/// Waits until the file system of a directory has written everything, the removal of what was there before included.
///
/// # Errors
///
/// When `sync`, which does it, cannot be run or fails.
pub fn settle(dir: &Path) -> Result<()> {
    let ended = std::process::Command::new("sync").arg("--file-system").arg(dir).status()?;
    if ended.success() { Ok(()) } else { Err(format!("sync of {}: {ended}", dir.display()).into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn only_the_newest_segment_of_a_log_is_copied() {
        let parent = std::env::temp_dir();
        let (from, to) = (Scratch::new(&parent).unwrap(), Scratch::new(&parent).unwrap());
        std::fs::create_dir(from.path().join("main")).unwrap();
        for name in ["0.seg", "1.seg", "1.idx"] {
            std::fs::write(from.path().join("main").join(name), name).unwrap();
        }
        link_log(from.path(), to.path()).unwrap();
        let number = |dir: &Scratch, name: &str| dir.path().join("main").join(name).metadata().unwrap().ino();
        assert_eq!(number(&from, "0.seg"), number(&to, "0.seg"));
        assert_ne!(number(&from, "1.seg"), number(&to, "1.seg"));
        assert_eq!(std::fs::read(to.path().join("main/1.idx")).unwrap(), b"1.idx");
    }
}
