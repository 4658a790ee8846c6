//! A replicated log on one node: requests from anybody, to whoever leads.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::wire::{Cursor, Put};
use base::{Identity, LogId, NodeId, Position, Slot};
use bytes::Bytes;
use futures::FutureExt as _;
use redex::exchange::{Request, decode_request, encode_request};
use redex::{AppendError, AppendRequest, EntryContent, LogReader, Outcome, Rejection, ReplicaLog, Retention};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::ask::{self, Asker, DECIDED, Pauses, Tried, millis, take_deadline};
use crate::budget::{Allowance, Budget};
use crate::changes::StandingChanges;
use crate::config::ReplicationConfig;
use crate::counts::{Counters, GroupCounts};
use crate::heads::{self, Divergence, Heads};
use crate::heartbeats::Heartbeats;
use crate::link::Link;
use crate::message::{self, Subject};
use crate::queue::Queue;
use crate::raft::{
    Consensus, ConsensusError, Member, Progress, Reach, Role, Standing, StandingWatch, Timing,
};
use crate::remote;
use crate::repair;
use crate::retention;
use crate::sequencer::{Decision, Paused, Sequencer, Tell};

/// How long a change of members may take.
const CHANGE_WITHIN: Duration = Duration::from_secs(5);

/// How long an answer to a replica in doubt waits for the budget at most; then it goes all the same.
const FETCH_WAITS_MAX: Duration = Duration::from_secs(5);

/// A replicated log on one node. Cloning shares it.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    id: LogId,
    me: NodeId,
    log: ReplicaLog,
    identity: Arc<Identity>,
    link: Arc<dyn Link>,
    allowance: Allowance,
    /// What the log keeps, once that was said.
    retention: watch::Sender<Option<Retention>>,
    queue: Queue,
    heads: Heads,
    run: watch::Sender<Run>,
    /// Held while a run ends, and another one begins.
    turning: tokio::sync::Mutex<()>,
}

/// The run of a group that is under way here, or was the last.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) running: Arc<Running>,
    /// Whether it was stopped for good.
    pub(crate) closed: bool,
}

/// A group between two starts.
pub(crate) struct Running {
    pub(crate) consensus: Consensus,
    sequencer: Arc<Sequencer>,
    timing: Timing,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.inner.id)
            .field("me", &self.inner.me)
            .finish_non_exhaustive()
    }
}

impl Running {
    /// Looks after what the log keeps, until the run ends.
    fn look_after(&self, log: &ReplicaLog, retention: &watch::Sender<Option<Retention>>) {
        let (consensus, sequencer) = (self.consensus.clone(), Arc::clone(&self.sequencer));
        tokio::spawn(retention::follow(log.clone(), consensus, sequencer, retention.subscribe()));
    }
}

/// What somebody who asks has seen of the group, and waits for to change.
pub(crate) struct Seen {
    run: watch::Receiver<Run>,
    running: Arc<Running>,
    standing: StandingWatch,
    ready: watch::Receiver<bool>,
    pauses: Pauses,
}

impl Seen {
    /// Waits until asking again may help: something changed, or some time went by.
    pub(crate) async fn wait_for_change(&mut self, deadline: Instant) {
        let over = self.pauses.next(deadline);
        // Where the group stopped, nothing changes any more: then the time is all there is to wait for.
        tokio::select! {
            Ok(()) = self.standing.changed() => {}
            Ok(()) = self.ready.changed() => {}
            Ok(()) = self.run.changed() => {}
            () = tokio::time::sleep_until(over) => {}
        }
    }

    /// Begins anew with short pauses.
    pub(crate) fn goes_on(&mut self) {
        self.pauses = Pauses::default();
    }

    /// Returns who leads, as far as this node knows.
    pub(crate) fn leader(&mut self) -> Option<NodeId> {
        self.look_at_the_newest();
        self.standing.standing().leader
    }

    /// Looks at another run of the group, if there is one since.
    fn look_at_the_newest(&mut self) {
        let running = Arc::clone(&self.run.borrow().running);
        if !Arc::ptr_eq(&running, &self.running) {
            let pauses = std::mem::take(&mut self.pauses);
            *self = Self { pauses, ..Self::of(self.run.clone(), running) };
        }
    }

    fn of(run: watch::Receiver<Run>, running: Arc<Running>) -> Self {
        let mut ready = running.sequencer.ready();
        ready.mark_unchanged();
        Self { run, standing: running.consensus.watch(), running, ready, pauses: Pauses::default() }
    }

    /// Completes once somebody else is known to lead.
    pub(crate) async fn another_leads(&mut self, leader: NodeId) {
        while self.leader().is_none_or(|now| now == leader) {
            // Where it stopped, another run may follow.
            if self.standing.changed().await.is_err() && self.run.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits for what a leader makes of a request that can be asked again, as long as nobody else is known to lead.
    async fn until_another_leads(&mut self, leader: NodeId, tried: impl Future<Output = Tried>) -> Tried {
        tokio::select! {
            tried = tried => tried,
            () = self.another_leads(leader) => Tried::Lost(format!("node {leader} leads no more")),
        }
    }
}

/// Asks on a member of the group.
struct Insider<'a> {
    group: &'a Group,
    seen: Seen,
}

impl Asker for Insider<'_> {
    async fn try_once(
        &mut self,
        encoded: &Bytes,
        repeatable: bool,
        deadline: Instant,
    ) -> Result<Tried, AppendError> {
        let Inner { id, me, link, .. } = &*self.group.inner;
        Ok(match self.seen.leader() {
            Some(leader) if leader == *me => self.group.decide(encoded, deadline).await?,
            Some(leader) => {
                let forwarded = ask::forward(&**link, *id, leader, encoded, deadline);
                match repeatable {
                    true => self.seen.until_another_leads(leader, forwarded).await,
                    false => forwarded.await,
                }
            }
            None => Tried::Again("no leader is known".to_owned()),
        })
    }

    async fn wait_for_change(&mut self, deadline: Instant) {
        self.seen.wait_for_change(deadline).await;
    }

    fn position(&self) -> Position {
        self.group.reader().visible()
    }
}

impl Group {
    /// Takes part in a group with a replica; see [`Groups::start`](crate::Groups::start).
    pub(crate) async fn start(
        log: ReplicaLog,
        me: NodeId,
        identity: Arc<Identity>,
        link: Arc<dyn Link>,
        timing: &Timing,
        heartbeats: &Heartbeats,
    ) -> Result<Self, ConsensusError> {
        if let Some(cause) = log.doubt() {
            return Err(ConsensusError::InDoubt { cause });
        }
        let (allowance, counters) = (Allowance::default(), Counters::default());
        let (group, to, heartbeats) = (log.reader().id(), Arc::clone(&link), heartbeats.clone());
        let reach = Reach { group, link: to, allowance: allowance.clone(), counters, heartbeats };
        let consensus = Consensus::start(&log, me, reach, timing).await?;
        let sequencer = Sequencer::start(log.clone(), consensus.clone(), Arc::clone(&identity));
        let running = Arc::new(Running { consensus, sequencer, timing: timing.clone() });
        let retention = watch::Sender::new(None);
        running.look_after(&log, &retention);
        let (queue, run) = (Queue::default(), watch::Sender::new(Run { running, closed: false }));
        let runs = run.subscribe();
        let members = move || runs.borrow().running.consensus.standing().members.into_keys().collect();
        let heads = Heads::start(log.clone(), me, Arc::clone(&link), members);
        let turning = tokio::sync::Mutex::default();
        let id = group;
        let inner = Inner { id, me, log, identity, link, allowance, retention, queue, heads, run, turning };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Stops taking part, and begins again with other times: requests that were not decided wait meanwhile, and an append that
    /// was proposed is looked up in what is committed. A leader had better hand over before, since nobody leads until the others
    /// have missed it.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::Times`], and the group goes on as it was. [`ConsensusError::Stopped`], and it takes no part until this
    /// succeeds; not once it was stopped for good.
    pub async fn restart(&self, timing: &Timing) -> Result<(), ConsensusError> {
        let Inner { me, log, identity, retention, run, turning, .. } = &*self.inner;
        let _turning = turning.lock().await;
        if run.borrow().closed {
            return Err(ConsensusError::Stopped { cause: "it was stopped for good".to_owned() });
        }
        timing.check()?;
        let before = self.running();
        let votes_alone = before.consensus.standing().voters == BTreeSet::from([*me]);
        before.consensus.stop().await;
        // Consensus takes what a replica holds when it starts for durable.
        log.settle_doubt().map_err(|error| ConsensusError::Stopped { cause: error.to_string() })?;
        let consensus = Consensus::start(log, *me, before.consensus.reach().clone(), timing).await?;
        if votes_alone {
            // Nobody is there whose heartbeat would be waited for.
            consensus.stand().await?;
        }
        let sequencer = Sequencer::start(log.clone(), consensus.clone(), Arc::clone(identity));
        let running = Arc::new(Running { consensus, sequencer, timing: timing.clone() });
        running.look_after(log, retention);
        run.send_modify(|run| run.running = running);
        Ok(())
    }

    fn running(&self) -> Arc<Running> {
        Arc::clone(&self.inner.run.borrow().running)
    }

    /// Returns the times of the group on this node.
    pub fn timing(&self) -> Timing {
        self.running().timing.clone()
    }

    /// Has what brings replicas up that are behind, where this node leads, taken from a budget, as a configuration says. Without
    /// one it has no limit.
    pub fn set_budget(&self, budget: &Budget, config: &ReplicationConfig) {
        self.inner.allowance.set(budget, config);
    }

    /// Follows what changes of how the group stands here from now on.
    pub fn watch_standing(&self) -> StandingChanges {
        StandingChanges::new(self.inner.run.subscribe())
    }

    /// Gives up of the log what a retention does not keep, from now on: where this node leads by a record in the log, and
    /// everywhere, once that is committed, the space that it takes. A replica that comes later begins where the others do.
    ///
    /// Only a group that is told a retention gives its space back, even if it is to keep everything; told another one, it
    /// keeps what that says.
    pub fn keep(&self, retention: &Retention) {
        self.inner.retention.send_if_modified(|now| {
            let is_new = now.as_ref() != Some(retention);
            *now = Some(retention.clone());
            is_new
        });
    }

    /// Begins a group that has no members yet; called on one of them.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::AlreadyBegun`], [`ConsensusError::Stopped`].
    pub async fn begin(&self, members: &BTreeMap<NodeId, Member>) -> Result<(), ConsensusError> {
        self.running().consensus.begin(members).await
    }

    /// Returns the log's id, which is the group's.
    pub fn id(&self) -> LogId {
        self.inner.id
    }

    /// Returns this node.
    pub fn node(&self) -> NodeId {
        self.inner.me
    }

    /// Returns how the group stands, as this node sees it.
    pub fn standing(&self) -> Standing {
        self.running().consensus.standing()
    }

    /// Tells whether the log can be put in order now, as far as this node knows: another node leads, or this one does and has
    /// heard of a majority within twice the time after which it would be missed.
    pub fn hears_majority(&self) -> bool {
        let standing = self.standing();
        if standing.role != Role::Leader {
            return standing.leader.is_some_and(|leader| leader != self.inner.me);
        }
        let (progress, missed_after) = (self.progress(), self.running().timing.election_max);
        let heard = |node: &NodeId| {
            let ago = progress.get(node).and_then(|known| known.heard);
            *node == self.inner.me || ago.is_some_and(|ago| ago < missed_after * 2)
        };
        standing.voters.iter().filter(|node| heard(node)).count() > standing.voters.len() / 2
    }

    /// Tells whether the disk is full, and the group takes no part on this node until there is room. What it was asked
    /// meanwhile is refused; the other nodes go on, if they are a majority.
    pub fn waits_for_room(&self) -> bool {
        self.running().consensus.waits_for_room()
    }

    /// Returns what was counted since the group was started here.
    pub fn counts(&self) -> GroupCounts {
        self.running().consensus.counts()
    }

    /// Returns how many forks of the log this node has found: two different entries that one key signed for one place.
    pub fn forks(&self) -> u64 {
        self.inner.log.forks()
    }

    /// Returns the nodes that count other entries as committed than this one, each with the first one that was found.
    pub fn divergences(&self) -> BTreeMap<NodeId, Divergence> {
        self.inner.heads.divergences()
    }

    /// Returns the replica.
    pub fn replica(&self) -> &ReplicaLog {
        &self.inner.log
    }

    /// Returns the reading side: what is committed, as far as this node knows.
    pub fn reader(&self) -> &LogReader {
        self.inner.log.reader()
    }

    /// Has an append decided by whoever leads, waiting for a leader where there is none.
    ///
    /// *Durability*: `Outcome::Appended`, `AlreadyAppended` and what `Rejected` relied on are committed. A request that can
    /// be repeated, by key or producer, is asked again until it is decided or the time is over; one that cannot be is
    /// `Unknown` once nobody knows what became of it.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`], [`AppendError::Empty`].
    pub async fn append(
        &self,
        request: &AppendRequest<'_>,
        within: Duration,
    ) -> Result<Outcome, AppendError> {
        self.request(&Request::Append(request), within).await
    }

    /// Has a request decided by whoever leads; see [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`Request::check`].
    pub async fn request(&self, request: &Request<'_>, within: Duration) -> Result<Outcome, AppendError> {
        self.ask_encoded(&Bytes::from(encode_request(request)?), within).await
    }

    /// Has an encoded request decided by whoever leads; see [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`Request::check`]; [`AppendError::Exchange`] for bytes that are no request.
    pub async fn ask_encoded(&self, encoded: &Bytes, within: Duration) -> Result<Outcome, AppendError> {
        self.ask_until(encoded, Instant::now() + within, None).await
    }

    /// Has this node decide on a request, if it puts the log in order: `told` hears what is known of the outcome, on a task that
    /// must not be kept. `false` when it does not, and nothing is told.
    ///
    /// # Errors
    ///
    /// As [`Request::check`]; nothing is told.
    pub(crate) fn decide_here(
        &self,
        request: &Request<'_>,
        until: Instant,
        told: impl FnOnce() -> Tell,
    ) -> Result<bool, AppendError> {
        let running = self.running();
        if running.consensus.waits_for_room() {
            return Ok(false);
        }
        running.sequencer.submit_then(request, Some(until), told)
    }

    /// Goes on with a request of which something is known but its outcome.
    pub(crate) async fn go_on(
        &self,
        encoded: &Bytes,
        until: Instant,
        decision: Decision,
    ) -> Result<Outcome, AppendError> {
        let tried = self.tried(decision, until).await;
        self.ask_until(encoded, until, Some(tried)).await
    }

    async fn ask_until(
        &self,
        encoded: &Bytes,
        deadline: Instant,
        first: Option<Tried>,
    ) -> Result<Outcome, AppendError> {
        ask::ask_until(&mut Insider { group: self, seen: self.look() }, encoded, deadline, first).await
    }

    pub(crate) fn look(&self) -> Seen {
        Seen::of(self.inner.run.subscribe(), self.running())
    }

    /// Has this node's sequencer decide.
    async fn decide(&self, encoded: &[u8], deadline: Instant) -> Result<Tried, AppendError> {
        let (me, Running { consensus, sequencer, .. }) = (self.inner.me, &*self.running());
        if consensus.waits_for_room() {
            let position = self.reader().visible();
            return Ok(Tried::Decided(Outcome::Rejected { reason: Rejection::DiskFull, position }));
        }
        let Some(deciding) = decode_request(encoded, |request| sequencer.submit(request))?? else {
            return Ok(Tried::Again(format!("node {me} does not put the log in order now")));
        };
        Ok(match tokio::time::timeout_at(deadline, deciding).await {
            Ok(Ok(decision)) => self.tried(decision, deadline).await,
            Ok(Err(_)) => Tried::Lost(format!("the group stopped on node {me}")),
            Err(_) => self.tried(Decision::Late, deadline).await,
        })
    }

    /// Has this node's sequencer decide on several requests, in their order.
    pub(crate) async fn decide_all(&self, requests: &[Bytes], deadline: Instant) -> Vec<Tried> {
        // Polled in their order the first time, by which each is decided on; a later one must not be where an earlier is not.
        let mut refused = false;
        let mut deciding = Vec::new();
        for request in requests {
            let mut decided = Box::pin(self.decide(request, deadline));
            let tried = match refused {
                true => Some(Ok(Tried::Again("one before it was not decided on".to_owned()))),
                false => decided.as_mut().now_or_never(),
            };
            refused |= matches!(tried, Some(Ok(Tried::Again(_))));
            deciding.push(match tried {
                Some(tried) => futures::future::ready(tried).boxed(),
                None => decided,
            });
        }
        let decided = futures::future::join_all(deciding).await.into_iter();
        decided.map(|tried| tried.unwrap_or_else(|error| Tried::Lost(error.to_string()))).collect()
    }

    /// Has another node decide on several requests, in their order.
    pub(crate) async fn forward_all(
        self,
        leader: NodeId,
        requests: Vec<Bytes>,
        deadline: Instant,
    ) -> Vec<Tried> {
        let Inner { id, link, .. } = &*self.inner;
        ask::forward_all(&**link, *id, leader, &requests, deadline).await
    }

    /// Returns what is asked on this node and decided elsewhere.
    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    /// Finds out what a decision of this node's sequencer came to.
    async fn tried(&self, decision: Decision, deadline: Instant) -> Tried {
        match decision {
            Decision::Decided(outcome) => Tried::Decided(outcome),
            Decision::Again => Tried::Again(format!("the leadership of node {} ended", self.inner.me)),
            Decision::Undecided(slot, outcome) => self.resolve(slot, outcome, deadline).await,
            Decision::Late => Tried::Lost("no majority took it in time".to_owned()),
        }
    }

    /// Waits until the group has decided what stands at a slot's place.
    async fn resolve(&self, slot: Slot, outcome: Outcome, deadline: Instant) -> Tried {
        let log = &self.inner.log;
        let at = Position(slot.index.0);
        if tokio::time::timeout_at(deadline, log.reader().beyond(at)).await.is_err() {
            return Tried::Lost("its leadership ended, and no other one decided in time".to_owned());
        }
        match log.entries(slot.index..slot.index.next(), u64::MAX) {
            Ok(found) => match found.first() {
                Some(entry) if entry.slot == slot && matches!(entry.content, EntryContent::Sealed(_)) => {
                    Tried::Decided(outcome)
                }
                Some(_) => Tried::Again("another entry stands in its place".to_owned()),
                None => Tried::Lost("its place was given up".to_owned()),
            },
            Err(error) => Tried::Lost(error.to_string()),
        }
    }

    /// Returns the position that a linearizable read must see, once this node's readers see it.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::NotLeading`] when no leader confirmed within the time that it leads.
    pub async fn read_position(&self, within: Duration) -> Result<Position, ConsensusError> {
        let deadline = Instant::now() + within;
        let mut seen = self.look();
        loop {
            let leader = seen.leader();
            let asked = match leader {
                Some(leader) if leader == self.inner.me => {
                    tokio::time::timeout_at(deadline, self.running().consensus.read_position()).await.ok()
                }
                Some(leader) => Some(self.ask_read_position(leader, deadline).await),
                None => None,
            };
            if let Some(Ok(position)) = asked {
                let seen = Position(position.0.saturating_sub(1));
                if tokio::time::timeout_at(deadline, self.reader().beyond(seen)).await.is_ok() {
                    return Ok(position);
                }
            }
            if let Some(Err(stopped @ ConsensusError::Stopped { .. })) = asked
                && Arc::ptr_eq(&seen.running, &self.running())
            {
                return Err(stopped);
            }
            if Instant::now() >= deadline {
                return Err(ConsensusError::NotLeading { leader });
            }
            seen.wait_for_change(deadline).await;
        }
    }

    async fn ask_read_position(&self, leader: NodeId, deadline: Instant) -> Result<Position, ConsensusError> {
        let within = deadline.saturating_duration_since(Instant::now());
        let mut body = message::begin(Subject::ReadPosition, self.inner.id);
        body.put_u32(millis(within));
        let unknown = ConsensusError::NotLeading { leader: None };
        let answer =
            self.inner.link.request(leader, body.into(), within).await.map_err(|_| unknown.clone())?;
        match answer.split_first() {
            Some((&DECIDED, position)) => {
                Cursor::new(position).u64("position").map(Position).map_err(|_| unknown)
            }
            _ => Err(unknown),
        }
    }

    /// Answers what another node sent for this group.
    ///
    /// # Errors
    ///
    /// The cause, where there is nothing to answer.
    pub(crate) async fn handle(&self, from: NodeId, subject: Subject, body: Bytes) -> Result<Bytes, String> {
        match subject {
            Subject::Consensus => self.running().consensus.handle(from, body).await,
            Subject::Request => {
                let (deadline, request) = take_deadline(&body)?;
                Ok(self.decide(&request, deadline).await.map_err(|error| error.to_string())?.answer())
            }
            Subject::Requests => {
                let (deadline, requests) = take_deadline(&body)?;
                let requests =
                    ask::take_list(&requests).map_err(|malformed| format!("a wrong {malformed}"))?;
                let tried = self.decide_all(&requests, deadline).await;
                let mut answer = Vec::new();
                ask::put_list(&mut answer, &tried.iter().map(Tried::answer).collect::<Vec<_>>());
                Ok(answer.into())
            }
            Subject::ReadPosition => {
                let (deadline, _) = take_deadline(&body)?;
                let position = self.confirmed(deadline).await?;
                let mut answer = vec![DECIDED];
                answer.put_u64(position.0);
                Ok(answer.into())
            }
            Subject::Inquiry => Ok(repair::answer_inquiry(&self.inner.log)),
            Subject::Fetch => {
                let answer = repair::answer_fetch(&self.inner.log, &body)?;
                // Whoever repairs waits for an answer as long as this takes, and a little longer.
                let taken = tokio::time::timeout(FETCH_WAITS_MAX, self.inner.allowance.take(answer.len()));
                if let Ok(taken) = taken.await {
                    taken.arrived();
                }
                Ok(answer)
            }
            Subject::Manifest => self.running().consensus.snapshots().answer_manifest(),
            Subject::State => self.running().consensus.snapshots().answer_state(&body),
            Subject::Leader => Ok(remote::answer_leader(&self.standing())),
            Subject::Producer => {
                let (deadline, body) = take_deadline(&body)?;
                let id = remote::take_producer(&body).map_err(|malformed| format!("a wrong {malformed}"))?;
                // Who leads no more does not know what was appended since.
                self.confirmed(deadline).await?;
                Ok(remote::answer_producer(self.inner.log.producer(id).as_ref()))
            }
            Subject::Heartbeats => Err("heartbeats of several groups for one".to_owned()),
            Subject::Heads => heads::answer(&self.inner.log, &body),
        }
    }

    /// Returns the position of a linearizable read, where this node leads and a majority says so in time.
    async fn confirmed(&self, deadline: Instant) -> Result<Position, String> {
        let asked = tokio::time::timeout_at(deadline, self.running().consensus.read_position()).await;
        asked.map_err(|_| "no majority answered in time")?.map_err(|error| error.to_string())
    }

    /// Answers a heartbeat that came with those of other groups; `None` where there is nothing to answer.
    pub(crate) async fn hear(&self, from: NodeId, body: Bytes) -> Option<Bytes> {
        let answer = self.running().consensus.hear(from, body).await;
        answer.inspect_err(|cause| tracing::debug!(group = %self.inner.id, %from, cause, "no answer")).ok()
    }

    /// Makes nodes learners, which get the log and have no vote; on the leader only. Returns when that is committed.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::NotLeading`], [`ConsensusError::Membership`], [`ConsensusError::Stopped`];
    /// [`ConsensusError::Undecided`] where no majority took it within 5 s: it may come about later, and is to be asked for again.
    pub async fn add_learners(&self, learners: &BTreeMap<NodeId, Member>) -> Result<(), ConsensusError> {
        self.change(self.running().consensus.add_learners(learners)).await
    }

    /// Makes exactly these members voters, by way of a joint membership, and keeps further ones without a vote; on the
    /// leader only. Members that are not named leave the group. Returns when that is committed.
    ///
    /// # Errors
    ///
    /// As [`add_learners`](Self::add_learners).
    pub async fn set_voters(
        &self,
        voters: &BTreeSet<NodeId>,
        learners: &BTreeSet<NodeId>,
    ) -> Result<(), ConsensusError> {
        self.change(self.running().consensus.set_voters(voters, learners)).await
    }

    /// Changes membership while nothing is proposed. What is on its way comes to no end without a majority, nor does the change.
    async fn change(
        &self,
        change: impl Future<Output = Result<(), ConsensusError>>,
    ) -> Result<(), ConsensusError> {
        let paused = async {
            let _paused = self.pause().await?;
            change.await
        };
        let changed = tokio::time::timeout(CHANGE_WITHIN, paused).await;
        changed.unwrap_or(Err(ConsensusError::Undecided { within: CHANGE_WITHIN }))
    }

    /// Tells what is known of each other member, where this node leads; nothing elsewhere.
    pub fn progress(&self) -> BTreeMap<NodeId, Progress> {
        self.running().consensus.progress()
    }

    async fn pause(&self) -> Result<Paused, ConsensusError> {
        let paused = self.running().sequencer.pause().await;
        paused.ok_or_else(|| ConsensusError::NotLeading { leader: self.standing().leader })
    }

    /// Hands the leadership over to a member, and waits until that leads.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::NotLeading`] where this node does not lead, or the member did not take over in time.
    pub async fn transfer(&self, to: NodeId, within: Duration) -> Result<(), ConsensusError> {
        let mut watch = self.running().consensus.watch();
        if watch.leadership().is_none() {
            return Err(ConsensusError::NotLeading { leader: self.standing().leader });
        }
        let deadline = Instant::now() + within;
        // Nothing is proposed meanwhile, since consensus would refuse it. What is on its way comes to no end without a majority.
        let Ok(paused) = tokio::time::timeout_at(deadline, self.pause()).await else {
            return Err(ConsensusError::NotLeading { leader: self.standing().leader });
        };
        let _paused = paused?;
        self.running().consensus.transfer(to).await?;
        let leads = async {
            while watch.standing().leader != Some(to) {
                watch.changed().await.ok()?;
            }
            Some(())
        };
        match tokio::time::timeout_at(deadline, leads).await {
            Ok(Some(())) => Ok(()),
            _ => Err(ConsensusError::NotLeading { leader: self.standing().leader }),
        }
    }

    /// Stops taking part for good, and closes the replica.
    ///
    /// # Errors
    ///
    /// As [`ReplicaLog::close`].
    pub async fn stop(&self) -> Result<(), redex::ReplicaError> {
        self.inner.heads.stop().await;
        let _turning = self.inner.turning.lock().await;
        self.running().consensus.stop().await;
        self.inner.run.send_modify(|run| run.closed = true);
        self.inner.log.close()
    }
}
