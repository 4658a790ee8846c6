//! The machine's file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Disk, DiskFile, DiskLock, OpenMode, Space};
use crate::{Clock, Signal, SystemClock};

/// How often a lock is tried before it counts as held; a probe holds it for an instant only.
const LOCK_ATTEMPTS: u32 = 11;
/// The pause between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// The permissions of a private file: read and write for its owner.
const PRIVATE_MODE: u32 = 0o600;

/// The machine's file system.
///
/// *Durability*: [`DiskFile::sync_data`] is `fdatasync`, [`Disk::sync_directory`] is `fsync` on the directory;
/// what they promise is what the file system and the device behind it promise.
///
/// Locks are advisory (`flock`): they keep out only those who also ask for them, in this process or another
/// one on the same machine. Names that are not UTF-8 are listed with replacement characters.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create_new(true),
            OpenMode::CreatePrivate => options.write(true).create_new(true).mode(PRIVATE_MODE),
            OpenMode::OpenOrCreate => options.write(true).create(true).truncate(false),
        };
        Ok(Arc::new(SystemFile(options.open(path)?)))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn create_directories(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        self.create_directories(parent)?;
        match fs::create_dir(path) {
            Ok(()) => {}
            // Somebody else was faster, and may not have synced the parent yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(error) => return Err(error),
        }
        self.sync_directory(parent)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(or_current(path))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        or_current(path).try_exists()
    }

    fn space(&self, path: &Path) -> io::Result<Option<Space>> {
        let stats = fs4::statvfs(or_current(path))?;
        Ok(Some(Space { total: stats.total_space(), available: stats.available_space() }))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(or_current(path))?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < LOCK_ATTEMPTS => pause(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Box::new(SystemLock(file)))
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => file.unlock().map(|()| false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn or_current(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn pause() {
    SystemClock.wait(&Signal::new(), Some(SystemClock.monotonic() + LOCK_PAUSE));
}

#[derive(Debug)]
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_length(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}

#[derive(Debug)]
struct SystemLock(File);

impl DiskLock for SystemLock {}

impl Drop for SystemLock {
    fn drop(&mut self) {
        // A child process between fork and exec still has a copy of the descriptor, so that closing alone
        // would not give the lock back. When unlocking fails, closing is what is left to do.
        let _ = self.0.unlock();
    }
}
