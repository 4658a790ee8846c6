//! A replicated log on one node: requests from anybody, to whoever leads.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base::wire::{Cursor, Put};
use base::{Identity, LogId, NodeId, Position, Slot};
use bytes::Bytes;
use redex::exchange::{Request, decode_outcome, decode_request, encode_outcome, encode_request};
use redex::{AppendError, AppendRequest, EntryContent, LogReader, Outcome, Rejection, ReplicaLog, Retention};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::counts::GroupCounts;
use crate::heads::{self, Divergence, Heads};
use crate::link::{Link, LinkError};
use crate::message::{self, Subject};
use crate::raft::{Consensus, ConsensusError, Member, Progress, Role, Standing, StandingWatch, Timing};
use crate::repair;
use crate::retention;
use crate::sequencer::{Decision, Paused, Sequencer, Tell};

/// How long somebody whom nobody answered waits before asking again, at first; twice as long each time.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(1);
/// How long at most.
const ASK_AGAIN_MAX: Duration = Duration::from_millis(50);
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
struct Seen {
    standing: StandingWatch,
    ready: watch::Receiver<bool>,
    /// How long the last pause was.
    pause: Duration,
}

impl Seen {
    /// Waits for what a leader makes of a request that can be asked again, as long as nobody else is known to lead.
    async fn until_another_leads(&mut self, leader: NodeId, tried: impl Future<Output = Tried>) -> Tried {
        let another = async {
            while self.standing.standing().leader.is_none_or(|now| now == leader) {
                if self.standing.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            tried = tried => tried,
            () = another => Tried::Lost(format!("node {leader} leads no more")),
        }
    }
}

/// What one try to have a request decided came to.
enum Tried {
    Decided(Outcome),
    /// Surely nothing came of it.
    Again(String),
    /// Something may have come of it.
    Lost(String),
}

impl Group {
    /// Takes part in a group with a replica; entries that this node puts in order are signed with its key.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::InDoubt`] for a replica that is to be [repaired](crate::repair) first; [`ConsensusError::Times`],
    /// [`ConsensusError::Stopped`] where the replica's state does not allow it.
    pub async fn start(
        log: ReplicaLog,
        me: NodeId,
        identity: Arc<Identity>,
        link: Arc<dyn Link>,
        timing: &Timing,
    ) -> Result<Self, ConsensusError> {
        if let Some(cause) = log.doubt() {
            return Err(ConsensusError::InDoubt { cause });
        }
        let consensus = Consensus::start(&log, me, Arc::clone(&link), timing).await?;
        let sequencer = Sequencer::start(log.clone(), consensus.clone(), identity);
        let members = {
            let consensus = consensus.clone();
            move || consensus.standing().members.into_keys().collect()
        };
        let heads = Heads::start(log.clone(), me, Arc::clone(&link), members);
        let (id, missed_after) = (log.reader().id(), timing.election_max);
        Ok(Self { inner: Arc::new(Inner { id, me, log, link, consensus, sequencer, heads, missed_after }) })
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
        mut first: Option<Tried>,
    ) -> Result<Outcome, AppendError> {
        let repeatable = decode_request(encoded, |request| request.is_repeatable())?;
        let (mut lost, mut seen) = (None, self.look());
        loop {
            let tried = match seen.standing.standing().leader {
                _ if first.is_some() => first.take().unwrap_or_else(|| Tried::Again(String::new())),
                Some(leader) if leader == self.inner.me => self.decide(encoded, deadline).await?,
                Some(leader) => {
                    let forwarded = self.forward(leader, encoded, deadline);
                    match repeatable {
                        true => seen.until_another_leads(leader, forwarded).await,
                        false => forwarded.await,
                    }
                }
                None => Tried::Again("no leader is known".to_owned()),
            };
            let cause = match tried {
                Tried::Decided(outcome) => return Ok(outcome),
                Tried::Again(cause) => cause,
                Tried::Lost(cause) => lost.insert(cause).clone(),
            };
            if lost.is_none() || repeatable {
                self.wait_for_change(&mut seen, deadline).await;
                if Instant::now() < deadline {
                    continue;
                }
            }
            return Ok(match lost {
                Some(cause) => Outcome::Unknown { cause },
                None => {
                    let position = self.reader().visible();
                    Outcome::Rejected { reason: Rejection::Unavailable { cause }, position }
                }
            });
        }
    }

    /// Waits until asking again may help: something changed, or some time went by.
    async fn wait_for_change(&self, seen: &mut Seen, deadline: Instant) {
        seen.pause = (seen.pause * 2).clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX);
        // Where the group stopped, nothing changes any more: then the time is all there is to wait for.
        tokio::select! {
            Ok(()) = seen.standing.changed() => {}
            Ok(()) = seen.ready.changed() => {}
            () = tokio::time::sleep_until(deadline.min(Instant::now() + seen.pause)) => {}
        }
    }

    fn look(&self) -> Seen {
        let mut ready = self.inner.sequencer.ready();
        ready.mark_unchanged();
        Seen { standing: self.inner.consensus.watch(), ready, pause: Duration::ZERO }
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

    /// Asks another node for a decision.
    async fn forward(&self, leader: NodeId, request: &Bytes, deadline: Instant) -> Tried {
        let within = deadline.saturating_duration_since(Instant::now());
        let mut body = message::begin(Subject::Request, self.inner.id);
        body.put_u32(millis(within));
        body.put(request);
        let answer = match self.inner.link.request(leader, body.into(), within).await {
            Ok(answer) => answer,
            Err(error @ LinkError::Unreachable { .. }) => return Tried::Again(error.to_string()),
            Err(error) => return Tried::Lost(error.to_string()),
        };
        match answer.split_first() {
            Some((&DECIDED, outcome)) => match decode_outcome(outcome) {
                // It is not this node's disk that is to be made room on.
                Ok(Outcome::Rejected { reason: Rejection::DiskFull, position }) => {
                    let cause = format!("the disk of node {leader}, which leads, is full");
                    Tried::Decided(Outcome::Rejected { reason: Rejection::Unavailable { cause }, position })
                }
                Ok(outcome) => Tried::Decided(outcome),
                Err(error) => Tried::Lost(error.to_string()),
            },
            Some((&AGAIN, cause)) => Tried::Again(String::from_utf8_lossy(cause).into_owned()),
            Some((&LOST, cause)) => Tried::Lost(String::from_utf8_lossy(cause).into_owned()),
            _ => Tried::Lost(format!("node {leader} gave an answer that is none")),
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
            let leader = seen.standing.standing().leader;
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
            self.wait_for_change(&mut seen, deadline).await;
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
                let answer = match self.decide(&request, deadline).await.map_err(|error| error.to_string())? {
                    Tried::Decided(outcome) => [&[DECIDED][..], &encode_outcome(&outcome)].concat(),
                    Tried::Again(cause) => [&[AGAIN], cause.as_bytes()].concat(),
                    Tried::Lost(cause) => [&[LOST], cause.as_bytes()].concat(),
                };
                Ok(answer.into())
            }
            Subject::ReadPosition => {
                let (deadline, _) = take_deadline(&body)?;
                let asked = tokio::time::timeout_at(deadline, self.inner.consensus.read_position()).await;
                let position =
                    asked.map_err(|_| "no majority answered in time")?.map_err(|error| error.to_string())?;
                let mut answer = vec![DECIDED];
                answer.put_u64(position.0);
                Ok(answer.into())
            }
            Subject::Inquiry => Ok(repair::answer_inquiry(&self.inner.log)),
            Subject::Fetch => repair::answer_fetch(&self.inner.log, &body),
            Subject::Manifest => self.inner.consensus.snapshots().answer_manifest(),
            Subject::State => self.inner.consensus.snapshots().answer_state(&body),
            Subject::Heads => heads::answer(&self.inner.log, &body),
        }
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

const DECIDED: u8 = 0;
const AGAIN: u8 = 1;
const LOST: u8 = 2;

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Takes the time off that an answer may take.
fn take_deadline(body: &Bytes) -> Result<(Instant, Bytes), String> {
    let mut cursor = Cursor::new(body);
    let within = cursor.u32("time").map_err(|malformed| format!("a message with a wrong {malformed}"))?;
    Ok((Instant::now() + Duration::from_millis(within.into()), body.slice(4..)))
}
