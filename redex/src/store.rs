//! A node's directory: its key, its lock and its logs.
//!
//! ```text
//! identity          the node's ed25519 seed
//! lock              held by the writer; its content names the process, as information
//! logs/main/        a log: superblock, visible, segments (.seg) with indexes (.idx), quarantine/
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Disk, DiskLock, Doors, Identity, OpenMode, OriginId};

use crate::LogOptions;
use crate::error::{AppendError, OpenError, Owner, ReadError};
use crate::follower::Follower;
use crate::log::{self, Log, OpenedLog, RecoveryReport, Site};
use crate::reader::{LogReader, Published, VisibleState};
use crate::segments::Segments;

pub(crate) const MAIN: &str = "main";

/// A node's directory, open for writing. Cloning shares it; the lock is given back when its logs were closed,
/// by [`close`](Self::close) or because nobody uses them any more.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<StoreShared>,
}

#[derive(Debug)]
struct StoreShared {
    dir: PathBuf,
    identity: Arc<Identity>,
    main: Log,
    recovery: RecoveryReport,
}

impl Store {
    /// Makes a node in a directory that holds none yet.
    ///
    /// *Durability*: key and empty log survive a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`OpenError::Exists`] when there is a node already; otherwise as [`open`](Self::open).
    pub fn create(dir: &Path, doors: &Doors, options: &LogOptions) -> Result<Self, OpenError> {
        refuse_initialised(dir, &*doors.disk)?;
        Self::lock_and_open(dir, doors, options, refuse_initialised)
    }

    /// Opens a node's directory for writing, and makes what is missing. Puts in order what a crash left; see
    /// [`recovery`](Self::recovery).
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] while another writer has it; [`OpenError::IdentityMissing`] and
    /// [`OpenError::IdentityMismatch`] when the key is not the one that began the log;
    /// [`OpenError::ClockBehind`]; [`OpenError::Options`]; [`OpenError::Corrupt`] for a file of another format
    /// version; [`OpenError::Io`].
    pub fn open(dir: &Path, doors: &Doors, options: &LogOptions) -> Result<Self, OpenError> {
        Self::lock_and_open(dir, doors, options, |_, _| Ok(()))
    }

    /// Takes the lock and opens, unless `may` objects to what is there.
    fn lock_and_open(
        dir: &Path,
        doors: &Doors,
        options: &LogOptions,
        may: impl FnOnce(&Path, &dyn Disk) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        let faults = options.validate();
        if !faults.is_empty() {
            return Err(OpenError::Options { faults });
        }
        let disk = &*doors.disk;
        disk.create_directories(dir).map_err(OpenError::io(dir))?;
        let lock = Arc::from(take_lock(disk, dir)?);
        may(dir, disk)?;
        // What a process that ended before has named, such as the key, need not be durable under its name yet.
        disk.sync_directory(dir).map_err(OpenError::io(dir))?;
        let log_dir = dir.join("logs").join(MAIN);
        let identity_path = dir.join("identity");
        let identity = Arc::new(open_identity(doors, &identity_path, &log_dir)?);
        let site = Site {
            dir: log_dir,
            name: MAIN.to_owned(),
            doors: doors.clone(),
            identity: Arc::clone(&identity),
            identity_path,
            lock,
        };
        let OpenedLog { log: main, report: recovery } = log::open(&site, options)?;
        Ok(Self { shared: Arc::new(StoreShared { dir: dir.to_owned(), identity, main, recovery }) })
    }

    /// Tells whether a directory holds a node.
    ///
    /// # Errors
    ///
    /// What the operating system said, such as that the directory may not be read.
    pub fn is_initialised(dir: &Path, disk: &dyn Disk) -> std::io::Result<bool> {
        Ok(disk.exists(&dir.join("identity"))?
            || disk.exists(&dir.join("logs").join(MAIN).join("superblock"))?)
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Returns who signs here.
    pub fn origin(&self) -> OriginId {
        self.shared.identity.origin()
    }

    /// Returns the log `main`.
    pub fn main(&self) -> &Log {
        &self.shared.main
    }

    /// Returns what opening found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared.recovery
    }

    /// Returns the reading side of all logs.
    pub fn reader(&self) -> StoreReader {
        StoreReader { logs: Arc::new([self.main().reader().clone()]) }
    }

    /// Closes all logs cleanly and gives the lock back. Repeating it does nothing.
    ///
    /// # Errors
    ///
    /// As [`Log::close`].
    pub fn close(&self) -> Result<(), AppendError> {
        self.shared.main.close()
    }
}

fn refuse_initialised(dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
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

fn open_identity(doors: &Doors, path: &Path, log_dir: &Path) -> Result<Identity, OpenError> {
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

/// The logs of a node's directory, open for reading only; works beside a writer in another process. Cloning
/// shares it.
#[derive(Debug, Clone)]
pub struct StoreReader {
    logs: Arc<[LogReader]>,
}

impl StoreReader {
    /// Opens a node's directory for reading. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotInitialised`] when there is no node; [`OpenError::Corrupt`]; [`OpenError::Io`].
    pub fn open(dir: &Path, doors: &Doors, options: &LogOptions) -> Result<Self, OpenError> {
        let disk = &*doors.disk;
        let log_dir = dir.join("logs").join(MAIN);
        let superblock = log_dir.join("superblock");
        // Listing tells an unreadable directory from an empty one.
        disk.list(dir).map_err(|source| not_found(dir, source))?;
        if !disk.exists(&superblock).map_err(OpenError::io(&superblock))? {
            return Err(OpenError::NotInitialised { dir: dir.to_owned() });
        }
        let (superblock, _) = log::read_superblock(disk, &log_dir)?;
        let segments =
            Arc::new(Segments::new(&log_dir, superblock.log, Arc::clone(&doors.disk), options.cache_bytes));
        let follower = Follower::new(Arc::clone(&segments), dir.join("lock"));
        let published = Arc::new(Published::new(VisibleState::empty(), Arc::clone(&doors.clock)));
        let reader = LogReader::new(superblock, segments, published, Some(follower));
        reader.refresh().map_err(open_error)?;
        Ok(Self { logs: Arc::new([reader]) })
    }

    /// Returns all logs.
    pub fn logs(&self) -> &[LogReader] {
        &self.logs
    }

    /// Returns the log `main`.
    pub fn main(&self) -> &LogReader {
        &self.logs[0]
    }

    /// Returns who began the logs.
    pub fn origin(&self) -> OriginId {
        self.main().origin()
    }
}

fn not_found(dir: &Path, source: std::io::Error) -> OpenError {
    match source.kind() {
        std::io::ErrorKind::NotFound => OpenError::NotInitialised { dir: dir.to_owned() },
        _ => OpenError::Io { path: dir.to_owned(), source },
    }
}

fn open_error(error: ReadError) -> OpenError {
    match error {
        ReadError::Corrupt(corruption) => OpenError::Corrupt(corruption),
        ReadError::Io { path, source } => OpenError::Io { path, source },
        other => OpenError::Io { path: PathBuf::new(), source: std::io::Error::other(other) },
    }
}
