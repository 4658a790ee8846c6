//! What was cut off of a replica: entries that a leader had put in order, and that another leader's took the place of. Whoever
//! asked for them was told so, or that nobody knows, and asked again; the files are for people who want to see what was in them.
//!
//! ```text
//!   0  [8]  "NetDbCut"
//!   8  u16  format version   10 u16 reserved, 0   12 u32 entries that are here
//!  16  [16] log id           32 u64 index of the first that was cut off   40 u64 index behind the last
//!  48  each entry that a leader sealed: u64 term, u64 node, u64 index, u32+bytes, as they stood in the log
//!   +  u32  CRC of all bytes before
//! ```

use std::ops::Range;
use std::path::{Path, PathBuf};

use base::{Disk, Index, LogId, NodeId, OpenMode, Slot, Term};
use bytes::Bytes;

use crate::chunk::Chunk;
use crate::codec::{Cursor, FORMAT_VERSION, Malformed, Put};
use crate::error::OpenError;
use crate::store::logs_dir;
use crate::{EventRef, Selection};

/// Bytes of entries that one file has at most, unless the first is larger.
pub(crate) const ENTRY_BYTES_KEPT: u64 = 64 << 20;
/// Bytes of a file that are read.
const FILE_BYTES_MAX: usize = 128 << 20;
const MAGIC: [u8; 8] = *b"NetDbCut";
const ENDING: &str = "cut";
/// The directory in that of its log.
const DIRECTORY: &str = "cut-off";
/// Files that are kept for a log, the newest.
const KEPT: usize = 16;

/// Entries that were cut off of a log at one time, as a file has them.
#[derive(Debug, Clone)]
pub struct CutOff {
    log: LogId,
    indexes: Range<Index>,
    entries: Vec<(Slot, Chunk)>,
}

/// Why a file of entries that were cut off was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutOffError {
    /// The file was not read.
    #[error("{path}: {source}; see that it is there and may be read", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It holds something else, or is damaged.
    #[error(
        "{path} holds no entries that were cut off: a wrong {what}; another node may have cut the same ones off",
        path = path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// It was written in another version of the format.
    #[error(
        "{path} is in format version {found}, and this program reads version {FORMAT_VERSION}: read it with the program that wrote it",
        path = path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
    },
}

impl base::Classify for CutOffError {
    fn kind(&self) -> base::ErrorKind {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                base::ErrorKind::NotFound
            }
            Self::Io { .. } => base::ErrorKind::Unavailable,
            Self::Malformed { .. } => base::ErrorKind::Corrupt,
            Self::Version { .. } => base::ErrorKind::Invalid,
        }
    }
}

impl CutOff {
    /// Reads a file of entries that were cut off.
    ///
    /// # Errors
    ///
    /// [`CutOffError`].
    pub fn read(path: &Path, disk: &dyn Disk) -> Result<Self, CutOffError> {
        let read = || base::read_to_end(&*disk.open(path, OpenMode::Read)?, FILE_BYTES_MAX);
        let bytes = read().map_err(|source| CutOffError::Io { path: path.to_owned(), source })?;
        match version(&bytes) {
            Some(found) if found != FORMAT_VERSION => {
                Err(CutOffError::Version { path: path.to_owned(), found })
            }
            _ => decode(&bytes.into()).map_err(|malformed| CutOffError::Malformed {
                path: path.to_owned(),
                what: malformed.to_string(),
            }),
        }
    }

    /// Returns the log that they were cut off of.
    pub fn log(&self) -> LogId {
        self.log
    }

    /// Returns the indexes of everything that was cut off. What consensus itself had written is not in the file, nor what came
    /// behind its first 64 MiB.
    pub fn indexes(&self) -> Range<Index> {
        self.indexes.clone()
    }

    /// Returns the slots of the entries in the file, in their order.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Slot> {
        self.entries.iter().map(|(slot, _)| *slot)
    }

    /// Returns their events, with the numbers that they would have had.
    pub fn events(&self) -> impl Iterator<Item = EventRef<'_>> {
        self.entries.iter().flat_map(|(_, chunk)| chunk.events())
    }
}

/// Returns the files of entries that were cut off of a node's logs, by log, the oldest first.
///
/// # Errors
///
/// [`OpenError::Io`].
pub fn cut_off_files(dir: &Path, disk: &dyn Disk) -> Result<Vec<PathBuf>, OpenError> {
    let logs = logs_dir(dir);
    if !disk.exists(&logs).map_err(OpenError::io(&logs))? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for log in disk.list(&logs).map_err(OpenError::io(&logs))? {
        let dir = logs.join(log).join(DIRECTORY);
        found.extend(
            numbers(&dir, disk).map_err(OpenError::io(&dir))?.iter().map(|number| file(&dir, *number)),
        );
    }
    Ok(found)
}

/// Keeps entries that are about to be cut off of a log, durably, and lets go of the oldest file where there are many. Without
/// entries that a leader sealed there is nothing to keep.
pub(crate) fn keep(
    disk: &dyn Disk,
    log_dir: &Path,
    log: LogId,
    indexes: Range<Index>,
    entries: &[(Slot, Bytes)],
) -> std::io::Result<Option<PathBuf>> {
    if entries.is_empty() {
        return Ok(None);
    }
    let dir = log_dir.join(DIRECTORY);
    disk.create_directories(&dir)?;
    let known = numbers(&dir, disk)?;
    let path = file(&dir, known.last().map_or(0, |last| last + 1));
    base::create_atomically(disk, &path, OpenMode::Create, &encode(log, indexes, entries))?;
    for number in &known[..(known.len() + 1).saturating_sub(KEPT)] {
        disk.remove(&file(&dir, *number))?;
    }
    Ok(Some(path))
}

fn file(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.{ENDING}"))
}

/// Returns the numbers of the files in a directory, the lowest first; none where there is no directory.
fn numbers(dir: &Path, disk: &dyn Disk) -> std::io::Result<Vec<u64>> {
    if !disk.exists(dir)? {
        return Ok(Vec::new());
    }
    let names = disk.list(dir)?;
    let number = |name: &String| name.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn encode(log: LogId, indexes: Range<Index>, entries: &[(Slot, Bytes)]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put(&MAGIC);
    out.put_u16(FORMAT_VERSION);
    out.put_u16(0);
    out.put_length(entries.len());
    out.put(log.as_bytes());
    out.put_u64(indexes.start.0);
    out.put_u64(indexes.end.0);
    for (slot, bytes) in entries {
        out.put_u64(slot.term.0);
        out.put_u64(slot.node.0);
        out.put_u64(slot.index.0);
        out.put_length(bytes.len());
        out.put(bytes);
    }
    let crc = crc32fast::hash(&out);
    out.put_u32(crc);
    out
}

/// Returns the version of a file that is one of these.
fn version(bytes: &[u8]) -> Option<u16> {
    let mut cursor = Cursor::new(bytes.strip_prefix(&MAGIC)?);
    cursor.u16("format version").ok()
}

fn decode(bytes: &Bytes) -> Result<CutOff, Malformed> {
    let Some((content, crc)) = bytes.split_last_chunk() else { return Err(Malformed::new("length")) };
    let mut cursor = Cursor::new(content);
    if cursor.array("magic")? != MAGIC {
        return Err(Malformed::new("magic"));
    }
    if u32::from_le_bytes(*crc) != crc32fast::hash(content) {
        return Err(Malformed::new("checksum"));
    }
    if (cursor.u16("format version")?, cursor.u16("reserved bytes")?) != (FORMAT_VERSION, 0) {
        return Err(Malformed::new("reserved bytes"));
    }
    let count = cursor.u32("entries")?;
    let log = LogId::from_bytes(cursor.array("log id")?);
    let indexes = Index(cursor.u64("first index")?)..Index(cursor.u64("end index")?);
    let everything = Selection::default();
    let (mut entries, mut next) = (Vec::new(), indexes.start);
    for _ in 0..count {
        let (term, node) = (Term(cursor.u64("term")?), NodeId(cursor.u64("node")?));
        let slot = Slot { term, node, index: Index(cursor.u64("index")?) };
        let length = cursor.length("entry length")?;
        let body = bytes.slice_ref(cursor.take(length, "entry length")?);
        let chunk = Chunk::pick(body, &everything)?;
        if slot.index < next || slot.index >= indexes.end || chunk.index() != slot.index {
            return Err(Malformed::new("index"));
        }
        next = slot.index.next();
        entries.push((slot, chunk));
    }
    cursor.finish("length")?;
    Ok(CutOff { log, indexes, entries })
}
