//! The hash chain of a log: what the next entry links to, and the root over all of them.

use base::{Hash, NodeId, Position, Slot, Term};

use crate::hashing::LogHasher;
use crate::root::LogRoot;

/// Where the chain stands behind some entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The term of the newest entry; in a local log, how often it was opened for writing.
    pub term: Term,
    /// Who sequenced it; 0 in a local log.
    pub node: NodeId,
    pub last_hash: Hash,
    /// The position behind the newest signed entry; 0 when there is none.
    pub last_signed: Position,
    pub last_signed_hash: Hash,
    pub root: LogRoot,
}

impl Chain {
    /// Adds the next entry.
    pub(crate) fn push(&mut self, hasher: &LogHasher, slot: Slot, entry: Hash, signed: bool) {
        self.root.push(hasher, slot, &entry);
        self.term = slot.term;
        self.node = slot.node;
        self.last_hash = entry;
        if signed {
            self.last_signed = slot.index.position_after();
            self.last_signed_hash = entry;
        }
    }
}
