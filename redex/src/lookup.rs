//! Reading single events by their numbers, from pages that are kept in memory.
//!
//! A page holds the events of one channel between two points of its index, checked and found once. Where a page is
//! missing it is made by a scan, which knows about holes, damage and what was given up; where none can be made, a
//! scan for the one event answers.

use std::hash::Hasher;
use std::sync::{Arc, Weak};

use base::{ChannelName, IncarnationId, Index, Seq, Timestamp};
use bytes::Bytes;
use rustc_hash::FxHasher;

use crate::cache::{Cached, Place};
use crate::codec::event::StoredEvent;
use crate::codec::{Cursor, erasable};
use crate::error::ReadError;
use crate::index::points::PointList;
use crate::reader::LogView;
use crate::redaction::Masks;
use crate::segments::Segments;
use crate::{Bounds, Chunk, EventRef, Selection};

/// Segments whose points are remembered by a lookup at once.
const SEGMENTS_MAX: usize = 256;
/// Events after which the cache is told again that a page is in use; asking it each time costs more than reading.
const UNTOLD_MAX: u32 = 16;
/// Smaller entries are copied together: what they were read in is larger than they are.
const ENTRY_BYTES_SHARED: usize = 64 << 10;

/// Reads single events of one channel by number, as of the view that it was made of. What was read is kept in the
/// log's cache; [`LogOptions::cache_bytes`](crate::LogOptions::cache_bytes) bounds it.
#[derive(Debug, Clone)]
pub struct Lookup {
    view: LogView,
    channel: ChannelName,
    /// Tells the pages of this channel from those of others.
    tag: u64,
    /// The segments that were met, by the numbers that they hold of the channel.
    known: Vec<Known>,
    /// Events that were found since the cache was told that its page is in use.
    untold: u32,
}

/// A segment that was met.
#[derive(Debug, Clone)]
struct Known {
    segment: u64,
    end: u64,
    /// Where its pages begin: number and offset.
    points: Arc<[(u64, u64)]>,
    /// The pages that were met, which the cache may have let go of since.
    pages: Vec<Weak<Page>>,
}

impl Known {
    fn first(&self) -> u64 {
        self.points.first().map_or(self.end, |(first, _)| *first)
    }
}

impl Lookup {
    pub(crate) fn new(view: LogView, channel: ChannelName) -> Self {
        let mut hasher = FxHasher::default();
        hasher.write(channel.as_str().as_bytes());
        Self { view, channel, tag: hasher.finish() | 1, known: Vec::new(), untold: 0 }
    }

    /// Returns the channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Returns an event; `None` when the channel has none of the number as of the view.
    ///
    /// # Errors
    ///
    /// As [`Scan::next_chunk`](crate::Scan::next_chunk), if they concern this event.
    pub fn get(&mut self, seq: Seq) -> Result<Option<HeldEvent>, ReadError> {
        if let Some((known, page)) = self.place_of(seq.0)
            && let Some(held) = self.find(known, page, seq.0)
        {
            return Ok(self.view.position().includes(held.entry().index).then_some(held));
        }
        self.search(seq.0)
    }

    /// Finds an event in its page, wherever that is kept; makes the page if it is nowhere, or lacks what was appended
    /// since.
    fn find(&mut self, known: usize, page: usize, seq: u64) -> Option<HeldEvent> {
        self.untold += 1;
        if self.untold < UNTOLD_MAX
            && let Some(met) = self.known[known].pages[page].upgrade()
            && let Some(held) = Page::find(met, seq)
        {
            return Some(held);
        }
        self.untold = 0;
        let (segment, points) = (self.known[known].segment, &self.known[known].points);
        let (first, offset) = points[page];
        let end = points.get(page + 1).map_or(self.known[known].end, |(next, _)| *next);
        let place = Place { segment, offset, tag: self.tag };
        let kept = match self.segments().cache.get(&place) {
            Some(Cached::Page(kept)) if kept.channel == self.channel && kept.has(seq) => kept,
            _ => self.load(place, Bounds::between(first, end))?,
        };
        self.known[known].pages[page] = Arc::downgrade(&kept);
        Page::find(kept, seq)
    }

    fn segments(&self) -> &Arc<Segments> {
        self.view.all_segments()
    }

    /// Returns the page that an event is in, if its segment was met.
    fn place_of(&self, seq: u64) -> Option<(usize, usize)> {
        let known = self.known.partition_point(|known| known.first() <= seq).checked_sub(1)?;
        let met = self.known.get(known).filter(|met| seq < met.end)?;
        let page = met.points.partition_point(|(first, _)| *first <= seq).checked_sub(1)?;
        Some((known, page))
    }

    /// Makes a page and keeps it. An error may concern another event of the page, so that it is not told.
    fn load(&self, place: Place, seqs: Bounds<u64>) -> Option<Arc<Page>> {
        let page = Arc::new(self.read(seqs).ok()?);
        self.segments().cache.keep(place, Cached::Page(Arc::clone(&page)));
        Some(page)
    }

    /// Reads events into a page.
    fn read(&self, seqs: Bounds<u64>) -> Result<Page, ReadError> {
        let selection = Selection { seqs, ..Selection::channel(&self.channel) };
        let mut scan = self.view.at_visible().scan(&selection)?.keeping_no_frames();
        let mut page = Page::new(self.channel.clone(), self.view.masks());
        while let Some(chunk) = scan.next_chunk()? {
            page.add(&chunk);
        }
        page.join_small_entries();
        Ok(page)
    }

    /// Reads one event by a scan, and remembers the segment that it is in.
    fn search(&mut self, seq: u64) -> Result<Option<HeldEvent>, ReadError> {
        let Some(next) = seq.checked_add(1) else { return Ok(None) };
        let selection = Selection { seqs: Bounds::between(seq, next), ..Selection::channel(&self.channel) };
        let Some(chunk) = self.view.scan(&selection)?.next_chunk()? else { return Ok(None) };
        self.meet(chunk.index())?;
        let mut page = Page::new(self.channel.clone(), self.view.masks());
        page.add(&chunk);
        Ok(Page::find(Arc::new(page), seq))
    }

    /// Remembers the points of the segment that holds an entry.
    fn meet(&mut self, index: Index) -> Result<(), ReadError> {
        let segments = Arc::clone(self.segments());
        let Some(segment) = segments.at(index) else { return Ok(()) };
        let mut list = PointList::new(&segments, &segment, Some(self.channel.clone()))?;
        let Some(seqs) = segments.seqs(&segment, &self.channel)? else { return Ok(()) };
        let mut points = Vec::with_capacity(list.len());
        while let Some(point) = list.get(points.len())? {
            points.push((point.seq, point.offset));
        }
        self.known.retain(|known| known.segment != segment.number);
        if self.known.len() == SEGMENTS_MAX {
            self.known.clear();
        }
        let pages = points.iter().map(|_| Weak::new()).collect();
        let met = Known { segment: segment.number, end: seqs.end, points: points.into(), pages };
        let place = self.known.partition_point(|known| known.first() < met.first());
        self.known.insert(place, met);
        Ok(())
    }
}

/// Events of one channel, one after the other but for what was lost.
#[derive(Debug)]
pub(crate) struct Page {
    channel: ChannelName,
    masks: Arc<Masks>,
    entries: Vec<PageEntry>,
}

/// What a page has of one entry.
#[derive(Debug)]
struct PageEntry {
    first: u64,
    index: Index,
    incarnation: IncarnationId,
    recorded_at: Timestamp,
    erasable: bool,
    bytes: Bytes,
    /// Where the events begin in the bytes.
    offsets: Box<[u32]>,
}

impl Page {
    fn new(channel: ChannelName, masks: Arc<Masks>) -> Self {
        Self { channel, masks, entries: Vec::new() }
    }

    /// Adds the events of a chunk, which are all of one channel and in its order.
    fn add(&mut self, chunk: &Chunk) {
        let mut offsets: Vec<u32> = Vec::with_capacity(chunk.len());
        let mut first = None;
        for (seq, offset, erasable) in chunk.stored() {
            offsets.push(offset);
            first = first.or(Some((seq, erasable)));
        }
        let Some((first, erasable)) = first else { return };
        self.entries.push(PageEntry {
            first,
            index: chunk.index(),
            incarnation: chunk.incarnation(),
            recorded_at: chunk.recorded_at(),
            erasable,
            bytes: chunk.bytes().clone(),
            offsets: offsets.into(),
        });
    }

    /// Copies small entries together, so that a page takes no more memory than it says.
    fn join_small_entries(&mut self) {
        let is_small = |entry: &&mut PageEntry| entry.bytes.len() < ENTRY_BYTES_SHARED;
        let mut joined = Vec::new();
        for entry in self.entries.iter_mut().filter(is_small) {
            let begin = entry.offsets[0] as usize;
            let at = joined.len();
            joined.extend_from_slice(&entry.bytes[begin..]);
            entry.offsets.iter_mut().for_each(|offset| *offset = *offset - begin as u32 + at as u32);
        }
        let joined = Bytes::from(joined);
        for entry in self.entries.iter_mut().filter(is_small) {
            entry.bytes = joined.clone();
        }
    }

    /// Returns the bytes of memory that the page takes.
    pub(crate) fn weight(&self) -> usize {
        let shared: usize =
            self.entries.iter().map(|entry| entry.offsets.len() * 4 + size_of::<PageEntry>()).sum();
        let mut bytes = 0;
        let mut last: *const u8 = std::ptr::null();
        for entry in &self.entries {
            if entry.bytes.as_ptr() != last {
                bytes += entry.bytes.len();
                last = entry.bytes.as_ptr();
            }
        }
        shared + bytes
    }

    fn place_of(&self, seq: u64) -> Option<(usize, u32)> {
        let place = self.entries.partition_point(|entry| entry.first <= seq).checked_sub(1)?;
        let entry = &self.entries[place];
        Some((place, *entry.offsets.get(usize::try_from(seq - entry.first).ok()?)?))
    }

    fn has(&self, seq: u64) -> bool {
        self.place_of(seq).is_some()
    }

    fn find(page: Arc<Self>, seq: u64) -> Option<HeldEvent> {
        let (entry, offset) = page.place_of(seq)?;
        Some(HeldEvent { page, entry, offset, seq: Seq(seq) })
    }
}

/// An event together with the page that holds it, which it shares.
#[derive(Debug, Clone)]
pub struct HeldEvent {
    page: Arc<Page>,
    entry: usize,
    offset: u32,
    seq: Seq,
}

impl HeldEvent {
    fn entry(&self) -> &PageEntry {
        &self.page.entries[self.entry]
    }

    /// Returns the event; redacted, if that was done meanwhile.
    #[inline]
    pub fn event(&self) -> EventRef<'_> {
        let entry = &self.page.entries[self.entry];
        let mut cursor = Cursor::new(&entry.bytes[self.offset as usize..]);
        let found = erasable::find_event(&mut cursor, entry.erasable);
        let mut stored = found.expect("the event was checked when its page was made");
        if self.page.masks.has(&self.page.channel, self.seq) {
            stored = StoredEvent::redacted(stored.ordinal);
        }
        EventRef {
            channel: &self.page.channel,
            seq: self.seq,
            index: entry.index,
            ordinal: stored.ordinal,
            incarnation: entry.incarnation,
            recorded_at: entry.recorded_at,
            time: stored.time(),
            kind: stored.kind(),
            key: stored.key(),
            headers: stored.headers(),
            blobs: stored.blobs(),
            payload: stored.payload(),
            redacted: stored.is_redacted(),
        }
    }

    /// Returns the payload, shared with the page.
    pub fn payload(&self) -> Bytes {
        let payload = self.event().payload;
        if payload.is_empty() { Bytes::new() } else { self.entry().bytes.slice_ref(payload) }
    }
}
