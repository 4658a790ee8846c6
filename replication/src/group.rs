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
use crate::counts::GroupCounts;
use crate::heads::{self, Divergence, Heads};
use crate::heartbeats::Heartbeats;
use crate::link::Link;
use crate::message::{self, Subject};
use crate::queue::Queue;
use crate::raft::{Consensus, ConsensusError, Member, Progress, Role, Standing, StandingWatch, Timing};
use crate::remote;
use crate::repair;
use crate::retention;
use crate::sequencer::{Decision, Paused, Sequencer, Tell};

/// How long a change of members may take.
const CHANGE_WITHIN: Duration = Duration::from_secs(5);

/// A replicated log on one node. Cloning shares it.
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    id: LogId,
    me: NodeId,
    log: ReplicaLog,
    link: Arc<dyn Link>,
    consensus: Consensus,
    sequencer: Arc<Sequencer>,
    queue: Queue,
    heads: Heads,
    /// How long it takes until a leader is missed.
    missed_after: Duration,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("id", &self.inner.id)
            .field("me", &self.inner.me)
            .finish_non_exhaustive()
    }
}

/// What somebody who asks has seen of the group, and waits for to change.
pub(crate) struct Seen {
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
            () = tokio::time::sleep_until(over) => {}
        }
    }

    /// Begins anew with short pauses.
    pub(crate) fn goes_on(&mut self) {
        self.pauses = Pauses::default();
    }

    /// Returns who leads, as far as this node knows.
    pub(crate) fn leader(&mut self) -> Option<NodeId> {
        self.standing.standing().leader
    }

    /// Completes once somebody else is known to lead.
    pub(crate) async fn another_leads(&mut self, leader: NodeId) {
        while self.leader().is_none_or(|now| now == leader) {
            if self.standing.changed().await.is_err() {
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
        let consensus = Consensus::start(&log, me, Arc::clone(&link), timing, heartbeats).await?;
        let sequencer = Sequencer::start(log.clone(), consensus.clone(), identity);
        let members = {
            let consensus = consensus.clone();
            move || consensus.standing().members.into_keys().collect()
        };
        let heads = Heads::start(log.clone(), me, Arc::clone(&link), members);
        let (id, missed_after) = (log.reader().id(), timing.election_max);
        Ok(Self {
            inner: Arc::new(Inner {
                id,
                me,
                log,
                link,
                consensus,
                sequencer,
                queue: Queue::default(),
                heads,
                missed_after,
            }),
        })
    }

    /// Gives up of the log what a retention does not keep, from now on: where this node leads by a record in the log, and
    /// everywhere, once that is committed, the space that it takes. A replica that comes later begins where the others do.
    ///
    /// Called once for a group; only one that is called it gives its space back.
    pub fn keep(&self, retention: &Retention) {
        let Inner { log, consensus, sequencer, .. } = &*self.inner;
        let (log, consensus, sequencer) = (log.clone(), consensus.clone(), Arc::clone(sequencer));
        tokio::spawn(retention::follow(log, consensus, sequencer, retention.clone()));
    }

    /// Begins a group that has no members yet; called on one of them.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::AlreadyBegun`], [`ConsensusError::Stopped`].
    pub async fn begin(&self, members: &BTreeMap<NodeId, Member>) -> Result<(), ConsensusError> {
        self.inner.consensus.begin(members).await
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
        self.inner.consensus.standing()
    }

    /// Tells whether the log can be put in order now, as far as this node knows: another node leads, or this one does and has
    /// heard of a majority within twice the time after which it would be missed.
    pub fn hears_majority(&self) -> bool {
        let standing = self.standing();
        if standing.role != Role::Leader {
            return standing.leader.is_some_and(|leader| leader != self.inner.me);
        }
        let progress = self.progress();
        let heard = |node: &NodeId| {
            let ago = progress.get(node).and_then(|known| known.heard);
            *node == self.inner.me || ago.is_some_and(|ago| ago < self.inner.missed_after * 2)
        };
        standing.voters.iter().filter(|node| heard(node)).count() > standing.voters.len() / 2
    }

    /// Tells whether the disk is full, and the group takes no part on this node until there is room. What it was asked
    /// meanwhile is refused; the other nodes go on, if they are a majority.
    pub fn waits_for_room(&self) -> bool {
        self.inner.consensus.waits_for_room()
    }

    /// Returns what was counted since the group was started here.
    pub fn counts(&self) -> GroupCounts {
        self.inner.consensus.counts()
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
        if self.waits_for_room() {
            return Ok(false);
        }
        self.inner.sequencer.submit_then(request, Some(until), told)
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
        let mut ready = self.inner.sequencer.ready();
        ready.mark_unchanged();
        Seen { standing: self.inner.consensus.watch(), ready, pauses: Pauses::default() }
    }

    /// Has this node's sequencer decide.
    async fn decide(&self, encoded: &[u8], deadline: Instant) -> Result<Tried, AppendError> {
        let Inner { me, sequencer, .. } = &*self.inner;
        if self.waits_for_room() {
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
                    tokio::time::timeout_at(deadline, self.inner.consensus.read_position()).await.ok()
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
            if let Some(Err(stopped @ ConsensusError::Stopped { .. })) = asked {
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
            Subject::Consensus => self.inner.consensus.handle(from, body).await,
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
            Subject::Fetch => repair::answer_fetch(&self.inner.log, &body),
            Subject::Manifest => self.inner.consensus.snapshots().answer_manifest(),
            Subject::State => self.inner.consensus.snapshots().answer_state(&body),
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
        let asked = tokio::time::timeout_at(deadline, self.inner.consensus.read_position()).await;
        asked.map_err(|_| "no majority answered in time")?.map_err(|error| error.to_string())
    }

    /// Answers a heartbeat that came with those of other groups; `None` where there is nothing to answer.
    pub(crate) async fn hear(&self, from: NodeId, body: Bytes) -> Option<Bytes> {
        let answer = self.inner.consensus.hear(from, body).await;
        answer.inspect_err(|cause| tracing::debug!(group = %self.inner.id, %from, cause, "no answer")).ok()
    }

    /// Makes nodes learners, which get the log and have no vote; on the leader only. Returns when that is committed.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::NotLeading`], [`ConsensusError::Membership`], [`ConsensusError::Stopped`];
    /// [`ConsensusError::Undecided`] where no majority took it within 5 s: it may come about later, and is to be asked for again.
    pub async fn add_learners(&self, learners: &BTreeMap<NodeId, Member>) -> Result<(), ConsensusError> {
        self.change(self.inner.consensus.add_learners(learners)).await
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
        self.change(self.inner.consensus.set_voters(voters, learners)).await
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
        self.inner.consensus.progress()
    }

    async fn pause(&self) -> Result<Paused, ConsensusError> {
        let paused = self.inner.sequencer.pause().await;
        paused.ok_or_else(|| ConsensusError::NotLeading { leader: self.standing().leader })
    }

    /// Hands the leadership over to a member, and waits until that leads.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::NotLeading`] where this node does not lead, or the member did not take over in time.
    pub async fn transfer(&self, to: NodeId, within: Duration) -> Result<(), ConsensusError> {
        let mut watch = self.inner.consensus.watch();
        if watch.leadership().is_none() {
            return Err(ConsensusError::NotLeading { leader: self.standing().leader });
        }
        let deadline = Instant::now() + within;
        // Nothing is proposed meanwhile, since consensus would refuse it. What is on its way comes to no end without a majority.
        let Ok(paused) = tokio::time::timeout_at(deadline, self.pause()).await else {
            return Err(ConsensusError::NotLeading { leader: self.standing().leader });
        };
        let _paused = paused?;
        self.inner.consensus.transfer(to).await?;
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

    /// Stops taking part, and closes the replica.
    ///
    /// # Errors
    ///
    /// As [`ReplicaLog::close`].
    pub async fn stop(&self) -> Result<(), redex::ReplicaError> {
        self.inner.heads.stop().await;
        self.inner.consensus.stop().await;
        self.inner.log.close()
    }
}
