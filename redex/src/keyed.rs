//! Keyed logs: of each channel and key the newest event is part of log state, so that older segments can go.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use base::{ChannelName, Index, Position, Seq, Timestamp};

use crate::codec::entry::EntryHead;
use crate::codec::event::{self, Blobs, EventRecord, Headers};
use crate::codec::{Cursor, Malformed};

/// Bytes that a record takes in a state frame beside its event and the name of its channel.
const RECORD_BYTES: u64 = 2 + 8 + 8 + 8;

/// The newest event of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyedRecord {
    pub seq: Seq,
    pub index: Index,
    pub recorded_at: Timestamp,
    /// The event's record, as it stands in its block.
    pub bytes: Arc<[u8]>,
}

/// What an event does to its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyedChange {
    pub channel: ChannelName,
    pub key: Box<str>,
    /// The newest event; `None` when the key is deleted.
    pub record: Option<KeyedRecord>,
}

/// The newest event of each key, by channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyedMap {
    channels: BTreeMap<ChannelName, BTreeMap<Box<str>, KeyedRecord>>,
    bytes: u64,
}

impl KeyedMap {
    pub(crate) fn apply(&mut self, change: &KeyedChange) {
        let keys = self.channels.entry(change.channel.clone()).or_default();
        let before = match &change.record {
            Some(record) => keys.insert(change.key.clone(), record.clone()),
            None => keys.remove(&change.key),
        };
        if keys.is_empty() {
            self.channels.remove(&change.channel);
        }
        let bytes = |record: &Option<KeyedRecord>| {
            record.as_ref().map_or(0, |record| record_bytes(&change.channel, record.bytes.len()))
        };
        self.bytes = (self.bytes + bytes(&change.record)).saturating_sub(bytes(&before));
    }

    /// Returns the bytes that the records take in a state frame.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how many records there are.
    pub(crate) fn len(&self) -> usize {
        self.channels.values().map(BTreeMap::len).sum()
    }

    /// Returns all records, by channel and key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ChannelName, &str, &KeyedRecord)> {
        self.channels
            .iter()
            .flat_map(|(channel, keys)| keys.iter().map(move |(key, record)| (channel, &**key, record)))
    }
}

/// Returns the bytes that a record takes in a state frame.
pub(crate) fn record_bytes(channel: &ChannelName, event_bytes: usize) -> u64 {
    RECORD_BYTES + (channel.as_str().len() + event_bytes) as u64
}

/// Returns what an entry's events do to their keys, in their order.
pub(crate) fn changes_of(head: &EntryHead, blocks: &[u8]) -> Result<Vec<KeyedChange>, Malformed> {
    let mut changes = Vec::new();
    let mut at = 0;
    for item in &head.blocks {
        let end = at + item.bytes;
        let block = blocks.get(at..end).ok_or(Malformed::new("block length"))?;
        at = end;
        changes_of_block(
            (&item.channel, item.first_seq, item.events),
            block,
            (head.slot.index, head.recorded_at),
            &mut changes,
        )?;
    }
    Ok(changes)
}

/// Adds what the events of one block do to their keys.
pub(crate) fn changes_of_block(
    (channel, first, events): (&ChannelName, Seq, u32),
    block: &[u8],
    (index, recorded_at): (Index, Timestamp),
    changes: &mut Vec<KeyedChange>,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(block);
    for nth in 0..events {
        let begin = block.len() - cursor.remaining();
        let record = event::decode(&mut cursor)?;
        let bytes = &block[begin..block.len() - cursor.remaining()];
        // The sequencer lets no event in without a key.
        let key = record.key.ok_or(Malformed::new("key"))?.into();
        let seq = first.plus(nth.into());
        let kept = || KeyedRecord { seq, index, recorded_at, bytes: bytes.into() };
        let record = (!record.payload.is_empty()).then(kept);
        changes.push(KeyedChange { channel: channel.clone(), key, record });
    }
    cursor.finish("block length")
}

/// What a keyed log holds as of one position: the newest event of each key. Cloning shares it, and nothing that comes
/// later changes it.
#[derive(Debug, Clone)]
pub struct Keyed {
    position: Position,
    map: Arc<KeyedMap>,
}

/// The newest event of a key.
#[derive(Debug, Clone, Copy)]
pub struct KeyedEvent<'a> {
    /// What it is about.
    pub key: &'a str,
    /// The event's number in its channel.
    pub seq: Seq,
    /// The index of its entry.
    pub index: Index,
    /// When the sequencer put it in order.
    pub recorded_at: Timestamp,
    /// When it happened, as its author says.
    pub time: Option<Timestamp>,
    /// The name of its type.
    pub kind: &'a str,
    /// Names and values beside the payload.
    pub headers: Headers<'a>,
    /// Large values that it refers to.
    pub blobs: Blobs<'a>,
    /// The content; never empty, since an empty one deletes the key.
    pub payload: &'a [u8],
}

impl Keyed {
    pub(crate) fn new(position: Position, map: Arc<KeyedMap>) -> Self {
        Self { position, map }
    }

    /// Returns the position that it is as of.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns how many keys there are, of all channels.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.map.channels.is_empty()
    }

    /// Returns the newest event of a key; `None` when there is none, or the newest one deletes it.
    pub fn get(&self, channel: &ChannelName, key: &str) -> Option<KeyedEvent<'_>> {
        let (key, record) = self.map.channels.get(channel)?.get_key_value(key)?;
        Some(keyed_event(key, record))
    }

    /// Returns the newest events of the keys that begin with `prefix`, by key.
    pub fn scan<'a>(
        &'a self,
        channel: &ChannelName,
        prefix: &'a str,
    ) -> impl Iterator<Item = KeyedEvent<'a>> + use<'a> {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let keys = self.map.channels.get(channel).into_iter();
        let from = keys.flat_map(move |keys| keys.range::<str, _>(range));
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, record)| keyed_event(key, record))
    }
}

fn keyed_event<'a>(key: &'a str, record: &'a KeyedRecord) -> KeyedEvent<'a> {
    let decoded = event::decode(&mut Cursor::new(&record.bytes));
    let EventRecord { time, kind, headers, blobs, payload, .. } =
        decoded.expect("the record was decoded when it came in");
    let (seq, index, recorded_at) = (record.seq, record.index, record.recorded_at);
    KeyedEvent { key, seq, index, recorded_at, time, kind, headers, blobs, payload }
}
