//! Log state: what a log's sequencer must know, as a pure function of the log's prefix.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use base::{ChannelName, Hash, IncarnationId, Index, Position, PublicKey, Seq, Slot, Term, Timestamp};
use rustc_hash::FxBuildHasher;

use crate::codec::Malformed;
use crate::codec::append::{Repeat, Repeatable};
use crate::codec::block::BlockItem;
use crate::codec::control::{
    ArrivedRecord, Control, HoleRecord, IncarnationRecord, LogPlace, MovedRecord, RedactionRecord, TrimRecord,
};
use crate::codec::superblock::LogKind;
use crate::keyed::{KeyedChange, KeyedMap};
use crate::limits::KEY_WINDOW;
use crate::{At, ChannelConfig, ChannelRange};

/// A channel as of some position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelState {
    pub name: ChannelName,
    /// The number of the first event that is kept; above 0 only in a channel that was moved here, that may have
    /// lost its beginning, or whose beginning was trimmed.
    pub base: Seq,
    pub next: Seq,
    pub created_at: Timestamp,
    pub created_index: Index,
    pub config: ChannelConfig,
    /// Where it goes on, if it left this log.
    pub moved: Option<Box<MovedState>>,
    /// Where it was before, if it came from another log.
    pub arrived: Option<Box<ArrivedState>>,
}

/// That a channel left the log, which takes no more events of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MovedState {
    pub to: LogPlace,
    /// The entry that says so.
    pub index: Index,
    pub recorded_at: Timestamp,
}

/// That a channel came from another log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArrivedState {
    pub from: LogPlace,
    /// The position there behind the entry that says that it left.
    pub position: Position,
    /// The number that it went on with.
    pub first: Seq,
}

/// What is remembered of an append that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub number: u64,
    pub digest: Hash,
    pub at: At,
}

/// An incarnation of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IncarnationState {
    pub record: IncarnationRecord,
    pub first_index: Index,
    pub term: Term,
    pub began_at: Timestamp,
    pub parent_hash: Hash,
}

/// What consensus wrote into an entry of its own, such as a membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsensusState {
    pub slot: Slot,
    pub bytes: Box<[u8]>,
}

/// How many of them are kept: consensus changes its membership only once the change before is committed, so that the
/// older one is what holds while the newer one may still be cut off.
pub(crate) const CONSENSUS_KEPT: usize = 2;

/// The part of log state that sequencing depends on. Channels are addressed by slot, their place in the order
/// of creation.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogState {
    pub next_index: Index,
    pub last_recorded_at: Timestamp,
    /// Everything below was given up.
    pub trimmed: Position,
    /// How many redactions are on record.
    pub redactions: u64,
    /// In a keyed log, the newest event of each key.
    pub keyed: Option<Arc<KeyedMap>>,
    channels: Vec<ChannelState>,
    slots: HashMap<ChannelName, usize, FxBuildHasher>,
    producers: BTreeMap<Box<str>, Remembered>,
    keys: HashMap<Box<str>, Remembered, FxBuildHasher>,
    key_order: VecDeque<Box<str>>,
    pub incarnations: Vec<IncarnationState>,
    pub holes: Vec<HoleRecord>,
    /// The two newest entries in which consensus wrote something, the older one first.
    pub consensus: Vec<ConsensusState>,
    /// How many channels left the log.
    moved: usize,
    /// How many channels have events that can be redacted.
    erasable: usize,
}

/// What an entry does to log state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effects<'a> {
    pub slot: Slot,
    pub previous: Hash,
    pub recorded_at: Timestamp,
    pub controls: &'a [Control],
    pub blocks: &'a [BlockItem],
    pub repeatables: &'a [Repeatable],
    /// In a keyed log, what the events do to their keys.
    pub keyed: &'a [KeyedChange],
}

impl ChannelState {
    /// A channel that goes on here from another log.
    pub(crate) fn arrived(record: &ArrivedRecord, index: Index, recorded_at: Timestamp) -> Self {
        let ArrivedRecord { channel, base, config, from, position } = record.clone();
        Self {
            name: channel,
            base,
            next: base,
            created_at: recorded_at,
            created_index: index,
            config,
            moved: None,
            arrived: Some(Box::new(ArrivedState { from, position, first: base })),
        }
    }
}

impl LogState {
    /// Returns the state of an empty log of a kind.
    pub(crate) fn empty(kind: LogKind) -> Self {
        Self { keyed: (kind == LogKind::Keyed).then(Arc::default), ..Self::default() }
    }

    pub(crate) fn channels(&self) -> &[ChannelState] {
        &self.channels
    }

    pub(crate) fn channel(&self, slot: usize) -> &ChannelState {
        &self.channels[slot]
    }

    pub(crate) fn slot(&self, name: &ChannelName) -> Option<usize> {
        self.slots.get(name).copied()
    }

    pub(crate) fn next_seq(&self, name: &ChannelName) -> Option<Seq> {
        self.slot(name).map(|slot| self.channels[slot].next)
    }

    pub(crate) fn insert_channel(&mut self, channel: ChannelState) -> usize {
        let slot = self.channels.len();
        self.moved += usize::from(channel.moved.is_some());
        self.erasable += usize::from(channel.config.erasable);
        self.slots.insert(channel.name.clone(), slot);
        self.channels.push(channel);
        slot
    }

    /// Tells whether any channel left the log.
    pub(crate) fn has_moved(&self) -> bool {
        self.moved > 0
    }

    /// Tells whether events of some channel can be redacted.
    pub(crate) fn has_erasable(&self) -> bool {
        self.erasable > 0
    }

    /// Takes no more events of a channel.
    pub(crate) fn leave(&mut self, slot: usize, moved: MovedState) {
        let channel = &mut self.channels[slot];
        self.moved += usize::from(channel.moved.is_none());
        channel.moved = Some(Box::new(moved));
    }

    /// Notes that a channel came from another log.
    pub(crate) fn come(&mut self, slot: usize, arrived: ArrivedState) {
        self.channels[slot].arrived = Some(Box::new(arrived));
    }

    /// Gives out the next `count` numbers of a channel; returns the first.
    pub(crate) fn take_seqs(&mut self, slot: usize, count: u64) -> Seq {
        let channel = &mut self.channels[slot];
        let first = channel.next;
        channel.next = first.plus(count);
        first
    }

    pub(crate) fn producer(&self, id: &str) -> Option<&Remembered> {
        self.producers.get(id)
    }

    pub(crate) fn producers(&self) -> &BTreeMap<Box<str>, Remembered> {
        &self.producers
    }

    pub(crate) fn key(&self, key: &str) -> Option<&Remembered> {
        self.keys.get(key)
    }

    /// Returns the remembered keys from the oldest to the newest.
    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = (&str, &Remembered)> {
        self.key_order.iter().map(|key| {
            let remembered = self.keys.get(key).expect("every key in the order is in the map");
            (&**key, remembered)
        })
    }

    pub(crate) fn remember(&mut self, repeat: &Repeat, digest: Hash, at: At) {
        match repeat {
            Repeat::Producer { id, number } => {
                self.producers.insert(id.clone(), Remembered { number: *number, digest, at });
            }
            Repeat::Key(key) => {
                let known = self.keys.insert(key.clone(), Remembered { number: 0, digest, at });
                if known.is_none() {
                    self.key_order.push_back(key.clone());
                }
                if self.key_order.len() > KEY_WINDOW {
                    self.key_order.pop_front().map(|oldest| self.keys.remove(&oldest));
                }
            }
        }
    }

    pub(crate) fn incarnation(&self) -> IncarnationId {
        self.incarnations.last().map_or(IncarnationId::NONE, |incarnation| incarnation.record.id)
    }

    /// Returns the key that entries of an incarnation are signed with.
    pub(crate) fn key_of(&self, incarnation: IncarnationId) -> Option<PublicKey> {
        let found = self.incarnations.iter().rev().find(|known| known.record.id == incarnation);
        found.map(|incarnation| incarnation.record.public_key)
    }

    /// Applies one entry that was read or written.
    pub(crate) fn apply(&mut self, effects: &Effects<'_>) -> Result<(), Malformed> {
        self.apply_noting(effects, &mut Vec::new())
    }

    /// Applies one entry, and notes the slots of the channels that it changes.
    pub(crate) fn apply_noting(
        &mut self,
        effects: &Effects<'_>,
        touched: &mut Vec<usize>,
    ) -> Result<(), Malformed> {
        if effects.slot.index != self.next_index {
            return Err(Malformed::new("index"));
        }
        if effects.recorded_at < self.last_recorded_at {
            return Err(Malformed::new("recorded at"));
        }
        for control in effects.controls {
            self.apply_control(effects, control)?;
            touched.extend(control.concerns().and_then(|name| self.slot(name)));
        }
        for block in effects.blocks {
            let slot = self.slot(&block.channel).ok_or(Malformed::new("channel"))?;
            if self.channels[slot].moved.is_some() {
                return Err(Malformed::new("channel that left"));
            }
            if self.channels[slot].next != block.first_seq {
                return Err(Malformed::new("sequence number"));
            }
            if self.channels[slot].config.erasable != block.erasable && self.holes.is_empty() {
                return Err(Malformed::new("block flags"));
            }
            self.take_seqs(slot, block.events.into());
            if touched.last() != Some(&slot) {
                touched.push(slot);
            }
        }
        for repeatable in effects.repeatables {
            let at = locate(effects, repeatable)?;
            self.remember(&repeatable.repeat, repeatable.digest, at);
        }
        if let Some(keyed) = &mut self.keyed {
            let keyed = Arc::make_mut(keyed);
            effects.keyed.iter().for_each(|change| keyed.apply(change));
        }
        self.next_index = effects.slot.index.next();
        self.last_recorded_at = effects.recorded_at;
        Ok(())
    }

    fn apply_control(&mut self, effects: &Effects<'_>, control: &Control) -> Result<(), Malformed> {
        match control {
            Control::Incarnation(record) => self.incarnations.push(IncarnationState {
                record: *record,
                first_index: effects.slot.index,
                term: effects.slot.term,
                began_at: effects.recorded_at,
                parent_hash: effects.previous,
            }),
            Control::ChannelCreated { name, base, config } => {
                if self.slot(name).is_some() {
                    return Err(Malformed::new("channel"));
                }
                self.insert_channel(ChannelState {
                    name: name.clone(),
                    base: *base,
                    next: *base,
                    created_at: effects.recorded_at,
                    created_index: effects.slot.index,
                    config: config.clone(),
                    moved: None,
                    arrived: None,
                });
            }
            Control::Moved(record) => self.apply_moved(effects, record)?,
            Control::Arrived(record) => self.apply_arrived(effects, record)?,
            // The frame that stands in the hole has told already; the entry makes it part of the signed log.
            Control::Hole(_) => {}
            Control::Trim(trim) => self.apply_trim(trim)?,
            Control::Redaction(redaction) => self.apply_redaction(redaction)?,
            Control::Consensus(bytes) => self.note_consensus(effects.slot, bytes),
        }
        Ok(())
    }

    /// Keeps what consensus wrote; a blank entry says nothing.
    fn note_consensus(&mut self, slot: Slot, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.consensus.len() == CONSENSUS_KEPT {
            self.consensus.remove(0);
        }
        self.consensus.push(ConsensusState { slot, bytes: bytes.into() });
    }

    fn apply_moved(&mut self, effects: &Effects<'_>, record: &MovedRecord) -> Result<(), Malformed> {
        let slot = self.slot(&record.channel).ok_or(Malformed::new("channel"))?;
        let channel = &self.channels[slot];
        if channel.moved.is_some() {
            return Err(Malformed::new("channel that left"));
        }
        if channel.next != record.next {
            return Err(Malformed::new("sequence number"));
        }
        let (index, recorded_at) = (effects.slot.index, effects.recorded_at);
        self.leave(slot, MovedState { to: record.to.clone(), index, recorded_at });
        Ok(())
    }

    fn apply_arrived(&mut self, effects: &Effects<'_>, record: &ArrivedRecord) -> Result<(), Malformed> {
        if self.slot(&record.channel).is_some() {
            return Err(Malformed::new("channel"));
        }
        self.insert_channel(ChannelState::arrived(record, effects.slot.index, effects.recorded_at));
        Ok(())
    }

    /// Gives up the beginning of the log.
    pub(crate) fn apply_trim(&mut self, trim: &TrimRecord) -> Result<(), Malformed> {
        if trim.first.0 < self.trimmed.0 || trim.first > self.next_index {
            return Err(Malformed::new("first kept entry"));
        }
        for (name, first) in &trim.channels {
            let slot = self.slot(name).ok_or(Malformed::new("channel"))?;
            let channel = &mut self.channels[slot];
            if *first < channel.base || *first > channel.next {
                return Err(Malformed::new("sequence number"));
            }
            channel.base = *first;
        }
        self.trimmed = Position(trim.first.0);
        Ok(())
    }

    /// Notes that events are taken out of a channel.
    pub(crate) fn apply_redaction(&mut self, redaction: &RedactionRecord) -> Result<(), Malformed> {
        let slot = self.slot(&redaction.channel).ok_or(Malformed::new("channel"))?;
        let channel = &self.channels[slot];
        // A channel that was created in lost entries has its configuration no more.
        if !channel.config.erasable && self.holes.is_empty() {
            return Err(Malformed::new("channel"));
        }
        if redaction.ranges.last().is_none_or(|last| last.end > channel.next.0) {
            return Err(Malformed::new("sequence number"));
        }
        self.redactions += 1;
        Ok(())
    }

    /// Goes on behind entries that were lost. A hole that is known already is told more of: channels that it
    /// may have taken events of.
    pub(crate) fn apply_hole(&mut self, hole: &HoleRecord) {
        // Where a channel that was created in lost entries began.
        let base = self.seq_floor();
        for (name, next) in &hole.channels {
            match self.slot(name) {
                Some(slot) => self.channels[slot].next = self.channels[slot].next.max(*next),
                None => {
                    self.insert_channel(ChannelState {
                        name: name.clone(),
                        base: base.min(*next),
                        next: *next,
                        created_at: self.last_recorded_at,
                        created_index: hole.first,
                        config: ChannelConfig::default(),
                        moved: None,
                        arrived: None,
                    });
                }
            }
        }
        self.next_index = self.next_index.max(hole.next);
        match self.holes.iter_mut().find(|known| known.is_same_range(hole)) {
            Some(known) => known.channels.extend(hole.channels.iter().cloned()),
            None if hole.first < hole.next => self.holes.push(hole.clone()),
            // A damaged frame that held no entry.
            None => {}
        }
    }

    /// Returns the first number of a channel that is created now: above anything that a channel of this name
    /// may have had in entries that were lost.
    pub(crate) fn seq_floor(&self) -> Seq {
        self.holes.iter().map(|hole| hole.floor).max().unwrap_or_default()
    }

    /// Tells whether a hole is on record.
    pub(crate) fn knows_hole(&self, hole: &HoleRecord) -> bool {
        self.holes.iter().any(|known| known.is_same_range(hole))
    }

    /// Returns the position behind everything applied.
    pub(crate) fn position(&self) -> Position {
        Position(self.next_index.0)
    }
}

fn locate(effects: &Effects<'_>, repeatable: &Repeatable) -> Result<At, Malformed> {
    let ranges = repeatable
        .ranges
        .iter()
        .map(|range| {
            let block = effects.blocks.get(range.block as usize).ok_or(Malformed::new("append range"))?;
            let count = range.events.into();
            Ok(ChannelRange { channel: block.channel.clone(), first: range.first, count })
        })
        .collect::<Result<Vec<_>, Malformed>>()?;
    Ok(At::many(effects.slot.index, ranges))
}
