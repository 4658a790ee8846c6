//! What a replica holds under its lock: the end of its log, local state, and who waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use base::{DiskFile, Hash, IncarnationId, Index, Position, Slot};

use super::doubt::PromisedFile;
use super::fork::CutOff;
use super::{COMMITTED_WITHIN, Completion, EntryContent, ReplicaEntry, ReplicaError, ReplicaState, read};
use crate::Compression;
use crate::appender::{Appender, Encoded, Stopped};
use crate::chain::Chain;
use crate::codec::compression::Compressor;
use crate::codec::control::{self, Control};
use crate::codec::entry::{self, EntryHead, EntryParts, HeadFields};
use crate::codec::frame::{self, FrameKind};
use crate::codec::local::{self, LocalState, Vote};
use crate::codec::visible::{self, Visible};
use crate::codec::{Malformed, Put};
use crate::hashing::LogHasher;
use crate::reader::Published;
use crate::replay::Replay;
use crate::state::LogState;

#[derive(Debug)]
pub(super) struct Core {
    pub end: Appender,
    /// The newest local state; what of it was written is in `end.local`.
    pub local: LocalState,
    /// When local state is written at the latest.
    pub local_due: Option<Duration>,
    /// Up to where the log is committed, as far as known.
    pub committed: Position,
    /// Log state up to where readers see.
    pub visible: LogState,
    /// Whether that is not what publishing led to, so that readers are to be told anew.
    pub leapt: bool,
    /// What readers do not see yet.
    pub unseen: VecDeque<Encoded>,
    /// How many writes there were, and how many of them are durable.
    pub writes: u64,
    pub durable_writes: u64,
    /// Who waits for which write to become durable, in order.
    pub waiting: VecDeque<(u64, Completion)>,
    /// Tells readers in other processes how far they may read.
    pub told: Arc<dyn DiskFile>,
    /// What others were told that is durable here.
    pub promised: PromisedFile,
    /// Which write the newest vote is.
    pub vote_write: u64,
    pub compressor: Compressor,
    pub poison: Option<String>,
    pub closed: bool,
    /// What was cut off, to be compared with what comes.
    pub cut_off: CutOff,
}

impl Core {
    pub(super) fn check_open(&self) -> Result<(), ReplicaError> {
        match &self.poison {
            Some(cause) => Err(ReplicaError::Poisoned { cause: cause.clone() }),
            None if self.closed => Err(ReplicaError::Closed),
            None => Ok(()),
        }
    }

    /// Returns what a failure is to its caller; shuts the replica when it is unknown what the disk holds.
    pub(super) fn stopped(&mut self, stopped: Stopped) -> ReplicaError {
        match stopped {
            Stopped::Write(cause) => match cause.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    ReplicaError::DiskFull { taken: 0 }
                }
                _ => ReplicaError::WriteFailed { cause: cause.to_string() },
            },
            Stopped::Broken(cause) => {
                tracing::error!(%cause, "the replica takes nothing more until reopened");
                let cause = self.poison.get_or_insert(cause).clone();
                ReplicaError::Poisoned { cause }
            }
        }
    }

    /// Returns the position below which entries were purged.
    pub(super) fn kept(&self) -> Position {
        self.local.purged.map_or(Position::ZERO, |slot| slot.index.position_after())
    }

    /// Returns the index of the first entry that is there, or comes first.
    pub(super) fn first(&self) -> Index {
        let first = self.end.segments.all().first().map_or(Index::ZERO, |segment| segment.first_index);
        first.max(self.kept().next_index())
    }

    fn last(&self) -> Option<Slot> {
        let next = self.end.state.next_index;
        if next <= self.first() {
            return self.local.purged;
        }
        let (term, node) = (self.end.chain.term, self.end.chain.node);
        Some(Slot { term, node, index: Index(next.0 - 1) })
    }

    pub(super) fn replica_state(&self) -> ReplicaState {
        ReplicaState {
            purged: self.local.purged,
            last: self.last().filter(|_| self.end.chain.root.position() > Position::ZERO),
            durable: self.end.synced,
            visible: self.visible.position(),
        }
    }

    /// Appends entries; when it fails, none of them is in the log, but for what [`ReplicaError::DiskFull`] says.
    pub(super) fn append(&mut self, entries: &[ReplicaEntry]) -> Result<(), ReplicaError> {
        self.check_open()?;
        self.end.prepare().map_err(|stopped| self.stopped(stopped))?;
        if let Some(first) = entries.first()
            && self.last().is_none()
            && self.end.state.next_index < first.slot.index
        {
            self.leap(first.slot.index).map_err(|stopped| self.stopped(stopped))?;
            self.end.segments.remove_below(Position(first.slot.index.0));
        }
        let before = self.end.state.next_index;
        let appended = self.append_batches(entries);
        if let Err(ReplicaError::DiskFull { .. }) = appended {
            // To take those back that fitted would want room, too.
            let taken = self.end.state.next_index.0.saturating_sub(before.0);
            return Err(ReplicaError::DiskFull { taken: taken as usize });
        }
        if appended.is_err() && self.poison.is_none() && self.end.state.next_index > before {
            // Segments that were filled on the way hold the first of the entries.
            // What cannot be taken back either is in the log, and nobody was told that it is.
            if let Err(stopped) = self.truncate_from(before) {
                let cause = match stopped {
                    Stopped::Write(cause) => format!("entries that could not be taken back ({cause})"),
                    Stopped::Broken(cause) => cause,
                };
                return Err(self.stopped(Stopped::Broken(cause)));
            }
        }
        appended
    }

    fn append_batches(&mut self, entries: &[ReplicaEntry]) -> Result<(), ReplicaError> {
        let mut frames = Vec::new();
        let mut batch = Vec::new();
        let mut chain = self.end.chain.clone();
        for (at, entry) in entries.iter().enumerate() {
            match self.encode(entry, &chain, &mut frames) {
                Ok(encoded) => {
                    chain.push(&self.end.segments.hasher, encoded.slot, encoded.hash, encoded.signed);
                    batch.push(encoded);
                }
                Err(error) => {
                    self.undo();
                    return Err(error);
                }
            }
            if self.end.writer.tail() + frames.len() as u64 >= self.end.segment_bytes {
                self.write(&mut frames, &mut batch, &chain)?;
                self.end.local = self.local;
                match self.end.roll() {
                    // The entries are in the log; whoever writes next tries to roll again.
                    Err(Stopped::Write(_)) if at + 1 == entries.len() => return Ok(()),
                    rolled => rolled.map_err(|stopped| self.stopped(stopped))?,
                }
            }
        }
        self.write(&mut frames, &mut batch, &chain)
    }

    fn write(
        &mut self,
        frames: &mut Vec<u8>,
        batch: &mut Vec<Encoded>,
        chain: &Chain,
    ) -> Result<(), ReplicaError> {
        if let Err(stopped) = self.end.append_frames(frames) {
            let error = self.stopped(stopped);
            self.undo();
            return Err(error);
        }
        frames.clear();
        self.writes += 1;
        self.end.chain = chain.clone();
        batch.iter().for_each(|encoded| self.end.add_to_index(encoded));
        self.unseen.extend(batch.drain(..));
        Ok(())
    }

    /// Brings log state back to what was written, by reading the newest segment again.
    fn undo(&mut self) {
        if self.poison.is_some() {
            return;
        }
        let undone = self.replayed(self.end.state.next_index);
        match undone {
            Ok(replay) => (self.end.state, self.end.chain) = (replay.state, replay.chain),
            Err(stopped) => drop(self.stopped(stopped)),
        }
    }

    /// Reads the segment that entry `next` stands in, or will, up to there.
    pub(super) fn replayed(&self, next: Index) -> Result<Replay, Stopped> {
        let broken =
            |what: String| Stopped::Broken(format!("log state that could not be read again ({what})"));
        let segments = &self.end.segments;
        let segment = segments.at(next).ok_or_else(|| broken("no segment".to_owned()))?;
        read::replay_to(segments, &segment, Position(next.0)).map_err(|error| broken(error.to_string()))
    }

    /// Checks an entry, applies it to log state, and encodes it behind the frames.
    fn encode(
        &mut self,
        entry: &ReplicaEntry,
        chain: &Chain,
        frames: &mut Vec<u8>,
    ) -> Result<Encoded, ReplicaError> {
        let expected = self.end.state.next_index;
        if entry.slot.index != expected {
            return Err(ReplicaError::Misplaced { slot: entry.slot, expected });
        }
        let misfit = |malformed: Malformed| misfit(entry.slot, &malformed.to_string());
        let mut body = match &entry.content {
            EntryContent::Sealed(sealed) => sealed.bytes.clone(),
            EntryContent::Consensus(bytes) => self.consensus_body(entry.slot, bytes, chain).into(),
        };
        let given = body.clone();
        let mut parts = entry::decode(&given).map_err(misfit)?;
        let known = matches!(&entry.content, EntryContent::Sealed(sealed) if sealed.known);
        if known && !is_meant_for(&parts.head, entry.slot, chain) {
            body = self.consensus_body(entry.slot, &[], chain).into();
            parts = entry::decode(&body).map_err(misfit)?;
        }
        let head = &parts.head;
        if head.slot != entry.slot {
            return Err(misfit(Malformed::new("slot")));
        }
        if head.previous != chain.last_hash {
            return Err(misfit(Malformed::new("previous hash")));
        }
        let offset = self.end.writer.tail() + frames.len() as u64;
        let encoded = Encoded::of(&parts, &self.end.segments.hasher, offset);
        self.end.state.apply(&encoded.effects()).map_err(misfit)?;
        match &entry.content {
            EntryContent::Sealed(sealed) if sealed.known => {}
            EntryContent::Sealed(_) => {
                check_sealed(&self.end.segments.hasher, &self.end.state, chain, &parts, encoded.hash)
                    .map_err(misfit)?;
            }
            EntryContent::Consensus(_) => {}
        }
        let (place, index) = (self.end.place(frames.len()), entry.slot.index);
        let synced = self.end.synced;
        let erasable = head.blocks.iter().any(|item| item.erasable);
        let mut as_it_is = Compressor::new(Compression::None);
        let compressor = if erasable { &mut as_it_is } else { &mut self.compressor };
        frame::encode_with(frames, place, FrameKind::Entry, index, synced, compressor, body.len(), |out| {
            out.put(&body);
        });
        Ok(encoded)
    }

    /// Encodes an entry of consensus itself: everywhere alike, since nothing of it is this replica's.
    fn consensus_body(&self, slot: Slot, bytes: &[u8], chain: &Chain) -> Vec<u8> {
        let fields = HeadFields {
            slot,
            incarnation: IncarnationId::NONE,
            previous: chain.last_hash,
            recorded_at: self.end.state.last_recorded_at,
            events: 0,
            append_records: 0,
            blocks: 0,
            controls: 1,
            witness: None,
        };
        let mut controls = Vec::new();
        control::encode(&mut controls, &Control::Consensus(bytes.into()));
        let mut body = Vec::new();
        entry::encode_head(&mut body, &fields, &controls, &[], &[]);
        body.put_u32(crc32fast::hash(&body));
        body
    }

    /// Has a completion told when everything written so far is durable.
    pub(super) fn wait(&mut self, flushed: Completion) {
        self.waiting.push_back((self.writes, flushed));
    }

    pub(super) fn has_unsynced(&self) -> bool {
        self.durable_writes < self.writes
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> Result<(), ReplicaError> {
        self.end.sync().map_err(|stopped| self.stopped(stopped))?;
        self.durable_writes = self.writes;
        Ok(())
    }

    /// Takes the completions whose outcome is known.
    pub(super) fn take_completed(&mut self) -> Vec<(Completion, Result<(), ReplicaError>)> {
        let mut told = Vec::new();
        let failed = self.poison.as_ref().map(|cause| ReplicaError::Poisoned { cause: cause.clone() });
        while let Some((write, completion)) = self.waiting.pop_front() {
            match &failed {
                Some(error) => told.push((completion, Err(error.clone()))),
                None if write <= self.durable_writes => told.push((completion, Ok(()))),
                None => {
                    self.waiting.push_front((write, completion));
                    break;
                }
            }
        }
        told
    }

    /// Writes local state as a frame.
    pub(super) fn write_local(&mut self) -> Result<(), Stopped> {
        self.end.prepare()?;
        let mut body = Vec::new();
        local::encode(&mut body, &self.local);
        self.end.append_frame(FrameKind::Local, &body)?;
        self.end.local = self.local;
        self.local_due = None;
        self.writes += 1;
        Ok(())
    }

    /// Writes a new vote; keeps the one before when that fails.
    pub(super) fn write_vote(&mut self, vote: Vote) -> Result<(), ReplicaError> {
        let before = self.local.vote.replace(vote);
        self.write_local().map_err(|stopped| {
            self.local.vote = before;
            self.stopped(stopped)
        })?;
        self.vote_write = self.writes;
        Ok(())
    }

    /// Notes what is durable, before anybody is told so.
    pub(super) fn promise(&mut self) {
        if self.poison.is_some() {
            return;
        }
        let is_durable = self.vote_write <= self.durable_writes;
        let vote = if is_durable { self.end.local.vote } else { self.promised.vote() };
        self.promised.note(self.end.synced, vote);
    }

    /// Notes, before they are cut off, that entries are not promised any more.
    pub(super) fn give_up(&mut self, from: Index) -> Result<(), ReplicaError> {
        let given_up = self.promised.give_up(Position(from.0));
        given_up.map_err(|cause| self.stopped(Stopped::Write(cause)))
    }

    pub(super) fn note_committed(&mut self, committed: Option<Slot>) {
        if committed == self.local.committed {
            return;
        }
        self.local.committed = committed;
        self.committed =
            self.committed.max(committed.map_or(Position::ZERO, |slot| slot.index.position_after()));
        self.local_due.get_or_insert(self.end.doors.clock.monotonic() + COMMITTED_WITHIN);
    }

    /// Returns the committed slot, clamped to what the log holds.
    pub(super) fn committed(&self) -> Option<Slot> {
        let (committed, last) = (self.local.committed?, self.last()?);
        Some(if committed.index > last.index { last } else { committed })
    }

    pub(super) fn note_due(&self, now: Duration) -> bool {
        self.check_open().is_ok() && self.local_due.is_some_and(|due| due <= now)
    }

    pub(super) fn acts_at(&self, now: Duration) -> Option<Duration> {
        match self.check_open() {
            Ok(()) if self.has_unsynced() || !self.waiting.is_empty() => Some(now),
            Ok(()) => self.local_due,
            Err(_) => None,
        }
    }

    /// Lets readers see what is durable and committed.
    pub(super) fn publish(&mut self, published: &Published) {
        let bound = self.committed.min(self.end.synced);
        let before = self.visible.position();
        let mut touched = Vec::new();
        while let Some(seen) = self.unseen.front().filter(|unseen| bound.includes(unseen.slot.index)) {
            let applied = self.visible.apply_noting(&seen.effects(), &mut touched);
            assert!(applied.is_ok(), "what was appended must follow from log state: {applied:?}");
            self.unseen.pop_front();
        }
        if std::mem::take(&mut self.leapt) {
            published.update(|visible| *visible = crate::follower::visible_state(&self.visible));
        } else if self.visible.position() == before {
            return;
        }
        self.tell_readers(true);
        let state = &self.visible;
        published.update(|visible| {
            visible.position = state.position();
            for slot in touched {
                visible.channels.tell(state, slot, state.channel(slot).next);
            }
            if visible.incarnations.len() != state.incarnations.len() {
                visible.incarnations = state.incarnations.clone().into();
            }
            visible.last_recorded_at = state.last_recorded_at;
            if state.trimmed > visible.trimmed {
                *visible = crate::follower::visible_state(state);
            }
        });
    }

    pub(super) fn close(&mut self) -> Result<(), ReplicaError> {
        let closed = self.write_local_if_due().and_then(|()| self.end.close());
        if closed.is_ok() {
            self.durable_writes = self.writes;
        }
        let closed = closed.map_err(|stopped| self.stopped(stopped));
        self.closed = true;
        self.tell_readers(false);
        closed
    }

    /// Tells readers in other processes how far they may read; derived, so that failing to is no failure.
    fn tell_readers(&self, open: bool) {
        let visible = Visible {
            log: self.end.superblock.log,
            incarnation: self.visible.incarnation(),
            position: self.visible.position(),
            open,
        };
        if let Err(cause) = base::write_all_at(&*self.told, &visible::encode(&visible), 0) {
            tracing::warn!(%cause, "visible position not written");
        }
    }

    fn write_local_if_due(&mut self) -> Result<(), Stopped> {
        if self.local_due.is_some() { self.write_local() } else { Ok(()) }
    }
}

fn misfit(slot: Slot, what: &str) -> ReplicaError {
    ReplicaError::Misfit { slot, what: what.to_owned() }
}

/// Tells whether an entry was sealed for this place behind what the log holds.
fn is_meant_for(head: &EntryHead, slot: Slot, chain: &Chain) -> bool {
    head.slot == slot && head.previous == chain.last_hash
}

/// Checks what a leader sealed: hashes, witness and signature. Log state has taken the entry already.
fn check_sealed(
    hasher: &LogHasher,
    state: &LogState,
    chain: &Chain,
    parts: &EntryParts<'_>,
    hash: Hash,
) -> Result<(), Malformed> {
    let head: &EntryHead = &parts.head;
    let hashes = parts.block_hashes(hasher)?;
    if head.blocks.iter().zip(hashes).any(|(item, hash)| item.hash != hash) {
        return Err(Malformed::new("block hash"));
    }
    if head.controls.iter().any(|control| matches!(control, Control::Consensus(_))) {
        return Err(Malformed::new("control type"));
    }
    let signature = parts.signature.as_ref().ok_or(Malformed::new("signature"))?;
    if head.witness != Some((chain.root.position(), chain.root.hash(hasher))) {
        return Err(Malformed::new("witness"));
    }
    if state.incarnation() != head.incarnation {
        return Err(Malformed::new("incarnation"));
    }
    let key = state.key_of(head.incarnation).ok_or(Malformed::new("incarnation"))?;
    let message = hasher.signed_message(head.incarnation, head.slot.index, &hash);
    if key.verifies(&message, signature) { Ok(()) } else { Err(Malformed::new("signature")) }
}
