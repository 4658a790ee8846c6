//! One group on one node, as the rest of the crate sees it: without a type of openraft's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::{Index, NodeId, Position, Slot, Term};
use bytes::Bytes;
use openraft::async_runtime::WatchReceiver as _;
use openraft::entry::EntryPayload;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::impls::ProgressResponder;
use openraft::metrics::{RaftMetrics, RaftServerMetrics};
use openraft::raft::{AppendEntriesRequest, ClientWriteResult, SnapshotResponse};
use openraft::type_config::TypeConfigExt as _;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{ChangeMembers, Raft, ReadPolicy, ServerState};
use redex::{EntryContent, ReplicaEntry, ReplicaLog};
use tokio::sync::{oneshot, watch};

use super::machine::{Installing, Machine, Offer, snapshot_of};
use super::network::{Network, Reach};
use super::room::Room;
use super::rpc::{Rpc, encode_appended, encode_installed, encode_transferred, encode_voted};
use super::types::slot_of;
use super::{
    LeaderId, LogId, LogStore, Member, Proposal, RaftVote, TimeoutError, Timing, TypeConfig, config,
    log_id_of,
};
use crate::counts::{Counters, GroupCounts};
use crate::heartbeats::Heartbeats;
use crate::snapshot::{Arriving, Manifest, Snapshots};

/// How much later than another message one comes that was sent before it, at most.
const OVERTAKEN_WITHIN: Duration = Duration::from_millis(20);
/// How long consensus may take to note that there is a snapshot.
const SNAPSHOT_MADE_WITHIN: Duration = Duration::from_secs(10);

/// What a node is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Puts the log in order.
    Leader,
    /// Holds the log, and votes.
    Replica,
    /// Holds the log, and stands for election.
    Candidate,
    /// Holds the log without a vote.
    Learner,
    /// Takes no part: stopped, or failed.
    Idle,
}

impl Role {
    /// Returns the name used in output and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Replica => "replica",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Idle => "idle",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a group stands, as one of its nodes sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What this node is.
    pub role: Role,
    /// The term.
    pub term: Term,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
    /// Who votes; while membership changes, before or after.
    pub voters: BTreeSet<NodeId>,
    /// All members, with where they listen.
    pub members: BTreeMap<NodeId, Member>,
}

/// What a leader knows of another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Up to where it is known to hold the log.
    pub position: Position,
    /// How long ago it answered last; `None` when it never has.
    pub heard: Option<Duration>,
}

/// A leadership of this node: what is proposed under another one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub term: Term,
    pub node: NodeId,
}

/// What became of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proposed {
    /// It is committed.
    Committed,
    /// It is surely not in the log, and never will be.
    Refused,
    /// It may become committed under another leader.
    Undecided,
}

/// Why consensus failed to start, or to do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsensusError {
    /// The group's times do not fit together.
    #[error(transparent)]
    Times(#[from] TimeoutError),
    /// This node does not lead the group.
    #[error("this node does not lead the group{}: ask the leader", leads(.leader))]
    NotLeading {
        /// Who does, as far as is known.
        leader: Option<NodeId>,
    },
    /// The group was begun before.
    #[error("the group has members already: change its membership")]
    AlreadyBegun,
    /// Membership cannot be changed like that now.
    #[error("membership cannot be changed: {cause}")]
    Membership {
        /// Why not.
        cause: String,
    },
    /// A change of the members came to no end in time; it may come about later.
    #[error(
        "a change of the members was not committed within {within:?}, since no majority answers: start the missing nodes, and ask for \
         it again"
    )]
    Undecided {
        /// How long it took so far.
        within: Duration,
    },
    /// The replica lost something that it told others.
    #[error("the replica is in doubt ({cause}): it takes no part until the others gave it back what it lost")]
    InDoubt {
        /// What it lost.
        cause: String,
    },
    /// The group stopped on this node.
    #[error("the group stopped on this node: {cause}; reopen it")]
    Stopped {
        /// Why.
        cause: String,
    },
}

fn leads(leader: &Option<NodeId>) -> String {
    leader.map_or_else(String::new, |leader| format!(", node {leader} does"))
}

impl base::Classify for ConsensusError {
    fn kind(&self) -> base::ErrorKind {
        match self {
            Self::Times(_) => base::ErrorKind::Invalid,
            Self::AlreadyBegun | Self::Membership { .. } => base::ErrorKind::Conflict,
            Self::NotLeading { .. }
            | Self::Undecided { .. }
            | Self::InDoubt { .. }
            | Self::Stopped { .. } => base::ErrorKind::Unavailable,
        }
    }
}

/// A proposal whose fate is told once.
pub(crate) type Proposing = oneshot::Receiver<ClientWriteResult<TypeConfig>>;

/// Turns what openraft tells of a proposal into what is known of it. Told by a receiver that was dropped, nothing is.
pub(crate) fn proposed(told: Result<ClientWriteResult<TypeConfig>, oneshot::error::RecvError>) -> Proposed {
    match told {
        Ok(Ok(written)) if written.data.as_proposed => Proposed::Committed,
        // Another entry stands in its place, or it was refused before it got one.
        Ok(Ok(_) | Err(ClientWriteError::ForwardToLeader(_))) => Proposed::Refused,
        Ok(Err(_)) | Err(_) => Proposed::Undecided,
    }
}

/// One group on one node. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Consensus {
    raft: Raft<TypeConfig, Machine>,
    me: NodeId,
    log: ReplicaLog,
    reach: Reach,
    applied: watch::Receiver<Option<Slot>>,
    room: Room,
    counters: Counters,
    snapshots: Snapshots,
    arriving: Arc<tokio::sync::Mutex<Arriving>>,
    installing: Installing,
}

impl fmt::Debug for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Consensus {
    /// Takes part in a group with what its replica holds.
    pub(crate) async fn start(
        log: &ReplicaLog,
        me: NodeId,
        reach: Reach,
        timing: &Timing,
    ) -> Result<Self, ConsensusError> {
        let config = config(&format!("{}", reach.group), timing)?;
        let counters = reach.counters.clone();
        let room = Room::new(counters.clone());
        let snapshots = Snapshots::new(log.clone());
        let installing = Installing::default();
        let machine = Machine::new(log, room.clone(), snapshots.clone(), installing.clone());
        let machine = machine.map_err(|cause| stopped(&cause))?;
        let applied = machine.applied();
        let (heartbeats, heartbeat) = (reach.heartbeats.clone(), timing.heartbeat);
        let network = Network { reach: reach.clone(), request: timing.request, heartbeat };
        let store = LogStore::waiting_by(log.clone(), room.clone(), installing.clone());
        let raft = Raft::new(me.0, config, network, store, machine).await.map_err(|cause| stopped(&cause))?;
        let (arriving, log) = (Arc::default(), log.clone());
        let consensus =
            Self { raft, me, log, reach, applied, room, counters, snapshots, arriving, installing };
        // All groups of the node beat together; consensus alone would have each beat when it happened to be elected.
        consensus.raft.runtime_config().heartbeat(false);
        tokio::spawn(consensus.counters.clone().follow(consensus.watch()));
        tokio::spawn(beat(consensus.raft.clone(), consensus.watch(), heartbeats, heartbeat));
        Ok(consensus)
    }

    /// Returns how other members are reached.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Tells whether the group waits here for room on the disk.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.room.is_waited_for()
    }

    /// Returns what was counted.
    pub(crate) fn counts(&self) -> GroupCounts {
        self.counters.all()
    }

    /// Begins a group that has no members yet.
    pub(crate) async fn begin(&self, members: &BTreeMap<NodeId, Member>) -> Result<(), ConsensusError> {
        let members: BTreeMap<_, _> = members.iter().map(|(id, member)| (id.0, member.clone())).collect();
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(_)) => Err(ConsensusError::AlreadyBegun),
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
        }
    }

    /// Tells how the group stands.
    pub(crate) fn standing(&self) -> Standing {
        self.watch().standing()
    }

    /// Follows how the group stands.
    pub(crate) fn watch(&self) -> StandingWatch {
        StandingWatch { metrics: self.raft.server_metrics(), end: self.raft.metrics(), me: self.me }
    }

    /// Follows the last slot that is known here to be committed.
    pub(crate) fn applied(&self) -> watch::Receiver<Option<Slot>> {
        self.applied.clone()
    }

    /// Proposes an entry under a leadership. Proposals of one caller keep their order.
    pub(crate) async fn propose(&self, leadership: Leadership, entry: ReplicaEntry) -> Proposing {
        let (responder, proposing) = ProgressResponder::complete_only();
        let EntryContent::Sealed(sealed) = entry.content else {
            unreachable!("only what was sealed is proposed: consensus writes its own entries itself")
        };
        let leader = LeaderId { term: leadership.term.0, node_id: leadership.node.0 };
        // Whoever cannot send drops the responder, which is told like everything that is not known.
        let _ = self.raft.write(Proposal(sealed)).with_leader(leader).responder(responder).await;
        proposing
    }

    /// Returns the position that a linearizable read must have seen, asking a majority whether this node still leads.
    pub(crate) async fn read_position(&self) -> Result<Position, ConsensusError> {
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read, _)) => Ok(Index(read.index()).position_after()),
            Err(RaftError::APIError(_)) => Err(ConsensusError::NotLeading { leader: self.standing().leader }),
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
        }
    }

    /// Answers a request of another member.
    ///
    /// # Errors
    ///
    /// The cause, where there is no answer: the bytes are no request, come from somebody else than they say, or the group
    /// stopped here.
    pub(crate) async fn handle(&self, from: NodeId, body: Bytes) -> Result<Bytes, String> {
        self.answer(from, take_rpc(from, &body)?).await
    }

    /// Answers a heartbeat of another member.
    ///
    /// # Errors
    ///
    /// As [`handle`](Self::handle), and for a request that is no heartbeat.
    pub(crate) async fn hear(&self, from: NodeId, body: Bytes) -> Result<Bytes, String> {
        let rpc = take_rpc(from, &body)?;
        match rpc.is_heartbeat() {
            true => self.answer(from, rpc).await,
            false => Err("something else than a heartbeat among heartbeats".to_owned()),
        }
    }

    async fn answer(&self, from: NodeId, rpc: Rpc) -> Result<Bytes, String> {
        let failed = |cause: &dyn fmt::Display| cause.to_string();
        let answer = match rpc {
            Rpc::Append(append) => {
                self.compare_with_held(&append);
                self.wait_for_the_entry_before(&append).await;
                encode_appended(&self.raft.append_entries(append).await.map_err(|fatal| failed(&fatal))?)
            }
            Rpc::Vote(vote) => encode_voted(&self.raft.vote(vote).await.map_err(|fatal| failed(&fatal))?),
            Rpc::PreVote(vote) => {
                encode_voted(&self.raft.pre_vote(vote).await.map_err(|fatal| failed(&fatal))?)
            }
            Rpc::Transfer(transfer) => encode_transferred(
                &self.raft.handle_transfer_leader(transfer).await.map_err(|fatal| failed(&fatal))?,
            ),
            Rpc::Snapshot(vote, manifest) => encode_installed(&self.install(from, vote, manifest).await?),
        };
        Ok(answer.into())
    }

    /// Goes on with a leader's snapshot, once its state is here.
    async fn install(
        &self,
        from: NodeId,
        vote: RaftVote,
        manifest: Manifest,
    ) -> Result<SnapshotResponse<TypeConfig>, String> {
        let last = log_id_of(&manifest.slot);
        if last.committed_leader_id() > &vote.leader_id {
            return Err(format!("a snapshot up to entry {}, which is beyond its leader", manifest.slot));
        }
        // One is installed at a time; whoever waited may be up to date by then.
        let mut arriving = self.arriving.lock().await;
        let own = self.raft.metrics().borrow_watched().vote;
        let has = self.log.committed().is_some_and(|committed| committed.index >= manifest.slot.index);
        if own > vote || has {
            return Ok(SnapshotResponse::new(own));
        }
        let state = arriving.fetch(&self.reach.link, self.reach.group, from, &manifest).await;
        let state = Some(state.map_err(|error| error.to_string())?);
        let snapshot = snapshot_of(Offer { manifest, state }).map_err(|error| error.to_string())?;
        self.installing.set(true);
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        self.installing.set(false);
        installed.map_err(|fatal| fatal.to_string())
    }

    /// Returns what this node can offer to who lacks the beginning of the log.
    pub(crate) fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Lets go of everything up to an entry, that one included, which nobody reads any more.
    pub(crate) async fn purge(&self, upto: Slot) -> Result<(), ConsensusError> {
        let trigger = self.raft.trigger();
        trigger.snapshot().await.map_err(|fatal| stopped(&fatal))?;
        let made = |metrics: &RaftMetrics<TypeConfig>| {
            metrics.snapshot.as_ref().is_some_and(|last| last.index() >= upto.index.0)
        };
        let made = self.raft.wait(Some(SNAPSHOT_MADE_WITHIN)).metrics(made, "a snapshot").await;
        made.map_err(|error| stopped(&error))?;
        trigger.purge_log(upto.index.0).await.map_err(|fatal| stopped(&fatal))
    }

    /// Compares what is sent again with what is held: consensus passes over an entry whose slot it has.
    fn compare_with_held(&self, append: &AppendEntriesRequest<TypeConfig>) {
        let Some(last) = self.log.state().last else { return };
        let held = append.entries.iter().take_while(|entry| entry.log_id.index() <= last.index.0);
        let sealed = held.filter_map(|entry| match &entry.payload {
            EntryPayload::Normal(proposal) => {
                let content = EntryContent::Sealed(proposal.0.clone());
                Some(ReplicaEntry { slot: slot_of(&entry.log_id), content })
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        });
        let sealed: Vec<_> = sealed.collect();
        if !sealed.is_empty() {
            self.log.compare_given(&sealed);
        }
    }

    /// Waits a moment for the entry that others are to stand behind: the message that has it may have been overtaken.
    async fn wait_for_the_entry_before(&self, append: &AppendEntriesRequest<TypeConfig>) {
        let Some(prev) = &append.prev_log_id else { return };
        let is_there = |metrics: &RaftMetrics<TypeConfig>| metrics.last_log_index >= Some(prev.index());
        if !is_there(&self.raft.metrics().borrow_watched()) {
            // Where it does not come, consensus says so, and is sent it.
            let _ = self.raft.wait(Some(OVERTAKEN_WITHIN)).metrics(is_there, "the entry before").await;
        }
    }

    /// Makes nodes learners: they get the log and have no vote. Returns when that is committed.
    pub(crate) async fn add_learners(
        &self,
        learners: &BTreeMap<NodeId, Member>,
    ) -> Result<(), ConsensusError> {
        let nodes = learners.iter().map(|(id, member)| (id.0, member.clone())).collect();
        self.change(ChangeMembers::AddNodes(nodes), true).await
    }

    /// Makes exactly these members voters, by way of a joint membership, and keeps further ones without a vote; everybody
    /// else leaves the group. Returns when that is committed.
    pub(crate) async fn set_voters(
        &self,
        voters: &BTreeSet<NodeId>,
        learners: &BTreeSet<NodeId>,
    ) -> Result<(), ConsensusError> {
        let standing = self.standing();
        if standing.voters != *voters {
            let demoted = standing.voters.difference(voters).any(|node| learners.contains(node));
            let voters = voters.iter().map(|id| id.0).collect();
            self.change(ChangeMembers::ReplaceAllVoters(voters), demoted).await?;
        }
        let stays = |node: &NodeId| voters.contains(node) || learners.contains(node);
        let members = self.standing().members;
        let gone: BTreeSet<_> = members.keys().filter(|node| !stays(node)).map(|node| node.0).collect();
        match gone.is_empty() {
            true => Ok(()),
            false => self.change(ChangeMembers::RemoveNodes(gone), false).await,
        }
    }

    /// Tells what is known of each other member, where this node leads; nothing elsewhere.
    pub(crate) fn progress(&self) -> BTreeMap<NodeId, Progress> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let heard = |node: &u64| {
            let at = metrics.heartbeat.as_ref()?.get(node)?.as_ref()?;
            Some(TypeConfig::now() - **at)
        };
        let replication = metrics.replication.iter().flatten().filter(|(node, _)| **node != self.me.0);
        let progress = |(node, matched): (&u64, &Option<_>)| {
            let position = matched.as_ref().map_or(Position::ZERO, position_behind);
            (NodeId(*node), Progress { position, heard: heard(node) })
        };
        replication.map(progress).collect()
    }

    async fn change(&self, change: ChangeMembers<u64, Member>, retain: bool) -> Result<(), ConsensusError> {
        match self.raft.change_membership(change, retain).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(ConsensusError::NotLeading { leader: self.standing().leader })
            }
            Err(RaftError::APIError(error)) => Err(ConsensusError::Membership { cause: error.to_string() }),
            Err(RaftError::Fatal(fatal)) => Err(stopped(&fatal)),
        }
    }

    /// Asks a member to take the leadership over; returns before it has.
    pub(crate) async fn transfer(&self, to: NodeId) -> Result<(), ConsensusError> {
        self.raft.trigger().transfer_leader(to.0).await.map_err(|fatal| stopped(&fatal))
    }

    /// Stands for election at once, without asking the others before; returns before it is elected.
    pub(crate) async fn stand(&self) -> Result<(), ConsensusError> {
        self.raft.trigger().elect(false).await.map_err(|fatal| stopped(&fatal))
    }

    /// Stops taking part; what was proposed and not decided stays undecided.
    pub(crate) async fn stop(&self) {
        self.room.stop();
        if let Err(panicked) = self.raft.shutdown().await {
            tracing::error!(%panicked, "consensus ended by a panic");
        }
    }
}

/// Tells the others at each beat that this node leads, if it does, until the group stops.
async fn beat(
    raft: Raft<TypeConfig, Machine>,
    mut watch: StandingWatch,
    heartbeats: Heartbeats,
    every: Duration,
) {
    let mut next = heartbeats.next_beat(every);
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {}
            changed = watch.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        next = heartbeats.next_beat(every);
        if watch.leadership().is_some() && raft.trigger().heartbeat().await.is_err() {
            return;
        }
    }
}

/// Decodes a request, which must be of the node that sent it.
fn take_rpc(from: NodeId, body: &Bytes) -> Result<Rpc, String> {
    let rpc = Rpc::decode(body).map_err(|malformed| format!("a request with a wrong {malformed}"))?;
    match rpc.sender() == from.0 {
        true => Ok(rpc),
        false => Err(format!("a request of node {} that came from node {from}", rpc.sender())),
    }
}

fn position_behind(log_id: &LogId) -> Position {
    Index(log_id.index()).position_after()
}

fn stopped(cause: &dyn fmt::Display) -> ConsensusError {
    ConsensusError::Stopped { cause: cause.to_string() }
}

fn standing_of(metrics: &RaftServerMetrics<TypeConfig>) -> Standing {
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<_> = membership.voter_ids().map(NodeId).collect();
    let role = match metrics.state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Replica,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Idle,
    };
    Standing {
        role,
        term: Term(metrics.vote.leader_id.term),
        leader: metrics.current_leader.map(NodeId),
        voters,
        members: membership.nodes().map(|(id, member)| (NodeId(*id), member.clone())).collect(),
    }
}

/// Follows how a group stands.
pub(crate) struct StandingWatch {
    metrics: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
    /// Says that consensus stopped, which the other one does not.
    end: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    me: NodeId,
}

impl StandingWatch {
    /// Returns how the group stands; what changes from now on is told.
    pub(crate) fn standing(&mut self) -> Standing {
        let standing = standing_of(&self.metrics.borrow_and_update());
        match self.is_stopped() {
            true => Standing { role: Role::Idle, leader: None, ..standing },
            false => standing,
        }
    }

    /// Returns the leadership that this node has; what changes from now on is told.
    pub(crate) fn leadership(&mut self) -> Option<Leadership> {
        if self.is_stopped() {
            return None;
        }
        let metrics = self.metrics.borrow_and_update();
        let leads = metrics.state == ServerState::Leader && metrics.vote.committed;
        let own = metrics.vote.leader_id.node_id == self.me.0;
        (leads && own).then(|| Leadership { term: Term(metrics.vote.leader_id.term), node: self.me })
    }

    fn is_stopped(&self) -> bool {
        self.end.borrow_watched().running_state.is_err()
    }

    /// Waits until something changed since it was last looked at.
    ///
    /// # Errors
    ///
    /// When the group stopped here.
    pub(crate) async fn changed(&mut self) -> Result<(), io::Error> {
        self.metrics.changed().await.map_err(|_| io::ErrorKind::NotConnected.into())
    }
}
