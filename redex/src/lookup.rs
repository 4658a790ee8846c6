//! Reading single events by their numbers, from pages that are kept in memory.
//!
//! A page holds the events of one channel between two points of its index, checked and found once. Where a page is
//! missing it is made by a scan, which knows about holes, damage and what was given up; where none can be made, a
//! scan for the one event answers.

use std::hash::Hasher;
use std::sync::Arc;

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
const UNTOLD_MAX: u32 = 64;
/// What part of the cache's bytes a lookup holds beyond what the cache does.
const HELD_PART: u64 = 4;
/// Smaller entries are copied together: what they were read in is larger than they are.
const ENTRY_BYTES_SHARED: usize = 64 << 10;

/// Kinds that a page knows to be text, so that they need not be looked at again.
const KINDS_MAX: usize = 4;
/// How far from where a point is expected it is looked for first.
const NEAR: usize = 8;

/// Reads single events of one channel by number, as of the view that it was made of. What was read is kept in the
/// log's cache, which [`LogOptions::cache_bytes`](crate::LogOptions::cache_bytes) bounds; a lookup itself holds on to at
/// most a quarter of as many bytes, until it is dropped. Threads take a clone each.
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
    /// Bytes of the pages that are held.
    held_bytes: u64,
    /// What an event was found in that is in no page.
    apart: Option<Arc<Page>>,
}

/// Where an event was found.
enum Found {
    /// In a page of a segment: places of segment, page and entry, and offset.
    Held(usize, usize, usize, u32),
    /// In what is kept apart: place of the entry, and offset.
    Apart(usize, u32),
}

/// A segment that was met.
#[derive(Debug, Clone)]
struct Known {
    segment: u64,
    end: u64,
    /// Where its pages begin: number and offset.
    points: Arc<[(u64, u64)]>,
    /// The pages that are held.
    pages: Vec<Option<Arc<Page>>>,
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
        Self {
            view,
            channel,
            tag: hasher.finish() | 1,
            known: Vec::new(),
            untold: 0,
            held_bytes: 0,
            apart: None,
        }
    }

    /// Returns the channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Returns an event, borrowed from the page that holds it; `None` when the channel has none of the number as of the
    /// view.
    ///
    /// # Errors
    ///
    /// As [`Scan::next_chunk`](crate::Scan::next_chunk), if they concern this event.
    #[inline]
    pub fn event(&mut self, seq: Seq) -> Result<Option<EventRef<'_>>, ReadError> {
        let Some(found) = self.find(seq.0)? else { return Ok(None) };
        let (page, entry, offset) = self.page_of(&found);
        Ok(Some(page.event(entry, offset, seq)))
    }

    /// Returns an event together with the page that holds it, which outlives the lookup; `None` as above.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    pub fn get(&mut self, seq: Seq) -> Result<Option<HeldEvent>, ReadError> {
        let Some(found) = self.find(seq.0)? else { return Ok(None) };
        let (page, entry, offset) = self.page_of(&found);
        Ok(Some(HeldEvent { page: Arc::clone(page), entry, offset, seq }))
    }

    fn page_of(&self, found: &Found) -> (&Arc<Page>, usize, u32) {
        let (page, entry, offset) = match *found {
            Found::Held(known, page, entry, offset) => (&self.known[known].pages[page], entry, offset),
            Found::Apart(entry, offset) => (&self.apart, entry, offset),
        };
        (page.as_ref().expect("the event was found there"), entry, offset)
    }

    /// Finds an event in its page, wherever that is kept; makes the page if it is nowhere, or lacks what was appended
    /// since.
    #[inline]
    fn find(&mut self, seq: u64) -> Result<Option<Found>, ReadError> {
        let place = self.place_of(seq);
        self.untold += 1;
        let held = place.and_then(|(known, page)| Some((known, page, self.held(known, page, seq)?)));
        match held.filter(|_| self.untold < UNTOLD_MAX) {
            Some((known, page, found)) => Ok(self.visible(known, page, found)),
            None => self.find_elsewhere(place, seq),
        }
    }

    /// Finds an event in its page, of which the cache is told that it is in use, or by a scan.
    #[cold]
    fn find_elsewhere(
        &mut self,
        place: Option<(usize, usize)>,
        seq: u64,
    ) -> Result<Option<Found>, ReadError> {
        self.untold = 0;
        let Some((known, page)) = place else { return self.search(seq) };
        self.hold(known, page, seq);
        match self.held(known, page, seq) {
            Some(found) => Ok(self.visible(known, page, found)),
            None => self.search(seq),
        }
    }

    #[inline]
    fn visible(
        &self,
        known: usize,
        page: usize,
        (index, entry, offset): (Index, usize, u32),
    ) -> Option<Found> {
        let is_visible = self.view.position().includes(index);
        is_visible.then_some(Found::Held(known, page, entry, offset))
    }

    /// Returns the entry of an event, with its place in the page, and the event's offset, if the page is held.
    #[inline]
    fn held(&self, known: usize, page: usize, seq: u64) -> Option<(Index, usize, u32)> {
        let held = self.known[known].pages[page].as_deref()?;
        let (entry, offset) = held.place_of(seq)?;
        Some((held.entries[entry].index, entry, offset))
    }

    /// Takes hold of a page that has an event, if there is one or can be made.
    fn hold(&mut self, known: usize, page: usize, seq: u64) {
        let (segment, points) = (self.known[known].segment, &self.known[known].points);
        let (first, offset) = points[page];
        let end = points.get(page + 1).map_or(self.known[known].end, |(next, _)| *next);
        let place = Place { segment, offset, tag: self.tag };
        let held = self.known[known].pages[page].as_ref().filter(|held| held.has(seq));
        let kept = match (self.segments().cache.get(&place), held) {
            (Some(Cached::Page(kept)), _) if kept.channel == self.channel && kept.has(seq) => Some(kept),
            (_, Some(held)) => Some(self.keep(place, Arc::clone(held))),
            _ => self.load(place, Bounds::between(first, end)),
        };
        let Some(kept) = kept else { return };
        let weight = |page: &Page| page.weight() as u64;
        self.held_bytes += weight(&kept);
        self.held_bytes -= self.known[known].pages[page].replace(kept).map_or(0, |before| weight(&before));
        if self.held_bytes > self.segments().cache.bytes() / HELD_PART {
            let kept = self.known[known].pages[page].take();
            self.known.iter_mut().for_each(|known| known.pages.fill(None));
            self.held_bytes = kept.as_deref().map_or(0, weight);
            self.known[known].pages[page] = kept;
        }
    }

    fn segments(&self) -> &Arc<Segments> {
        self.view.all_segments()
    }

    /// Returns the page that an event is in, if its segment was met.
    fn place_of(&self, seq: u64) -> Option<(usize, usize)> {
        let known = self.known.partition_point(|known| known.first() <= seq).checked_sub(1)?;
        let met = self.known.get(known).filter(|met| seq < met.end)?;
        Some((known, point_of(&met.points, met.end, seq)?))
    }

    /// Makes a page and keeps it. An error may concern another event of the page, so that it is not told.
    fn load(&self, place: Place, seqs: Bounds<u64>) -> Option<Arc<Page>> {
        Some(self.keep(place, Arc::new(self.read(seqs).ok()?)))
    }

    fn keep(&self, place: Place, page: Arc<Page>) -> Arc<Page> {
        self.segments().cache.keep(place, Cached::Page(Arc::clone(&page)));
        page
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
    fn search(&mut self, seq: u64) -> Result<Option<Found>, ReadError> {
        let Some(next) = seq.checked_add(1) else { return Ok(None) };
        let selection = Selection { seqs: Bounds::between(seq, next), ..Selection::channel(&self.channel) };
        let Some(chunk) = self.view.scan(&selection)?.next_chunk()? else { return Ok(None) };
        self.meet(chunk.index())?;
        let mut page = Page::new(self.channel.clone(), self.view.masks());
        page.add(&chunk);
        let found = page.place_of(seq).map(|(entry, offset)| Found::Apart(entry, offset));
        self.apart = Some(Arc::new(page));
        Ok(found)
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
        // A segment that was met before has grown: its pages are taken from the cache again.
        if self.known.len() == SEGMENTS_MAX {
            self.known.clear();
        }
        self.known.retain(|known| known.segment != segment.number);
        let held = self.known.iter().flat_map(|known| known.pages.iter().flatten());
        self.held_bytes = held.map(|page| page.weight() as u64).sum();
        let pages = vec![None; points.len()];
        let met = Known { segment: segment.number, end: seqs.end, points: points.into(), pages };
        let place = self.known.partition_point(|known| known.first() < met.first());
        self.known.insert(place, met);
        Ok(())
    }
}

/// Returns the place of the last point at or below a number, which is below `end`. Points are about as far apart from
/// each other, so that it stands near where it would if they were so exactly.
fn point_of(points: &[(u64, u64)], end: u64, seq: u64) -> Option<usize> {
    let first = points.first()?.0;
    let part = seq.checked_sub(first)? as f64 / (end - first) as f64;
    let guess = ((part * points.len() as f64) as usize).min(points.len() - 1);
    let near = guess.saturating_sub(NEAR)..points.len().min(guess + NEAR);
    let is_below = |(first, _): &(u64, u64)| *first <= seq;
    let is_near =
        points[near.start..].first().is_some_and(is_below) && !points.get(near.end).is_some_and(is_below);
    let within = if is_near { near } else { 0..points.len() };
    Some(within.start + points[within].partition_point(is_below) - 1)
}

/// Events of one channel, one after the other but for what was lost.
#[derive(Debug)]
pub(crate) struct Page {
    channel: ChannelName,
    masks: Arc<Masks>,
    entries: Vec<PageEntry>,
    /// The kinds of many of the events, which are known to be text.
    kinds: Vec<Box<str>>,
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
        Self { channel, masks, entries: Vec::new(), kinds: Vec::new() }
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
        let new = chunk.kinds().filter(|kind| !self.kinds.iter().any(|known| **known == **kind));
        let new: Vec<_> = new.take(KINDS_MAX.saturating_sub(self.kinds.len())).map(Box::from).collect();
        self.kinds.extend(new);
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
        let tables: usize =
            self.entries.iter().map(|entry| entry.offsets.len() * 4 + size_of::<PageEntry>()).sum();
        let mut bytes = 0;
        let mut last: *const u8 = std::ptr::null();
        for entry in &self.entries {
            if entry.bytes.as_ptr() != last {
                bytes += entry.bytes.len();
                last = entry.bytes.as_ptr();
            }
        }
        tables + bytes
    }

    fn place_of(&self, seq: u64) -> Option<(usize, u32)> {
        let place = self.entries.partition_point(|entry| entry.first <= seq).checked_sub(1)?;
        let entry = &self.entries[place];
        Some((place, *entry.offsets.get(usize::try_from(seq - entry.first).ok()?)?))
    }

    fn has(&self, seq: u64) -> bool {
        self.place_of(seq).is_some()
    }

    /// Returns the kind of an event of the page. Looking whether its bytes are text takes longer than all the rest.
    #[inline]
    fn kind_of<'a>(&'a self, stored: &StoredEvent<'a>) -> &'a str {
        let kind = stored.kind_as_stored();
        match self.kinds.iter().find(|known| known.as_bytes() == kind) {
            Some(known) => known,
            None => stored.kind(),
        }
    }

    #[inline]
    fn event(&self, entry: usize, offset: u32, seq: Seq) -> EventRef<'_> {
        let entry = &self.entries[entry];
        let mut cursor = Cursor::new(&entry.bytes[offset as usize..]);
        let found = erasable::find_event(&mut cursor, entry.erasable);
        let mut stored = found.expect("the event was checked when its page was made");
        if self.masks.has(&self.channel, seq) {
            stored = StoredEvent::redacted(stored.ordinal);
        }
        EventRef {
            channel: &self.channel,
            seq,
            index: entry.index,
            ordinal: stored.ordinal,
            incarnation: entry.incarnation,
            recorded_at: entry.recorded_at,
            time: stored.time(),
            kind: self.kind_of(&stored),
            key: stored.key(),
            headers: stored.headers(),
            blobs: stored.blobs(),
            payload: stored.payload(),
            redacted: stored.is_redacted(),
        }
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
    /// Returns the event; redacted, if that was done meanwhile.
    #[inline]
    pub fn event(&self) -> EventRef<'_> {
        self.page.event(self.entry, self.offset, self.seq)
    }

    /// Returns the payload, shared with the page.
    pub fn payload(&self) -> Bytes {
        let payload = self.event().payload;
        let bytes = &self.page.entries[self.entry].bytes;
        if payload.is_empty() { Bytes::new() } else { bytes.slice_ref(payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_of_a_number_is_found_wherever_points_stand() {
        let even: Vec<(u64, u64)> = (0..300).map(|place| (7 + place * 100, 0)).collect();
        let uneven: Vec<(u64, u64)> = (0..300).map(|place| (place * place * place, 0)).collect();
        let together: Vec<(u64, u64)> = (0..40).map(|place| (place, 0)).chain([(1 << 40, 0)]).collect();
        for (points, end) in [(even, 30_107), (uneven, u64::MAX), (together, (1 << 40) + 1)] {
            let around = points.iter().flat_map(|(first, _)| [first.saturating_sub(1), *first, first + 1]);
            for seq in around.chain([0, end - 1]).filter(|seq| *seq < end) {
                let expected = points.iter().rposition(|(first, _)| *first <= seq);
                assert_eq!(point_of(&points, end, seq), expected, "{seq} below {end}");
            }
        }
        assert_eq!(point_of(&[], 0, 0), None);
    }
}
