//! The leader's part: decides on requests, seals what waits into entries, and proposes them under its leadership.
//!
//! Whoever asks decides on its own request, under a lock, behind everything decided before. One task seals and proposes:
//! while some entries are on their way, what is asked gathers for the next. A decision is told once the newest entry
//! that it relied on is committed.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Identity, Position, Slot};
use redex::exchange::Request;
use redex::{AppendError, Outcome, Proposer, ReplicaLog, Trim};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::raft::{Consensus, Leadership, Proposed, Proposing, StandingWatch, proposed};

/// Entries that are on their way at the same time.
const ON_THE_WAY_MAX: usize = 4;
/// How long nothing is proposed after consensus refused something, which it does while it has not heard of a majority, or
/// hands the leadership over.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);
/// How long somebody may wait beyond its time until it is told that it is over.
const LATE_WITHIN: Duration = Duration::from_secs(1);
/// Requests that wait for their decision at the same time.
const WAITING_MAX: usize = 1 << 16;

/// What became of a request here.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It was decided, and what the decision relied on is committed.
    Decided(Outcome),
    /// Nothing of it is in the log, nor will be: ask again, here or elsewhere.
    Again,
    /// It stands at a slot that may become committed under another leader; the outcome is what was decided.
    Undecided(Slot, Outcome),
    /// No majority took it in time; it may become committed.
    Late,
}

/// A request that was decided on.
pub(crate) type Deciding = oneshot::Receiver<Decision>;

/// Is told what became of a request, on a task that must not be kept.
pub(crate) type Tell = Box<dyn FnOnce(Decision) + Send>;

struct Waiting {
    relies_on: Position,
    outcome: Outcome,
    /// Until when whoever asked waits, if the sequencer is to look after that.
    until: Option<Instant>,
    tell: Tell,
}

struct Leading {
    leadership: Leadership,
    proposer: Proposer,
    /// In order of what they rely on.
    waiting: VecDeque<Waiting>,
    /// Up to where this leadership knows the log to be committed.
    committed: Position,
    /// Whether something was decided that was not sealed.
    staged: bool,
}

/// An entry on its way.
struct OnTheWay {
    behind: Position,
    proposing: Proposing,
}

/// Somebody who needs that nothing is proposed for a while.
struct Pause {
    quiet: oneshot::Sender<()>,
    over: oneshot::Receiver<()>,
}

/// The sequencer of one group on one node; it sequences while the node leads.
pub(crate) struct Sequencer {
    log: ReplicaLog,
    consensus: Consensus,
    identity: Arc<Identity>,
    leading: Mutex<Option<Leading>>,
    wake: Notify,
    /// Whether requests are taken.
    ready: watch::Sender<bool>,
    pauses: mpsc::Sender<Pause>,
}

/// A pause in proposing, which ends when this is dropped.
pub(crate) struct Paused {
    _over: oneshot::Sender<()>,
}

impl Sequencer {
    /// Begins to sequence whenever this node leads, in a task that ends with the group.
    pub(crate) fn start(log: ReplicaLog, consensus: Consensus, identity: Arc<Identity>) -> Arc<Self> {
        let (pauses, asked) = mpsc::channel(1);
        let sequencer = Arc::new(Self {
            log,
            consensus,
            identity,
            leading: Mutex::new(None),
            wake: Notify::new(),
            ready: watch::Sender::new(false),
            pauses,
        });
        tokio::spawn(Arc::clone(&sequencer).run(asked));
        sequencer
    }

    fn leading(&self) -> MutexGuard<'_, Option<Leading>> {
        self.leading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether requests are taken, and each time that changes.
    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Decides on a request behind everything decided before; `None` where requests are not taken now.
    ///
    /// # Errors
    ///
    /// As [`Request::check`].
    pub(crate) fn submit(&self, request: &Request<'_>) -> Result<Option<Deciding>, AppendError> {
        let (tell, deciding) = oneshot::channel();
        // Nobody listens who stopped waiting.
        let tell = || Box::new(move |decision| drop(tell.send(decision))) as Tell;
        Ok(self.submit_then(request, None, tell)?.then_some(deciding))
    }

    /// Decides on a request behind everything decided before, and tells later, or [`Decision::Late`] about a second after a
    /// time; `false` where requests are not taken now, and nothing is told.
    ///
    /// # Errors
    ///
    /// As [`Request::check`]; nothing is told.
    pub(crate) fn submit_then(
        &self,
        request: &Request<'_>,
        until: Option<Instant>,
        tell: impl FnOnce() -> Tell,
    ) -> Result<bool, AppendError> {
        let mut guard = self.leading();
        let Some(leading) = guard.as_mut().filter(|leading| leading.waiting.len() < WAITING_MAX) else {
            return Ok(false);
        };
        let (outcome, relies_on) = match request {
            Request::Append(append) => leading.proposer.submit(append)?,
            Request::CreateChannel { channel, config } => leading.proposer.create_channel(channel, config)?,
        };
        let tell = tell();
        if relies_on <= leading.committed {
            drop(guard);
            tell(Decision::Decided(outcome));
            return Ok(true);
        }
        let newest = leading.waiting.back().map_or(Position::ZERO, |waiting| waiting.relies_on);
        leading.waiting.push_back(Waiting { relies_on: relies_on.max(newest), outcome, until, tell });
        leading.staged = true;
        drop(guard);
        self.wake.notify_one();
        Ok(true)
    }

    /// Stages that the log gives up its beginning; `false` where nothing is put in order here now, or that is staged already.
    pub(crate) fn trim(&self, trim: &Trim) -> bool {
        let staged = self.leading().as_mut().is_some_and(|leading| {
            let staged = leading.proposer.trim(trim);
            leading.staged |= staged;
            staged
        });
        if staged {
            self.wake.notify_one();
        }
        staged
    }

    /// Tells those whose time is over.
    fn tell_late(&self, now: Instant) {
        let late = self.leading().as_mut().map(|leading| take_late(&mut leading.waiting, now));
        late.into_iter().flatten().for_each(|waiting| (waiting.tell)(Decision::Late));
    }

    /// Waits until nothing is on its way, and keeps it so while the result lives: consensus may write entries of its own
    /// then. `None` where this node does not lead.
    pub(crate) async fn pause(&self) -> Option<Paused> {
        let (quiet, is_quiet) = oneshot::channel();
        let (over, until_over) = oneshot::channel();
        self.pauses.send(Pause { quiet, over: until_over }).await.ok()?;
        is_quiet.await.ok()?;
        Some(Paused { _over: over })
    }

    async fn run(self: Arc<Self>, mut pauses: mpsc::Receiver<Pause>) {
        let mut standing = self.consensus.watch();
        let mut applied = self.consensus.applied();
        loop {
            let leadership = standing.leadership();
            // Once the first entry of a leadership is committed, everything before it is, too, and what follows is
            // proposed here alone.
            let newest = *applied.borrow_and_update();
            if let (Some(leadership), Some(slot)) = (leadership, newest)
                && (slot.term, slot.node) == (leadership.term, leadership.node)
            {
                let behind = slot.index.position_after();
                match self.lead(leadership, behind, &mut standing, &mut pauses).await {
                    Ended::Stopped => return,
                    Ended::Refused => {
                        let changed = standing.changed();
                        if let Ok(Err(_)) = tokio::time::timeout(REFUSED_PAUSE, changed).await {
                            return;
                        }
                    }
                    Ended::Over | Ended::Undecided(_) | Ended::Paused => {}
                }
                continue;
            }
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return },
                _ = applied.changed(), if leadership.is_some() => {}
                // Whoever asks for a pause here is told by the drop that there is nothing to pause.
                pause = pauses.recv() => if pause.is_none() { return },
            }
        }
    }

    /// Sequences until the leadership is over, a proposal was refused, or a pause was asked for.
    async fn lead(
        &self,
        leadership: Leadership,
        committed: Position,
        standing: &mut StandingWatch,
        pauses: &mut mpsc::Receiver<Pause>,
    ) -> Ended {
        let proposer = self.log.proposer(leadership.term, leadership.node, Arc::clone(&self.identity));
        let waiting = VecDeque::new();
        *self.leading() = Some(Leading { leadership, proposer, waiting, committed, staged: false });
        self.ready.send_replace(true);
        let mut on_the_way = VecDeque::new();
        let mut pause = None;
        let ended = self.propose_until_ended(leadership, standing, pauses, &mut on_the_way, &mut pause).await;
        self.ready.send_replace(false);
        let rest = self.leading().take();
        if let Some(rest) = rest {
            self.give_up(rest, on_the_way, ended, standing).await;
        }
        if let Some(Pause { quiet, over }) = pause
            && quiet.send(()).is_ok()
        {
            // Dropped or told: it is over.
            let _ = over.await;
        }
        ended
    }

    async fn propose_until_ended(
        &self,
        leadership: Leadership,
        standing: &mut StandingWatch,
        pauses: &mut mpsc::Receiver<Pause>,
        on_the_way: &mut VecDeque<OnTheWay>,
        pause: &mut Option<Pause>,
    ) -> Ended {
        let mut looks = pin!(tokio::time::sleep(LATE_WITHIN));
        loop {
            let has_room = on_the_way.len() < ON_THE_WAY_MAX;
            let first = on_the_way.front_mut().map(|first| &mut first.proposing);
            tokio::select! {
                biased;
                told = told(first) => {
                    let Some(first) = on_the_way.pop_front() else { continue };
                    match proposed(told) {
                        Proposed::Committed => self.settle(first.behind),
                        Proposed::Refused => return Ended::Refused,
                        Proposed::Undecided => return Ended::Undecided(first.behind),
                    }
                }
                changed = standing.changed() => {
                    if changed.is_err() {
                        return Ended::Stopped;
                    }
                    if standing.leadership() != Some(leadership) {
                        return Ended::Over;
                    }
                }
                asked = pauses.recv() => {
                    *pause = asked;
                    return Ended::Paused;
                }
                () = self.wake.notified(), if has_room => {
                    self.seal_and_propose(leadership, on_the_way).await;
                }
                () = &mut looks => {
                    let now = Instant::now();
                    self.tell_late(now);
                    looks.as_mut().reset(now + LATE_WITHIN);
                }
            }
            if on_the_way.len() < ON_THE_WAY_MAX
                && self.leading().as_ref().is_some_and(|leading| leading.staged)
            {
                self.wake.notify_one();
            }
        }
    }

    /// Seals everything that was decided, and proposes it.
    async fn seal_and_propose(&self, leadership: Leadership, on_the_way: &mut VecDeque<OnTheWay>) {
        let entries = match self.leading().as_mut() {
            Some(leading) if leading.staged => {
                leading.staged = false;
                leading.proposer.seal()
            }
            _ => return,
        };
        for entry in entries {
            let behind = entry.slot.index.position_after();
            let proposing = self.consensus.propose(leadership, entry).await;
            on_the_way.push_back(OnTheWay { behind, proposing });
        }
    }

    /// Tells everybody whose decision relied on nothing behind a committed position.
    fn settle(&self, committed: Position) {
        let mut settled = Vec::new();
        if let Some(leading) = self.leading().as_mut() {
            leading.committed = committed;
            let waiting = &mut leading.waiting;
            while let Some(first) = waiting.pop_front_if(|first| first.relies_on <= committed) {
                settled.push(first);
            }
        }
        for Waiting { outcome, tell, .. } in settled {
            tell(Decision::Decided(outcome));
        }
    }

    /// Waits for what is on its way as long as the leadership lasts, and tells everybody else what is known: that nothing
    /// of theirs was proposed, or where it stands.
    async fn give_up(
        &self,
        rest: Leading,
        on_the_way: VecDeque<OnTheWay>,
        ended: Ended,
        standing: &mut StandingWatch,
    ) {
        let Leading { leadership, mut waiting, mut committed, .. } = rest;
        // Behind an entry that was refused, none fits.
        let mut refused = matches!(ended, Ended::Refused);
        let mut proposed_to = match ended {
            Ended::Undecided(behind) => behind,
            Ended::Refused | Ended::Over | Ended::Paused | Ended::Stopped => committed,
        };
        let mut looks = pin!(tokio::time::sleep(LATE_WITHIN));
        for OnTheWay { behind, mut proposing } in on_the_way {
            let told = loop {
                tokio::select! {
                    biased;
                    told = &mut proposing => break proposed(told),
                    changed = standing.changed() => {
                        if changed.is_err() || standing.leadership() != Some(leadership) {
                            break proposed_by_now(&mut proposing);
                        }
                    }
                    // Without a majority it may last, and nobody waits for longer than was asked.
                    () = &mut looks => {
                        let now = Instant::now();
                        let late = take_late(&mut waiting, now);
                        late.into_iter().for_each(|waiting| (waiting.tell)(Decision::Late));
                        looks.as_mut().reset(now + LATE_WITHIN);
                    }
                }
            };
            match told {
                Proposed::Committed => committed = behind,
                Proposed::Refused => refused = true,
                Proposed::Undecided if !refused => proposed_to = behind,
                Proposed::Undecided => {}
            }
        }
        let proposed_to = proposed_to.max(committed);
        while let Some(Waiting { relies_on, outcome, tell, .. }) = waiting.pop_front() {
            let decision = match &outcome {
                _ if relies_on <= committed => Decision::Decided(outcome),
                Outcome::Appended { at } if relies_on <= proposed_to => {
                    let slot = Slot { term: leadership.term, node: leadership.node, index: at.index };
                    Decision::Undecided(slot, outcome)
                }
                _ => Decision::Again,
            };
            tell(decision);
        }
    }
}

/// Takes those whose time is over.
fn take_late(waiting: &mut VecDeque<Waiting>, now: Instant) -> VecDeque<Waiting> {
    let is_late = |waiting: &Waiting| waiting.until.is_some_and(|until| until <= now);
    let (late, others) = waiting.drain(..).partition(is_late);
    *waiting = others;
    late
}

/// Waits until a proposal's fate is told; for ever where there is none.
async fn told(proposing: Option<&mut Proposing>) -> <Proposing as Future>::Output {
    match proposing {
        Some(proposing) => proposing.await,
        None => std::future::pending().await,
    }
}

/// Returns what is known of a proposal without waiting.
fn proposed_by_now(proposing: &mut Proposing) -> Proposed {
    match proposing.try_recv() {
        Ok(told) => proposed(Ok(told)),
        Err(_) => Proposed::Undecided,
    }
}

/// Why a leadership proposes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It is over.
    Over,
    /// The group stopped here.
    Stopped,
    /// Consensus refused a proposal; it may take the next ones.
    Refused,
    /// It is not known whether the entry below the position will be committed.
    Undecided(Position),
    /// Somebody asked for a pause.
    Paused,
}
