//! The reading side of a node's logs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use base::{Clock, Disk, Doors, LogId, OriginId, Position};

use super::logs::{log_dir, log_names};
use super::{MAIN, StoreTail, StoreView};
use crate::codec::superblock::Superblock;
use crate::error::{OpenError, ReadError};
use crate::follower::Follower;
use crate::fork::FoundProof;
use crate::log::read_superblock;
use crate::reader::{Beyond, LogReader, Published, VisibleState};
use crate::segments::Segments;
use crate::{LogName, LogOptions, Selection};

/// The logs of a node that readers know: `main`, and the others by name.
#[derive(Debug)]
pub(super) struct Shelf {
    logs: RwLock<Vec<LogReader>>,
    /// How many were added, as a position: whoever waits is woken when there are more.
    count: Arc<Published>,
}

impl Shelf {
    pub(super) fn new(main: LogReader, clock: &Arc<dyn Clock>) -> Self {
        let count = Arc::new(Published::new(VisibleState::empty(), Arc::clone(clock)));
        count.update(|visible| visible.position = Position(1));
        Self { logs: RwLock::new(vec![main]), count }
    }

    pub(super) fn add(&self, log: LogReader) {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        logs.retain(|known| known.id() != log.id() || !known.is_closed());
        if logs.iter().all(|known| known.id() != log.id()) {
            let behind_main = logs.get(1..).unwrap_or_default();
            let place = 1 + behind_main.partition_point(|known| known.name() < log.name());
            logs.insert(place, log);
        }
        drop(logs);
        self.count.update(|visible| visible.position = Position(visible.position.0 + 1));
        self.count.wake();
    }

    pub(super) fn remove(&self, id: LogId) {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        logs.retain(|known| {
            let stays = known.id() != id;
            if !stays {
                known.shared.published.leave();
            }
            stays
        });
    }

    fn all(&self) -> Vec<LogReader> {
        self.logs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The logs of a node's directory, for reading only; works beside a writer in another process. Cloning shares it.
#[derive(Debug, Clone)]
pub struct StoreReader {
    main: LogReader,
    shelf: Arc<Shelf>,
    /// Where to look for logs that a writer in another process makes; absent beside a writer of this process.
    place: Option<Arc<Place>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Place {
    dir: PathBuf,
    doors: Doors,
    options: LogOptions,
    /// One looks at a time.
    looking: Mutex<()>,
}

impl StoreReader {
    pub(super) fn beside_writer(main: LogReader, shelf: Arc<Shelf>, clock: &Arc<dyn Clock>) -> Self {
        Self { main, shelf, place: None, clock: Arc::clone(clock) }
    }

    /// Opens a node's directory for reading. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`OpenError::NotInitialised`] when there is no node; [`OpenError::Corrupt`]; [`OpenError::Io`].
    pub fn open(dir: &Path, doors: &Doors, options: &LogOptions) -> Result<Self, OpenError> {
        let disk = &*doors.disk;
        let superblock = log_dir(dir, MAIN).join("superblock");
        // Listing tells an unreadable directory from an empty one.
        disk.list(dir).map_err(|source| not_found(dir, source))?;
        if !disk.exists(&superblock).map_err(OpenError::io(&superblock))? {
            return Err(OpenError::NotInitialised { dir: dir.to_owned() });
        }
        let place = Place {
            dir: dir.to_owned(),
            doors: doors.clone(),
            options: options.clone(),
            looking: Mutex::default(),
        };
        let main = place.open(MAIN)?;
        let shelf = Arc::new(Shelf::new(main.clone(), &doors.clock));
        let reader = Self { main, shelf, place: Some(Arc::new(place)), clock: Arc::clone(&doors.clock) };
        reader.look()?;
        Ok(reader)
    }

    /// Returns all logs: `main`, and the others by name.
    pub fn logs(&self) -> Vec<LogReader> {
        self.shelf.all()
    }

    /// Returns a log by its name; `None` when there is none.
    pub fn log(&self, name: &LogName) -> Option<LogReader> {
        self.logs().into_iter().find(|log| log.name() == name.as_str())
    }

    /// Returns the log `main`.
    pub fn main(&self) -> &LogReader {
        &self.main
    }

    /// Returns who began the logs.
    pub fn origin(&self) -> OriginId {
        self.main.origin()
    }

    /// Looks how far another process has written, and what logs it has made. Beside a writer of this process there is
    /// nothing to look for.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the directory cannot be read; what was visible stays so.
    pub fn refresh(&self) -> Result<(), ReadError> {
        if let Some(place) = &self.place {
            for log in self.logs() {
                match place.is_gone(&log) {
                    true => self.shelf.remove(log.id()),
                    false => drop(log.refresh()?),
                }
            }
            self.look().map_err(read_error)?;
        }
        Ok(())
    }

    /// Reads and verifies the proofs of forks that the node's directory holds; see [`fork_proofs`](crate::fork_proofs).
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`].
    pub fn fork_proofs(&self) -> Result<Vec<FoundProof>, ReadError> {
        let segments = &self.main.shared.segments;
        let dir = segments.dir.ancestors().nth(2).unwrap_or(Path::new(""));
        crate::fork_proofs(dir, &*segments.disk).map_err(read_error)
    }

    /// Returns a view of all logs, each pinned where it is visible. A channel that moves meanwhile shows as it was
    /// before, or whole.
    pub fn view(&self) -> StoreView {
        StoreView::of(self.logs().iter().map(LogReader::view).collect())
    }

    /// Follows the selected events of all logs: first those that are there, then new ones as they become visible,
    /// without gap or repetition. The events of a channel come in their order, wherever it moves; those of different
    /// logs come in no particular order. `reverse`, `last` and `limit` of the selection do not apply; `indexes` applies
    /// to each log.
    pub fn tail(&self, selection: Selection) -> StoreTail {
        StoreTail::new(self.clone(), selection)
    }

    /// Returns how many logs were added so far.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.shelf.count.position().0).unwrap_or(usize::MAX)
    }

    /// Returns a future that is ready once more than `count` logs were added.
    pub(super) fn more_than(&self, count: usize) -> Beyond {
        Beyond::of(&self.shelf.count, Position(count as u64))
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Takes up the logs that another process has made.
    fn look(&self) -> Result<(), OpenError> {
        let Some(place) = &self.place else { return Ok(()) };
        let _looking = place.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.logs();
        for name in log_names(&place.dir, &*place.doors.disk)? {
            if known.iter().all(|log| log.name() != name.as_str()) {
                self.shelf.add(place.open(name.as_str())?);
            }
        }
        Ok(())
    }
}

impl Place {
    /// Tells whether a log was set aside, or another one has begun in its directory.
    fn is_gone(&self, log: &LogReader) -> bool {
        let found = || read_superblock(&*self.doors.disk, &log_dir(&self.dir, log.name()));
        let is_it = |found: &Superblock| (found.log, found.created_at) == (log.id(), log.created_at());
        let exists = self.doors.disk.exists(&log_dir(&self.dir, log.name()).join("superblock"));
        // What does not read is met, and told of, by who reads the log.
        log.name() != MAIN
            && (matches!(exists, Ok(false)) || found().is_ok_and(|(superblock, _)| !is_it(&superblock)))
    }

    fn open(&self, name: &str) -> Result<LogReader, OpenError> {
        let Doors { disk, clock, .. } = &self.doors;
        open_beside(&self.dir, name, disk, clock, self.options.cache_bytes)
    }
}

/// Opens a log for reading only, beside whoever writes it.
pub(super) fn open_beside(
    dir: &Path,
    name: &str,
    disk: &Arc<dyn Disk>,
    clock: &Arc<dyn Clock>,
    cache_bytes: u64,
) -> Result<LogReader, OpenError> {
    let log_dir = log_dir(dir, name);
    let (superblock, _) = read_superblock(&**disk, &log_dir)?;
    super::logs::check_name(&superblock, &log_dir, name)?;
    let segments = Arc::new(Segments::new(&log_dir, superblock.log, Arc::clone(disk), cache_bytes));
    let follower = Follower::new(Arc::clone(&segments), dir.join("lock"), superblock.kind);
    let published = Arc::new(Published::new(VisibleState::empty(), Arc::clone(clock)));
    let reader = LogReader::new(superblock, segments, published, Some(follower));
    reader.refresh().map_err(open_error)?;
    Ok(reader)
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

pub(super) fn read_error(error: OpenError) -> ReadError {
    match error {
        OpenError::Corrupt(corruption) => ReadError::Corrupt(corruption),
        OpenError::Io { path, source } => ReadError::Io { path, source },
        other => ReadError::Io { path: PathBuf::new(), source: std::io::Error::other(other) },
    }
}
