//! How the cluster stands, as one of its nodes sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::{ClusterId, LogId, NodeId, PublicKey, Term};
use net::{Liveness, Peer};
use replication::control::CONTROL_LOG;
use replication::{Group, ReplicationConfig, Role};
use serde::Serialize;

use super::Inner;

/// How the cluster stands, as one of its nodes sees it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node that says so.
    pub node: NodeId,
    /// Whether it has learned that it was removed, and takes no part any more.
    pub removed: bool,
    /// Its members.
    pub members: Vec<MemberStatus>,
    /// The replicated logs, the control log first.
    pub logs: Vec<LogStatus>,
    /// How fast this node brings replicas up that are behind.
    pub catching_up: CatchingUp,
}

/// How fast a node brings replicas up that are behind.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CatchingUp {
    /// The bytes a second of which logs take their fractions; `None` without a limit.
    pub peak: Option<u64>,
    /// The best throughput of such messages that was seen over a second since the node started, in bytes a second.
    pub measured: Option<u64>,
}

/// A member.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MemberStatus {
    /// Its number.
    pub node: NodeId,
    /// What it calls itself.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its key.
    pub key: PublicKey,
    /// Whether it is there: `alive`, `suspect`, `down`, or `unknown` where nothing was heard yet.
    pub liveness: &'static str,
}

/// A replicated log.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LogStatus {
    /// Its name.
    pub log: String,
    /// Its id.
    pub id: LogId,
    /// How it is replicated; `None` for the control log.
    pub config: Option<ReplicationConfig>,
    /// Who is to hold it.
    pub replicas: Vec<NodeId>,
    /// How it stands here; `None` where this node holds no replica, or none that takes part.
    pub here: Option<ReplicaStatus>,
    /// What keeps the replica here, which lost something, or comes back to this node, from taking part; `None` for any other
    /// one.
    pub repairing: Option<String>,
    /// How many forks of it this node has found: two different entries that one key signed for one place. Their proofs are in
    /// the directory `forks`.
    pub forks: u64,
    /// The nodes that count other entries as committed than this one, which no fork explains.
    pub diverges_from: Vec<NodeId>,
}

/// What is wrong with a log's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LogConflicts {
    /// Its name.
    pub log: String,
    /// How many forks of it this node has found.
    pub forks: u64,
    /// The nodes that count other entries as committed than this one.
    pub diverges_from: Vec<NodeId>,
}

/// A replica on the node that says so.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ReplicaStatus {
    /// What the node is: `leader`, `replica`, `candidate`, `learner` or `idle`.
    pub role: &'static str,
    /// Whether the disk is full, so that the replica takes no part until there is room.
    pub waits_for_room: bool,
    /// The term.
    pub term: u64,
    /// Who leads, as far as is known.
    pub leader: Option<NodeId>,
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// Up to here readers see the log.
    pub visible: u64,
    /// Up to here it is durable.
    pub durable: u64,
    /// The position of its end, committed or not.
    pub end: u64,
    /// The log root there: replicas that show the same have the same entries from the first to the last.
    pub root: String,
    /// Up to where each other replica holds the log; known where this node leads.
    pub progress: BTreeMap<NodeId, u64>,
}

pub(super) fn of(inner: &Inner) -> ClusterStatus {
    let state = inner.control.state();
    let peers = inner.gossip.peers();
    let members = state.active().map(|(node, member)| MemberStatus {
        node,
        name: member.name.clone(),
        address: member.address,
        key: member.key,
        liveness: if node == inner.membership.node { "alive" } else { liveness(&peers, node) },
    });
    let control = inner.control.group();
    let mut logs = vec![LogStatus {
        log: CONTROL_LOG.to_owned(),
        id: control.id(),
        config: None,
        replicas: control.standing().members.keys().copied().collect(),
        here: inner.groups.get(control.id()).as_ref().map(replica),
        repairing: None,
        forks: control.forks(),
        diverges_from: control.divergences().into_keys().collect(),
    }];
    logs.extend(state.logs.iter().map(|(name, record)| {
        let group = inner.groups.get(record.id);
        LogStatus {
            log: name.as_str().to_owned(),
            id: record.id,
            config: Some(record.config.clone()),
            replicas: record.replicas.iter().copied().collect(),
            here: group.as_ref().map(replica),
            repairing: inner.repairs.cause(record.id),
            forks: group.as_ref().map_or(0, Group::forks),
            diverges_from: group.map_or(Vec::new(), |group| group.divergences().into_keys().collect()),
        }
    }));
    ClusterStatus {
        cluster: inner.membership.cluster,
        node: inner.membership.node,
        removed: *inner.removed.borrow(),
        members: members.collect(),
        logs,
        catching_up: CatchingUp { peak: inner.budget.peak(), measured: inner.budget.measured() },
    }
}

fn liveness(peers: &[Peer], node: NodeId) -> &'static str {
    match peers.iter().find(|peer| peer.node == node).map(|peer| peer.liveness) {
        Some(Liveness::Alive) => "alive",
        Some(Liveness::Suspect) => "suspect",
        Some(Liveness::Down) => "down",
        None => "unknown",
    }
}

fn replica(group: &Group) -> ReplicaStatus {
    let standing = group.standing();
    let state = group.replica().state();
    let (end, root) = group.replica().root();
    let Term(term) = standing.term;
    let role: Role = standing.role;
    let progress = group.progress().into_iter().map(|(node, known)| (node, known.position.0));
    ReplicaStatus {
        role: role.as_str(),
        waits_for_room: group.waits_for_room(),
        term,
        leader: standing.leader,
        voters: standing.voters.into_iter().collect(),
        visible: state.visible.0,
        durable: state.durable.0,
        end: end.0,
        root: root.to_string(),
        progress: progress.collect(),
    }
}
