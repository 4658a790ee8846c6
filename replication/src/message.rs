//! The envelope of what nodes ask each other: what it is, and which group it is for.
//!
//! ```text
//! u8 what, [16] log id (zeros for what is for several groups), the rest by what it is
//! ```

use base::wire::{Cursor, Malformed, Put};
use base::{Index, LogId, NodeId, Slot, Term};
use bytes::Bytes;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Something of consensus, between members.
    Consensus = 1,
    /// A request to the sequencer, as [`crate::ask`] has it.
    Request = 2,
    /// A question for the position that a linearizable read needs: u32 milliseconds that it may take.
    ReadPosition = 3,
    /// A question for how a replica stands, of one that is in doubt.
    Inquiry = 4,
    /// A question for entries, of one that is in doubt.
    Fetch = 5,
    /// Heartbeats of several groups, as [`crate::heartbeats`] has them.
    Heartbeats = 6,
    /// A question for who leads, of a node that holds no replica.
    Leader = 7,
    /// A question for a producer's last append, of such a node.
    Producer = 8,
    /// Several requests to the sequencer, as [`crate::ask`] has them.
    Requests = 9,
    /// A question for what stands at an index, to be compared.
    Heads = 10,
    /// A question for a snapshot's manifest.
    Manifest = 11,
    /// A question for a piece of a snapshot's state.
    State = 12,
}

/// In place of a log's id where a message is for several.
pub(crate) const ALL: LogId = LogId::from_bytes([0; 16]);

/// Begins a message.
pub(crate) fn begin(subject: Subject, log: LogId) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.put_u8(subject as u8);
    out.put(log.as_bytes());
    out
}

/// Opens a message.
pub(crate) fn open(bytes: &Bytes) -> Result<(Subject, LogId, Bytes), Malformed> {
    let mut cursor = Cursor::new(bytes);
    let subject = match cursor.u8("subject")? {
        1 => Subject::Consensus,
        2 => Subject::Request,
        3 => Subject::ReadPosition,
        4 => Subject::Inquiry,
        5 => Subject::Fetch,
        6 => Subject::Heartbeats,
        7 => Subject::Leader,
        8 => Subject::Producer,
        9 => Subject::Requests,
        10 => Subject::Heads,
        11 => Subject::Manifest,
        12 => Subject::State,
        _ => return Err(Malformed::new("subject")),
    };
    let log = LogId::from_bytes(cursor.array("log id")?);
    if (subject == Subject::Heartbeats) != (log == ALL) {
        return Err(Malformed::new("log id"));
    }
    Ok((subject, log, bytes.slice(bytes.len() - cursor.remaining()..)))
}

/// Writes a slot: term, node and index.
pub(crate) fn put_slot(out: &mut Vec<u8>, slot: Slot) {
    out.put_u64(slot.term.0);
    out.put_u64(slot.node.0);
    out.put_u64(slot.index.0);
}

/// Takes a slot.
pub(crate) fn take_slot(cursor: &mut Cursor<'_>) -> Result<Slot, Malformed> {
    let (term, node) = (Term(cursor.u64("term")?), NodeId(cursor.u64("node")?));
    Ok(Slot { term, node, index: Index(cursor.u64("index")?) })
}

/// Takes a byte that is 0 or 1.
pub(crate) fn take_flag(cursor: &mut Cursor<'_>) -> Result<bool, Malformed> {
    match cursor.u8("flag")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::new("flag")),
    }
}
