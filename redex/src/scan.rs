//! Reading selected events, entry by entry, forward or backward.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{ChannelName, Position, Seq, Timestamp};

use crate::codec::control::HoleRecord;
use crate::error::{Corruption, ReadError};
use crate::index::Target;
use crate::index::points::PointList;
use crate::reader::VisibleState;
use crate::segments::{Segment, Segments};
use crate::state::ChannelState;
use crate::{Bounds, Channels, Chunk, Selection};

pub(crate) mod frame_reader;
mod losses;
mod plan;
mod window;

use frame_reader::Found;
use losses::{Loss, Losses, Seen};
use plan::Plan;
use window::Window;

/// What a scan has read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanStatistics {
    /// Events that were selected.
    pub events: u64,
    /// Entries that were looked into.
    pub entries: u64,
    /// Bytes of the frames that were read.
    pub bytes: u64,
    /// Segments that were looked into.
    pub segments: u64,
    /// Blocks of index files that were looked into.
    pub index_blocks: u64,
}

/// A reading of selected events up to a fixed position.
#[derive(Debug)]
pub struct Scan {
    segments: Arc<Segments>,
    selection: Selection,
    /// The channel, if exactly one is wanted: then its index leads, else that of all entries.
    channel: Option<ChannelName>,
    scope: Scope,
    plan: Plan,
    losses: Losses,
    /// Segments still to read, in the order of the scan.
    queue: VecDeque<Arc<Segment>>,
    current: Option<Window>,
    /// Chunks that were read and not given out yet; the last one comes first.
    ready: Vec<Chunk>,
    /// What is given out behind `ready`.
    failed: Option<ReadError>,
    remaining: u64,
    /// The entry that was looked into last, of those that tell about losses.
    seen: Option<Seen>,
    /// Whether the scan has met its own bound, so that nothing behind it matters.
    bounded: bool,
    /// Where reading forward stands; before it began, where an earlier scan ended.
    mark: Option<Mark>,
    statistics: ScanStatistics,
    keeps_frames: bool,
    done: bool,
}

/// What a scan knows of its log beforehand.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// The index before which none of the wanted channels was there; `None` when none is there at all.
    born: Option<u64>,
    /// The one wanted channel.
    channel: Option<ChannelState>,
    /// The position that the channel is as of.
    as_of: Position,
    holes: Arc<[HoleRecord]>,
    /// Everything below was given up.
    trimmed: Position,
}

impl Scope {
    pub(crate) fn new(selection: &Selection, visible: &VisibleState) -> Self {
        let born = match &selection.channels {
            Channels::All => Some(0),
            Channels::Names(names) => {
                let created = names.iter().filter_map(|name| visible.channels.created_index(name));
                created.map(|index| index.0).min()
            }
        };
        let channel = selection.only_channel().and_then(|name| visible.channels.get(name));
        let (as_of, holes) = (visible.position, Arc::clone(&visible.holes));
        Self { born, channel, as_of, holes, trimmed: visible.trimmed }
    }

    pub(crate) fn channel(channel: &ChannelState, visible: &VisibleState) -> Self {
        let born = Some(channel.created_index.0);
        let (as_of, holes) = (Position(u64::MAX), Arc::clone(&visible.holes));
        Self { born, channel: Some(channel.clone()), as_of, holes, trimmed: visible.trimmed }
    }
}

/// The place of a frame behind which nothing was read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    segment: u64,
    offset: u64,
}

/// What reading forward came to.
enum Step {
    Chunk(Chunk),
    WindowOver,
    /// No later entry is selected; the chunk may be empty.
    ScanOver(Chunk),
}

impl Scan {
    /// Begins a reading of the entries below `bound` that are kept.
    pub(crate) fn new(
        segments: Arc<Segments>,
        mut selection: Selection,
        bound: Position,
        scope: Scope,
    ) -> Result<Self, ReadError> {
        let begins = segments.at(scope.trimmed.next_index()).map(|segment| segment.first_index.0);
        if begins.is_some_and(|begins| begins < scope.trimmed.0) {
            // On a replica, a segment may hold more than the log keeps.
            let from = selection.indexes.from.unwrap_or(0).max(scope.trimmed.0);
            selection.indexes.from = Some(from);
        }
        let (plan, queue) = Plan::new(&segments, &selection, bound, &scope)?;
        let first = segments.forgotten();
        if !plan.is_empty() && plan.from < first.0 {
            // Given up since the reader looked.
            return Err(ReadError::Trimmed { first });
        }
        let mut scan = Self {
            segments,
            channel: selection.only_channel().cloned(),
            losses: Losses::new(Arc::clone(&scope.holes), selection.skip_holes),
            scope,
            queue,
            current: None,
            ready: Vec::new(),
            failed: None,
            remaining: selection.limit.unwrap_or(u64::MAX),
            seen: None,
            bounded: false,
            mark: None,
            statistics: ScanStatistics::default(),
            keeps_frames: true,
            done: plan.is_empty(),
            plan,
            selection,
        };
        if let Some(last) = scan.selection.last {
            scan.keep_last(last, bound)?;
        }
        Ok(scan)
    }

    /// Goes on where an earlier scan of the same selection ended, which read everything before the wanted
    /// indexes: there is no need to look for the place.
    pub(crate) fn going_on_at(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    /// Leaves nothing in the cache, since who reads keeps what is read.
    pub(crate) fn keeping_no_frames(self) -> Self {
        Self { keeps_frames: false, ..self }
    }

    /// Returns where reading forward stands.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Returns the number that a channel stood at as of a position.
    pub(crate) fn next_seq(
        segments: &Arc<Segments>,
        scope: &Scope,
        position: Position,
    ) -> Result<Seq, ReadError> {
        let Some(channel) = &scope.channel else { return Ok(Seq::ZERO) };
        let newest = Selection {
            reverse: true,
            limit: Some(1),
            skip_holes: true,
            ..Selection::channel(&channel.name)
        };
        let chunk = Self::new(Arc::clone(segments), newest, position, scope.clone())?.next_chunk()?;
        let seqs = chunk.and_then(|chunk| chunk.seqs_of(&channel.name));
        let behind = seqs.map_or(channel.base, |seqs| Seq(seqs.end));
        let lost = losses::next_behind_holes(&scope.holes, &channel.name, position);
        Ok(lost.map_or(behind, |next| behind.max(next)))
    }

    /// Returns when the last entry below a position was recorded; the epoch when there is none.
    pub(crate) fn last_recorded_at(
        segments: &Arc<Segments>,
        visible: &VisibleState,
        position: Position,
    ) -> Result<Timestamp, ReadError> {
        let newest = Selection { reverse: true, skip_holes: true, ..Selection::default() };
        let scope = Scope::new(&newest, visible);
        let mut scan = Self::new(Arc::clone(segments), newest, position, scope)?;
        while scan.ready.is_empty() && !scan.done {
            scan.advance()?;
        }
        Ok(scan.ready.last().map_or(Timestamp::default(), Chunk::recorded_at))
    }

    /// Reads backward until `last` events are found, to give them out in the order that was asked for.
    fn keep_last(&mut self, last: u64, bound: Position) -> Result<(), ReadError> {
        let newest = Selection { last: None, limit: Some(last), reverse: true, ..self.selection.clone() };
        let mut scan = Self::new(Arc::clone(&self.segments), newest, bound, self.scope.clone())?;
        while let Some(mut chunk) = scan.next_chunk()? {
            if !self.selection.reverse {
                chunk.reverse();
            }
            self.ready.push(chunk);
        }
        if self.selection.reverse {
            self.ready.reverse();
        }
        self.statistics = ScanStatistics { events: 0, ..scan.statistics };
        self.done = true;
        Ok(())
    }

    /// Returns what was read so far.
    pub fn statistics(&self) -> ScanStatistics {
        self.statistics
    }

    /// Returns the selected events of the next entry that has any; `None` at the end, and behind an error.
    ///
    /// # Errors
    ///
    /// [`ReadError::Hole`] where entries were lost, unless the selection skips holes; [`ReadError::Corrupt`]
    /// where stored bytes do not read; [`ReadError::Io`].
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        let next = self.next_ready();
        if next.is_err() {
            self.done = true;
        }
        next
    }

    fn next_ready(&mut self) -> Result<Option<Chunk>, ReadError> {
        while self.remaining > 0 {
            let chunk = match self.ready.pop() {
                Some(chunk) => chunk,
                None if self.done => return Ok(None),
                None => match self.failed.take() {
                    Some(error) => return Err(error),
                    None => {
                        self.advance()?;
                        continue;
                    }
                },
            };
            if let Some(chunk) = self.deliver(chunk) {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    fn deliver(&mut self, mut chunk: Chunk) -> Option<Chunk> {
        chunk.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if chunk.is_empty() {
            return None;
        }
        chunk.drop_masked(&self.selection);
        if chunk.is_empty() {
            return None;
        }
        self.remaining -= chunk.len() as u64;
        self.statistics.events += chunk.len() as u64;
        Some(chunk)
    }

    /// Takes one step: reads an entry (forward) or a window (backward), or goes to the next segment.
    fn advance(&mut self) -> Result<(), ReadError> {
        let Some(mut window) = self.current.take() else { return self.enter_segment() };
        let stepped = match self.selection.reverse {
            true => self.step_backward(&mut window),
            false => self.step_forward(&mut window),
        };
        self.statistics.index_blocks += std::mem::take(&mut window.points.blocks_read);
        self.mark = Some(Mark { segment: window.segment.number, offset: window.frames.offset() });
        if stepped? {
            self.current = Some(window);
        }
        Ok(())
    }

    fn enter_segment(&mut self) -> Result<(), ReadError> {
        let Some(segment) = self.queue.pop_front() else { return self.finish() };
        self.statistics.segments += 1;
        // What was lost without a trace may be the channel's; where its numbers bound the scan, they tell.
        let traced = !self.is_bounded_by_entries() || !self.segments.index(&segment)?.is_damaged();
        let channel = self.channel.clone().filter(|_| traced);
        let mut points = PointList::new(&self.segments, &segment, channel)?;
        let sought = self.seek(segment, &mut points);
        self.statistics.index_blocks += std::mem::take(&mut points.blocks_read);
        if let Some((segment, place)) = sought? {
            let mut window = Window::open(&self.segments, segment, points, place, self.selection.reverse)?;
            if let Some(window) = &mut window {
                window.frames.keeps = self.keeps_frames;
                if let Some(mark) = self.mark.filter(|mark| mark.segment == window.segment.number) {
                    window.frames.go_on_at(mark.offset);
                }
            }
            self.current = window;
        }
        Ok(())
    }

    /// Tells whether the scan begins or ends at an entry that its index or its time decides on.
    fn is_bounded_by_entries(&self) -> bool {
        let Selection { indexes, recorded, .. } = &self.selection;
        *indexes != Bounds::default() || *recorded != Bounds::default()
    }

    /// Returns the place of the point to begin at; `None` when the segment holds nothing that is wanted.
    fn seek(
        &mut self,
        segment: Arc<Segment>,
        points: &mut PointList,
    ) -> Result<Option<(Arc<Segment>, usize)>, ReadError> {
        let Some(last) = points.len().checked_sub(1) else { return Ok(None) };
        let place = match self.selection.reverse {
            true => self.last_place(points, last)?,
            false => self.first_place(points)?,
        };
        let point = points.get(place)?.filter(|point| point.index < self.plan.to);
        if point.is_some() && self.selection.reverse && self.seen.is_none() && !self.losses.is_empty() {
            self.seen = points.get(place + 1)?.map(|point| Seen::point(&point));
        }
        Ok(point.map(|_| (segment, place)))
    }

    /// Returns the last point from which everything wanted is reached forward.
    fn first_place(&self, points: &mut PointList) -> Result<usize, ReadError> {
        let selection = &self.selection;
        let mut place = 0;
        if let Some(seq) = selection.seqs.from.filter(|_| self.channel.is_some()) {
            place = points.search(Target::Seq(seq))?;
        }
        if let Some(index) = selection.indexes.from
            && points.get(place)?.is_some_and(|point| point.index < index)
        {
            place = place.max(points.search(Target::Index(index))?);
        }
        if let Some(time) = selection.recorded.from
            && points.get(place)?.is_some_and(|point| point.recorded_at < time.as_nanos())
        {
            place = place.max(points.search(Target::RecordedAt(time.as_nanos()))?);
        }
        Ok(place)
    }

    /// Returns the last point that may have something wanted behind it.
    fn last_place(&self, points: &mut PointList, last: usize) -> Result<usize, ReadError> {
        let selection = &self.selection;
        let mut place = last;
        if let Some(seq) = selection.seqs.to.filter(|_| self.channel.is_some()) {
            place = points.search(Target::Seq(seq.saturating_sub(1)))?;
        }
        if points.get(place)?.is_some_and(|point| point.index >= self.plan.to) {
            place = place.min(points.search(Target::Index(self.plan.to.saturating_sub(1)))?);
        }
        if let Some(time) = selection.recorded.to
            && points.get(place)?.is_some_and(|point| point.recorded_at >= time.as_nanos())
        {
            place = place.min(points.search(Target::RecordedAt(time.as_nanos()))?);
        }
        Ok(place)
    }

    /// Reads on to the next entry with something wanted; tells whether the segment may hold more.
    fn step_forward(&mut self, window: &mut Window) -> Result<bool, ReadError> {
        match self.read_forward(window)? {
            Step::Chunk(chunk) => {
                self.ready.push(chunk);
                Ok(true)
            }
            Step::WindowOver => window.go_to_next(self.plan.to),
            Step::ScanOver(chunk) => {
                self.ready.push(chunk);
                self.queue.clear();
                Ok(false)
            }
        }
    }

    fn read_forward(&mut self, window: &mut Window) -> Result<Step, ReadError> {
        loop {
            let Some(chunk) = self.next_entry(window)? else { return Ok(Step::WindowOver) };
            let seen = self.seen_in(&chunk);
            if let Some(seen) = &seen {
                self.check(self.seen.as_ref(), Some(seen), Some(window))?;
            }
            let seqs = seen.as_ref().map(|seen| seen.seqs.clone());
            self.seen = seen.or(self.seen.take());
            if chunk.is_beyond(&self.selection) {
                self.bounded = true;
                return Ok(Step::ScanOver(chunk));
            }
            let wanted_to = self.selection.seqs.to.filter(|_| self.channel.is_some());
            if wanted_to.zip(seqs.as_ref()).is_some_and(|(to, seqs)| seqs.end >= to) {
                self.bounded = true;
                return Ok(Step::ScanOver(chunk));
            }
            if let Some(seqs) = seqs.filter(|_| self.channel.is_some()) {
                window.close_behind(seqs.end)?;
            }
            if !chunk.is_empty() {
                return Ok(Step::Chunk(chunk));
            }
        }
    }

    /// Reads a window; tells whether the segment may hold more before it.
    fn step_backward(&mut self, window: &mut Window) -> Result<bool, ReadError> {
        let mut chunks = Vec::new();
        while let Some(chunk) = self.next_entry(window)? {
            if let Some(seqs) = self.channel.as_ref().and_then(|channel| chunk.seqs_of(channel)) {
                window.close_behind(seqs.end)?;
            }
            chunks.push(chunk);
        }
        for (place, chunk) in chunks.iter().enumerate().rev() {
            if let Some(seen) = self.seen_in(chunk) {
                if let Err(error) = self.check(Some(&seen), self.seen.as_ref(), Some(window)) {
                    // What is newer is given out first.
                    self.ready = chunks.split_off(place + 1);
                    self.failed = Some(error);
                    return Ok(false);
                }
                self.seen = Some(seen);
            }
            self.bounded |= chunk.is_before(&self.selection);
        }
        self.ready = chunks;
        if self.bounded {
            self.queue.clear();
            return Ok(false);
        }
        window.go_to_previous()
    }

    /// Returns the next entry of the window, with what is wanted of it; `None` at the window's end, and at the
    /// first entry that is out of reach.
    fn next_entry(&mut self, window: &mut Window) -> Result<Option<Chunk>, ReadError> {
        while !window.is_over() {
            match window.frames.next(window.bound(self.plan.to)) {
                Ok(Found::Entry { frame_bytes, body }) => {
                    self.statistics.entries += 1;
                    self.statistics.bytes += frame_bytes;
                    match Chunk::pick(body, &self.selection) {
                        Ok(mut chunk) => {
                            let place = (window.segment.number, window.frames.last_offset());
                            chunk.set_place(place, &self.segments.masks);
                            return Ok(Some(chunk));
                        }
                        Err(_) if self.selection.skip_holes => {}
                        Err(malformed) => return Err(window.corrupt("an entry", malformed.what)),
                    }
                }
                Ok(Found::Other) => {}
                Ok(Found::End) => return Ok(None),
                Err(ReadError::Corrupt(_)) if window.frames.mend(&self.segments, &window.segment)? => {}
                Err(ReadError::Corrupt(_)) if self.passes_over(window.frames.next_index()) => {
                    if !window.frames.skip_damage(&self.segments, &window.segment)? {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Tells whether damage where an entry should stand is no fault of its own: it is to be skipped, or on
    /// record as a hole, at which the next entry fails if anything that is wanted was lost.
    fn passes_over(&self, index: Option<u64>) -> bool {
        self.selection.skip_holes || index.is_some_and(|index| self.losses.begins_at(index))
    }

    /// Returns what an entry tells about losses: with one wanted channel, only an entry that has it does.
    fn seen_in(&self, chunk: &Chunk) -> Option<Seen> {
        let seqs = match &self.channel {
            Some(channel) => chunk.seqs_of(channel)?,
            None => 0..0,
        };
        Some(Seen { index: chunk.index().0, recorded_at: chunk.recorded_at(), seqs })
    }

    /// Fails when something that is wanted was lost between two entries; `None` is the end of what is read.
    fn check(
        &self,
        before: Option<&Seen>,
        after: Option<&Seen>,
        window: Option<&Window>,
    ) -> Result<(), ReadError> {
        let begin = Position(self.plan.checked_from);
        let next_seq = || Self::next_seq(&self.segments, &self.scope, begin).map(|seq| seq.0);
        let edges = self.edges();
        match self.losses.between(&self.selection, &self.plan, before, after, edges, next_seq)? {
            None => Ok(()),
            Some(Loss::Hole(first, last)) => Err(ReadError::Hole { first, last }),
            Some(Loss::Gap { expected, found }) => {
                let (expected, found) = (format!("event {expected}"), format!("event {found}"));
                Err(match window {
                    Some(window) => window.corrupt(&expected, &found),
                    None => ReadError::Corrupt(Corruption {
                        file: self.segments.dir.clone(),
                        offset: 0,
                        expected,
                        found,
                    }),
                })
            }
        }
    }

    /// Returns the numbers of the one wanted channel that the scan begins and ends at, as far as they are known
    /// without reading.
    fn edges(&self) -> (Option<u64>, Option<u64>) {
        let Some(channel) = self.scope.channel.as_ref().filter(|_| !self.is_bounded_by_entries()) else {
            return (None, None);
        };
        let whole = self.plan.to == self.scope.as_of.0;
        (Some(channel.base.0), whole.then_some(channel.next.0))
    }

    /// Ends a scan that ran out of segments: something may have been lost at their end.
    fn finish(&mut self) -> Result<(), ReadError> {
        self.done = true;
        match (self.bounded, self.selection.reverse) {
            (true, _) => Ok(()),
            (false, true) => self.check(None, self.seen.as_ref(), None),
            (false, false) => self.check(self.seen.as_ref(), None, None),
        }
    }
}
