//! What a simulated disk is asked to do, and how it can fail to.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One call that changed or synced something on a simulated disk, or tried to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its number, counted from 0 over the disk's life.
    pub ordinal: u64,
    /// What was called.
    pub kind: OperationKind,
    /// The file or directory; a rename's target; for calls on an open file, the name it was opened by.
    pub path: PathBuf,
    /// The first byte of a write; otherwise 0.
    pub offset: u64,
    /// The bytes that a write was given, or the length that was set; otherwise 0.
    pub bytes: u64,
}

/// Which call an [`Operation`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OperationKind {
    /// [`Disk::open`](crate::Disk::open) in a mode that may make the file, whether it is made or not.
    Create,
    /// [`DiskFile::write_at`](crate::DiskFile::write_at).
    Write,
    /// [`DiskFile::set_length`](crate::DiskFile::set_length).
    SetLength,
    /// [`DiskFile::sync_data`](crate::DiskFile::sync_data).
    Sync,
    /// [`Disk::rename`](crate::Disk::rename).
    Rename,
    /// [`Disk::remove`](crate::Disk::remove).
    Remove,
    /// [`Disk::sync_directory`](crate::Disk::sync_directory).
    SyncDirectory,
    /// [`Disk::create_directories`](crate::Disk::create_directories).
    CreateDirectories,
}

/// How an operation fails, or does something else than it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It has no effect and returns this error of the operating system, such as 5 (`EIO`) or 28 (`ENOSPC`).
    ///
    /// A failed sync of a file moreover loses what was pending for its contents, as Linux does: it is still
    /// read, but no later sync makes it durable, and no crash leaves it. A failed sync of a directory leaves
    /// its names pending.
    Error(i32),
    /// A write takes at most this many bytes and succeeds; 0 is allowed. Other operations are not affected.
    Short {
        /// The most bytes that are written.
        bytes: u64,
    },
    /// A write succeeds and lands at another offset of its file. Other operations are not affected.
    Misdirected {
        /// Where the bytes land.
        offset: u64,
    },
    /// A write succeeds and lands, at its offset, in another file. Other operations are not affected.
    Misfiled {
        /// The place of that file among [`SimulatedDisk::files`](crate::SimulatedDisk::files), counted round.
        file: usize,
    },
    /// A write succeeds, and two of the whole sectors that it covers have changed places. Writes that cover
    /// fewer than two, and other operations, are not affected.
    SwappedSectors {
        /// One sector, counted round from the first that the write covers.
        first: usize,
        /// The other one.
        second: usize,
    },
    /// It is done as usual, and takes this long on the clock of
    /// [`SimulatedDisk::take_time_on`](crate::SimulatedDisk::take_time_on).
    Slow {
        /// How long.
        time: Duration,
    },
    /// The power goes off before it: it has no effect, and it and every later call fail until the restart.
    PowerOff,
}

impl Operation {
    /// Describes a call that has no number yet.
    pub(super) fn new(kind: OperationKind, path: &Path) -> Self {
        Self { ordinal: 0, kind, path: path.to_owned(), offset: 0, bytes: 0 }
    }
}

impl fmt::Display for Operation {
    /// Writes one line, such as `12 write seg/0 at 4096, 512 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.ordinal, self.kind, self.path.display())?;
        match self.kind {
            OperationKind::Write => write!(f, " at {}, {} bytes", self.offset, self.bytes),
            OperationKind::SetLength => write!(f, " to {} bytes", self.bytes),
            _ => Ok(()),
        }
    }
}

impl OperationKind {
    /// Returns the short name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::SetLength => "set-length",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::SyncDirectory => "sync-directory",
            Self::CreateDirectories => "create-directories",
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Fault {
    /// Returns the error of an injected [`Error`](Self::Error).
    pub(super) fn check(fault: Option<Self>) -> io::Result<()> {
        match fault {
            Some(Self::Error(code)) => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(()),
        }
    }

    /// Returns how many of `count` bytes a write may take.
    pub(super) fn limit(fault: Option<Self>, count: usize) -> usize {
        match fault {
            Some(Self::Short { bytes }) => usize::try_from(bytes).unwrap_or(usize::MAX).min(count),
            _ => count,
        }
    }
}
