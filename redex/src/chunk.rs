//! The events that a scan found in one entry.

use std::ops::Range;
use std::sync::Arc;

use base::{ChannelName, IncarnationId, Index, Timestamp};
use bytes::Bytes;

use crate::codec::block::BlockItem;
use crate::codec::{Cursor, Malformed, entry, erasable};
use crate::redaction::{Masks, Redacted};
use crate::{EventRef, Selection};

/// The selected events of one entry; shares the bytes that they were read in.
#[derive(Debug, Clone)]
pub struct Chunk {
    index: Index,
    incarnation: IncarnationId,
    recorded_at: Timestamp,
    /// The body of the entry.
    body: Bytes,
    blocks: Vec<BlockItem>,
    picked: Vec<Picked>,
    /// The number of the segment that the entry stands in, and where its frame begins there.
    pub(crate) place: (u64, u64),
    /// What was redacted since these bytes were read, or is on its way.
    masks: Option<Arc<Masks>>,
}

/// Where a selected event stands.
#[derive(Debug, Clone, Copy)]
struct Picked {
    block: u32,
    offset: u32,
    seq: u64,
    ordinal: u32,
}

impl Chunk {
    /// Picks the selected events of an entry's body.
    pub(crate) fn pick(body: Bytes, selection: &Selection) -> Result<Self, Malformed> {
        let parts = entry::decode(&body)?;
        let mut offset = parts.blocks_at;
        let (index, incarnation) = (parts.head.slot.index, parts.head.incarnation);
        let recorded_at = parts.head.recorded_at;
        let blocks = parts.head.blocks;
        let mut picked = Vec::new();
        let entry_wanted = selection.indexes.contains(index.0) && selection.recorded.contains(recorded_at);
        for (place, item) in blocks.iter().enumerate() {
            let range = offset..offset + item.bytes;
            offset = range.end;
            if entry_wanted && selection.wants(&item.channel) {
                pick_block(&body, place, item, range, selection, &mut picked)?;
            }
        }
        if blocks.len() > 1 {
            picked.sort_unstable_by_key(|picked| picked.ordinal);
        }
        if selection.reverse {
            picked.reverse();
        }
        Ok(Self { index, incarnation, recorded_at, body, blocks, picked, place: (0, 0), masks: None })
    }

    /// Returns the index of the entry.
    pub fn index(&self) -> Index {
        self.index
    }

    /// Returns how many events were selected.
    pub fn len(&self) -> usize {
        self.picked.len()
    }

    /// Tells whether none was.
    pub fn is_empty(&self) -> bool {
        self.picked.is_empty()
    }

    /// Returns the bytes that the events borrow from; `Bytes::slice_ref` of a payload shares them.
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// Returns the events, in the order of the scan.
    pub fn events(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        let redacted = self.redacted();
        self.picked.iter().map(move |picked| {
            let mut cursor = Cursor::new(&self.body[picked.offset as usize..]);
            let item = &self.blocks[picked.block as usize];
            let event = erasable::decode_event(&mut cursor, item.erasable)
                .expect("the event was decoded when it was picked");
            let record = event
                .record
                .filter(|_| redacted.as_ref().is_none_or(|it| !it.has(&item.channel, picked.seq)));
            let redacted = record.is_none();
            let record = record.unwrap_or_default();
            EventRef {
                channel: &item.channel,
                seq: base::Seq(picked.seq),
                index: self.index,
                ordinal: event.ordinal,
                incarnation: self.incarnation,
                recorded_at: self.recorded_at,
                time: record.time,
                kind: record.kind,
                key: record.key,
                headers: record.headers,
                blobs: record.blobs,
                payload: record.payload,
                redacted,
            }
        })
    }

    /// Says where the entry stands, and where redactions of its log are told.
    pub(crate) fn set_place(&mut self, place: (u64, u64), masks: &Arc<Masks>) {
        self.place = place;
        self.masks = Some(Arc::clone(masks));
    }

    fn redacted(&self) -> Option<Arc<Redacted>> {
        self.masks.as_ref().and_then(|masks| masks.get())
    }

    /// Drops events that were selected by content which was redacted since the chunk was read.
    pub(crate) fn drop_masked(&mut self, selection: &Selection) {
        if (selection.kinds.is_some() || selection.keys.is_some())
            && let Some(redacted) = self.redacted()
        {
            let blocks = &self.blocks;
            self.picked.retain(|it| !redacted.has(&blocks[it.block as usize].channel, it.seq));
        }
    }

    /// Returns when the sequencer put the entry in order.
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// Returns the numbers that the entry gives to a channel; `None` when it gives it none.
    pub(crate) fn seqs_of(&self, channel: &ChannelName) -> Option<Range<u64>> {
        let mut blocks = self.blocks.iter().filter(|item| item.channel == *channel);
        let first = blocks.next()?;
        let last = blocks.next_back().unwrap_or(first);
        Some(first.first_seq.0..last.first_seq.0 + u64::from(last.events))
    }

    /// Tells whether the entry, and so every earlier one, lies before what is selected.
    pub(crate) fn is_before(&self, selection: &Selection) -> bool {
        let by_seq = selection.only_channel().zip(selection.seqs.from);
        by_seq.is_some_and(|(channel, from)| self.seqs_of(channel).is_some_and(|seqs| seqs.start <= from))
            || selection.indexes.from.is_some_and(|from| self.index.0 <= from)
            || selection.recorded.from.is_some_and(|from| self.recorded_at < from)
    }

    /// Tells whether the entry, and so every later one, lies behind what is selected.
    pub(crate) fn is_beyond(&self, selection: &Selection) -> bool {
        let by_seq = selection.only_channel().zip(selection.seqs.to);
        by_seq.is_some_and(|(channel, to)| self.seqs_of(channel).is_some_and(|seqs| seqs.start >= to))
            || selection.recorded.to.is_some_and(|to| self.recorded_at >= to)
    }

    /// Drops all but the first `count` events.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.picked.truncate(count);
    }

    /// Turns the order of the events round.
    pub(crate) fn reverse(&mut self) {
        self.picked.reverse();
    }
}

fn pick_block(
    body: &[u8],
    place: usize,
    item: &BlockItem,
    range: Range<usize>,
    selection: &Selection,
    picked: &mut Vec<Picked>,
) -> Result<(), Malformed> {
    let end = range.end;
    let mut cursor = Cursor::new(&body[range]);
    for nth in 0..item.events {
        let offset = end - cursor.remaining();
        let event = erasable::decode_event(&mut cursor, item.erasable)?;
        let seq = item.first_seq.0 + u64::from(nth);
        // A redacted event has neither kind nor key.
        let record = event.record.as_ref();
        let kind_wanted = selection
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|kind| record.is_some_and(|record| kind == record.kind)));
        let key_wanted = selection.keys.as_ref().is_none_or(|keys| {
            keys.iter().any(|key| record.is_some_and(|record| Some(key.as_str()) == record.key))
        });
        if selection.seqs.contains(seq) && kind_wanted && key_wanted {
            let block = u32::try_from(place).map_err(|_| Malformed::new("block count"))?;
            let offset = u32::try_from(offset).map_err(|_| Malformed::new("entry length"))?;
            picked.push(Picked { block, offset, seq, ordinal: event.ordinal });
        }
    }
    cursor.finish("block length")
}
