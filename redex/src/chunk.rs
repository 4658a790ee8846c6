//! The events that a scan found in one entry.

use std::ops::Range;
use std::sync::Arc;

use base::{ChannelName, IncarnationId, Index, Seq, Timestamp};
use bytes::Bytes;

use crate::codec::block::BlockItem;
use crate::codec::event::{EVENT_BYTES_MIN, StoredEvent};
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
    kinds: Kinds,
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
    /// The number of its kind in the list, if it is there.
    kind: u32,
}

/// The kinds of an entry's events, checked once each: mostly there are few.
#[derive(Debug, Clone, Default)]
struct Kinds {
    known: Vec<Box<str>>,
    /// The number of the kind that was met last.
    latest: u32,
}

impl Kinds {
    const MAX: usize = 16;

    fn get(&self, number: u32) -> Option<&str> {
        self.known.get(number as usize).map(|kind| &**kind)
    }

    fn is(&self, number: u32, kind: &[u8]) -> bool {
        self.get(number).is_some_and(|known| known.as_bytes() == kind)
    }

    /// Checks a record, and returns the number of its kind.
    fn check(&mut self, record: &StoredEvent<'_>) -> Result<u32, Malformed> {
        let kind = record.kind_as_stored();
        if self.is(self.latest, kind) {
            record.check(true)?;
            return Ok(self.latest);
        }
        record.check(false)?;
        let count = self.known.len();
        let number = (0..count as u32).find(|number| self.is(*number, kind)).unwrap_or(count as u32);
        if number as usize == count {
            if count == Self::MAX {
                return Ok(u32::MAX);
            }
            self.known.push(record.kind().into());
        }
        self.latest = number;
        Ok(number)
    }
}

impl Chunk {
    /// Picks the selected events of an entry's body.
    pub(crate) fn pick(body: Bytes, selection: &Selection) -> Result<Self, Malformed> {
        let parts = entry::decode_to_read(&body)?;
        let mut offset = parts.blocks_at;
        let (index, incarnation) = (parts.head.slot.index, parts.head.incarnation);
        let recorded_at = parts.head.recorded_at;
        let blocks = parts.head.blocks;
        let (mut picked, mut kinds) = (Vec::new(), Kinds::default());
        let entry_wanted = selection.indexes.contains(index.0) && selection.recorded.contains(recorded_at);
        for (place, item) in blocks.iter().enumerate() {
            let range = offset..offset + item.bytes;
            offset = range.end;
            if entry_wanted && selection.wants(&item.channel) {
                pick_block(&body, place, item, range, selection, &mut picked, &mut kinds)?;
            }
        }
        if blocks.len() > 1 {
            picked.sort_unstable_by_key(|picked| picked.ordinal);
        }
        if selection.reverse {
            picked.reverse();
        }
        Ok(Self { index, incarnation, recorded_at, body, blocks, picked, kinds, place: (0, 0), masks: None })
    }

    /// Returns kinds of its events, each once.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kinds.known.iter().map(|kind| &**kind)
    }

    /// Returns the index of the entry.
    pub fn index(&self) -> Index {
        self.index
    }

    /// Returns the incarnation that the entry belongs to.
    pub(crate) fn incarnation(&self) -> IncarnationId {
        self.incarnation
    }

    /// Returns number and offset in the body of each event, and whether its block is erasable.
    pub(crate) fn stored(&self) -> impl Iterator<Item = (u64, u32, bool)> {
        self.picked.iter().map(|it| (it.seq, it.offset, self.blocks[it.block as usize].erasable))
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
    pub fn events(&self) -> Events<'_> {
        Events { chunk: self, redacted: self.redacted(), picked: self.picked.iter() }
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

/// The events of a chunk, in the order of the scan.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    chunk: &'a Chunk,
    redacted: Option<Arc<Redacted>>,
    picked: std::slice::Iter<'a, Picked>,
}

impl<'a> Iterator for Events<'a> {
    type Item = EventRef<'a>;

    // Inlined, so that events are not moved about: they are written in pieces and would be copied whole, for which a
    // processor waits longer than for everything else here.
    #[inline]
    fn next(&mut self) -> Option<EventRef<'a>> {
        let (picked, chunk) = (self.picked.next()?, self.chunk);
        let item = &chunk.blocks[picked.block as usize];
        let is_redacted = self.redacted.as_ref().is_some_and(|it| it.has(&item.channel, picked.seq));
        let mut cursor = Cursor::new(&chunk.body[picked.offset as usize..]);
        let found = erasable::find_event(&mut cursor, item.erasable);
        let mut record = found.expect("the event was checked when it was picked");
        if is_redacted {
            record = StoredEvent::redacted(picked.ordinal);
        }
        Some(EventRef {
            channel: &item.channel,
            seq: Seq(picked.seq),
            index: chunk.index,
            ordinal: picked.ordinal,
            incarnation: chunk.incarnation,
            recorded_at: chunk.recorded_at,
            time: record.time(),
            kind: match chunk.kinds.get(picked.kind) {
                Some(kind) if !is_redacted => kind,
                _ => record.kind(),
            },
            key: record.key(),
            headers: record.headers(),
            blobs: record.blobs(),
            payload: record.payload(),
            redacted: record.is_redacted(),
        })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.picked.size_hint()
    }
}

impl ExactSizeIterator for Events<'_> {}

fn pick_block(
    body: &[u8],
    place: usize,
    item: &BlockItem,
    range: Range<usize>,
    selection: &Selection,
    picked: &mut Vec<Picked>,
    kinds: &mut Kinds,
) -> Result<(), Malformed> {
    let end = range.end;
    let mut cursor = Cursor::new(&body[range]);
    // Every event takes some bytes, so that the count needs no trust.
    picked.reserve((item.events as usize).min(cursor.remaining() / EVENT_BYTES_MIN));
    for nth in 0..item.events {
        let offset = end - cursor.remaining();
        let event = erasable::find_event(&mut cursor, item.erasable)?;
        let kind = if event.is_redacted() { u32::MAX } else { kinds.check(&event)? };
        let seq = item.first_seq.0 + u64::from(nth);
        // A redacted event has neither kind nor key.
        let is_whole = !event.is_redacted();
        let kinds_wanted = selection.kinds.as_ref();
        let kind_wanted =
            kinds_wanted.is_none_or(|kinds| is_whole && kinds.iter().any(|it| it == event.kind()));
        let keys_wanted = selection.keys.as_ref();
        let key_wanted = keys_wanted.is_none_or(|keys| {
            event.key().is_some_and(|key| is_whole && keys.iter().any(|wanted| wanted == key))
        });
        if selection.seqs.contains(seq) && kind_wanted && key_wanted {
            let block = u32::try_from(place).map_err(|_| Malformed::new("block count"))?;
            let offset = u32::try_from(offset).map_err(|_| Malformed::new("entry length"))?;
            picked.push(Picked { block, offset, seq, ordinal: event.ordinal, kind });
        }
    }
    cursor.finish("block length")
}
