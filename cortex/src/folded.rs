//! The handle of a running fold: snapshots, positions and waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base::{ChannelName, Position, Seq, Signal};
use redex::{Ack, AppendError, AppendRequest, Appended, Beyond, LogWriter, Ticket};

use crate::error::{FoldStopped, WaitError};
use crate::host::{Host, SharedHost, SkippedEvent};
use crate::limits::{LAG_MAX, WAITS_MAX};
use crate::metrics::ModelMetrics;
use crate::runner::{RunnerShared, deadline};
use crate::subscription::Subscription;
use crate::{Applied, Fold, FoldError, WriteToken};

/// A fold that runs, and the way to write what it folds. Cloning shares it.
pub struct Folded<F: Fold> {
    pub(crate) host: SharedHost<F>,
    pub(crate) runner: Arc<RunnerShared>,
    writer: Option<Arc<dyn LogWriter>>,
    waits: Arc<Waits>,
}

/// How many wait for tokens.
#[derive(Debug)]
struct Waits {
    count: AtomicUsize,
    max: AtomicUsize,
}

/// The state as of one position. Cloning is cheap; nothing that is folded later shows in it.
#[derive(Debug, Clone)]
pub struct Snapshot<S> {
    /// The state.
    pub state: S,
    /// What it includes.
    pub position: Position,
}

impl<F: Fold> Folded<F> {
    pub(crate) fn new(
        host: SharedHost<F>,
        runner: Arc<RunnerShared>,
        writer: Option<Arc<dyn LogWriter>>,
    ) -> Self {
        let waits = Waits { count: AtomicUsize::new(0), max: AtomicUsize::new(WAITS_MAX) };
        Self { host, runner, writer, waits: Arc::new(waits) }
    }

    /// Returns the fold.
    pub fn fold(&self) -> &F {
        &self.host.fold
    }

    /// Returns the same model for reading only. Unlike this one, it does not keep the log open.
    #[must_use]
    pub fn for_reading(&self) -> Self {
        Self { writer: None, ..self.clone() }
    }

    /// Returns the state as it is; at most one entry is folded meanwhile.
    ///
    /// # Errors
    ///
    /// [`FoldStopped`] unless the fold goes on, or its log was closed: then the last state stays readable.
    pub fn snapshot(&self) -> Result<Snapshot<F::State>, FoldStopped> {
        let core = self.host.look();
        match &core.stopped {
            None | Some(FoldStopped::Closed { .. }) => {
                Ok(Snapshot { state: core.state.clone(), position: core.folded })
            }
            Some(stopped) => Err(stopped.clone()),
        }
    }

    /// Returns the position below which every event was looked at, skipped ones included.
    pub fn folded_through(&self) -> Position {
        self.host.look().folded
    }

    /// Returns the position behind the newest event that was applied; it is not held back by skipped ones,
    /// which [`skipped`](Self::skipped) lists.
    pub fn applied_through(&self) -> Position {
        self.host.look().applied
    }

    /// Returns why the fold does not go on; `None` while it does.
    pub fn stopped(&self) -> Option<FoldStopped> {
        self.host.look().stopped.clone()
    }

    /// Returns how many visible entries were not folded yet.
    pub fn lag(&self) -> u64 {
        self.runner.lag()
    }

    /// Returns the newest skipped events, the oldest of them first.
    pub fn skipped(&self) -> Vec<SkippedEvent> {
        Host::skipped(&*self.host)
    }

    /// Returns the counters.
    pub fn metrics(&self) -> ModelMetrics {
        self.host.metrics.snapshot()
    }

    /// Sets how many may wait for tokens at a time; 0 for any number.
    pub fn set_waits_max(&self, max: usize) {
        self.waits.max.store(max, Ordering::Relaxed);
    }

    /// Follows the changes from now on; together with the state that they begin from.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Self::snapshot).
    pub fn subscribe(&self) -> Result<(Snapshot<F::State>, Subscription<F>), FoldStopped> {
        Subscription::begin(&self.host)
    }

    /// Stages an append, after helping a fold that is far behind.
    ///
    /// # Errors
    ///
    /// [`AppendError::ReadOnly`] for a model that was opened for reading; otherwise as [`LogWriter::submit`].
    pub fn submit(&self, request: &AppendRequest<'_>) -> Result<Written<F>, AppendError> {
        if self.runner.lag() > LAG_MAX {
            self.runner.help(self.runner.reader.visible());
        }
        let writer = self.writer.as_ref().ok_or(AppendError::ReadOnly)?;
        let incarnation = writer.incarnation();
        let ticket = writer.submit(request)?;
        Ok(Written { model: self.clone(), ticket, incarnation })
    }

    /// Returns whether a write is in the state; does not wait.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for), but for `QueueFull` and `Timeout`.
    pub fn poll_for(&self, token: &WriteToken) -> Result<bool, WaitError> {
        self.check(token)?;
        match self.settled(token.position) {
            None => Ok(false),
            Some(settled) => settled.map(|()| true),
        }
    }

    /// Blocks until a write is in the state; this thread folds, if nobody else does. `Some(Duration::ZERO)` asks
    /// whether it is there already, and takes part in the limit of waits.
    ///
    /// # Errors
    ///
    /// [`WaitError::WrongLog`] and [`WaitError::Lost`] for a token that will never be reached,
    /// [`WaitError::QueueFull`] and [`WaitError::Timeout`], after which trying again can help, and
    /// [`WaitError::Stopped`].
    pub fn wait_for(&self, token: &WriteToken, limit: Option<Duration>) -> Result<(), WaitError> {
        let clock = &*self.runner.clock;
        let began = clock.monotonic();
        let waited = self.check(token).and_then(|()| {
            let _permit = self.permit()?;
            self.wait_until(token, deadline(clock, limit))
        });
        self.host.metrics.wait_nanos.add(nanos(clock.monotonic().saturating_sub(began)));
        waited
    }

    /// Returns a future that is ready once a write is in the state.
    ///
    /// *Cancel safety*: dropping it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for), but for `Timeout`.
    pub fn reached(&self, token: &WriteToken) -> Result<Reached<F>, WaitError> {
        self.check(token)?;
        let permit = self.permit()?;
        Ok(self.reached_by(token, Some(permit)))
    }

    /// Waits with a permit, or without one: whoever wrote waits for its own write only.
    fn reached_by(&self, token: &WriteToken, permit: Option<Permit>) -> Reached<F> {
        Reached { model: self.clone(), position: token.position, waker: None, _permit: permit }
    }

    /// Returns what one event did, once it is folded; of events that are not among the newest 65,536 unusual
    /// ones it says [`Applied::Changed`].
    ///
    /// # Errors
    ///
    /// [`WaitError::Skipped`] when it was left out.
    pub fn outcome(&self, channel: &ChannelName, seq: Seq) -> Result<Applied, WaitError> {
        let outcome = self.host.look().outcome(channel, seq);
        outcome.map_err(|FoldError { reason }| WaitError::Skipped { channel: channel.clone(), seq, reason })
    }

    /// Refuses a token that can never be reached.
    fn check(&self, token: &WriteToken) -> Result<(), WaitError> {
        let metrics = &self.host.metrics;
        metrics.waits.add(1);
        let own = self.runner.reader.id();
        if token.log != own {
            metrics.wrong_log.add(1);
            return Err(WaitError::WrongLog { token: token.log, own });
        }
        if self.is_lost(token) {
            metrics.lost.add(1);
            return Err(WaitError::Lost { incarnation: token.incarnation, position: token.position });
        }
        Ok(())
    }

    /// Tells whether the position belongs to another incarnation than the token's.
    fn is_lost(&self, token: &WriteToken) -> bool {
        let own = self.writer.as_ref().map(|writer| writer.incarnation());
        // What was committed, whoever led then, stays.
        let committed = token.incarnation == base::IncarnationId::NONE;
        if committed || own == Some(token.incarnation) || token.position == Position::ZERO {
            return false;
        }
        let known = self.runner.reader.view().incarnations();
        let Some(place) = known.iter().position(|known| known.id == token.incarnation) else {
            return true;
        };
        // Behind it, another incarnation took the indexes that the token's did not make durable.
        let end = known.get(place + 1).map_or(self.runner.reader.visible().0, |next| next.first_index.0);
        token.position.0 > end
    }

    fn permit(&self) -> Result<Permit, WaitError> {
        let max = self.waits.max.load(Ordering::Relaxed);
        let permit = Permit(Arc::clone(&self.waits));
        let before = self.waits.count.fetch_add(1, Ordering::Relaxed);
        if max > 0 && before >= max {
            self.host.metrics.queue_full.add(1);
            return Err(WaitError::QueueFull { max });
        }
        Ok(permit)
    }

    fn wait_until(&self, token: &WriteToken, deadline: Option<Duration>) -> Result<(), WaitError> {
        let clock = &*self.runner.clock;
        let alarm = Arc::new(Signal::new());
        let waker = Waker::from(Arc::clone(&alarm));
        let mut noted = Noted { host: &self.host, id: None };
        loop {
            let visible = self.runner.reader.visible() >= token.position;
            if visible && self.settled(token.position).is_none() {
                self.runner.help(token.position);
            }
            {
                let mut core = self.host.look();
                if let Some(settled) = settled(&core, token.position) {
                    return settled;
                }
                noted.id = Some(core.note_waker(noted.id, token.position, &waker));
                if deadline.is_some_and(|deadline| clock.monotonic() >= deadline) {
                    let folded = core.folded;
                    drop(core);
                    self.host.metrics.timeouts.add(1);
                    return Err(WaitError::Timeout { wanted: token.position, folded });
                }
            }
            let mut beyond = self.runner.reader.beyond(Position(token.position.0.saturating_sub(1)));
            let becomes_visible = !visible && poll(&mut beyond, &waker);
            if !becomes_visible {
                clock.wait(&alarm, deadline);
            }
        }
    }

    fn settled(&self, position: Position) -> Option<Result<(), WaitError>> {
        settled(&self.host.look(), position)
    }
}

fn settled<F: Fold>(core: &crate::host::Core<F>, position: Position) -> Option<Result<(), WaitError>> {
    match &core.stopped {
        _ if core.folded >= position => Some(Ok(())),
        None => None,
        Some(stopped) => Some(Err(WaitError::Stopped { folded: core.folded, stopped: stopped.clone() })),
    }
}

fn poll(beyond: &mut Beyond, waker: &Waker) -> bool {
    Pin::new(beyond).poll(&mut Context::from_waker(waker)).is_ready()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<F: Fold> Clone for Folded<F> {
    fn clone(&self) -> Self {
        Self {
            host: Arc::clone(&self.host),
            runner: Arc::clone(&self.runner),
            writer: self.writer.clone(),
            waits: Arc::clone(&self.waits),
        }
    }
}

impl<F: Fold> std::fmt::Debug for Folded<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folded").field("model", &self.fold().name()).finish_non_exhaustive()
    }
}

/// One of those who wait.
#[derive(Debug)]
struct Permit(Arc<Waits>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A waker that a fold keeps, taken back in the end.
struct Noted<'a, F: Fold> {
    host: &'a SharedHost<F>,
    id: Option<u64>,
}

impl<F: Fold> Drop for Noted<'_, F> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.host.look().remove_waker(id);
        }
    }
}

/// The future of a write being in the state; see [`Folded::reached`].
#[must_use = "futures do nothing unless awaited"]
pub struct Reached<F: Fold> {
    model: Folded<F>,
    position: Position,
    waker: Option<u64>,
    _permit: Option<Permit>,
}

impl<F: Fold> Future for Reached<F> {
    type Output = Result<(), WaitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let host = Arc::clone(&self.model.host);
        let mut core = host.look();
        if let Some(settled) = settled(&core, self.position) {
            return Poll::Ready(settled);
        }
        self.waker = Some(core.note_waker(self.waker, self.position, context.waker()));
        Poll::Pending
    }
}

impl<F: Fold> Drop for Reached<F> {
    fn drop(&mut self) {
        if let Some(id) = self.waker {
            self.model.host.look().remove_waker(id);
        }
    }
}

/// A write that was staged. Dropping it loses nothing: it becomes durable within the log's `sync_within`, and is
/// folded then.
pub struct Written<F: Fold> {
    model: Folded<F>,
    ticket: Ticket,
    incarnation: base::IncarnationId,
}

impl<F: Fold> Written<F> {
    /// Returns the token to wait for; `None` for a write that was rejected, or that is decided on elsewhere: that has one
    /// once it was waited for.
    pub fn token(&self) -> Option<WriteToken> {
        let at = self.ticket.staged()?.at()?;
        let log = self.model.runner.reader.id();
        Some(WriteToken { log, incarnation: self.incarnation, position: at.position() })
    }

    /// Blocks until the write is durable.
    ///
    /// # Errors
    ///
    /// [`AppendError`] when it is not in the log, or nobody knows.
    pub fn durable(&self) -> Result<Appended, AppendError> {
        self.acknowledged(Ack::Durable)
    }

    /// Blocks until the write is as safe as `ack` says. It comes into the state once it is durable.
    ///
    /// # Errors
    ///
    /// As [`durable`](Self::durable).
    pub fn acknowledged(&self, ack: Ack) -> Result<Appended, AppendError> {
        self.ticket.wait(ack).into_result()
    }

    /// Blocks until the write is durable and in the state; returns what its first event did, if
    /// it is one that this model folds.
    ///
    /// # Errors
    ///
    /// [`WriteError`] with what went wrong in the log, or in the fold.
    pub fn applied(&self) -> Result<Applied, WriteError> {
        let runner = &self.model.runner;
        let position = |durable: &Result<Appended, AppendError>| Some(durable.as_ref().ok()?.at.position());
        let appended = runner.write_and_fold(|| self.durable(), position)?;
        let log = runner.reader.id();
        let token = WriteToken { log, incarnation: self.incarnation, position: appended.at.position() };
        self.model.wait_until(&token, None)?;
        outcome(&self.model, &appended)
    }

    /// Completes once the write is durable. No thread is blocked meanwhile.
    ///
    /// *Cancel safety*: dropping the future does not take the write back.
    ///
    /// # Errors
    ///
    /// As [`durable`](Self::durable).
    pub async fn durable_async(self) -> Result<Appended, AppendError> {
        self.ticket.acknowledged(Ack::Durable).await.into_result()
    }

    /// Completes once the write is durable and in the state; returns what its first event did. No thread is
    /// blocked meanwhile.
    ///
    /// *Cancel safety*: dropping the future does not take the write back.
    ///
    /// # Errors
    ///
    /// As [`applied`](Self::applied).
    pub async fn applied_async(self) -> Result<Applied, WriteError> {
        let Self { model, ticket, incarnation } = self;
        let appended = ticket.acknowledged(Ack::Durable).await.into_result()?;
        let log = model.runner.reader.id();
        let token = WriteToken { log, incarnation, position: appended.at.position() };
        model.reached_by(&token, None).await?;
        outcome(&model, &appended)
    }
}

fn outcome<F: Fold>(model: &Folded<F>, appended: &Appended) -> Result<Applied, WriteError> {
    match appended.at.ranges().first() {
        Some(range) => Ok(model.outcome(&range.channel, range.first)?),
        None => Ok(Applied::Unchanged),
    }
}

impl<F: Fold> std::fmt::Debug for Written<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Written").field("token", &self.token()).finish_non_exhaustive()
    }
}

/// Why a write did not come into the state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// It is not in the log, or nobody knows.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// It is in the log, but not in the state.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

impl base::Classify for WriteError {
    fn kind(&self) -> base::ErrorKind {
        match self {
            Self::Append(error) => error.kind(),
            Self::Wait(error) => error.kind(),
        }
    }
}
