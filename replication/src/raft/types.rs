//! The types of a group, and how ours are called in openraft's.

use std::fmt;

use base::{Index, NodeId, Slot, Term};
use bytes::Bytes;
use openraft::entry::EntryPayload;
use openraft::type_config::alias::{LogIdOf, VoteOf};

openraft::declare_raft_types!(
    /// The types of a group: what is proposed is an entry that the leader sealed.
    pub TypeConfig:
        D = Proposal,
        R = Committed,
        NodeId = u64,
        Node = Member,
);

/// An entry of the log.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// A place in the log, as openraft names it.
pub type LogId = LogIdOf<TypeConfig>;
/// Who leads, in which term; several nodes may in one, and the last one wins.
pub type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
/// A vote, as openraft names it.
pub type RaftVote = VoteOf<TypeConfig>;

/// What a leader proposes: the exact bytes of an entry that it sealed for the next slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal(pub redex::SealedEntry);

impl Proposal {
    /// Takes up bytes that came from another node; appending them checks them.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(redex::SealedEntry::from_bytes(bytes))
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.bytes().len())
    }
}

/// That an entry is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The entry's place.
    pub index: Index,
    /// Whether it holds what was proposed; else it is blank, since it was sealed for another place.
    pub as_proposed: bool,
}

/// A member of a group, as the others find it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Where it listens.
    pub address: String,
}

/// Returns the slot that openraft calls a log id.
pub fn slot_of(log_id: &LogId) -> Slot {
    let leader = log_id.committed_leader_id();
    Slot { term: Term(leader.term), node: NodeId(leader.node_id), index: Index(log_id.index()) }
}

/// Returns what openraft calls a slot.
pub fn log_id_of(slot: &Slot) -> LogId {
    let leader = LeaderId { term: slot.term.0, node_id: slot.node.0 };
    LogId::new(leader, slot.index.0)
}

/// Returns the bytes of what an entry carries, but for its place.
pub(super) fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.0.bytes().len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}
