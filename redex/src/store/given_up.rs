//! Replicas that were given up: others hold the log now, and what is left here is set aside.
//!
//! ```text
//! replicas/LOG-ID             `given up: NUMBER-NAME` from the moment at which the replica is given up until one begins anew
//! given-up/NUMBER-NAME/       what was in logs/NAME
//! ```
//!
//! The record is durable first. Then the files move, the superblock before the others, since a log is there once its superblock
//! is. Whatever a crash leaves of that is finished at the next opening.
//!
//! That the directory held a replica is never forgotten: one that begins anew is in doubt, and takes no part until the others
//! have given it what it held. It must not be a new replica to itself: a node that has not heard of the change of members
//! counts it as a voter still, and would be elected by it in place of somebody who has what was committed with its help.

use std::path::{Path, PathBuf};

use base::{Disk, LogId, OpenMode};

use super::Store;
use super::logs::{log_dir, logs_dir};
use crate::LogName;
use crate::error::OpenError;

/// How a record begins that tells of a replica that was given up.
const RECORD: &str = "given up: ";
/// Bytes of a record that are read.
const RECORD_BYTES_MAX: usize = 256;
/// Replicas that are kept after they were given up, the newest.
const KEPT: usize = 2;
/// How the doubt of a replica begins that was given up here, and comes back.
pub(crate) const CAME_BACK: &str = "it was given up here before, and comes back";

/// Returns the file that says that a directory holds, or held, a replica of a log.
pub(crate) fn record_path(dir: &Path, log: LogId) -> PathBuf {
    dir.join("replicas").join(log.to_string())
}

fn given_up_dir(dir: &Path) -> PathBuf {
    dir.join("given-up")
}

/// Where a replica went that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    number: u64,
    log: LogName,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (number, log) = text.split_once('-')?;
        Some(Self { number: number.parse().ok()?, log: LogName::new(log).ok()? })
    }

    fn name(&self) -> String {
        format!("{:06}-{}", self.number, self.log)
    }
}

fn read_record(disk: &dyn Disk, path: &Path) -> std::io::Result<Option<Place>> {
    let file = disk.open(path, OpenMode::Read)?;
    let bytes = base::read_to_end(&*file, RECORD_BYTES_MAX)?;
    let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim_end().strip_prefix(RECORD));
    Ok(text.and_then(Place::parse))
}

/// Replaces a record, durably.
fn write_record(disk: &dyn Disk, path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    if disk.exists(&temporary)? {
        disk.remove(&temporary)?;
    }
    let file = disk.open(&temporary, OpenMode::Create)?;
    base::write_all_at(&*file, text.as_bytes(), 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_directory(path.parent().unwrap_or(Path::new("")))
}

/// Returns why a replica is in doubt that begins anew in place of one that was given up; `None` where none was. What a crash
/// left of the old one is set aside before.
pub(crate) fn comes_back(disk: &dyn Disk, dir: &Path, log: LogId) -> std::io::Result<Option<String>> {
    let path = record_path(dir, log);
    if !disk.exists(&path)? {
        return Ok(None);
    }
    let Some(place) = read_record(disk, &path)? else { return Ok(None) };
    finish(disk, dir, log, &place)?;
    Ok(Some(cause(&place)))
}

fn cause(place: &Place) -> String {
    format!("{CAME_BACK}: what it held then is in given-up/{}", place.name())
}

/// Notes that a replica holds the log from now on.
pub(crate) fn note_held(disk: &dyn Disk, dir: &Path, log: LogId) -> std::io::Result<()> {
    let path = record_path(dir, log);
    match read_record(disk, &path)? {
        Some(_) => write_record(disk, &path, ""),
        None => Ok(()),
    }
}

/// Finishes what a crash kept from being set aside.
pub(super) fn finish_all(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    let records = dir.join("replicas");
    if !disk.exists(&records)? {
        return Ok(());
    }
    for name in disk.list(&records)? {
        let Ok(log) = name.parse() else { continue };
        if let Some(place) = read_record(disk, &records.join(&name))? {
            finish(disk, dir, log, &place)?;
        }
    }
    Ok(())
}

/// Moves what is left of a replica to its place, unless another one has begun there already.
fn finish(disk: &dyn Disk, dir: &Path, log: LogId, place: &Place) -> std::io::Result<()> {
    let from = log_dir(dir, place.log.as_str());
    if !disk.exists(&from)? || disk.list(&from)?.is_empty() || is_another(disk, &from, log, place)? {
        return Ok(());
    }
    let to = given_up_dir(dir).join(place.name());
    move_files(disk, &from, &to)?;
    tracing::info!(log = place.log.as_str(), to = %to.display(), "a replica that was given up was set aside");
    Ok(())
}

/// Tells whether a directory holds something else than the replica that was given up: another log, or one that has begun anew.
fn is_another(disk: &dyn Disk, from: &Path, log: LogId, place: &Place) -> std::io::Result<bool> {
    let doubt = from.join("doubt");
    if disk.exists(&doubt)? {
        let file = disk.open(&doubt, OpenMode::Read)?;
        let bytes = base::read_to_end(&*file, 4_096)?;
        if bytes == cause(place).as_bytes() {
            return Ok(true);
        }
    }
    if !disk.exists(&from.join("superblock"))? {
        return Ok(false);
    }
    let superblock = crate::log::read_superblock(disk, from);
    // One that does not read is put in order by who opens it.
    Ok(superblock.map_or(true, |(superblock, _)| superblock.log != log))
}

/// Moves the files of a directory, and of those in it, the superblock first.
fn move_files(disk: &dyn Disk, from: &Path, to: &Path) -> std::io::Result<()> {
    disk.create_directories(to)?;
    let mut names = disk.list(from)?;
    names.sort_by_key(|name| name != "superblock");
    for name in names {
        let (old, new) = (from.join(&name), to.join(&name));
        match disk.list(&old) {
            Ok(_) => move_files(disk, &old, &new)?,
            Err(_) => disk.rename(&old, &new)?,
        }
    }
    disk.sync_directory(to)?;
    disk.sync_directory(from)
}

/// Removes the files of a directory, and of those in it.
fn remove_files(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    for name in disk.list(dir)? {
        let path = dir.join(name);
        match disk.list(&path) {
            Ok(_) => remove_files(disk, &path)?,
            Err(_) => disk.remove(&path)?,
        }
    }
    disk.sync_directory(dir)
}

/// Returns where replicas went that were given up, the oldest first, also those of which nothing is left.
fn places(disk: &dyn Disk, dir: &Path) -> std::io::Result<Vec<Place>> {
    let given_up = given_up_dir(dir);
    if !disk.exists(&given_up)? {
        return Ok(Vec::new());
    }
    let mut places: Vec<_> = disk.list(&given_up)?.iter().filter_map(|name| Place::parse(name)).collect();
    places.sort_unstable_by_key(|place| place.number);
    Ok(places)
}

impl Store {
    /// Sets a replica aside, which others hold now: it must be closed, and detached. The newest two that were given up are kept
    /// in `given-up/` of the directory, where nobody reads them, and may be removed at any time.
    ///
    /// *Durability*: that it was given up survives a power failure once this returns; a crash meanwhile leaves the replica, or
    /// is finished at the next opening.
    ///
    /// # Errors
    ///
    /// [`OpenError::Io`]; then calling it again, or the next opening, goes on. [`OpenError::Locked`] once the store was closed.
    pub fn give_up_replica(&self, name: &LogName, log: LogId) -> Result<(), OpenError> {
        let (disk, dir) = (&*self.shared.doors.disk, &self.shared.dir);
        let placing = self.placing();
        if placing.lock.is_none() {
            return Err(OpenError::Locked { dir: dir.clone(), owner: None });
        }
        let given_up = given_up_dir(dir);
        give_up(disk, dir, name, log).map_err(OpenError::io(&given_up))?;
        if let Err(cause) = remove_old(disk, dir) {
            tracing::warn!(dir = %given_up.display(), %cause, "old replicas that were given up are still there");
        }
        Ok(())
    }
}

fn give_up(disk: &dyn Disk, dir: &Path, name: &LogName, log: LogId) -> std::io::Result<()> {
    let record = record_path(dir, log);
    let place = match read_record(disk, &record)? {
        // A call before did not come to its end.
        Some(place) if place.log == *name => place,
        _ => {
            let number = places(disk, dir)?.last().map_or(1, |place| place.number.saturating_add(1));
            // The directory is there before anything goes to it, so that no other replica gets its number.
            let place = Place { number, log: name.clone() };
            disk.create_directories(&given_up_dir(dir).join(place.name()))?;
            write_record(disk, &record, &format!("{RECORD}{}\n", place.name()))?;
            place
        }
    };
    finish(disk, dir, log, &place)?;
    disk.sync_directory(&logs_dir(dir))
}

/// Removes what was given up before the newest.
fn remove_old(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    let mut places = places(disk, dir)?;
    places.truncate(places.len().saturating_sub(KEPT));
    places.iter().try_for_each(|place| remove_files(disk, &given_up_dir(dir).join(place.name())))
}
