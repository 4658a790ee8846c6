//! One fold with its state, and everybody who waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use base::{ChannelName, Position, Seq, Timestamp};
use redex::{Chunk, EventRef};

use crate::error::FoldStopped;
use crate::limits::{CHANGES_MAX, OUTCOMES_MAX, SKIPPED_MAX};
use crate::metrics::Metrics;
use crate::{Applied, Changes, ErrorPolicy, Fold, FoldError, ModelStatus, Snapshot};

/// An event that a fold left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedEvent {
    /// Its channel.
    pub channel: ChannelName,
    /// Its number.
    pub seq: Seq,
    /// The position that includes it.
    pub position: Position,
    /// When the log put it in order.
    pub recorded_at: Timestamp,
    /// Its kind.
    pub kind: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What an event did, or why it was left out.
pub(crate) type EventOutcome = Result<Applied, FoldError>;

/// What the runner knows of a fold.
pub(crate) trait Host: Send + Sync {
    fn name(&self) -> &str;
    fn channels(&self) -> &[ChannelName];
    /// Everything below was looked at.
    fn folded(&self) -> Position;
    /// Applies the events of one entry.
    fn apply(&self, chunk: &Chunk);
    /// Notes that everything below `position` was read.
    fn reach(&self, position: Position);
    fn stop(&self, cause: &dyn Fn(&str) -> FoldStopped);
    /// Wakes whoever waits for what was folded.
    fn wake(&self);
    fn status(&self) -> ModelStatus;
    /// The newest skipped events, the oldest of them first.
    fn skipped(&self) -> Vec<SkippedEvent>;
}

/// A fold that runs.
pub(crate) struct Hosted<F: Fold> {
    pub fold: F,
    pub channels: Vec<ChannelName>,
    pub policy: ErrorPolicy,
    pub metrics: Metrics,
    core: Mutex<Core<F>>,
    /// Threads that want to look at the state: the fold lets them in between two entries.
    readers: AtomicUsize,
}

pub(crate) struct Core<F: Fold> {
    pub state: F::State,
    /// Everything below was looked at.
    pub folded: Position,
    /// Behind the newest event that was applied.
    pub applied: Position,
    pub stopped: Option<FoldStopped>,
    /// The newest outcomes other than the usual one, and their keys, the oldest first.
    outcomes: BTreeMap<(Seq, ChannelName), EventOutcome>,
    outcomes_in_order: VecDeque<(Seq, ChannelName)>,
    pub skipped: VecDeque<SkippedEvent>,
    pub changes: ChangeLog<F::Change>,
    wakers: BTreeMap<u64, (Position, Waker)>,
    next_waker: u64,
}

/// The newest changes, by number.
pub(crate) struct ChangeLog<C> {
    changes: VecDeque<C>,
    /// The number of the first that is kept.
    first: u64,
    pub watchers: usize,
}

impl<C: Clone> ChangeLog<C> {
    pub(crate) fn next(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn extend(&mut self, changes: Vec<C>) {
        self.changes.extend(changes);
        let surplus = self.changes.len().saturating_sub(CHANGES_MAX);
        self.changes.drain(..surplus);
        self.first += surplus as u64;
    }

    /// Returns the changes from a number on; `None` when some of them are gone.
    pub(crate) fn since(&self, number: u64) -> Option<Vec<C>> {
        let from = usize::try_from(number.checked_sub(self.first)?).ok()?;
        Some(self.changes.range(from.min(self.changes.len())..).cloned().collect())
    }

    /// Forgets everything once nobody watches.
    pub(crate) fn leave(&mut self) {
        self.watchers -= 1;
        if self.watchers == 0 {
            self.first = self.next();
            self.changes = VecDeque::new();
        }
    }
}

impl<F: Fold> Hosted<F> {
    /// Makes a fold that goes on from a state.
    pub(crate) fn new(fold: F, policy: ErrorPolicy, from: Snapshot<F::State>) -> Self {
        let channels = fold.channels();
        let core = Core {
            state: from.state,
            folded: from.position,
            applied: from.position,
            stopped: None,
            outcomes: BTreeMap::new(),
            outcomes_in_order: VecDeque::new(),
            skipped: VecDeque::new(),
            changes: ChangeLog { changes: VecDeque::new(), first: 0, watchers: 0 },
            wakers: BTreeMap::new(),
            next_waker: 0,
        };
        let (metrics, readers) = (Metrics::default(), AtomicUsize::new(0));
        Self { fold, channels, policy, metrics, core: Mutex::new(core), readers }
    }

    /// Locks the state for a look; never for long.
    pub(crate) fn look(&self) -> MutexGuard<'_, Core<F>> {
        self.readers.fetch_add(1, Ordering::Relaxed);
        let core = self.lock();
        self.readers.fetch_sub(1, Ordering::Relaxed);
        core
    }

    fn lock(&self) -> MutexGuard<'_, Core<F>> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies an event; tells whether the fold goes on.
    fn apply_event(&self, core: &mut Core<F>, event: &EventRef<'_>, changes: &mut Vec<F::Change>) -> bool {
        let watched = core.changes.watchers > 0;
        let state = &mut core.state;
        let applied = catch_unwind(AssertUnwindSafe(|| {
            // What was taken out of the log is in no state that is folded from now on.
            if event.is_redacted() {
                return Ok(Applied::Ignored);
            }
            self.fold.apply(state, event, &mut Changes::into(watched.then_some(changes)))
        }));
        self.metrics.events.add(1);
        let model = || self.fold.name().to_owned();
        let (channel, seq) = (event.channel.clone(), event.seq);
        match applied {
            Ok(Ok(Applied::Changed)) => {
                core.applied = event.index.position_after();
            }
            Ok(Ok(other)) => {
                core.applied = event.index.position_after();
                self.metrics.ignored.add(u64::from(other == Applied::Ignored));
                core.note_outcome(channel, seq, Ok(other));
            }
            Ok(Err(error)) if self.policy == ErrorPolicy::SkipAndRecord => core.skip(self, event, error),
            Ok(Err(FoldError { reason })) => {
                core.stopped = Some(FoldStopped::Event { model: model(), channel, seq, reason });
            }
            Err(panic) => {
                let message = panic_message(&*panic);
                core.stopped = Some(FoldStopped::Panicked { model: model(), channel, seq, message });
            }
        }
        match &core.stopped {
            Some(stopped) => {
                tracing::error!(%stopped, "a fold stopped");
                false
            }
            None => true,
        }
    }
}

impl<F: Fold> Core<F> {
    fn note_outcome(&mut self, channel: ChannelName, seq: Seq, outcome: EventOutcome) {
        if self.outcomes_in_order.len() == OUTCOMES_MAX
            && let Some(oldest) = self.outcomes_in_order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
        self.outcomes_in_order.push_back((seq, channel.clone()));
        self.outcomes.insert((seq, channel), outcome);
    }

    fn skip(&mut self, host: &Hosted<F>, event: &EventRef<'_>, error: FoldError) {
        tracing::warn!(
            model = host.fold.name(), channel = %event.channel, seq = %event.seq, reason = error.reason,
            "event skipped"
        );
        host.metrics.skipped.add(1);
        self.note_outcome(event.channel.clone(), event.seq, Err(error.clone()));
        if self.skipped.len() == SKIPPED_MAX {
            self.skipped.pop_front();
        }
        self.skipped.push_back(SkippedEvent {
            channel: event.channel.clone(),
            seq: event.seq,
            position: event.index.position_after(),
            recorded_at: event.recorded_at,
            kind: event.kind.to_owned(),
            reason: error.reason,
        });
    }

    /// Returns what an event did, as far as that is remembered.
    pub(crate) fn outcome(&self, channel: &ChannelName, seq: Seq) -> EventOutcome {
        let known = self.outcomes.get(&(seq, channel.clone()));
        known.cloned().unwrap_or(Ok(Applied::Changed))
    }

    /// Notes whom to wake once everything below `position` is folded; returns the note's id.
    pub(crate) fn note_waker(&mut self, id: Option<u64>, position: Position, waker: &Waker) -> u64 {
        let id = id.unwrap_or_else(|| {
            self.next_waker += 1;
            self.next_waker
        });
        self.wakers.insert(id, (position, waker.clone()));
        id
    }

    pub(crate) fn remove_waker(&mut self, id: u64) {
        self.wakers.remove(&id);
    }
}

impl<F: Fold> Host for Hosted<F> {
    fn name(&self) -> &str {
        self.fold.name()
    }

    fn channels(&self) -> &[ChannelName] {
        &self.channels
    }

    fn folded(&self) -> Position {
        self.lock().folded
    }

    fn apply(&self, chunk: &Chunk) {
        if self.readers.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        let core = &mut *self.lock();
        if core.stopped.is_some() || chunk.index().position_after() <= core.folded {
            return;
        }
        let mut changes = Vec::new();
        for event in chunk.events().filter(|event| self.channels.contains(event.channel)) {
            if !self.apply_event(core, &event, &mut changes) {
                break;
            }
        }
        core.changes.extend(changes);
        if core.stopped.is_none() {
            core.folded = chunk.index().position_after();
        }
    }

    fn reach(&self, position: Position) {
        let mut core = self.lock();
        if core.stopped.is_none() {
            core.folded = core.folded.max(position);
        }
    }

    fn stop(&self, cause: &dyn Fn(&str) -> FoldStopped) {
        self.lock().stopped.get_or_insert_with(|| cause(self.fold.name()));
        self.wake();
    }

    fn wake(&self) {
        let mut core = self.lock();
        if core.wakers.is_empty() {
            return;
        }
        let (folded, stopped) = (core.folded, core.stopped.is_some());
        let mut woken = Vec::new();
        core.wakers.retain(|_, (position, waker)| {
            let over = stopped || folded >= *position;
            if over {
                woken.push(waker.clone());
            }
            !over
        });
        drop(core);
        woken.into_iter().for_each(Waker::wake);
    }

    fn status(&self) -> ModelStatus {
        let core = self.look();
        ModelStatus {
            name: self.fold.name().to_owned(),
            version: self.fold.version(),
            channels: self.channels.clone(),
            folded_through: core.folded,
            applied_through: core.applied,
            metrics: self.metrics.snapshot(),
            stopped: core.stopped.clone(),
        }
    }

    fn skipped(&self) -> Vec<SkippedEvent> {
        self.look().skipped.iter().cloned().collect()
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Shared by everybody who uses a fold.
pub(crate) type SharedHost<F> = Arc<Hosted<F>>;
