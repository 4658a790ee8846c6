//! A log open for writing: the sequencer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{ChannelName, DiskLock, Doors, IncarnationId, Index, Position, Timestamp};

use crate::error::AppendError;
use crate::follower::arrivals;
use crate::reader::{LogReader, Published};
use crate::request::creation_bytes;
use crate::state::Remembered;
use crate::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, EventInput, Keyed, LogOptions, Rejection, Retention,
};

mod committer;
mod flusher;
mod gathering;
mod open;
mod placed;
mod progress;
mod quarantine;
mod recovery;
mod redact;
mod retention;
mod seal;
mod stage;
mod ticket;

pub(crate) use open::OpenedLog;
pub use open::{QuarantinedRange, RecoveryReport};
pub(crate) use open::{
    Site, open, open_end, open_superblock, prepare_directory, read_superblock, unknown_format,
};
pub(crate) use placed::{Admission, Home, Homes, Standing};
pub(crate) use recovery::overwrite;
pub use redact::Redaction;
pub use retention::{Hold, HoldInfo};
pub(crate) use seal::Contents;
pub use ticket::{Acknowledged, Ticket};

use crate::appender::Stopped;
use committer::Committer;
pub(crate) use flusher::{Flush, Flusher};
use gathering::Gathering;
use progress::{Need, Progress};
use retention::{Holds, RetentionDue};
use stage::Shut;
pub(crate) use stage::Stage;

/// A log open for writing. Cloning shares it; it stays open until closed, or until the last clone is dropped,
/// which closes it too.
#[derive(Debug, Clone)]
pub struct Log {
    shared: Arc<Shared>,
    reader: LogReader,
    _closer: Arc<Closer>,
}

/// What the clones of a log share; the last one closes it, on the thread that drops it. Tickets and the flusher
/// do not keep a log open, so that it is closed, and its lock free, when the last clone is gone.
#[derive(Debug)]
struct Closer(Arc<Shared>);

/// A producer's last append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    /// Its number.
    pub number: u64,
    /// What it stands for.
    pub digest: base::Hash,
    /// The index of its entry.
    pub index: Index,
}

impl ProducerState {
    pub(crate) fn of(known: &Remembered) -> Self {
        Self { number: known.number, digest: known.digest, index: known.at.index }
    }
}

/// What handles, tickets and the flusher of one log share.
#[derive(Debug)]
pub(crate) struct Shared {
    doors: Doors,
    options: LogOptions,
    committer: Mutex<Committer>,
    stage: Mutex<Stage>,
    progress: Progress,
    flusher: Flusher,
    /// When bytes that nobody waits for must be synced: nanoseconds of the monotonic clock, 0 for never.
    deadline: AtomicU64,
    gathering: Gathering,
    retention: Mutex<Retention>,
    retention_due: RetentionDue,
    holds: Arc<Holds>,
    /// Whether log state holds the newest event of each key.
    keyed: bool,
    /// Held by whoever redacts, or closes; taken before anything else.
    redaction: Mutex<()>,
    clock_check: ClockCheck,
    incarnation: IncarnationId,
    published: Arc<Published>,
    /// The lock of the node's directory, given back when the log was closed; held while that is done.
    lock: Mutex<Option<Arc<dyn DiskLock>>>,
}

/// Compares the wall clock with the monotonic one since the log was opened.
#[derive(Debug)]
struct ClockCheck {
    wall: Timestamp,
    monotonic: Duration,
    leap_max: Duration,
}

impl ClockCheck {
    fn now(&self, doors: &Doors) -> Result<Timestamp, Rejection> {
        let now = doors.clock.now();
        let expected = self.wall.plus(doors.clock.monotonic().saturating_sub(self.monotonic));
        let leap = now.since(expected).max(expected.since(now));
        if leap > self.leap_max { Err(Rejection::ClockLeap { now, expected }) } else { Ok(now) }
    }
}

impl Log {
    /// Appends events to one channel, atomically; the channel is created when it does not exist.
    ///
    /// *Durability*: none yet; wait for the ticket.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`] when a limit is passed, [`AppendError::Closed`] and
    /// [`AppendError::Poisoned`]. What depends on the log's content is an outcome of the ticket.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = redex::Store::open("data".as_ref(), &base::Doors::memory(), &redex::LogOptions::default())?;
    /// let orders = base::ChannelName::new("orders")?;
    /// let ticket = store.main().append(&orders, &[redex::EventInput::new("order.placed", b"{}")])?;
    /// let appended = ticket.wait(redex::Ack::Durable).into_result()?;
    /// assert_eq!(appended.at.first_seq(), Some(base::Seq(0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append(&self, channel: &ChannelName, events: &[EventInput<'_>]) -> Result<Ticket, AppendError> {
        self.submit(&AppendRequest {
            parts: &[ChannelEvents { channel, events }],
            ..AppendRequest::default()
        })
    }

    /// Appends to any number of channels, atomically and under conditions.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        let size = request.check()?;
        let mut stage = self.shared.stage_with_room(size.bytes);
        stage.check_open()?;
        let size = size.with_salts(stage.salt_bytes(request))?;
        if stage.is_keyed() {
            request.check_keys()?;
            if let Some(reason) = stage.refuse_keyed(request, self.shared.options.keyed_bytes_max) {
                let staged = stage.rejected(reason);
                let need = Need { epoch: stage.epoch, position: staged.relies_on };
                return Ok(Ticket::new(Arc::clone(&self.shared), need, staged.outcome));
            }
        }
        let staged = stage.submit(request, size, || self.shared.now());
        let need = Need { epoch: stage.epoch, position: staged.relies_on };
        drop(stage);
        self.shared.arm();
        Ok(Ticket::new(Arc::clone(&self.shared), need, staged.outcome))
    }

    /// Tells whether staging so many bytes waits until others are written.
    pub(crate) fn would_wait(&self, bytes: usize) -> bool {
        !self.shared.has_room(&self.shared.stage(), bytes)
    }

    /// Creates a channel with a configuration, which never changes. That the channel exists with the same one
    /// gives `AlreadyAppended`, with another one [`Rejection::ConfigMismatch`].
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append), and [`AppendError::Config`] for a configuration out of limits.
    pub fn create_channel(
        &self,
        channel: &ChannelName,
        config: &ChannelConfig,
    ) -> Result<Ticket, AppendError> {
        self.check_config(channel, config)?;
        self.stage_with(creation_bytes(config), |stage| {
            stage.create_channel(channel, config, |stage| stage.refuses(channel), || self.shared.now())
        })
    }

    /// Returns a producer's last append, staged ones included; `None` for an unknown producer.
    pub fn producer(&self, id: &str) -> Option<ProducerState> {
        self.shared.stage().state.producer(id).map(ProducerState::of)
    }

    /// Makes everything appended so far durable and signed, and returns the position reached.
    ///
    /// # Errors
    ///
    /// [`AppendError::Rejected`] when staged appends could not be written, [`AppendError::Unknown`] when the
    /// sync failed.
    pub fn sync(&self) -> Result<Position, AppendError> {
        let stage = self.shared.stage();
        stage.check_open()?;
        let need = Need { epoch: stage.epoch, position: stage.state.position() };
        drop(stage);
        self.shared.wait(need, Ack::Durable);
        let verdict = self.shared.progress.lock().verdict(need, Ack::Durable);
        match verdict {
            Some(progress::Verdict::Failed(reason)) => {
                Err(AppendError::Rejected { reason, position: need.position })
            }
            Some(progress::Verdict::Unknown(cause)) => Err(AppendError::Unknown { cause }),
            _ => {
                self.shared.sign_if_volatile();
                Ok(need.position)
            }
        }
    }

    /// Checks that the log can have a channel of a configuration.
    fn check_config(&self, channel: &ChannelName, config: &ChannelConfig) -> Result<(), AppendError> {
        let erasable = config.erasable && self.shared.keyed;
        let kept = || "erasable in a keyed log, whose state frames keep events".to_owned();
        match config.fault().or_else(|| erasable.then(kept)) {
            Some(fault) => Err(AppendError::Config { channel: channel.clone(), fault }),
            None => Ok(()),
        }
    }

    pub(crate) fn is_keyed(&self) -> bool {
        self.shared.keyed
    }

    /// Returns what a keyed log holds, as of the visible position; `None` in another log.
    pub fn keyed(&self) -> Option<Keyed> {
        self.reader.view().keyed()
    }

    /// Tells whether the log takes appends, without making one.
    ///
    /// # Errors
    ///
    /// [`AppendError::Poisoned`] after a sync that failed, [`AppendError::Closed`].
    pub fn accepts(&self) -> Result<(), AppendError> {
        self.shared.stage().check_open()
    }

    /// Returns the incarnation that appends to this handle belong to.
    pub fn incarnation(&self) -> IncarnationId {
        self.shared.incarnation
    }

    /// Returns the reading side.
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Lets the flusher act once, and returns when it wants to act again, by the monotonic clock; for logs
    /// opened with [`FlusherMode::Manual`](crate::FlusherMode::Manual).
    pub fn flush_step(&self) -> Option<Duration> {
        self.shared.flush_step()
    }

    /// Makes everything durable, writes the record of a clean close, and takes no more appends. Repeating it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// [`AppendError::Rejected`] when staged appends could not be written; [`AppendError::Unknown`] when the
    /// disk failed. The log is closed either way.
    pub fn close(&self) -> Result<(), AppendError> {
        let closed = self.shared.close();
        self.shared.flusher.join();
        closed
    }
}

impl Shared {
    pub(crate) fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committer(&self) -> MutexGuard<'_, Committer> {
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deadline(&self) -> Option<Duration> {
        let nanos = self.deadline.load(Ordering::SeqCst);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Returns when the flusher acts next by itself.
    fn acts_at(&self) -> Option<Duration> {
        let retention = self.retention_due.get().map(Duration::from_nanos);
        self.deadline().into_iter().chain(retention).min()
    }

    fn disarm(&self) {
        self.deadline.store(0, Ordering::SeqCst);
    }

    fn now(&self) -> Result<Timestamp, Rejection> {
        self.clock_check.now(&self.doors)
    }

    /// Locks the stage; writes what is staged before, when there is no room for more.
    fn stage_with_room(&self, bytes: usize) -> MutexGuard<'_, Stage> {
        let stage = self.stage();
        if self.has_room(&stage, bytes) {
            return stage;
        }
        drop(stage);
        self.commit_in_turn(Ack::Written);
        self.stage()
    }

    fn has_room(&self, stage: &Stage, bytes: usize) -> bool {
        stage.bytes == 0 || stage.bytes + bytes as u64 <= self.options.staged_bytes_max
    }

    /// Returns the effort that `ack` takes: on a volatile disk, what is written is as safe as it gets.
    fn effort(&self, ack: Ack) -> Ack {
        if self.doors.disk.is_volatile() { Ack::Written } else { ack }
    }

    /// Signs what a volatile log has let readers see unsigned.
    fn sign_if_volatile(&self) {
        if self.doors.disk.is_volatile() {
            self.commit_in_turn(Ack::Durable);
        }
    }

    /// Blocks until something is settled about `need`; commits if nobody else does.
    fn wait(&self, need: Need, ack: Ack) {
        let mut progress = self.progress.lock();
        loop {
            if progress.verdict(need, ack).is_some() {
                return;
            }
            progress.want(need, ack);
            if progress.committing {
                progress = self.progress.wait(progress, need.position);
                continue;
            }
            drop(progress);
            self.round(self.effort(ack));
            progress = self.progress.lock();
        }
    }

    /// Commits what is staged, for everybody, with so much effort. Returns `false` without doing anything when
    /// somebody else commits.
    ///
    /// While others wait for the next round already, it is done here too, a few times: to wake one of them for it would
    /// leave the disk idle meanwhile.
    fn round(&self, effort: Ack) -> bool {
        {
            let mut progress = self.progress.lock();
            if progress.committing {
                return false;
            }
            if progress.poison().is_some() {
                return true;
            }
            progress.begin_round();
        }
        let _let_go = LetGo(self);
        let mut led = 1;
        let mut goes_on = self.lead(effort, true);
        while goes_on {
            led += 1;
            // Who waits for more than that says so.
            goes_on = self.lead(Ack::Written, led < ROUNDS_LED_MAX);
        }
        true
    }

    /// Does the round that was begun; tells whether another one was begun, if it may.
    fn lead(&self, effort: Ack, may_go_on: bool) -> bool {
        if effort == Ack::Durable || self.progress.lock().wants_durable() {
            self.gather();
        }
        let mut committer = self.committer();
        let sync = effort == Ack::Durable
            || (self.progress.lock().wants_durable() && self.effort(Ack::Durable) == Ack::Durable);
        let entries = self.take_staged(&committer, sync);
        if let Err(stopped) = self.commit(&mut committer, entries, sync) {
            self.stopped(&committer, stopped);
        }
        if self.keyed {
            self.stage().note_keyed(&committer.end.state);
        }
        self.publish(&mut committer);
        self.retain(&mut committer);
        let (written, durable) = (committer.end.state.position(), committer.end.synced);
        drop(committer);
        self.progress.end_round(may_go_on, |progress| {
            progress.written = written;
            progress.durable = durable;
        })
    }

    /// Lets those stage their next appends who were just woken.
    fn gather(&self) {
        if self.progress.lock().crowd > 0 {
            let staged = || self.stage().bytes;
            self.gathering.gather(&*self.doors.clock, staged, std::thread::yield_now);
        }
    }

    fn take_staged(&self, committer: &Committer, sync: bool) -> Vec<stage::OpenEntry> {
        let mut stage = self.stage();
        let mut entries = stage.take();
        if sync && entries.is_empty() && committer.needs_signature() {
            // A clock that leapt stamps nothing; the entry then has the time of the one before.
            entries.push(stage.empty_entry(self.now().unwrap_or_default()));
        }
        self.progress.lock().take_up_to(stage.state.position());
        entries
    }

    fn commit(
        &self,
        committer: &mut Committer,
        entries: Vec<stage::OpenEntry>,
        sync: bool,
    ) -> Result<(), Stopped> {
        if !entries.is_empty() {
            let only_signs = entries.iter().all(stage::OpenEntry::is_empty);
            committer.write(entries, sync).map_err(|stopped| match stopped {
                // Who waits for what is written already would wait for ever.
                Stopped::Write(cause) if only_signs && committer.needs_signature() => {
                    Stopped::Broken(format!("a signature that could not be written ({cause})"))
                }
                stopped => stopped,
            })?;
        }
        let unsynced = committer.end.synced < committer.end.state.position();
        if !unsynced {
            return Ok(());
        }
        let sync = sync || committer.end.is_volatile();
        if sync {
            committer.sync()?;
            // Whoever stages from here on sees whether the deadline still stands.
            let stage = self.stage();
            if stage.is_empty() {
                self.disarm();
            }
        } else {
            self.arm();
        }
        Ok(())
    }

    /// Lets readers see what is durable, before anybody is told that it is.
    fn publish(&self, committer: &mut Committer) {
        if committer.published == committer.end.synced {
            return;
        }
        committer.published = committer.end.synced;
        committer.tell_readers(true);
        let news = std::mem::take(&mut committer.news);
        let state = &committer.end.state;
        self.published.update(|visible| {
            visible.position = committer.end.synced;
            if !news.channels.is_empty() {
                let known = visible.channels.count();
                for (slot, next) in news.channels {
                    visible.channels.tell(state, slot, next);
                }
                let new = &state.channels()[known..visible.channels.count()];
                if new.iter().any(|channel| channel.arrived.is_some()) {
                    visible.arrivals = arrivals(state);
                }
            }
            if visible.incarnations.len() != news.incarnations {
                visible.incarnations = state.incarnations[..news.incarnations].into();
            }
            visible.last_recorded_at = news.recorded_at;
            if let Some(keyed) = visible.keyed.as_mut().filter(|_| !news.keyed.is_empty()) {
                let keyed = Arc::make_mut(keyed);
                news.keyed.iter().for_each(|change| keyed.apply(change));
            }
            if news.trimmed > visible.trimmed {
                visible.trimmed = news.trimmed;
                for slot in 0..visible.channels.count() {
                    let base = state.channel(slot).base;
                    visible.channels.change(slot, |channel| channel.base = base.min(channel.next));
                }
            }
        });
        self.published.wake();
    }

    /// Takes back what could not be written, or shuts the log when that is not possible.
    fn stopped(&self, committer: &Committer, stopped: Stopped) {
        let mut stage = self.stage();
        match stopped {
            Stopped::Write(cause) => {
                tracing::warn!(%cause, "write failed, staged appends rejected");
                let epoch = stage.epoch;
                stage.reset(committer.end.state.clone());
                drop(stage);
                let reason = match cause.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                        Rejection::DiskFull
                    }
                    _ => Rejection::WriteFailed { cause: cause.to_string() },
                };
                self.progress.fail(epoch, committer.end.state.position(), reason);
                self.arm();
            }
            Stopped::Broken(cause) => {
                drop(stage);
                self.give_up(cause);
            }
        }
    }

    /// Takes no more appends, since it is unknown what the disk holds.
    fn give_up(&self, cause: String) {
        tracing::error!(%cause, "the log takes no more appends until reopened");
        self.progress.poison(&cause);
        self.stage().shut.get_or_insert(Shut::Poisoned(cause));
        self.published.wake();
    }

    /// Notes that something is staged or unsynced, so that the flusher makes it durable in time if nobody does.
    fn arm(&self) {
        if self.deadline().is_some() {
            return;
        }
        let deadline = self.doors.clock.monotonic() + self.options.sync_within;
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        if self.deadline.compare_exchange(0, nanos, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.flusher.act_by(nanos);
        }
    }

    /// Commits; behind whoever commits at the moment.
    fn commit_in_turn(&self, ack: Ack) {
        while !self.round(ack) {
            let progress = self.progress.lock();
            if progress.committing {
                drop(self.progress.wait(progress, Position::ZERO));
            }
        }
    }

    /// Has the flusher commit for a future that was just polled.
    fn request_flush(&self) {
        self.flusher.wake();
    }

    /// Closes the log once; whoever else closes it meanwhile waits until that is done.
    fn close(&self) -> Result<(), AppendError> {
        let _turn = self.redaction.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = self.close_log();
        self.published.close();
        lock.take();
        closed
    }

    fn close_log(&self) -> Result<(), AppendError> {
        let need = {
            let mut stage = self.stage();
            match &stage.shut {
                Some(Shut::Closed) => return Ok(()),
                Some(Shut::Poisoned(cause)) => return Err(AppendError::Poisoned { cause: cause.clone() }),
                None => stage.shut = Some(Shut::Closed),
            }
            Need { epoch: stage.epoch, position: stage.state.position() }
        };
        self.wait(need, Ack::Durable);
        let verdict = self.progress.lock().verdict(need, Ack::Durable);
        let mut committer = self.committer();
        let ended = match verdict {
            Some(progress::Verdict::Unknown(cause)) => return Err(AppendError::Unknown { cause }),
            Some(progress::Verdict::Failed(reason)) => {
                Err(AppendError::Rejected { reason, position: need.position })
            }
            _ => Ok(()),
        };
        // An end that was adopted unsigned is signed now.
        let entries = self.take_staged(&committer, true);
        let committed = self.commit(&mut committer, entries, true);
        self.publish(&mut committer);
        let closed = committed.and_then(|()| committer.close());
        match closed {
            Ok(()) => ended,
            // Everything is durable; the next opening looks at the end of the log.
            Err(Stopped::Write(cause)) => {
                tracing::warn!(%cause, "no record of a clean close");
                ended
            }
            Err(Stopped::Broken(cause)) => Err(AppendError::Unknown { cause }),
        }
    }
}

impl Flush for Shared {
    /// Acts once: commits for those who await, syncs what was left unsynced for too long. Returns when to act
    /// again.
    fn flush_step(&self) -> Option<Duration> {
        let (awaited, durable_awaited) = {
            let progress = self.progress.lock();
            (progress.has_wakers(), progress.wants_durable())
        };
        if awaited {
            let ack = if durable_awaited { Ack::Durable } else { Ack::Written };
            self.commit_in_turn(self.effort(ack));
        }
        let now = self.doors.clock.monotonic();
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.disarm();
            self.commit_in_turn(self.effort(Ack::Durable));
        } else if self.is_retention_due() {
            self.commit_in_turn(Ack::Written);
        }
        match self.progress.lock().has_wakers() && !self.is_shut() {
            true => Some(now),
            false => self.acts_at(),
        }
    }

    fn is_shut(&self) -> bool {
        self.stage().shut.is_some()
    }

    fn acts_before(&self, nanos: u64) -> bool {
        self.acts_at().is_some_and(|at| at < Duration::from_nanos(nanos))
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        if let Err(error) = self.0.close() {
            tracing::error!(%error, "log not closed cleanly");
        }
        self.0.flusher.join();
    }
}

/// Rounds that one thread commits at a time while others wait for the next.
const ROUNDS_LED_MAX: usize = 4;

/// Lets go of everybody who waits when the thread that commits panics.
struct LetGo<'a>(&'a Shared);

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up("a panic while committing".to_owned());
            self.0.progress.end_round(false, |_| ());
        }
    }
}
