//! What the members of a group tell each other, in bytes of our own.
//!
//! ```text
//! request:  u8 what: 1 append, 2 vote, 3 pre-vote, 4 transfer, 5 snapshot; then
//!   append:   vote, log id or none of the entry before, log id or none up to which it is committed,
//!             u32 entries, each: log id, u8 0 blank, 1 sealed, 2 membership, u32+bytes
//!   vote, pre-vote: vote, last log id or none, u8 whether leadership is handed over
//!   transfer: vote of the leader, u64 node, last log id or none
//!   snapshot: vote of the leader, manifest
//! answer to append:   u8 what: 0 success, 1 up to: log id or none, 2 conflict, 3 higher vote: vote
//! answer to votes:    vote, u8 whether granted, last log id or none
//! answer to snapshot: vote
//! answer to transfer: u8 what: 0 taken, 1 vote changed: vote expected, vote; 2 log not durable: log id or none
//!           expected, log id or none
//! vote:   u64 term, u64 node, u8 whether committed
//! log id: u64 term, u64 node, u64 index; or none: u8 0, else u8 1 in front
//! ```

use base::wire::{Cursor, Malformed, Put};
use bytes::Bytes;
use openraft::entry::{EntryPayload, RaftEntry as _};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::membership::{decode_membership, encode_membership};
use super::types::payload_bytes;
use super::{Entry, LeaderId, LogId, Proposal, RaftVote, TypeConfig, log_id_of, slot_of};
use crate::message::{put_slot, take_flag, take_slot};
use crate::snapshot::Manifest;

const APPEND: u8 = 1;
const VOTE: u8 = 2;
const PRE_VOTE: u8 = 3;
const TRANSFER: u8 = 4;
const SNAPSHOT: u8 = 5;

/// A request of one member to another.
#[derive(Debug)]
pub(super) enum Rpc {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Transfer(TransferLeaderRequest<TypeConfig>),
    Snapshot(RaftVote, Manifest),
}

impl Rpc {
    /// Returns the node that the request says it comes from.
    pub(super) fn sender(&self) -> u64 {
        let vote = match self {
            Self::Append(append) => &append.vote,
            Self::Vote(vote) | Self::PreVote(vote) => &vote.vote,
            Self::Transfer(transfer) => transfer.from_leader(),
            Self::Snapshot(vote, _) => vote,
        };
        vote.leader_id.node_id
    }

    /// Tells whether the request says no more than that a leader is there.
    pub(super) fn is_heartbeat(&self) -> bool {
        matches!(self, Self::Append(append) if append.entries.is_empty())
    }

    /// Encodes the request behind what `out` holds.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Append(append) => encode_append(out, append),
            Self::Vote(vote) => encode_vote_request(out, VOTE, vote),
            Self::PreVote(vote) => encode_vote_request(out, PRE_VOTE, vote),
            Self::Transfer(transfer) => {
                out.put_u8(TRANSFER);
                put_vote(out, transfer.from_leader());
                out.put_u64(*transfer.to_node_id());
                put_optional(out, transfer.last_log_id());
            }
            Self::Snapshot(vote, manifest) => {
                out.put_u8(SNAPSHOT);
                put_vote(out, vote);
                manifest.encode(out);
            }
        }
    }

    /// Decodes a request; what was sealed is not copied, and not looked into.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let rpc = match cursor.u8("request")? {
            APPEND => Self::Append(take_append(&mut cursor, bytes)?),
            VOTE => Self::Vote(take_vote_request(&mut cursor)?),
            PRE_VOTE => Self::PreVote(take_vote_request(&mut cursor)?),
            TRANSFER => {
                let from = take_vote(&mut cursor)?;
                let to = cursor.u64("node")?;
                Self::Transfer(TransferLeaderRequest::new(from, to, take_optional(&mut cursor)?))
            }
            SNAPSHOT => Self::Snapshot(take_vote(&mut cursor)?, Manifest::decode(&mut cursor)?),
            _ => return Err(Malformed::new("request")),
        };
        cursor.finish("length")?;
        Ok(rpc)
    }
}

fn encode_vote_request(out: &mut Vec<u8>, what: u8, request: &VoteRequest<TypeConfig>) {
    out.put_u8(what);
    put_vote(out, &request.vote);
    put_optional(out, request.last_log_id.as_ref());
    out.put_u8(u8::from(request.leadership_transfer));
}

fn take_vote_request(cursor: &mut Cursor<'_>) -> Result<VoteRequest<TypeConfig>, Malformed> {
    let vote = take_vote(cursor)?;
    let last_log_id = take_optional(cursor)?;
    Ok(VoteRequest { vote, last_log_id, leadership_transfer: take_flag(cursor)? })
}

fn encode_append(out: &mut Vec<u8>, append: &AppendEntriesRequest<TypeConfig>) {
    out.reserve(128 + append.entries.iter().map(|entry| 32 + payload_bytes(entry)).sum::<usize>());
    out.put_u8(APPEND);
    put_vote(out, &append.vote);
    put_optional(out, append.prev_log_id.as_ref());
    put_optional(out, append.leader_commit.as_ref());
    out.put_length(append.entries.len());
    for entry in &append.entries {
        put_log_id(out, &entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => put_payload(out, 0, &[]),
            EntryPayload::Normal(proposal) => put_payload(out, 1, proposal.0.bytes()),
            EntryPayload::Membership(membership) => put_payload(out, 2, &encode_membership(membership)),
        }
    }
}

fn put_payload(out: &mut Vec<u8>, what: u8, bytes: &[u8]) {
    out.put_u8(what);
    out.put_length(bytes.len());
    out.put(bytes);
}

fn take_append(cursor: &mut Cursor<'_>, all: &Bytes) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let vote = take_vote(cursor)?;
    let (prev_log_id, leader_commit) = (take_optional(cursor)?, take_optional(cursor)?);
    let entries = (0..cursor.u32("entries")?).map(|_| take_entry(cursor, all)).collect::<Result<_, _>>()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

fn take_entry(cursor: &mut Cursor<'_>, all: &Bytes) -> Result<Entry, Malformed> {
    let log_id = take_log_id(cursor)?;
    let what = cursor.u8("entry")?;
    let length = cursor.length("entry length")?;
    let bytes = cursor.take(length, "entry length")?;
    let payload = match what {
        0 if bytes.is_empty() => EntryPayload::Blank,
        1 => EntryPayload::Normal(Proposal::from_bytes(all.slice_ref(bytes))),
        2 => EntryPayload::Membership(decode_membership(bytes).map_err(|_| Malformed::new("membership"))?),
        _ => return Err(Malformed::new("entry")),
    };
    Ok(Entry::new(log_id, payload))
}

pub(super) fn encode_appended(answer: &AppendEntriesResponse<TypeConfig>) -> Vec<u8> {
    let mut out = Vec::new();
    match answer {
        AppendEntriesResponse::Success => out.put_u8(0),
        AppendEntriesResponse::PartialSuccess(last) => {
            out.put_u8(1);
            put_optional(&mut out, last.as_ref());
        }
        AppendEntriesResponse::Conflict => out.put_u8(2),
        AppendEntriesResponse::HigherVote(vote) => {
            out.put_u8(3);
            put_vote(&mut out, vote);
        }
    }
    out
}

pub(super) fn decode_appended(bytes: &[u8]) -> Result<AppendEntriesResponse<TypeConfig>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let answer = match cursor.u8("answer")? {
        0 => AppendEntriesResponse::Success,
        1 => AppendEntriesResponse::PartialSuccess(take_optional(&mut cursor)?),
        2 => AppendEntriesResponse::Conflict,
        3 => AppendEntriesResponse::HigherVote(take_vote(&mut cursor)?),
        _ => return Err(Malformed::new("answer")),
    };
    cursor.finish("length")?;
    Ok(answer)
}

pub(super) fn encode_voted(answer: &VoteResponse<TypeConfig>) -> Vec<u8> {
    let mut out = Vec::new();
    put_vote(&mut out, &answer.vote);
    out.put_u8(u8::from(answer.vote_granted));
    put_optional(&mut out, answer.last_log_id.as_ref());
    out
}

pub(super) fn decode_voted(bytes: &[u8]) -> Result<VoteResponse<TypeConfig>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let vote = take_vote(&mut cursor)?;
    let vote_granted = take_flag(&mut cursor)?;
    let last_log_id = take_optional(&mut cursor)?;
    cursor.finish("length")?;
    Ok(VoteResponse { vote, vote_granted, last_log_id })
}

pub(super) fn encode_transferred(answer: &TransferLeaderResponse<TypeConfig>) -> Vec<u8> {
    let mut out = Vec::new();
    match answer {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            out.put_u8(1);
            put_vote(&mut out, expected);
            put_vote(&mut out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            out.put_u8(2);
            put_optional(&mut out, expected.as_ref());
            put_optional(&mut out, actual.as_ref());
        }
    }
    out
}

pub(super) fn decode_transferred(bytes: &[u8]) -> Result<TransferLeaderResponse<TypeConfig>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let answer = match cursor.u8("answer")? {
        0 => Ok(()),
        1 => {
            let expected = take_vote(&mut cursor)?;
            Err(TransferLeaderError::VoteChanged { expected, actual: take_vote(&mut cursor)? })
        }
        2 => {
            let expected = take_optional(&mut cursor)?;
            Err(TransferLeaderError::LogNotFlushed { expected, actual: take_optional(&mut cursor)? })
        }
        _ => return Err(Malformed::new("answer")),
    };
    cursor.finish("length")?;
    Ok(answer)
}

pub(super) fn encode_installed(answer: &SnapshotResponse<TypeConfig>) -> Vec<u8> {
    let mut out = Vec::new();
    put_vote(&mut out, &answer.vote);
    out
}

pub(super) fn decode_installed(bytes: &[u8]) -> Result<SnapshotResponse<TypeConfig>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let vote = take_vote(&mut cursor)?;
    cursor.finish("length")?;
    Ok(SnapshotResponse::new(vote))
}

fn put_vote(out: &mut Vec<u8>, vote: &RaftVote) {
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
}

fn take_vote(cursor: &mut Cursor<'_>) -> Result<RaftVote, Malformed> {
    let leader_id = LeaderId { term: cursor.u64("term")?, node_id: cursor.u64("node")? };
    Ok(RaftVote { leader_id, committed: take_flag(cursor)? })
}

fn put_log_id(out: &mut Vec<u8>, log_id: &LogId) {
    put_slot(out, slot_of(log_id));
}

fn take_log_id(cursor: &mut Cursor<'_>) -> Result<LogId, Malformed> {
    Ok(log_id_of(&take_slot(cursor)?))
}

fn put_optional(out: &mut Vec<u8>, log_id: Option<&LogId>) {
    out.put_u8(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        put_log_id(out, log_id);
    }
}

fn take_optional(cursor: &mut Cursor<'_>) -> Result<Option<LogId>, Malformed> {
    take_flag(cursor)?.then(|| take_log_id(cursor)).transpose()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openraft::Membership;

    use super::*;
    use crate::raft::Member;

    fn log_id(index: u64) -> LogId {
        LogId::new(LeaderId { term: 3, node_id: 2 }, index)
    }

    fn vote(committed: bool) -> RaftVote {
        RaftVote { leader_id: LeaderId { term: 4, node_id: 1 }, committed }
    }

    fn requests() -> Vec<Rpc> {
        let nodes: BTreeMap<_, _> = [(1, Member { address: "a:1".to_owned() })].into();
        let membership = Membership::new(vec![[1].into()], nodes).unwrap();
        let entries = vec![
            Entry::new(log_id(7), EntryPayload::Blank),
            Entry::new(log_id(8), EntryPayload::Normal(Proposal::from_bytes("sealed".into()))),
            Entry::new(log_id(9), EntryPayload::Membership(membership)),
        ];
        let append = |prev_log_id, entries| AppendEntriesRequest {
            vote: vote(true),
            prev_log_id,
            entries,
            leader_commit: Some(log_id(5)),
        };
        let vote_request = VoteRequest::new(vote(false), Some(log_id(9)));
        vec![
            Rpc::Append(append(Some(log_id(6)), entries)),
            Rpc::Append(append(None, Vec::new())),
            Rpc::Vote(VoteRequest { leadership_transfer: true, ..vote_request.clone() }),
            Rpc::PreVote(vote_request),
            Rpc::Transfer(TransferLeaderRequest::new(vote(true), 2, None)),
            Rpc::Snapshot(vote(true), manifest(None)),
            Rpc::Snapshot(vote(true), manifest(Some((slot_of(&log_id(2)), "abc".into())))),
        ]
    }

    fn manifest(consensus: Option<(base::Slot, Bytes)>) -> Manifest {
        Manifest { slot: slot_of(&log_id(6)), consensus, bytes: 77, hash: [9; 32] }
    }

    fn encoded(request: &Rpc) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(&mut out);
        out
    }

    /// What a request is, to be compared.
    fn told(rpc: &Rpc) -> String {
        format!("{rpc:?}")
    }

    #[test]
    fn requests_and_answers_come_back_as_they_were() {
        for request in requests() {
            let back = Rpc::decode(&encoded(&request).into()).unwrap();
            assert_eq!(told(&back), told(&request));
            assert_eq!(back.sender(), 1);
        }
        let answers = [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::PartialSuccess(Some(log_id(1))),
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(vote(false)),
        ];
        for answer in answers {
            assert_eq!(decode_appended(&encode_appended(&answer)), Ok(answer));
        }
        let transferred = [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: vote(true), actual: vote(false) }),
            Err(TransferLeaderError::LogNotFlushed { expected: Some(log_id(1)), actual: None }),
        ];
        for answer in transferred {
            assert_eq!(decode_transferred(&encode_transferred(&answer)), Ok(answer));
        }
        let installed = SnapshotResponse::new(vote(true));
        assert_eq!(decode_installed(&encode_installed(&installed)), Ok(installed));
        let voted = VoteResponse { vote: vote(false), vote_granted: true, last_log_id: None };
        assert_eq!(decode_voted(&encode_voted(&voted)), Ok(voted));
    }

    #[test]
    fn cut_and_changed_bytes_are_refused_or_mean_something_else() {
        for request in requests() {
            let bytes = encoded(&request);
            for length in 0..bytes.len() {
                assert!(Rpc::decode(&Bytes::copy_from_slice(&bytes[..length])).is_err(), "{length}");
            }
            assert!(Rpc::decode(&[bytes.as_slice(), &[0]].concat().into()).is_err());
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok(other) = Rpc::decode(&flipped.clone().into()) {
                    assert_eq!(encoded(&other), flipped, "one encoding each: bit {bit}");
                }
            }
        }
    }
}
