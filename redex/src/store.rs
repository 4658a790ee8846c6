//! A node's directory: its key, its lock and its logs.
//!
//! ```text
//! identity          the node's ed25519 seed
//! lock              held by the writer; its content names the process, as information
//! logs/main/        a log: superblock, visible, segments (.seg) with indexes (.idx), quarantine/
//! logs/NAME/        a further log: the same, and config
//! replicas/LOG-ID   there where the directory holds, or held, a replica of the log
//! given-up/         replicas that others hold now
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base::{ChannelName, Disk, DiskLock, Doors, Identity, OriginId};

use crate::codec::superblock::LogKind;
use crate::error::{AppendError, OpenError};
use crate::held_blobs::Holder;
use crate::log::{self, Admission, Homes, Log, OpenedLog, RecoveryReport, Site};
use crate::{
    AppendRequest, ChannelEvents, EventInput, HeldBlobs, Idempotency, LogConfig, LogName, LogOptions,
    LogSender, LogWriter,
};
use crate::{Outcome, ProducerState, Rejection, Retention, Selection, Ticket};

mod attached;
mod configs;
mod directory;
mod given_up;
mod logs;
mod lookup;
mod placing;
mod reader;
mod references;
mod routing;
mod scan;
mod tail;
mod view;

pub(crate) use configs::{config_path, read_config};
pub use directory::read_owner;
pub(crate) use directory::take_lock;
pub(crate) use given_up::{CAME_BACK, comes_back, note_held, record_path};
pub(crate) use logs::{local_log_names, log_dir, log_names, logs_dir};
pub use lookup::StoreLookup;
pub use reader::StoreReader;
pub use scan::StoreScan;
pub use tail::{StoreChanged, StoreTail};
pub use view::{ChannelHistory, ChannelPart, StoreView};

use directory::{open_identity, refuse_initialised};
use reader::Shelf;

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
    doors: Doors,
    options: LogOptions,
    identity: Arc<Identity>,
    main: Log,
    recovery: Arc<RecoveryReport>,
    /// All logs, `main` first, in the order of their opening; it only grows.
    logs: RwLock<Vec<OpenLog>>,
    homes: Arc<Homes>,
    /// Who is asked whether blobs are held, by all logs and replicas.
    holder: Arc<Holder>,
    /// Logs that others put in order.
    attached: RwLock<BTreeMap<LogName, Arc<dyn LogWriter>>>,
    /// What appends to logs are sent on by that are not attached.
    senders: RwLock<BTreeMap<LogName, Arc<dyn LogSender>>>,
    shelf: Arc<Shelf>,
    /// Held by whoever makes a log, or places a channel, in which it takes other locks.
    placing: Mutex<Placing>,
    /// What `main` is to keep, until that has begun.
    retention: OnceLock<Retention>,
}

/// A log with what is known of its opening.
#[derive(Debug, Clone)]
struct OpenLog {
    log: Log,
    config: LogConfig,
    recovery: Arc<RecoveryReport>,
}

#[derive(Debug)]
struct Placing {
    /// The directory's lock, for logs to come; absent once the store was closed.
    lock: Option<Arc<dyn DiskLock>>,
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
        let store = Self::lock_and_open(dir, doors, options, refuse_initialised)?;
        store.begin_retention();
        Ok(store)
    }

    /// Opens a node's directory for writing, and makes what is missing. Puts in order what a crash left, of all logs;
    /// see [`recovery`](Self::recovery). Ends the moves of channels that a crash cut short.
    ///
    /// Retention and compression of `main` are those of `options`; where these are left at their defaults, those that
    /// [`set_config`](Self::set_config) left for it. Other logs have those that they were made with.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] while another writer has it; [`OpenError::IdentityMissing`] and
    /// [`OpenError::IdentityMismatch`] when the key is not the one that began the log;
    /// [`OpenError::ClockBehind`]; [`OpenError::Options`]; [`OpenError::Corrupt`] for a file of another format
    /// version; [`OpenError::Io`].
    pub fn open(dir: &Path, doors: &Doors, options: &LogOptions) -> Result<Self, OpenError> {
        let store = Self::open_to_hold(dir, doors, options)?;
        store.begin_retention();
        Ok(store)
    }

    /// Opens as [`open`](Self::open), but `main` gives up nothing before [`begin_retention`](Self::begin_retention):
    /// who needs its beginning can [`hold`](Log::hold) it meanwhile.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_to_hold(dir: &Path, doors: &Doors, options: &LogOptions) -> Result<Self, OpenError> {
        Self::lock_and_open(dir, doors, options, |_, _| Ok(()))
    }

    /// Lets `main` give up what it is not to keep.
    pub fn begin_retention(&self) {
        if let Some(retention) = self.shared.retention.get() {
            self.main().set_retention(retention.clone());
        }
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
        let lock: Arc<dyn DiskLock> = Arc::from(take_lock(disk, dir)?);
        may(dir, disk)?;
        // What a process that ended before has named, such as the key, need not be durable under its name yet.
        disk.sync_directory(dir).map_err(OpenError::io(dir))?;
        if let Err(cause) = given_up::finish_all(disk, dir) {
            tracing::warn!(dir = %dir.display(), %cause, "a replica that was given up is not set aside yet");
        }
        let identity = Arc::new(open_identity(doors, &dir.join("identity"), &log_dir(dir, MAIN))?);
        let homes = Arc::new(Homes::default());
        let holder = Arc::default();
        let opening = Opening { dir, doors, options, identity: &identity, lock: &lock, holder: &holder };
        let admission = Admission::Unplaced(Arc::clone(&homes));
        let main = opening.main(admission)?;
        let retention = match options.retention.is_unlimited() {
            true => main.config.retention.clone(),
            false => options.retention.clone(),
        };
        let shelf = Arc::new(Shelf::new(main.log.reader().clone(), &doors.clock));
        let mut all = vec![main];
        for name in local_log_names(dir, disk)? {
            let opened = opening.other(&name)?;
            shelf.add(opened.log.reader().clone());
            all.push(opened);
        }
        let store = Self {
            shared: Arc::new(StoreShared {
                dir: dir.to_owned(),
                doors: doors.clone(),
                options: options.clone(),
                identity,
                main: all[0].log.clone(),
                recovery: Arc::clone(&all[0].recovery),
                logs: RwLock::new(all),
                homes,
                holder,
                attached: RwLock::default(),
                senders: RwLock::default(),
                shelf,
                placing: Mutex::new(Placing { lock: Some(lock) }),
                retention: OnceLock::from(retention),
            }),
        };
        store.find_homes();
        Ok(store)
    }

    /// Tells whether a directory holds a node.
    ///
    /// # Errors
    ///
    /// What the operating system said, such as that the directory may not be read.
    pub fn is_initialised(dir: &Path, disk: &dyn Disk) -> std::io::Result<bool> {
        Ok(disk.exists(&dir.join("identity"))? || disk.exists(&log_dir(dir, MAIN).join("superblock"))?)
    }

    /// Returns the directory.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Returns the key that signs here.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.shared.identity
    }

    /// Returns the doors that the store was opened with.
    pub fn doors(&self) -> &Doors {
        &self.shared.doors
    }

    /// Returns who signs here.
    pub fn origin(&self) -> OriginId {
        self.shared.identity.origin()
    }

    /// Returns the log `main`.
    pub fn main(&self) -> &Log {
        &self.shared.main
    }

    /// Returns all logs: `main`, and the others by name.
    pub fn logs(&self) -> Vec<Log> {
        let mut logs: Vec<Log> = self.opened().into_iter().map(|opened| opened.log).collect();
        if let Some(others) = logs.get_mut(1..) {
            others.sort_by(|a, b| a.reader().name().cmp(b.reader().name()));
        }
        logs
    }

    /// Returns a log by its name; `None` when there is none.
    pub fn log(&self, name: &LogName) -> Option<Log> {
        self.find(name).map(|(_, opened)| opened.log)
    }

    /// Returns what a log keeps and how it is stored; `None` when there is no log of the name.
    pub fn config(&self, name: &LogName) -> Option<LogConfig> {
        self.find(name).map(|(_, opened)| opened.config)
    }

    /// Has every append with blob references ask first whether their bytes are held, in all logs of the node, those that are
    /// made later included; in a replicated log on the node that leads it. Whoever is asked lives as long as the store,
    /// or until another takes the place. While there is none, references are taken as they are.
    pub fn set_held_blobs(&self, held: Arc<dyn HeldBlobs>) {
        self.shared.holder.set(held);
    }

    fn attached(&self) -> RwLockReadGuard<'_, BTreeMap<LogName, Arc<dyn LogWriter>>> {
        self.shared.attached.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn attached_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<LogName, Arc<dyn LogWriter>>> {
        self.shared.attached.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> Vec<OpenLog> {
        self.shared.logs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find(&self, name: &LogName) -> Option<(usize, OpenLog)> {
        let is = |opened: &OpenLog| opened.log.reader().name() == name.as_str();
        self.opened().into_iter().enumerate().find(|(_, opened)| is(opened))
    }

    /// Returns what opening found and did in `main`.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared.recovery
    }

    /// Returns what opening found and did in each log; what it left of the logs that were made later is empty.
    pub fn recoveries(&self) -> Vec<(String, RecoveryReport)> {
        let opened = self.opened().into_iter();
        opened.map(|it| (it.log.reader().name().to_owned(), (*it.recovery).clone())).collect()
    }

    /// Returns the reading side of all logs.
    pub fn reader(&self) -> StoreReader {
        let shared = &self.shared;
        let main = shared.main.reader().clone();
        StoreReader::beside_writer(main, Arc::clone(&shared.shelf), &shared.doors.clock)
    }

    /// Closes all logs cleanly and gives the lock back. Repeating it does nothing.
    ///
    /// # Errors
    ///
    /// As [`Log::close`], of the first log that fails; all are closed either way.
    pub fn close(&self) -> Result<(), AppendError> {
        self.placing().lock = None;
        let closed: Vec<_> = self.opened().iter().rev().map(|opened| opened.log.close()).collect();
        closed.into_iter().collect()
    }
}

/// What the logs of a directory are opened with.
struct Opening<'a> {
    dir: &'a Path,
    doors: &'a Doors,
    options: &'a LogOptions,
    identity: &'a Arc<Identity>,
    lock: &'a Arc<dyn DiskLock>,
    holder: &'a Arc<Holder>,
}

impl Opening<'_> {
    fn main(&self, admission: Admission) -> Result<OpenLog, OpenError> {
        let (config, repaired) = self.config(MAIN)?;
        let mut options = LogOptions { retention: Retention::default(), ..self.options.clone() };
        if options.compression == crate::Compression::None {
            options.compression = config.compression;
        }
        self.open(MAIN, LogKind::Local, &options, config, admission, repaired)
    }

    fn other(&self, name: &LogName) -> Result<OpenLog, OpenError> {
        let log_dir = log_dir(self.dir, name.as_str());
        let (superblock, _) = log::read_superblock(&*self.doors.disk, &log_dir)?;
        logs::check_name(&superblock, &log_dir, name.as_str())?;
        let (config, repaired) = self.config(name.as_str())?;
        self.placed(name, superblock.kind, config, repaired)
    }

    fn placed(
        &self,
        name: &LogName,
        kind: LogKind,
        config: LogConfig,
        repaired: Option<PathBuf>,
    ) -> Result<OpenLog, OpenError> {
        let options = config.applied_to(self.options);
        self.open(name.as_str(), kind, &options, config, Admission::Placed(name.clone()), repaired)
    }

    /// Reads a log's configuration and mends it; returns its file if it was mended.
    fn config(&self, name: &str) -> Result<(LogConfig, Option<PathBuf>), OpenError> {
        let (disk, log_dir) = (&*self.doors.disk, log_dir(self.dir, name));
        let Some((config, good)) = read_config(disk, &log_dir)? else {
            return Ok((LogConfig::default(), None));
        };
        if good == 2 {
            return Ok((config, None));
        }
        configs::write_config(disk, &log_dir, &config)?;
        Ok((config, Some(config_path(&log_dir))))
    }

    fn open(
        &self,
        name: &str,
        kind: LogKind,
        options: &LogOptions,
        config: LogConfig,
        admission: Admission,
        repaired: Option<PathBuf>,
    ) -> Result<OpenLog, OpenError> {
        let site = Site {
            dir: log_dir(self.dir, name),
            name: name.to_owned(),
            doors: self.doors.clone(),
            identity: Arc::clone(self.identity),
            identity_path: self.dir.join("identity"),
            kind,
            lock: Arc::clone(self.lock),
            admission,
            holder: Arc::clone(self.holder),
        };
        let OpenedLog { log, mut report } = log::open(&site, options)?;
        report.repaired.extend(repaired);
        Ok(OpenLog { log, config, recovery: Arc::new(report) })
    }
}
