//! Local state: what is true of one copy of a replicated log alone, and never enters its hashes.
//!
//! ```text
//!  0  u16  format version   2  u16  flags: 1 vote, 2 the vote is committed, 4 committed slot, 8 purged slot
//!  4  u32  reserved, 0
//!  8  u64  term, u64 node                of the vote
//! 24  u64  term, u64 node, u64 index     of the committed slot
//! 48  u64  term, u64 node, u64 index     of the purged slot
//! ```
//!
//! What a flag says is missing is zero.

use base::{Index, NodeId, Slot, Term};

use super::{Cursor, FORMAT_VERSION, Malformed, Put};

const FLAG_VOTE: u16 = 1;
const FLAG_VOTE_COMMITTED: u16 = 2;
const FLAG_COMMITTED: u16 = 4;
const FLAG_PURGED: u16 = 8;

/// Whom a replica voted for, and whether that one was elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// The term that the vote is for.
    pub term: Term,
    /// The candidate.
    pub node: NodeId,
    /// Whether a majority granted it: the candidate leads.
    pub committed: bool,
}

/// What is true of one copy of a replicated log alone. The newest wins, and truncation does not take it back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LocalState {
    pub vote: Option<Vote>,
    pub committed: Option<Slot>,
    pub purged: Option<Slot>,
}

/// Appends the encoded local state; nothing at all where nothing is known, as in a log that is not replicated.
pub(crate) fn encode(out: &mut Vec<u8>, local: &LocalState) {
    if *local == LocalState::default() {
        return;
    }
    let flag = |set: bool, flag: u16| if set { flag } else { 0 };
    out.put_u16(FORMAT_VERSION);
    out.put_u16(
        flag(local.vote.is_some(), FLAG_VOTE)
            | flag(local.vote.is_some_and(|vote| vote.committed), FLAG_VOTE_COMMITTED)
            | flag(local.committed.is_some(), FLAG_COMMITTED)
            | flag(local.purged.is_some(), FLAG_PURGED),
    );
    out.put_u32(0);
    let (term, node) = local.vote.map_or((0, 0), |vote| (vote.term.0, vote.node.0));
    out.put_u64(term);
    out.put_u64(node);
    for slot in [local.committed, local.purged] {
        let (term, node, index) = slot.map_or((0, 0, 0), |slot| (slot.term.0, slot.node.0, slot.index.0));
        out.put_u64(term);
        out.put_u64(node);
        out.put_u64(index);
    }
}

pub(crate) fn decode(bytes: &[u8]) -> Result<LocalState, Malformed> {
    if bytes.is_empty() {
        return Ok(LocalState::default());
    }
    let mut cursor = Cursor::new(bytes);
    if cursor.u16("format version")? != FORMAT_VERSION {
        return Err(Malformed::new("format version"));
    }
    let flags = cursor.u16("local state flags")?;
    if cursor.u32("reserved bits")? != 0 {
        return Err(Malformed::new("reserved bits"));
    }
    let vote = Vote {
        term: Term(cursor.u64("vote")?),
        node: NodeId(cursor.u64("vote")?),
        committed: flags & FLAG_VOTE_COMMITTED != 0,
    };
    let mut slot = || {
        Ok(Slot {
            term: Term(cursor.u64("slot")?),
            node: NodeId(cursor.u64("slot")?),
            index: Index(cursor.u64("slot")?),
        })
    };
    let (committed, purged) = (slot()?, slot()?);
    cursor.finish("local state length")?;
    let local = LocalState {
        vote: (flags & FLAG_VOTE != 0).then_some(vote),
        committed: (flags & FLAG_COMMITTED != 0).then_some(committed),
        purged: (flags & FLAG_PURGED != 0).then_some(purged),
    };
    // There is one encoding of each state: what is missing is zero, and one that has nothing has no bytes.
    let mut again = Vec::with_capacity(bytes.len());
    encode(&mut again, &local);
    if again == bytes { Ok(local) } else { Err(Malformed::new("local state")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<LocalState> {
        let slot = |n| Slot { term: Term(n), node: NodeId(n + 1), index: Index(n + 2) };
        let vote = |committed| Vote { term: Term(7), node: NodeId(3), committed };
        vec![
            LocalState::default(),
            LocalState { vote: Some(vote(false)), ..LocalState::default() },
            LocalState { vote: Some(vote(true)), committed: Some(slot(5)), purged: Some(slot(1)) },
            LocalState { purged: Some(slot(0)), ..LocalState::default() },
        ]
    }

    #[test]
    fn local_states_round_trip() {
        for local in samples() {
            let mut bytes = Vec::new();
            encode(&mut bytes, &local);
            assert_eq!(decode(&bytes), Ok(local));
        }
    }

    #[test]
    fn other_encodings_of_a_state_are_refused() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &samples()[1]);
        for (at, byte) in [(2, 0), (2, 16), (4, 1), (24, 1), (71, 1)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert!(decode(&other).is_err(), "byte {at}");
        }
        assert!(decode(&bytes[..71]).is_err());
    }
}
