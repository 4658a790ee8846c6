//! The log store: openraft's storage contract, over a replica.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Index, NodeId, Term};
use bytes::Bytes;
use openraft::entry::{EntryPayload, RaftEntry};
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{LogId as OpenLogId, OptionalSend};
use redex::{Completion, EntryContent, ReplicaEntry, ReplicaError, ReplicaLog, Vote};
use tokio::sync::oneshot;

use super::machine::Installing;
use super::membership::{decode_membership, encode_membership};
use super::room::Room;
use super::{Entry, LogId, Proposal, RaftVote, TypeConfig, log_id_of, slot_of};

/// Bytes that openraft gets at once when it does not say how many entries it wants.
const READ_BYTES_MAX: u64 = 2 << 20;

/// The log of one group on one node. Cloning shares it; every clone reads what any of them appended.
#[derive(Debug, Clone)]
pub struct LogStore {
    log: ReplicaLog,
    room: Room,
    installing: Installing,
}

impl LogStore {
    /// Writes to a replica.
    pub fn new(log: ReplicaLog) -> Self {
        Self::waiting_by(log, Room::default(), Installing::default())
    }

    /// Writes to a replica, says when it waits for room on the disk, and waits for a snapshot that comes before entries.
    pub(super) fn waiting_by(log: ReplicaLog, room: Room, installing: Installing) -> Self {
        Self { log, room, installing }
    }

    async fn again(&self, ended: &Result<(), ReplicaError>) -> bool {
        self.room.again(ended, self.log.state().durable).await
    }

    /// Returns the replica.
    pub fn replica(&self) -> &ReplicaLog {
        &self.log
    }

    fn read(&self, from: u64, to: u64, bytes_max: u64) -> Result<Vec<Entry>, io::Error> {
        let entries = self.log.entries(Index(from)..Index(to), bytes_max).map_err(io::Error::other)?;
        entries.into_iter().map(to_raft).collect()
    }
}

fn failed(error: ReplicaError) -> io::Error {
    let kind = match &error {
        ReplicaError::DiskFull { .. } => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// Tells a callback, unless it was told before.
fn tell(callback: &Mutex<Option<IOFlushed<TypeConfig>>>, outcome: Result<(), ReplicaError>) {
    let callback = callback.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(callback) = callback {
        callback.io_completed(outcome.map_err(failed));
    }
}

fn to_raft(entry: ReplicaEntry) -> Result<Entry, io::Error> {
    let payload = match entry.content {
        EntryContent::Sealed(sealed) => EntryPayload::Normal(Proposal(sealed)),
        EntryContent::Consensus(bytes) if bytes.is_empty() => EntryPayload::Blank,
        EntryContent::Consensus(bytes) => {
            EntryPayload::Membership(decode_membership(&bytes).map_err(io::Error::other)?)
        }
    };
    Ok(Entry::new(log_id_of(&entry.slot), payload))
}

fn from_raft(entry: Entry) -> ReplicaEntry {
    let slot = slot_of(&entry.log_id);
    let content = match entry.payload {
        EntryPayload::Blank => EntryContent::Consensus(Bytes::new()),
        EntryPayload::Normal(proposal) => EntryContent::Sealed(proposal.0),
        EntryPayload::Membership(membership) => {
            EntryContent::Consensus(encode_membership(&membership).into())
        }
    };
    ReplicaEntry { slot, content }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to, u64::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, io::Error> {
        Ok(self.log.vote().map(|vote| RaftVote {
            leader_id: super::LeaderId { term: vote.term.0, node_id: vote.node.0 },
            committed: vote.committed,
        }))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.log.state();
        Ok(LogState {
            last_purged_log_id: state.purged.as_ref().map(log_id_of),
            last_log_id: state.last.as_ref().map(log_id_of),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    /// Returns when the vote is durable, and every entry that was appended before it.
    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), io::Error> {
        let leader = vote.leader_id();
        let vote =
            Vote { term: Term(leader.term), node: NodeId(leader.node_id), committed: vote.is_committed() };
        loop {
            let (sender, receiver) = oneshot::channel();
            let flushed = Completion::new(move |outcome| drop(sender.send(outcome)));
            // Whoever is told nothing would wait for ever, so that a completion tells in any case.
            let _ = self.log.save_vote_then(vote, flushed);
            let saved = receiver.await.map_err(io::Error::other)?;
            if !self.again(&saved).await {
                return saved.map_err(failed);
            }
        }
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.log.save_committed(committed.as_ref().map(slot_of)).map_err(failed)
    }

    /// Returns what was noted as committed, as far as the log holds it.
    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.log.committed().as_ref().map(log_id_of))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().map(from_raft).collect();
        let ends_at = self.log.state().last.map(|last| last.index);
        if entries.first().is_some_and(|first| {
            Some(first.slot.index) > ends_at.map_or(Some(Index::ZERO), |end| Some(end.next()))
        }) {
            self.installing.over().await;
        }
        let callback = Arc::new(Mutex::new(Some(callback)));
        let mut rest = &entries[..];
        loop {
            let told = Arc::clone(&callback);
            let flushed = Completion::new(move |outcome| {
                // Of a full disk openraft hears nothing while it is waited for.
                if !matches!(outcome, Err(ReplicaError::DiskFull { .. })) {
                    tell(&told, outcome);
                }
            });
            let appended = self.log.append(rest, flushed);
            if let Err(ReplicaError::DiskFull { taken }) = appended {
                rest = rest.get(taken..).unwrap_or_default();
            }
            if !self.again(&appended).await {
                if appended.is_err() {
                    tell(&callback, appended.clone());
                }
                return appended.map_err(failed);
            }
        }
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let last = last.map(|last: OpenLogId<_>| Index(last.index()));
        loop {
            let truncated = self.log.truncate_after(last);
            if !self.again(&truncated).await {
                return truncated.map_err(failed);
            }
        }
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.log.purge(slot_of(&upto)).map_err(failed)
    }
}
