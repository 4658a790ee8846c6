//! The runner of a log: reads it once for all its folds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Classify as _, Clock, Position};
use redex::{Bounds, Channels, LogReader, LogWriter, ReadError, Selection, Tail};

use crate::bell::Bell;
use crate::error::FoldStopped;
use crate::host::{Host, Hosted};
use crate::{ErrorPolicy, Fold, Folded, OpenError, RunnerCut, Snapshot};

/// How folds are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunMode {
    /// On a thread for each log, and on the threads of those who wait.
    #[default]
    Thread,
    /// By [`Runner::step`] and by those who wait only, for simulation.
    Manual,
}

/// Settings of a runner.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RunnerOptions {
    /// How folds are run.
    pub mode: RunMode,
    /// Whether entries that were lost to corruption are passed over; without it the folds stop there.
    pub skip_holes: bool,
}

/// Folds one log for all its models, in one reading. Cloning shares it; it ends when the log is closed.
#[derive(Clone)]
pub struct Runner {
    pub(crate) shared: Arc<RunnerShared>,
}

pub(crate) struct RunnerShared {
    pub reader: LogReader,
    pub clock: Arc<dyn Clock>,
    options: RunnerOptions,
    core: Mutex<RunnerCore>,
    /// Everything below was read for all folds.
    folded: AtomicU64,
    bell: Bell,
}

/// What the one who folds holds.
///
/// Lock order: the core of the runner, then that of a host.
pub(crate) struct RunnerCore {
    hosts: Vec<Arc<dyn Host>>,
    tail: Option<Tail>,
    ended: bool,
}

impl Runner {
    /// Makes a runner that folds nothing yet.
    pub fn new(reader: &LogReader, clock: Arc<dyn Clock>, options: RunnerOptions) -> Self {
        let core = RunnerCore { hosts: Vec::new(), tail: None, ended: false };
        let shared = RunnerShared {
            reader: reader.clone(),
            clock,
            options,
            core: Mutex::new(core),
            folded: AtomicU64::new(0),
            bell: Bell::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a fold; what it folds is written through `writer`, or by others only.
    ///
    /// # Errors
    ///
    /// [`OpenError::Started`] behind [`start`](Self::start), [`OpenError::Twice`] for a model of the same name,
    /// [`OpenError::BeforeHistory`] when the log does not begin with the first of the fold's events any more.
    pub fn add<F: Fold>(
        &self,
        fold: F,
        policy: ErrorPolicy,
        writer: Option<Arc<dyn LogWriter>>,
    ) -> Result<Folded<F>, OpenError> {
        let nothing = Snapshot { state: F::State::default(), position: Position::ZERO };
        self.add_from(fold, policy, writer, nothing)
    }

    /// Adds a fold that goes on from a state which the same version of it made of this log.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add); [`OpenError::Ahead`] for a state that includes what the log does not have.
    pub fn add_from<F: Fold>(
        &self,
        fold: F,
        policy: ErrorPolicy,
        writer: Option<Arc<dyn LogWriter>>,
        from: Snapshot<F::State>,
    ) -> Result<Folded<F>, OpenError> {
        let mut core = self.shared.core();
        let model = fold.name().to_owned();
        if core.tail.is_some() {
            return Err(OpenError::Started { model });
        }
        if core.hosts.iter().any(|host| host.name() == model) {
            return Err(OpenError::Twice { model });
        }
        let visible = self.shared.reader.visible();
        if from.position > visible {
            return Err(OpenError::Ahead { model, position: from.position, visible });
        }
        if let Some(begins) = begins_behind(&self.shared.reader, &fold, from.position) {
            return Err(OpenError::BeforeHistory { model, wanted: from.position, begins });
        }
        let host = Arc::new(Hosted::new(fold, policy, from));
        core.hosts.push(host.clone());
        drop(core);
        Ok(Folded::new(host, Arc::clone(&self.shared), writer))
    }

    /// Begins to fold.
    pub fn start(&self) {
        {
            let mut core = self.shared.core();
            if core.tail.is_some() {
                return;
            }
            let mut names: Vec<_> = core.hosts.iter().flat_map(|host| host.channels().to_vec()).collect();
            names.sort();
            names.dedup();
            let skip_holes = self.shared.options.skip_holes;
            let from = core.hosts.iter().map(|host| host.folded()).min().unwrap_or(Position::ZERO);
            // Before, there was nothing that is folded.
            let from = from.max(self.shared.reader.view().begins());
            self.shared.folded.store(from.0, Ordering::Release);
            let selection = Selection {
                channels: Channels::Names(names),
                indexes: Bounds::from(from.0),
                skip_holes,
                ..Selection::default()
            };
            core.tail = Some(self.shared.reader.tail(selection));
        }
        if self.shared.options.mode == RunMode::Thread {
            let shared = Arc::clone(&self.shared);
            let name = format!("netdb-fold-{}", shared.reader.name());
            let spawned = std::thread::Builder::new().name(name).spawn(move || shared.run());
            if let Err(cause) = spawned {
                // Whoever waits folds, too.
                tracing::error!(%cause, "no thread to fold on");
            }
        }
    }

    /// Folds everything visible. Returns the position up to which that is done.
    pub fn step(&self) -> Position {
        self.shared.fold_all(&mut self.shared.core());
        self.shared.folded()
    }

    /// Folds everything that is visible now, and then runs `look` while no fold moves: what it sees of several
    /// models is one cut. May block for as long as there is to fold.
    pub fn with_cut<T>(&self, look: impl FnOnce(&RunnerCut<'_>) -> T) -> T {
        let mut core = self.shared.core();
        let visible = self.shared.reader.visible();
        self.shared.fold_through(&mut core, visible);
        let folded = self.shared.folded();
        // Where the log cannot be read on, no model can be read, and nothing needs to agree with one.
        let position = if core.ended { folded.max(visible) } else { folded };
        look(&RunnerCut::new(position, &core.hosts))
    }

    /// Returns the log that is folded.
    pub fn reader(&self) -> &LogReader {
        &self.shared.reader
    }

    /// Returns the position up to which all folds have read.
    pub fn folded(&self) -> Position {
        self.shared.folded()
    }
}

impl RunnerShared {
    fn core(&self) -> MutexGuard<'_, RunnerCore> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn folded(&self) -> Position {
        Position(self.folded.load(Ordering::Acquire))
    }

    /// Returns how many visible entries were not folded yet.
    pub(crate) fn lag(&self) -> u64 {
        self.reader.visible().0.saturating_sub(self.folded().0)
    }

    /// Folds on this thread until `position` is reached, if nobody else folds.
    pub(crate) fn help(&self, position: Position) {
        if let Ok(mut core) = self.core.try_lock() {
            self.fold_through(&mut core, position);
        }
    }

    /// Folds until `position` is reached, whatever becomes visible meanwhile.
    fn fold_through(&self, core: &mut RunnerCore, position: Position) {
        while self.folded() < position && self.fold_entry(core) {}
        core.hosts.iter().for_each(|host| host.wake());
    }

    /// Runs a write and folds it on this thread; the thread that folds sleeps on, if that leaves nothing for it.
    pub(crate) fn write_and_fold<T>(
        &self,
        write: impl FnOnce() -> T,
        position: impl FnOnce(&T) -> Option<Position>,
    ) -> T {
        self.bell.silenced(
            &self.reader,
            || self.folded(),
            || {
                let written = write();
                if let Some(position) = position(&written) {
                    self.help(position);
                }
                written
            },
        )
    }

    fn run(&self) {
        self.bell.is_for_this_thread();
        loop {
            self.fold_all(&mut self.core());
            if self.core().ended {
                return;
            }
            self.bell.sleep(&self.reader, self.folded());
        }
    }

    fn fold_all(&self, core: &mut RunnerCore) {
        while self.fold_entry(core) {}
        core.hosts.iter().for_each(|host| host.wake());
        let drained = self.reader.is_closed() && self.reader.visible() <= self.folded();
        if drained && !core.ended {
            core.end(&|model| FoldStopped::Closed { model: model.to_owned() });
        }
    }

    /// Folds the next entry; tells whether there was one.
    fn fold_entry(&self, core: &mut RunnerCore) -> bool {
        let (Some(tail), false) = (&mut core.tail, core.ended) else { return false };
        match tail.next_chunk() {
            Ok(Some(chunk)) => {
                core.hosts.iter().for_each(|host| host.apply(&chunk));
                self.folded.store(chunk.index().position_after().0, Ordering::Release);
                core.hosts.iter().for_each(|host| host.wake());
                true
            }
            Ok(None) => {
                let position = tail.position();
                core.hosts.iter().for_each(|host| host.reach(position));
                self.folded.store(position.0, Ordering::Release);
                false
            }
            Err(error) => {
                let position = tail.position();
                core.end(&|model| stopped_reading(model, position, &error));
                false
            }
        }
    }
}

impl RunnerCore {
    fn end(&mut self, cause: &dyn Fn(&str) -> FoldStopped) {
        self.ended = true;
        self.hosts.iter().for_each(|host| host.stop(cause));
    }
}

/// Returns where a log begins, if events of a fold from a position on may have stood before.
fn begins_behind(reader: &LogReader, fold: &impl Fold, from: Position) -> Option<Position> {
    let view = reader.view();
    let begins = view.begins().max(Position(view.segments().first()?.first_index.0));
    // A view of the newest position knows channels without looking them up.
    let created = |channel| view.channel(channel).ok().flatten().map(|channel| channel.created_index);
    let is_missing = |channel| created(channel).is_some_and(|created| begins.includes(created));
    (from < begins && fold.channels().iter().any(is_missing)).then_some(begins)
}

fn stopped_reading(model: &str, position: Position, error: &ReadError) -> FoldStopped {
    FoldStopped::Read { model: model.to_owned(), position, cause: error.to_string(), kind: error.kind() }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("folded", &self.folded()).finish_non_exhaustive()
    }
}

/// How long a wait may take: for ever without a duration.
pub(crate) fn deadline(clock: &dyn Clock, limit: Option<Duration>) -> Option<Duration> {
    limit.map(|limit| clock.monotonic().saturating_add(limit))
}
