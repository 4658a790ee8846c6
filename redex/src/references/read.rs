//! Visiting everything that the entries of a log refer to.

use std::sync::Arc;

use base::{Hash, Index, Position};
use bytes::Bytes;

use super::{each_of_block, footer};
use crate::codec::event::StoredEvent;
use crate::codec::footer::Footer;
use crate::codec::frame::FrameKind;
use crate::codec::segment_header::SEGMENT_HEADER_BYTES;
use crate::codec::superblock::LogKind;
use crate::codec::{Cursor, Malformed, entry};
use crate::error::{Corruption, ReadError};
use crate::frames::{Step, Verdict, testimony};
use crate::index::points::PointList;
use crate::limits::INDEX_GRAIN_BYTES;
use crate::reader::{LogReader, VisibleState};
use crate::scan::frame_reader::{Found, FrameReader};
use crate::segments::{Segment, Segments};
use crate::survey::Survey;

/// How often reading begins anew where entries were cut off, or given up by another process, meanwhile.
const ATTEMPTS_MAX: usize = 16;

impl LogReader {
    /// Visits what the events of this log refer to, each hash at least once: those of every entry that is in the log's
    /// files when this is called, and in a keyed log the newest event of each key. Entries count that readers do not see yet,
    /// since what is not committed may become so; those that were given up or cut off do not, and neither does what was
    /// redacted. Of entries that are appended meanwhile some may count.
    ///
    /// Sealed segments list theirs, so that mostly only the newest one is read, and those with erasable channels.
    ///
    /// # Errors
    ///
    /// [`ReadError::Hole`] where entries were lost, [`ReadError::Corrupt`], [`ReadError::Io`]: what was visited until then
    /// is not all, and nothing may be taken for unused by it.
    ///
    /// # Examples
    ///
    /// ```
    /// # let store = redex::Store::open("data".as_ref(), &base::Doors::memory(), &redex::LogOptions::default())?;
    /// let (photos, hash) = (base::ChannelName::new("photos")?, base::Hash::of(b"many bytes"));
    /// let references = [redex::BlobReference { hash, bytes: 10 }];
    /// let event = redex::EventInput::new("photo.taken", b"{}").with_blobs(&references);
    /// store.append(&photos, &[event])?.wait(redex::Ack::Durable);
    /// let mut used = std::collections::BTreeSet::new();
    /// store.main().reader().blob_references(&mut |hash| { used.insert(*hash); })?;
    /// assert!(used.contains(&hash));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn blob_references(&self, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
        self.visit_references(false, visit)
    }

    /// Visits as [`blob_references`](Self::blob_references) does, but passes over the entries that are known to be lost
    /// ([`LogView::holes`](crate::LogView::holes)), whatever they referred to.
    ///
    /// # Errors
    ///
    /// The same, but for those entries.
    pub fn blob_references_beside_holes(&self, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
        self.visit_references(true, visit)
    }

    fn visit_references(&self, beside_holes: bool, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
        let mut attempt = 1;
        loop {
            let mut cut = Cut::take(self)?;
            cut.beside_holes = beside_holes;
            match cut.visit(visit) {
                Err(_) if attempt < ATTEMPTS_MAX && cut.is_overtaken(self) => attempt += 1,
                visited => break visited?,
            }
        }
        // What was given up meanwhile of a keyed log is told by its newest events, which are looked at last.
        self.refresh()?;
        visit_keyed(&self.shared.published.get(), visit)
    }
}

/// What a log had in its files at one time.
struct Cut<'a> {
    segments: &'a Arc<Segments>,
    visible: VisibleState,
    replicated: bool,
    /// Whether another process may be writing.
    beside: bool,
    /// How often entries had been cut off.
    cuts: u64,
    all: Vec<Arc<Segment>>,
    /// Every entry below is there.
    end: Position,
    /// Whether entries that are known to be lost are passed over.
    beside_holes: bool,
}

impl<'a> Cut<'a> {
    fn take(reader: &'a LogReader) -> Result<Self, ReadError> {
        let shared = &reader.shared;
        let segments = &shared.segments;
        let beside = shared.follower.is_some();
        reader.refresh()?;
        if beside {
            // Beyond what is visible, too.
            segments.discover().map_err(ReadError::io(&segments.dir))?;
        }
        let cuts = segments.cuts();
        // In this order: what is written is in the segments that are there by then.
        let visible = shared.published.get();
        let end = if beside { visible.position } else { segments.written() };
        let replicated = shared.superblock.kind == LogKind::Replicated;
        let (cuts, all) = (*cuts, segments.all());
        Ok(Self { segments, visible, replicated, beside, cuts, all, end, beside_holes: false })
    }

    /// Tells whether entries were cut off since, or another process has moved on, so that reading may have failed on
    /// what is not in the log any more.
    fn is_overtaken(&self, reader: &LogReader) -> bool {
        if !self.beside {
            return *self.segments.cuts() != self.cuts;
        }
        let numbers =
            |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.number).collect::<Vec<_>>();
        reader.refresh().is_ok() && numbers(&self.segments.all()) != numbers(&self.all)
    }

    fn visit(&self, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
        self.check_beginning()?;
        for (place, segment) in self.all.iter().enumerate() {
            let next = self.all.get(place + 1).map(|next| Position(next.first_index.0));
            if next.is_some_and(|next| next <= self.given_up()) {
                continue;
            }
            let visited = match next {
                Some(next) => self.ended(segment, next, visit),
                None => self.newest(segment, visit),
            };
            match visited {
                Err(error) if self.is_given_up_by_now(segment, &error) => {}
                visited => visited?,
            }
        }
        Ok(())
    }

    /// Tells whether reading a segment failed since the log has given it up meanwhile.
    fn is_given_up_by_now(&self, segment: &Segment, error: &ReadError) -> bool {
        let is_known = self.segments.all().iter().any(|known| known.number == segment.number);
        let is_cut_off = *self.segments.cuts() != self.cuts;
        if !is_known && !is_cut_off && segment.first_index.0 < self.segments.forgotten().0 {
            return true;
        }
        // Another process removes files before this one hears of it.
        let is_gone = || matches!(self.segments.disk.exists(&segment.path), Ok(false));
        self.beside && matches!(error, ReadError::Trimmed { .. }) && is_gone()
    }

    /// Returns the position below which the log has given up its entries, by now.
    fn given_up(&self) -> Position {
        self.segments.forgotten().max(self.visible.trimmed)
    }

    /// Checks that the oldest segment is there.
    fn check_beginning(&self) -> Result<(), ReadError> {
        let begins = self.given_up().next_index();
        let first = self.all.first().map_or(self.end.next_index(), |segment| segment.first_index);
        // A replica that began behind what the others kept has that on record.
        let has_begun_there = self.replicated
            && self.visible.holes.iter().any(|hole| hole.first <= begins && hole.next >= first);
        if first <= begins || has_begun_there { Ok(()) } else { self.miss(begins, first) }
    }

    /// Fails for entries that are not there, unless they are known to be lost and passed over.
    fn miss(&self, first: Index, next: Index) -> Result<(), ReadError> {
        let mut holes = self.visible.holes.iter();
        let is_known = holes.any(|hole| hole.first <= first && next <= hole.next);
        if self.beside_holes && is_known { Ok(()) } else { Err(lost(first, next)) }
    }

    /// Visits what a segment refers to that another one goes on behind.
    fn ended(
        &self,
        segment: &Arc<Segment>,
        end: Position,
        visit: &mut dyn FnMut(&Hash),
    ) -> Result<(), ReadError> {
        let footer = footer::read(self.segments, segment)?;
        let footer = footer.filter(|footer| {
            (footer.first_index, footer.standing.next_index) == (segment.first_index, end.next_index())
        });
        let Some(Footer { channels, references: Some(listed), .. }) = footer else {
            return self.entries(segment, end, visit).map(drop);
        };
        listed.iter().for_each(&mut *visit);
        for channel in channels {
            if self.may_be_erasable(&channel.name) {
                if self.beside || self.segments.index(segment)?.is_damaged() {
                    // The index may lack a part.
                    return self.entries(segment, end, visit).map(drop);
                }
                self.channel(segment, end, channel.name, visit)?;
            }
        }
        Ok(())
    }

    /// Tells whether a channel may have events that footers do not list.
    fn may_be_erasable(&self, channel: &base::ChannelName) -> bool {
        // Where entries were lost, a channel may have begun anew since.
        !self.visible.holes.is_empty()
            || self.visible.channels.get(channel).is_none_or(|known| known.config.erasable)
    }

    /// Visits what the newest segment refers to.
    fn newest(&self, segment: &Arc<Segment>, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
        let offset = self.entries(segment, self.end, visit)?;
        // What a local log has beyond was appended just now.
        if self.beside && self.replicated { self.beyond(segment, offset, visit) } else { Ok(()) }
    }

    /// Visits what the entries of a segment below `end` refer to, each of which must be there. Returns the offset behind
    /// them.
    fn entries(
        &self,
        segment: &Arc<Segment>,
        end: Position,
        visit: &mut dyn FnMut(&Hash),
    ) -> Result<u64, ReadError> {
        let first = PointList::new(self.segments, segment, None)?.get(0)?;
        let mut frames =
            self.frames(segment, first.map_or(SEGMENT_HEADER_BYTES as u64, |point| point.offset))?;
        let mut expected = segment.first_index;
        while end.includes(expected) {
            match self.next(&mut frames, segment, end)? {
                Found::Entry { body, .. } => {
                    let index = self.entry(segment, frames.last_offset(), &body, visit)?;
                    if index != expected {
                        self.miss(expected, index.max(expected.next()))?;
                    }
                    expected = index.next();
                }
                Found::Other => {}
                Found::End => {
                    self.miss(expected, end.next_index())?;
                    break;
                }
            }
        }
        Ok(frames.offset())
    }

    /// Visits what the events of one channel refer to in a sealed segment; others beside them may be visited.
    fn channel(
        &self,
        segment: &Arc<Segment>,
        end: Position,
        channel: base::ChannelName,
        visit: &mut dyn FnMut(&Hash),
    ) -> Result<(), ReadError> {
        let mut points = PointList::new(self.segments, segment, Some(channel))?;
        let mut frames = self.frames(segment, 0)?;
        let mut place = 0;
        while let Some(point) = points.get(place)? {
            frames.go_to(point.offset);
            while frames.offset() < point.offset + INDEX_GRAIN_BYTES {
                match self.next(&mut frames, segment, end)? {
                    Found::Entry { body, .. } => {
                        self.entry(segment, frames.last_offset(), &body, visit)?;
                    }
                    Found::Other => {}
                    Found::End => break,
                }
            }
            place += 1;
        }
        Ok(())
    }

    /// Visits what stands behind the visible end of a replica that another process writes: whole frames, up to where it
    /// may be writing now.
    fn beyond(
        &self,
        segment: &Arc<Segment>,
        offset: u64,
        visit: &mut dyn FnMut(&Hash),
    ) -> Result<(), ReadError> {
        let part = self.segments.load_part(segment, offset, u64::MAX)?;
        let (view, mut at) = (part.view(), offset);
        let mut expected = self.end.next_index().max(segment.first_index);
        let mut testified = Position::ZERO;
        loop {
            match view.step(at) {
                Step::End => return Ok(()),
                Step::Frame(frame) => {
                    testified = testified.max(testimony(&frame.header));
                    if frame.header.kind == FrameKind::Entry {
                        let body = frame.body().map_err(|malformed| corrupt(segment, at, &malformed))?;
                        let index = self.entry(segment, at, &Bytes::copy_from_slice(&body), visit)?;
                        if index != expected {
                            self.miss(expected, index.max(expected.next()))?;
                        }
                        expected = index.next();
                    }
                    at = frame.end();
                }
                Step::Bad(malformed) => {
                    let testified = testified.max(Survey::behind(view, at).testified_behind(at));
                    return match view.judge(at, expected, testified) {
                        Verdict::Torn => Ok(()),
                        Verdict::Corrupt => Err(corrupt(segment, at, &malformed)),
                    };
                }
            }
        }
    }

    /// Visits what the events of an entry refer to; returns its index.
    fn entry(
        &self,
        segment: &Segment,
        offset: u64,
        body: &Bytes,
        visit: &mut dyn FnMut(&Hash),
    ) -> Result<Index, ReadError> {
        let wrong = |malformed: Malformed| corrupt(segment, offset, &malformed);
        let parts = entry::decode_to_read(body).map_err(wrong)?;
        let masks = self.segments.masks.get();
        for (item, block) in parts.items() {
            each_of_block(item, block, |seq, reference| {
                let redacted = masks.as_ref().is_some_and(|masks| masks.has(&item.channel, seq.0));
                if !redacted {
                    visit(&reference.hash);
                }
            })
            .map_err(wrong)?;
        }
        Ok(parts.head.slot.index)
    }

    fn frames(&self, segment: &Segment, offset: u64) -> Result<FrameReader, ReadError> {
        let mut frames = FrameReader::new(self.segments, segment)?;
        frames.keeps = false;
        frames.go_to(offset);
        Ok(frames)
    }

    /// Returns what stands next; a frame that a redaction is halfway through is read again.
    fn next(&self, frames: &mut FrameReader, segment: &Segment, end: Position) -> Result<Found, ReadError> {
        match frames.next(end) {
            Err(ReadError::Corrupt(_)) if frames.mend(self.segments, segment)? => frames.next(end),
            found => found,
        }
    }
}

/// Visits what the newest events of the keys of a keyed log refer to.
fn visit_keyed(visible: &VisibleState, visit: &mut dyn FnMut(&Hash)) -> Result<(), ReadError> {
    let records = visible.keyed.iter().flat_map(|keyed| keyed.iter());
    for (_, _, record) in records {
        let event = StoredEvent::take(&mut Cursor::new(&record.bytes));
        let event = event.expect("the record was decoded when it came in");
        event.blobs().iter().for_each(|reference| visit(&reference.hash));
    }
    Ok(())
}

/// Says that the entries from `first` to before `next` are missing.
fn lost(first: Index, next: Index) -> ReadError {
    ReadError::Hole { first, last: Index(next.0.saturating_sub(1)) }
}

fn corrupt(segment: &Segment, offset: u64, malformed: &Malformed) -> ReadError {
    ReadError::Corrupt(Corruption {
        file: segment.path.clone(),
        offset,
        expected: "an entry".to_owned(),
        found: format!("a wrong {malformed}"),
    })
}
