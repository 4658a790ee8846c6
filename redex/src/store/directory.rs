//! A node's directory: whether it is one, its lock and its key.

use std::path::Path;

use base::{Disk, DiskLock, Doors, Identity, OpenMode};

use crate::error::{OpenError, Owner};
use crate::store::Store;

pub(super) fn refuse_initialised(dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    match Store::is_initialised(dir, disk).map_err(OpenError::io(dir))? {
        true => Err(OpenError::Exists { dir: dir.to_owned() }),
        false => Ok(()),
    }
}

pub(crate) fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, OpenError> {
    let path = dir.join("lock");
    match disk.lock(&path) {
        Ok(lock) => {
            write_owner(disk, &path);
            Ok(lock)
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(OpenError::Locked { dir: dir.to_owned(), owner: read_owner(disk, dir) })
        }
        Err(error) => Err(OpenError::io(&path)(error)),
    }
}

/// Writes who holds the lock; information only, so that failing to is no failure.
fn write_owner(disk: &dyn Disk, path: &Path) {
    let host = hostname(disk).unwrap_or_else(|| "this host".to_owned());
    let text = format!("{} {host}\n", std::process::id());
    let written = disk.open(path, OpenMode::Write).and_then(|file| {
        file.set_length(0)?;
        base::write_all_at(&*file, text.as_bytes(), 0)
    });
    if let Err(cause) = written {
        tracing::debug!(%cause, "lock owner not written");
    }
}

fn hostname(disk: &dyn Disk) -> Option<String> {
    let file = disk.open(Path::new("/proc/sys/kernel/hostname"), OpenMode::Read).ok()?;
    let mut bytes = vec![0; 256];
    let count = file.read_at(&mut bytes, 0).ok()?;
    let name = String::from_utf8(bytes[..count].to_vec()).ok()?.trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// Reads who says to hold the lock of a node's directory; `None` when nobody holds it or says so.
pub fn read_owner(disk: &dyn Disk, dir: &Path) -> Option<Owner> {
    let path = dir.join("lock");
    if !disk.is_locked(&path).ok()? {
        return None;
    }
    let file = disk.open(&path, OpenMode::Read).ok()?;
    let text = String::from_utf8(base::read_to_end(&*file, 512).ok()?).ok()?;
    let (pid, host) = text.trim_end().split_once(' ')?;
    Some(Owner { pid: pid.parse().ok()?, host: host.to_owned() })
}

pub(super) fn open_identity(doors: &Doors, path: &Path, log_dir: &Path) -> Result<Identity, OpenError> {
    let disk = &*doors.disk;
    if disk.exists(path).map_err(OpenError::io(path))? {
        return Ok(Identity::open(disk, path)?);
    }
    let superblock = log_dir.join("superblock");
    if disk.exists(&superblock).map_err(OpenError::io(&superblock))? {
        return Err(OpenError::IdentityMissing { path: path.to_owned() });
    }
    Ok(Identity::create(disk, path, &*doors.random)?)
}
