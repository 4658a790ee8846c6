//! Where appends wait to be written: entries under construction, and log state as it will be with them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{ChannelName, Hash, Index, Position, Random, Seq, Timestamp};
use rustc_hash::FxHashMap;

use super::placed::Admission;
use crate::codec::append::{RangeInBlock, Records, Repeat, Repeatable};
use crate::codec::control::{Control, RedactionRecord, TrimRecord};
use crate::codec::erasable::SALT_BYTES;
use crate::codec::{Put, event};
use crate::error::AppendError;
use crate::held_blobs::Holder;
use crate::limits::{BLOCK_BYTES_TARGET, ENTRY_BYTES_TARGET};
use crate::outcome::{At, ChannelRange, Outcome, Rejection};
use crate::request::{
    AppendRequest, Condition, Idempotency, RequestSize, creation_bytes, redaction_bytes, trim_bytes,
};
use crate::state::{ChannelState, LogState, Remembered};
use crate::{ChannelConfig, EventInput};

mod keyed_room;
mod salts;

use keyed_room::KeyedRoom;
use salts::Salts;

/// Bytes of the buffers of blocks that are kept for the next ones.
const SPARE_BYTES_MAX: usize = 8 << 20;

/// An entry that still takes appends.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    pub index: Index,
    pub recorded_at: Timestamp,
    pub controls: Vec<Control>,
    pub appends: Records,
    pub repeatables: Vec<Repeatable>,
    pub blocks: Vec<OpenBlock>,
    /// What events of channels that are not erasable refer to.
    pub references: Vec<Hash>,
    pub events: u32,
    bytes: usize,
    /// The channel slot written last, and its newest block.
    latest: Option<(usize, usize)>,
    /// The newest block of each other channel slot.
    newest: FxHashMap<usize, usize>,
    /// Where the blocks' buffers come from, and go to when they were written.
    pub spare: Arc<SpareBuffers>,
}

/// A channel block that still takes events.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    pub channel: ChannelName,
    pub first_seq: Seq,
    pub events: u32,
    /// Whether a salt stands in front of each event.
    pub erasable: bool,
    pub bytes: Vec<u8>,
}

impl OpenEntry {
    fn new(index: Index, recorded_at: Timestamp, spare: &Arc<SpareBuffers>) -> Self {
        Self {
            index,
            recorded_at,
            controls: Vec::new(),
            appends: Records::default(),
            repeatables: Vec::new(),
            blocks: Vec::new(),
            references: Vec::new(),
            events: 0,
            bytes: 0,
            latest: None,
            newest: FxHashMap::default(),
            spare: Arc::clone(spare),
        }
    }

    /// Tells whether the entry exists only to carry a signature.
    pub(crate) fn is_empty(&self) -> bool {
        self.appends.count == 0 && self.controls.is_empty()
    }

    /// Returns the block that the next event of a channel goes to.
    fn block(&mut self, slot: usize, channel: &ChannelState) -> usize {
        let known = match self.latest {
            Some((latest, block)) if latest == slot => Some(block),
            _ => self.newest.get(&slot).copied(),
        };
        let block = known.filter(|block| self.blocks[*block].bytes.len() < BLOCK_BYTES_TARGET);
        let block = block.unwrap_or_else(|| {
            self.blocks.push(OpenBlock {
                channel: channel.name.clone(),
                first_seq: channel.next,
                events: 0,
                erasable: channel.config.erasable,
                bytes: self.spare.take(),
            });
            self.blocks.len() - 1
        });
        if let Some((latest, newest)) = self.latest.replace((slot, block))
            && latest != slot
        {
            self.newest.insert(latest, newest);
        }
        block
    }
}

/// Buffers of blocks that were written, for the next ones: a steady load needs the same memory again and again,
/// which is dear to give back to the system and to get anew.
#[derive(Debug, Default)]
pub(crate) struct SpareBuffers(Mutex<Spare>);

#[derive(Debug, Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    /// Bytes that they have room for.
    bytes: usize,
}

impl SpareBuffers {
    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<u8> {
        let mut spare = self.spare();
        let buffer = spare.buffers.pop().unwrap_or_default();
        spare.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps the buffers of written blocks, as far as there is room for them.
    pub(crate) fn give_back(&self, blocks: Vec<OpenBlock>) {
        let mut spare = self.spare();
        for mut block in blocks {
            let bytes = block.bytes.capacity();
            if bytes > 0 && spare.bytes + bytes <= SPARE_BYTES_MAX && bytes <= 2 * BLOCK_BYTES_TARGET {
                block.bytes.clear();
                spare.bytes += bytes;
                spare.buffers.push(block.bytes);
            }
        }
    }
}

/// What staging an append decided, and up to where the decision relies on entries that are staged.
#[derive(Debug)]
pub(crate) struct Staged {
    pub outcome: Outcome,
    pub relies_on: Position,
}

/// Why staging takes nothing any more.
#[derive(Debug, Clone)]
pub(crate) enum Shut {
    Closed,
    Poisoned(String),
}

#[derive(Debug)]
pub(crate) struct Stage {
    /// Log state with everything that is staged.
    pub state: LogState,
    full: Vec<OpenEntry>,
    open: Option<OpenEntry>,
    /// Bytes that what is staged can take at most.
    pub bytes: u64,
    /// Grows with every failed write, which takes everything staged with it.
    pub epoch: u64,
    pub shut: Option<Shut>,
    spare: Arc<SpareBuffers>,
    salts: Salts,
    admission: Admission,
    /// Who is asked whether blobs are held.
    holder: Arc<Holder>,
    /// In a keyed log, the most bytes that state frames will have of keys.
    keyed: Option<KeyedRoom>,
}

impl Stage {
    pub(crate) fn new(
        mut state: LogState,
        admission: Admission,
        holder: Arc<Holder>,
        random: Arc<dyn Random>,
    ) -> Self {
        let (full, spare, salts) = (Vec::new(), Arc::default(), Salts::new(random));
        // What keys hold is looked up where it was written; here it would be copied at the next write.
        let keyed = KeyedRoom::of(&state);
        state.keyed = None;
        Self {
            keyed,
            state,
            full,
            open: None,
            bytes: 0,
            epoch: 0,
            shut: None,
            spare,
            salts,
            admission,
            holder,
        }
    }

    /// Notes what keys hold once everything that was taken is written.
    pub(crate) fn note_keyed(&mut self, written: &LogState) {
        if let Some(room) = &mut self.keyed {
            room.note(written);
        }
    }

    /// Tells whether a keyed log has no room for the events of a request; one that only deletes keys has it always.
    pub(crate) fn refuse_keyed(&mut self, request: &AppendRequest<'_>, max: u64) -> Option<Rejection> {
        self.keyed.as_mut()?.refuse(request, max)
    }

    /// Tells whether events need keys.
    pub(crate) fn is_keyed(&self) -> bool {
        self.keyed.is_some()
    }

    /// Returns the bytes of the salts that a request's events get.
    pub(crate) fn salt_bytes(&self, request: &AppendRequest<'_>) -> usize {
        let erasable = request.parts.iter().filter(|part| self.is_erasable(part.channel));
        erasable.map(|part| part.events.len().saturating_mul(SALT_BYTES)).fold(0, usize::saturating_add)
    }

    fn is_erasable(&self, channel: &ChannelName) -> bool {
        self.state.has_erasable()
            && self.state.slot(channel).is_some_and(|slot| self.state.channel(slot).config.erasable)
    }

    /// Tells whether nothing is staged.
    pub(crate) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.is_none()
    }

    /// Takes everything that is staged.
    pub(crate) fn take(&mut self) -> Vec<OpenEntry> {
        if let Some(room) = &mut self.keyed {
            room.take();
        }
        self.bytes = 0;
        let mut entries = std::mem::take(&mut self.full);
        entries.extend(self.open.take());
        entries
    }

    /// Drops everything that is staged and goes back to `state`.
    pub(crate) fn reset(&mut self, state: LogState) {
        self.take();
        self.keyed = KeyedRoom::of(&state);
        self.state = state;
        self.state.keyed = None;
        self.epoch += 1;
    }

    /// Makes the entry that a sync adds when the newest one is not signed.
    pub(crate) fn empty_entry(&mut self, now: Timestamp) -> OpenEntry {
        let entry = OpenEntry::new(self.state.next_index, now.max(self.state.last_recorded_at), &self.spare);
        self.state.next_index = entry.index.next();
        self.state.last_recorded_at = entry.recorded_at;
        entry
    }

    pub(crate) fn check_open(&self) -> Result<(), AppendError> {
        match &self.shut {
            None => Ok(()),
            Some(Shut::Closed) => Err(AppendError::Closed),
            Some(Shut::Poisoned(cause)) => Err(AppendError::Poisoned { cause: cause.clone() }),
        }
    }

    /// Decides on a request and stages it.
    pub(crate) fn submit(
        &mut self,
        request: &AppendRequest<'_>,
        size: RequestSize,
        now: impl FnOnce() -> Result<Timestamp, Rejection>,
    ) -> Staged {
        match self.recognise(request) {
            Ok(None) => {}
            Ok(Some(at)) => {
                let relies_on = at.position();
                return Staged { outcome: Outcome::AlreadyAppended { at }, relies_on };
            }
            Err(reason) => return self.rejected(reason),
        }
        if let Some(reason) = self.misplaced(request) {
            return self.rejected(reason);
        }
        if let Some(reason) = request.conditions.iter().find_map(|condition| self.refuse(condition)) {
            return self.rejected(reason);
        }
        if size.has_blobs
            && let Some(reason) = self.holder.refuse(request)
        {
            return self.rejected(reason);
        }
        if size.events == 0 && request.idempotency == Idempotency::None {
            let index = Index(self.state.next_index.0.saturating_sub(1));
            let outcome = Outcome::Appended { at: At::many(index, Vec::new()) };
            return Staged { outcome, relies_on: self.position() };
        }
        if let Err(reason) = self.ready(size.bytes, now) {
            return self.rejected(reason);
        }
        let at = self.stage(request, size);
        Staged { relies_on: at.position(), outcome: Outcome::Appended { at } }
    }

    /// Stages the creation of a channel; that it exists with the same configuration is as good.
    pub(crate) fn create_channel(
        &mut self,
        channel: &ChannelName,
        config: &ChannelConfig,
        claim: impl FnOnce(&Self) -> Option<Rejection>,
        now: impl FnOnce() -> Result<Timestamp, Rejection>,
    ) -> Staged {
        if let Some(slot) = self.state.slot(channel) {
            let known = self.state.channel(slot);
            if known.config != *config {
                return self.rejected(Rejection::ConfigMismatch { channel: channel.clone() });
            }
            if let Some(reason) = self.has_left(channel) {
                return self.rejected(reason);
            }
            let range = ChannelRange { channel: channel.clone(), first: known.next, count: 0 };
            let at = At::one(known.created_index, range);
            return Staged { relies_on: at.position(), outcome: Outcome::AlreadyAppended { at } };
        }
        if let Some(reason) = claim(self) {
            return self.rejected(reason);
        }
        let bytes = creation_bytes(config);
        if let Err(reason) = self.ready(bytes, now) {
            return self.rejected(reason);
        }
        self.bytes += bytes as u64;
        let (entry, state) = self.entry();
        entry.bytes += bytes;
        let slot = create(state, entry, channel, config);
        let range = ChannelRange { channel: channel.clone(), first: state.channel(slot).next, count: 0 };
        let at = At::one(entry.index, range);
        Staged { relies_on: at.position(), outcome: Outcome::Appended { at } }
    }

    /// Refuses channels that do not live here.
    fn misplaced(&self, request: &AppendRequest<'_>) -> Option<Rejection> {
        if self.state.has_moved() {
            let parts = request.parts.iter().map(|part| part.channel);
            let mut channels = parts.chain(request.conditions.iter().map(|condition| &condition.channel));
            if let Some(reason) = channels.find_map(|channel| self.has_left(channel)) {
                return Some(reason);
            }
        }
        if !self.admission.refuses_some() {
            return None;
        }
        let mut unknown = request.parts.iter().filter(|part| self.state.slot(part.channel).is_none());
        unknown.find_map(|part| self.admission.refuses(part.channel))
    }

    fn has_left(&self, channel: &ChannelName) -> Option<Rejection> {
        let moved = self.state.channel(self.state.slot(channel)?).moved.as_ref()?;
        Some(Rejection::Moved { channel: channel.clone(), to: moved.to.name.clone() })
    }

    /// Returns why a channel that is not there may not begin here, if it may not.
    pub(crate) fn refuses(&self, channel: &ChannelName) -> Option<Rejection> {
        self.admission.refuses(channel)
    }

    /// Closes the entry under construction, if it is not recorded later than `time`.
    pub(crate) fn go_beyond(&mut self, time: Timestamp) {
        if self.open.as_ref().is_some_and(|entry| entry.recorded_at <= time) {
            self.full.extend(self.open.take());
        }
    }

    /// Stages a control record that changes log state; `change` does what the record will do when it is read.
    pub(crate) fn control(
        &mut self,
        control: Control,
        bytes: usize,
        now: impl FnOnce() -> Result<Timestamp, Rejection>,
        change: impl FnOnce(&mut LogState, Index, Timestamp),
    ) -> Result<Index, Rejection> {
        self.ready(bytes, now)?;
        self.bytes += bytes as u64;
        let (entry, state) = self.entry();
        entry.bytes += bytes;
        change(state, entry.index, entry.recorded_at);
        entry.controls.push(control);
        Ok(entry.index)
    }

    /// Returns the position below which the log was given up, what is staged included.
    pub(crate) fn trimmed(&self) -> Position {
        self.state.trimmed
    }

    /// Stages that the beginning of the log is given up.
    pub(crate) fn trim(
        &mut self,
        record: TrimRecord,
        now: impl FnOnce() -> Result<Timestamp, Rejection>,
    ) -> Result<(), Rejection> {
        let bytes = trim_bytes(&record);
        self.ready(bytes, now)?;
        self.bytes += bytes as u64;
        let (entry, state) = self.entry();
        entry.bytes += bytes;
        state.apply_trim(&record).expect("the record was made of this state");
        entry.controls.push(Control::Trim(record));
        Ok(())
    }

    /// Stages that events are taken out of a channel.
    pub(crate) fn redact(
        &mut self,
        record: RedactionRecord,
        now: impl FnOnce() -> Result<Timestamp, Rejection>,
    ) -> Staged {
        let bytes = redaction_bytes(&record);
        if let Err(reason) = self.ready(bytes, now) {
            return self.rejected(reason);
        }
        self.bytes += bytes as u64;
        let (entry, state) = self.entry();
        entry.bytes += bytes;
        state.apply_redaction(&record).expect("the record was made of this state");
        entry.controls.push(Control::Redaction(record));
        let at = At::many(entry.index, Vec::new());
        Staged { relies_on: at.position(), outcome: Outcome::Appended { at } }
    }

    pub(crate) fn rejected(&self, reason: Rejection) -> Staged {
        let position = self.position();
        Staged { outcome: Outcome::Rejected { reason, position }, relies_on: position }
    }

    /// Returns the position behind everything staged.
    fn position(&self) -> Position {
        self.state.position()
    }

    /// Looks for an earlier append with the same key or number.
    fn recognise(&self, request: &AppendRequest<'_>) -> Result<Option<At>, Rejection> {
        match request.idempotency {
            Idempotency::None => Ok(None),
            Idempotency::Key(key) => match self.state.key(key) {
                None => Ok(None),
                Some(known) if known.digest == self.digest(request) => Ok(Some(known.at.clone())),
                Some(known) => {
                    let at = Box::new(known.at.clone());
                    Err(Rejection::KeyReused { key: key.to_owned(), at })
                }
            },
            Idempotency::Producer { id, number, .. } => match self.state.producer(id) {
                Some(Remembered { number: last, digest: known, at })
                    if number == *last && *known == self.digest(request) =>
                {
                    Ok(Some(at.clone()))
                }
                Some(Remembered { number: last, .. }) if number <= *last => {
                    Err(Rejection::StaleProducer { id: id.to_owned(), number, last: *last })
                }
                _ => Ok(None),
            },
        }
    }

    fn refuse(&self, condition: &Condition) -> Option<Rejection> {
        let actual = self.state.next_seq(&condition.channel);
        (!condition.expect.holds(actual)).then(|| Rejection::ConditionFailed {
            channel: condition.channel.clone(),
            expected: condition.expect,
            actual,
        })
    }

    /// Makes sure that there is an open entry with room for `bytes`.
    fn ready(
        &mut self,
        bytes: usize,
        now: impl FnOnce() -> Result<Timestamp, Rejection>,
    ) -> Result<(), Rejection> {
        if self.open.as_ref().is_some_and(|entry| entry.bytes + bytes > ENTRY_BYTES_TARGET) {
            self.full.extend(self.open.take());
        }
        if self.open.is_none() {
            let recorded_at = now()?.max(self.state.last_recorded_at);
            self.open = Some(OpenEntry::new(self.state.next_index, recorded_at, &self.spare));
            self.state.next_index = self.state.next_index.next();
            self.state.last_recorded_at = recorded_at;
        }
        Ok(())
    }

    /// Returns what a request stands for: the given digest, or the hash of its channels and events. Of an erasable
    /// channel the hash covers how many events there are, since one of their content would outlive it.
    fn digest(&self, request: &AppendRequest<'_>) -> Hash {
        if let Idempotency::Producer { digest: Some(digest), .. } = request.idempotency {
            return digest;
        }
        let mut hasher = blake3::Hasher::new_derive_key("netdb redex 2026-11 append digest");
        let mut bytes = Vec::new();
        for part in request.parts {
            hasher.update(&(part.channel.as_str().len() as u64).to_le_bytes());
            hasher.update(part.channel.as_str().as_bytes());
            if self.is_erasable(part.channel) {
                hasher.update(&(part.events.len() as u64).to_le_bytes());
                continue;
            }
            for event in part.events {
                bytes.clear();
                event::encode(&mut bytes, 0, event);
                hasher.update(&bytes);
            }
        }
        hasher.finalize().into()
    }

    fn entry(&mut self) -> (&mut OpenEntry, &mut LogState) {
        let entry = self.open.as_mut().expect("`ready` opened an entry");
        (entry, &mut self.state)
    }

    fn stage(&mut self, request: &AppendRequest<'_>, size: RequestSize) -> At {
        self.bytes += size.bytes as u64;
        let digest = match request.idempotency {
            Idempotency::None => Hash::ZERO,
            _ => self.digest(request),
        };
        let entry = self.open.as_mut().expect("`ready` opened an entry");
        let state = &mut self.state;
        entry.bytes += size.bytes;
        let mut ranges = Ranges::default();
        for part in request.parts {
            let slot = state
                .slot(part.channel)
                .unwrap_or_else(|| create(state, entry, part.channel, &ChannelConfig::default()));
            for event in part.events {
                stage_event(entry, state, slot, event, &mut self.salts, &mut ranges);
            }
        }
        let at = ranges.at(entry);
        let repeat = match request.idempotency {
            Idempotency::None => None,
            Idempotency::Key(key) => Some(Repeat::Key(key.into())),
            Idempotency::Producer { id, number, .. } => Some(Repeat::Producer { id: id.into(), number }),
        };
        let repeatable = repeat.map(|repeat| {
            state.remember(&repeat, digest, at.clone());
            Repeatable { repeat, digest, ranges: ranges.into_blocks() }
        });
        entry.appends.add(size.events, repeatable.as_ref());
        entry.repeatables.extend(repeatable);
        at
    }
}

/// The events of one append, gathered into ranges as they are staged. Nearly every append has one range, which
/// needs no memory of its own.
#[derive(Debug, Default)]
struct Ranges {
    before: Vec<RangeInBlock>,
    last: Option<RangeInBlock>,
}

impl Ranges {
    fn add(&mut self, entry: &OpenEntry, block: usize, seq: Seq) {
        let block = u32::try_from(block).expect("an entry has far fewer blocks");
        if let Some(last) = &mut self.last {
            let channel = |block: u32| &entry.blocks[block as usize].channel;
            let same = last.block == block || channel(last.block) == channel(block);
            if same && last.first.plus(last.events.into()) == seq {
                last.events += 1;
                return;
            }
        }
        self.before.extend(self.last.replace(RangeInBlock { block, first: seq, events: 1 }));
    }

    fn at(&self, entry: &OpenEntry) -> At {
        let range = |range: &RangeInBlock| ChannelRange {
            channel: entry.blocks[range.block as usize].channel.clone(),
            first: range.first,
            count: range.events.into(),
        };
        match (self.before.as_slice(), &self.last) {
            ([], Some(one)) => At::one(entry.index, range(one)),
            (before, last) => At::many(entry.index, before.iter().chain(last).map(range).collect()),
        }
    }

    fn into_blocks(self) -> Vec<RangeInBlock> {
        self.before.into_iter().chain(self.last).collect()
    }
}

fn stage_event(
    entry: &mut OpenEntry,
    state: &mut LogState,
    slot: usize,
    event: &EventInput<'_>,
    salts: &mut Salts,
    ranges: &mut Ranges,
) {
    let block = entry.block(slot, state.channel(slot));
    let seq = state.take_seqs(slot, 1);
    if entry.blocks[block].erasable {
        entry.blocks[block].bytes.put(salts.next());
    } else if !event.blobs.is_empty() {
        entry.references.extend(event.blobs.iter().map(|reference| reference.hash));
    }
    event::encode(&mut entry.blocks[block].bytes, entry.events, event);
    entry.blocks[block].events += 1;
    entry.events += 1;
    ranges.add(entry, block, seq);
}

fn create(
    state: &mut LogState,
    entry: &mut OpenEntry,
    channel: &ChannelName,
    config: &ChannelConfig,
) -> usize {
    let base = state.seq_floor();
    entry.controls.push(Control::ChannelCreated { name: channel.clone(), base, config: config.clone() });
    state.insert_channel(ChannelState {
        name: channel.clone(),
        base,
        next: base,
        created_at: entry.recorded_at,
        created_index: entry.index,
        config: config.clone(),
        moved: None,
        arrived: None,
    })
}
