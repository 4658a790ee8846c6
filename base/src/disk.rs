//! The door to storage: files and directories as a durable log needs them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod contents;
mod locks;
mod memory;
mod simulated;
mod system;
mod tree;

pub use memory::MemoryDisk;
pub use simulated::{CrashImage, Fault, Operation, OperationKind, SimulatedDisk, Snapshot};
pub use system::SystemDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A file that must not exist yet, for reading and writing.
    Create,
    /// Like [`Create`](Self::Create), accessible to its owner only (mode 0600).
    CreatePrivate,
    /// A file for reading and writing, made when it does not exist.
    OpenOrCreate,
}

/// One open file, read and written at offsets.
///
/// # Contract
///
/// All methods may be called from several threads at once. Reads and writes may be short, as POSIX allows;
/// [`write_all_at`] and [`read_exact_at`] loop. A failed [`sync_data`](Self::sync_data) must never be retried:
/// what the file then holds is unknown until it is opened and verified again.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset`, extending the file with zeros where needed; returns how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all written bytes, and the length needed to read them, durable.
    fn sync_data(&self) -> io::Result<()>;

    /// Returns the file's length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file, or extends it with zeros.
    fn set_length(&self, bytes: u64) -> io::Result<()>;
}

/// An exclusive lock on a path, given back when dropped or when the process ends.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// How much room there is on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that there are.
    pub total: u64,
    /// Bytes that this process can still write.
    pub available: u64,
}

/// A file system.
///
/// # Contract
///
/// Names become durable only by [`sync_directory`](Self::sync_directory) on their parent, contents only by
/// [`DiskFile::sync_data`]. [`rename`](Self::rename) replaces its target atomically.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a directory and its missing parents, durably.
    fn create_directories(&self, path: &Path) -> io::Result<()>;

    /// Returns the names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Tells whether a file or directory exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Renames a file, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on a file, which is made when it does not exist.
    ///
    /// # Errors
    ///
    /// Kind [`io::ErrorKind::WouldBlock`] when somebody else holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;

    /// Returns how much room there is where a directory is; `None` where nothing limits it.
    fn space(&self, _path: &Path) -> io::Result<Option<Space>> {
        Ok(None)
    }

    /// Tells whether everything here is gone when the process ends, so that syncing makes nothing safer.
    fn is_volatile(&self) -> bool {
        false
    }

    /// Tells whether somebody holds the lock on a file; `false` when there is no such file.
    ///
    /// The probe may hold the lock for an instant, so that [`lock`](Self::lock) can meet it.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
}

/// Writes all of `bytes` at `offset`, repeating short and interrupted writes.
///
/// # Errors
///
/// The first error of the file; some of the bytes may have been written by then.
pub fn write_all_at(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count.min(bytes.len())..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills `buffer` from `offset`, repeating short and interrupted reads.
///
/// # Errors
///
/// Kind [`io::ErrorKind::UnexpectedEof`] when the file ends before the buffer is full.
pub fn read_exact_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a file from its beginning, at most `bytes_max` bytes of it.
///
/// # Errors
///
/// The first error of the file.
pub fn read_to_end(file: &dyn DiskFile, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_to_end_into(file, &mut bytes, bytes_max)?;
    Ok(bytes)
}

/// Reads a file from its beginning, at most `bytes_max` bytes of it, in place of what `bytes` holds: memory that was
/// used before need not be cleared again.
///
/// # Errors
///
/// The first error of the file; what `bytes` holds then is of no use.
pub fn read_to_end_into(file: &dyn DiskFile, bytes: &mut Vec<u8>, bytes_max: usize) -> io::Result<()> {
    let length = usize::try_from(file.length()?).unwrap_or(usize::MAX).min(bytes_max);
    match bytes.capacity() {
        // All at once, as zeros that the system has ready.
        0 => *bytes = vec![0; length],
        _ => bytes.resize(length, 0),
    }
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(())
}

/// Creates a small file as a whole or not at all: temporary file, sync, rename, sync of the directory.
///
/// `mode` is [`OpenMode::Create`] or [`OpenMode::CreatePrivate`]. A temporary file that an earlier crash left
/// behind is replaced.
///
/// *Durability*: the file survives a power failure once this returns.
///
/// # Errors
///
/// Kind [`io::ErrorKind::AlreadyExists`] when `path` exists; otherwise the first error met, after which
/// `path` does not exist or is complete.
pub fn create_atomically(disk: &dyn Disk, path: &Path, mode: OpenMode, bytes: &[u8]) -> io::Result<()> {
    if disk.exists(path)? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let temporary = temporary_path(path);
    if disk.exists(&temporary)? {
        disk.remove(&temporary)?;
    }
    let file = disk.open(&temporary, mode)?;
    write_all_at(&*file, bytes, 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_directory(path.parent().unwrap_or(Path::new("")))
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The error of a write through a file that was opened for reading: `EBADF`.
fn bad_descriptor() -> io::Error {
    io::Error::from_raw_os_error(9)
}

#[cfg(test)]
mod tests;
