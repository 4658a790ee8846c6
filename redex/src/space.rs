//! What the bytes of a node's directory are used for.

use std::path::Path;

use base::{Disk, Doors, OpenMode, Position};

use crate::codec::segment_header::parse_file_name;
use crate::error::OpenError;
use crate::store::log_dir;
use crate::{LogOptions, LogReader, StoreReader};

/// What a log's files are used for, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceReport {
    /// Segments that are kept, without what was filled ahead.
    pub live: u64,
    /// Filled ahead of the newest segment's end, for entries to come; a clean close gives it back.
    pub ahead: u64,
    /// Index files, which can be made again from the segments.
    pub derived: u64,
    /// Segments that were given up and are still there; the next opening for writing removes them.
    pub given_up: u64,
    /// Copies of damaged stretches; nobody reads them, and only people remove them.
    pub quarantined: u64,
    /// What a crash left unnamed; the next opening for writing removes it.
    pub unnamed: u64,
}

impl SpaceReport {
    /// Returns all bytes together.
    pub fn total(&self) -> u64 {
        self.live + self.ahead + self.derived + self.garbage() + self.quarantined
    }

    /// Returns the bytes that nobody needs any more.
    pub fn garbage(&self) -> u64 {
        self.given_up + self.unnamed
    }

    /// Returns the bytes that opening for writing and closing cleanly would give back.
    pub fn reclaimable(&self) -> u64 {
        self.garbage() + self.ahead
    }
}

/// Looks what the bytes of the log `main` in a node's directory are used for. Writes nothing, and may run beside a
/// writer.
///
/// # Errors
///
/// As [`StoreReader::open`].
pub fn space(dir: &Path, doors: &Doors) -> Result<SpaceReport, OpenError> {
    space_of(StoreReader::open(dir, doors, &LogOptions::default())?.main(), dir, doors)
}

/// Looks what the bytes of each log in a node's directory are used for, `main` first, by the logs' names.
///
/// # Errors
///
/// As [`space`].
pub fn space_of_all(dir: &Path, doors: &Doors) -> Result<Vec<(String, SpaceReport)>, OpenError> {
    let logs = StoreReader::open(dir, doors, &LogOptions::default())?.logs();
    logs.iter().map(|log| Ok((log.name().to_owned(), space_of(log, dir, doors)?))).collect()
}

fn space_of(log: &LogReader, dir: &Path, doors: &Doors) -> Result<SpaceReport, OpenError> {
    let begins = log.view().begins();
    let (disk, log_dir) = (&*doors.disk, log_dir(dir, log.name()));
    let mut names = disk.list(&log_dir).map_err(OpenError::io(&log_dir))?;
    names.sort();
    let mut report = SpaceReport::default();
    let segments: Vec<(&String, Position)> = names
        .iter()
        .filter_map(|name| parse_file_name(name).map(|(_, first)| (name, Position(first.0))))
        .collect();
    for (place, (name, _)) in segments.iter().enumerate() {
        let path = log_dir.join(name);
        let bytes = length(disk, &path)?;
        match segments.get(place + 1) {
            Some((_, next)) if *next <= begins => report.given_up += bytes,
            Some(_) => report.live += bytes,
            None => {
                let used = used_bytes(disk, &path)?;
                report.live += used;
                report.ahead += bytes.saturating_sub(used);
            }
        }
    }
    for name in &names {
        let path = log_dir.join(name);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("idx") => report.derived += length(disk, &path)?,
            Some("tmp") => report.unnamed += length(disk, &path)?,
            Some("seg") => {}
            _ if name == "quarantine" => {
                for copy in disk.list(&path).map_err(OpenError::io(&path))? {
                    report.quarantined += length(disk, &path.join(copy))?;
                }
            }
            _ => report.live += length(disk, &path)?,
        }
    }
    Ok(report)
}

/// Returns a file's length; a file that a writer has just removed has none.
fn length(disk: &dyn Disk, path: &Path) -> Result<u64, OpenError> {
    match disk.open(path, OpenMode::Read).and_then(|file| file.length()) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(0),
        length => length.map_err(OpenError::io(path)),
    }
}

/// Returns how many bytes of a file stand before the zeros at its end.
fn used_bytes(disk: &dyn Disk, path: &Path) -> Result<u64, OpenError> {
    const STEP: u64 = 256 << 10;
    let file = disk.open(path, OpenMode::Read).map_err(OpenError::io(path))?;
    let mut end = file.length().map_err(OpenError::io(path))?;
    let mut buffer = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(STEP);
        buffer.resize(usize::try_from(end - begin).unwrap_or_default(), 0);
        base::read_exact_at(&*file, &mut buffer, begin).map_err(OpenError::io(path))?;
        if let Some(last) = buffer.iter().rposition(|byte| *byte != 0) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}
