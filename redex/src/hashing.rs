//! The keyed hashes of a log: every hash and signature covers the log's id and says what kind of thing it is
//! over.
//!
//! What is hashed is followed by zeros to a whole number of blocks of BLAKE3, so that short messages can be hashed
//! side by side. No message is another one with zeros behind it: each tells its length, or has always the same one.

use base::{Hash, IncarnationId, Index, LogId, Position, Slot};

mod many;

use many::{Many, padded_hash};

/// The hash keys of one log, derived from its id with one context each.
#[derive(Debug, Clone)]
pub(crate) struct LogHasher {
    log: LogId,
    entry: [u8; 32],
    block: [u8; 32],
    event: [u8; 32],
    erasable_block: [u8; 32],
    leaf: [u8; 32],
    node: [u8; 32],
    root: [u8; 32],
}

impl LogHasher {
    pub(crate) fn new(log: LogId) -> Self {
        let key = |context: &str| blake3::derive_key(context, log.as_bytes());
        Self {
            log,
            entry: key("netdb redex 2026-11 entry"),
            block: key("netdb redex 2026-11 block"),
            event: key("netdb redex 2026-11 event"),
            erasable_block: key("netdb redex 2026-11 erasable block"),
            leaf: key("netdb redex 2026-11 log root leaf"),
            node: key("netdb redex 2026-11 log root node"),
            root: key("netdb redex 2026-11 log root"),
        }
    }

    /// Hashes an entry's head, exactly as it stands on disk.
    pub(crate) fn entry(&self, head: &[u8]) -> Hash {
        padded_hash(&self.entry, head)
    }

    /// Hashes the uncompressed bytes of a channel block.
    pub(crate) fn block(&self, block: &[u8]) -> Hash {
        padded_hash(&self.block, block)
    }

    /// Begins to hash many blocks.
    pub(crate) fn blocks(&self, count: usize) -> Many<'_> {
        Many::new(&self.block, count)
    }

    /// Returns the commitment to an event: the hash of its salt and its record.
    pub(crate) fn event(&self, salted: &[u8]) -> Hash {
        padded_hash(&self.event, salted)
    }

    /// Begins to make the commitments to many events.
    pub(crate) fn events(&self, count: usize) -> Many<'_> {
        Many::new(&self.event, count)
    }

    /// Hashes the list of an erasable block's commitments.
    pub(crate) fn erasable_block(&self, commitments: &[u8]) -> Hash {
        padded_hash(&self.erasable_block, commitments)
    }

    pub(crate) fn leaf(&self, slot: Slot, entry: &Hash) -> Hash {
        let mut bytes = [0; 56];
        bytes[..8].copy_from_slice(&slot.term.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&slot.node.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&slot.index.0.to_le_bytes());
        bytes[24..].copy_from_slice(entry.as_bytes());
        padded_hash(&self.leaf, &bytes)
    }

    pub(crate) fn node(&self, left: &Hash, right: &Hash) -> Hash {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(left.as_bytes());
        bytes[32..].copy_from_slice(right.as_bytes());
        padded_hash(&self.node, &bytes)
    }

    /// Hashes the peaks of the log root over the entries below `position`.
    pub(crate) fn root(&self, position: Position, peaks: &[Hash]) -> Hash {
        let mut bytes = Vec::with_capacity(8 + 32 * peaks.len());
        bytes.extend_from_slice(&position.0.to_le_bytes());
        peaks.iter().for_each(|peak| bytes.extend_from_slice(peak.as_bytes()));
        padded_hash(&self.root, &bytes)
    }

    /// Returns the message that is signed for an entry.
    pub(crate) fn signed_message(&self, incarnation: IncarnationId, index: Index, entry: &Hash) -> Vec<u8> {
        signed_message(self.log, incarnation, index, entry)
    }
}

/// Returns the message that is signed for an entry of a log.
pub(crate) fn signed_message(log: LogId, incarnation: IncarnationId, index: Index, entry: &Hash) -> Vec<u8> {
    [
        &b"netdb redex 2026-11 entry signature\0"[..],
        log.as_bytes(),
        incarnation.as_bytes(),
        &index.0.to_le_bytes(),
        entry.as_bytes(),
    ]
    .concat()
}
