//! Reading selected events, entry by entry, forward or backward.

use std::collections::VecDeque;
use std::sync::Arc;

use base::Position;
use bytes::Bytes;

use crate::codec::control::HoleRecord;
use crate::error::{Corruption, ReadError};
use crate::index::points::PointList;
use crate::index::{Point, Target};
use crate::limits::INDEX_GRAIN_BYTES;
use crate::segments::{Segment, Segments};
use crate::{Chunk, Selection};

mod frame_reader;

use frame_reader::{Found, FrameReader};

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
    bound: Position,
    holes: Arc<[HoleRecord]>,
    /// Segments still to read, in the order of the scan.
    queue: VecDeque<Arc<Segment>>,
    current: Option<Window>,
    /// Chunks of a window that is read backward.
    backward: Vec<Chunk>,
    remaining: u64,
    /// The index of the entry that was read last.
    visited: Option<u64>,
    statistics: ScanStatistics,
    done: bool,
}

/// The place of a scan in one segment: what is read between two points of its index.
#[derive(Debug)]
struct Window {
    segment: Arc<Segment>,
    points: PointList,
    /// The place of the window's point in the list.
    place: usize,
    frames: FrameReader,
    /// Frames from here on belong to the next window.
    end: Option<u64>,
}

impl Scan {
    pub(crate) fn new(
        segments: Arc<Segments>,
        selection: Selection,
        bound: Position,
        holes: Arc<[HoleRecord]>,
    ) -> Result<Self, ReadError> {
        let remaining = selection.limit.unwrap_or(u64::MAX);
        let last = selection.last;
        let mut scan = Self {
            segments,
            bound,
            holes,
            queue: VecDeque::new(),
            current: None,
            backward: Vec::new(),
            remaining,
            visited: None,
            statistics: ScanStatistics::default(),
            done: selection.seqs.is_empty() || selection.indexes.is_empty() || selection.recorded.is_empty(),
            selection,
        };
        let (from, to) = scan.index_range();
        scan.queue = scan.segments.between(from, to).into();
        scan.skip_segments_by_seq()?;
        if scan.selection.reverse {
            scan.queue.make_contiguous().reverse();
        }
        if let Some(last) = last {
            scan.keep_last(last)?;
        }
        Ok(scan)
    }

    fn index_range(&self) -> (u64, u64) {
        let from = self.selection.indexes.from.unwrap_or(0);
        (from, self.selection.indexes.to.unwrap_or(u64::MAX).min(self.bound.0))
    }

    /// Leaves out the segments whose part of the one wanted channel lies outside the wanted numbers, by
    /// bisection over the segments' index directories.
    fn skip_segments_by_seq(&mut self) -> Result<(), ReadError> {
        let Some(channel) = self.selection.only_channel().cloned() else { return Ok(()) };
        let Some(from) = self.selection.seqs.from.filter(|from| *from > 0) else { return Ok(()) };
        let (mut low, mut high) = (0, self.queue.len());
        while low < high {
            let middle = (low + high) / 2;
            // A segment without the channel tells nothing; the nearest one before it that has it does.
            let mut probe = middle;
            let next = loop {
                match self.segments.next_seq(&self.queue[probe], &channel)? {
                    Some(next) => break Some(next),
                    None if probe > low => probe -= 1,
                    None => break None,
                }
            };
            match next {
                Some(next) if next.0 > from => high = probe,
                _ => low = middle + 1,
            }
        }
        self.queue.drain(..low.min(self.queue.len()));
        Ok(())
    }

    /// Reads backward until `last` events are found, and gives them out in the order that was asked for.
    fn keep_last(&mut self, last: u64) -> Result<(), ReadError> {
        let forward = !self.selection.reverse;
        let mut inner = Selection { last: None, limit: Some(last), reverse: true, ..self.selection.clone() };
        inner.skip_holes = self.selection.skip_holes;
        let mut scan = Self::new(Arc::clone(&self.segments), inner, self.bound, Arc::clone(&self.holes))?;
        let mut chunks = Vec::new();
        while let Some(mut chunk) = scan.next_chunk()? {
            if forward {
                chunk.reverse();
            }
            chunks.push(chunk);
        }
        if !forward {
            chunks.reverse();
        }
        // `backward` is given out from its end.
        self.backward = chunks;
        self.statistics = ScanStatistics { events: 0, ..scan.statistics };
        self.queue.clear();
        self.done = true;
        Ok(())
    }

    /// Returns what was read so far.
    pub fn statistics(&self) -> ScanStatistics {
        let open = self.current.as_ref().map_or(0, |window| window.points.blocks_read);
        ScanStatistics { index_blocks: self.statistics.index_blocks + open, ..self.statistics }
    }

    /// Returns the selected events of the next entry that has any; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`ReadError::Hole`] where entries were lost, unless the selection skips holes; [`ReadError::Corrupt`]
    /// where stored bytes do not read; [`ReadError::Io`].
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        while self.remaining > 0 {
            let chunk = match self.backward.pop() {
                Some(chunk) => chunk,
                None if self.done => return Ok(None),
                None => match self.advance()? {
                    Some(chunk) => chunk,
                    None => continue,
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
        self.remaining -= chunk.len() as u64;
        self.statistics.events += chunk.len() as u64;
        Some(chunk)
    }

    /// Takes one step: reads an entry (forward) or a window (backward), or goes to the next segment.
    fn advance(&mut self) -> Result<Option<Chunk>, ReadError> {
        let Some(mut window) = self.current.take() else {
            return self.enter_segment().map(|()| None);
        };
        if self.selection.reverse {
            self.read_backward(&mut window)?;
            if window.place > 0 && !self.done {
                let place = window.place - 1;
                self.current = self.window(window.segment, window.points, place)?;
            } else {
                self.statistics.index_blocks += window.points.blocks_read;
            }
            return Ok(None);
        }
        match self.read_forward(&mut window)? {
            Read::Chunk(chunk) => {
                self.current = Some(window);
                Ok(Some(chunk))
            }
            Read::WindowEnd => {
                let place = window.place + 1;
                self.current = self.next_window(window, place)?;
                Ok(None)
            }
            Read::SegmentEnd => {
                self.statistics.index_blocks += window.points.blocks_read;
                Ok(None)
            }
            Read::ScanEnd => {
                self.statistics.index_blocks += window.points.blocks_read;
                self.finish()?;
                Ok(None)
            }
        }
    }

    fn enter_segment(&mut self) -> Result<(), ReadError> {
        let Some(segment) = self.queue.pop_front() else { return self.finish() };
        self.statistics.segments += 1;
        match self.seek(&segment) {
            Err(ReadError::Corrupt(corruption)) if corruption.file == segment.index_path() => {
                // Index files are derived: distrust this one and try again without it.
                self.segments.distrust_index(&segment)?;
                self.current = self.seek(&segment)?;
            }
            found => self.current = found?,
        }
        Ok(())
    }

    fn seek(&self, segment: &Arc<Segment>) -> Result<Option<Window>, ReadError> {
        let channel = self.selection.only_channel().cloned();
        let source = self.segments.index(segment)?;
        let mut points = PointList::new(source, channel);
        if points.len() == 0 {
            return Ok(None);
        }
        let place = points.search(self.target())?;
        self.window(Arc::clone(segment), points, place)
    }

    /// Returns what the point to begin at is searched by: the tightest bound that the list is sorted by.
    fn target(&self) -> Target {
        let selection = &self.selection;
        let by_seq = selection.only_channel().is_some();
        if !selection.reverse {
            return match (selection.seqs.from, selection.indexes.from, selection.recorded.from) {
                (Some(seq), ..) if by_seq => Target::Seq(seq),
                (_, Some(index), _) => Target::Index(index),
                (_, _, Some(time)) => Target::RecordedAt(time.as_nanos()),
                _ => Target::Start,
            };
        }
        match (selection.seqs.to, selection.recorded.to) {
            (Some(seq), _) if by_seq => Target::Seq(seq.saturating_sub(1)),
            (_, Some(time)) if selection.indexes.to.is_none() => Target::RecordedAt(time.as_nanos()),
            _ => Target::Index(self.index_range().1.saturating_sub(1)),
        }
    }

    fn window(
        &self,
        segment: Arc<Segment>,
        mut points: PointList,
        place: usize,
    ) -> Result<Option<Window>, ReadError> {
        let Some(point) = points.get(place)? else { return Ok(None) };
        let end = self.window_end(&mut points, place, point)?;
        let frames = FrameReader::new(&self.segments, &segment, point.offset)?;
        Ok(Some(Window { segment, points, place, frames, end }))
    }

    /// Goes on with the next window, in the same buffer where it adjoins.
    fn next_window(&mut self, mut window: Window, place: usize) -> Result<Option<Window>, ReadError> {
        let Some(point) = window.points.get(place)? else {
            self.statistics.index_blocks += window.points.blocks_read;
            return Ok(None);
        };
        window.end = self.window_end(&mut window.points, place, point)?;
        window.frames.skip_to(point.offset);
        window.place = place;
        Ok(Some(window))
    }

    /// Returns where the frames that belong to a point end. For one channel, its entries stand within a grain
    /// behind the point; else a window reaches to the next point when read backward, and to the end of the
    /// segment when read forward.
    fn window_end(
        &self,
        points: &mut PointList,
        place: usize,
        point: Point,
    ) -> Result<Option<u64>, ReadError> {
        if self.selection.only_channel().is_some() {
            return Ok(Some(point.offset + INDEX_GRAIN_BYTES));
        }
        if !self.selection.reverse {
            return Ok(None);
        }
        Ok(points.get(place + 1)?.map(|next| next.offset))
    }

    fn read_forward(&mut self, window: &mut Window) -> Result<Read, ReadError> {
        loop {
            if window.end.is_some_and(|end| window.frames.offset() >= end) {
                return Ok(Read::WindowEnd);
            }
            let (index, body) = match self.next_entry(window)? {
                Next::Entry(index, body) => (index, body),
                Next::SegmentEnd => return Ok(Read::SegmentEnd),
            };
            if index >= self.index_range().1 {
                return Ok(Read::ScanEnd);
            }
            self.visit(index)?;
            let chunk = self.pick(window, body)?;
            if !chunk.is_empty() {
                return Ok(Read::Chunk(chunk));
            }
            if self.is_beyond(&chunk) {
                return Ok(Read::ScanEnd);
            }
        }
    }

    /// Tells whether an entry without a selected event shows that no later one has any.
    fn is_beyond(&self, chunk: &Chunk) -> bool {
        let by_seq = self.selection.only_channel().zip(self.selection.seqs.to);
        by_seq.is_some_and(|(channel, to)| chunk.first_seq_of(channel).is_some_and(|seq| seq.0 >= to))
            || self.selection.recorded.to.is_some_and(|to| chunk.recorded_at() >= to)
    }

    fn read_backward(&mut self, window: &mut Window) -> Result<(), ReadError> {
        let mut chunks = Vec::new();
        let mut first = None;
        let mut last = None;
        loop {
            if window.end.is_some_and(|end| window.frames.offset() >= end) {
                break;
            }
            let (index, body) = match self.next_entry(window)? {
                Next::Entry(index, body) => (index, body),
                Next::SegmentEnd => break,
            };
            if index >= self.index_range().1 {
                break;
            }
            first.get_or_insert(index);
            if let Some(before) = last {
                self.check_holes(before, index)?;
            }
            last = Some(index);
            let chunk = self.pick(window, body)?;
            if chunk.is_before(&self.selection) {
                self.done = true;
            }
            chunks.push(chunk);
        }
        if let (Some(last), Some(visited)) = (last, self.visited) {
            self.check_holes(last, visited)?;
        }
        self.visited = first.or(self.visited);
        self.backward = chunks;
        Ok(())
    }

    fn next_entry(&mut self, window: &mut Window) -> Result<Next, ReadError> {
        loop {
            match window.frames.next(self.bound)? {
                Found::Entry { index, frame_bytes, body } => {
                    self.statistics.entries += 1;
                    self.statistics.bytes += frame_bytes;
                    return Ok(Next::Entry(index.0, body));
                }
                Found::Other => {}
                Found::End => return Ok(Next::SegmentEnd),
            }
        }
    }

    fn pick(&self, window: &Window, body: Bytes) -> Result<Chunk, ReadError> {
        Chunk::pick(body, &self.selection).map_err(|malformed| {
            ReadError::Corrupt(Corruption {
                file: window.segment.path.clone(),
                offset: window.frames.last_offset(),
                expected: "an entry".to_owned(),
                found: malformed.to_string(),
            })
        })
    }

    fn visit(&mut self, index: u64) -> Result<(), ReadError> {
        match self.visited {
            Some(before) => self.check_holes(before, index)?,
            // A reading that was not led to its first entry by a number begins where it was told to.
            None if self.target_is_seq() => {}
            None => self.check_holes_from(self.index_range().0, index)?,
        }
        self.visited = Some(index);
        Ok(())
    }

    fn target_is_seq(&self) -> bool {
        matches!(self.target(), Target::Seq(_))
    }

    /// Fails when entries between `before` and `after` were lost.
    fn check_holes(&self, before: u64, after: u64) -> Result<(), ReadError> {
        self.check_holes_from(before + 1, after)
    }

    fn check_holes_from(&self, from: u64, to: u64) -> Result<(), ReadError> {
        if self.selection.skip_holes {
            return Ok(());
        }
        match self.holes.iter().find(|hole| hole.next.0 > from && hole.first.0 < to) {
            None => Ok(()),
            Some(hole) => {
                Err(ReadError::Hole { first: hole.first, last: base::Index(hole.next.0.saturating_sub(1)) })
            }
        }
    }

    /// Ends a forward scan: entries may have been lost behind the last one that was read.
    fn finish(&mut self) -> Result<(), ReadError> {
        self.done = true;
        self.queue.clear();
        if self.selection.reverse {
            return Ok(());
        }
        let (from, to) = self.index_range();
        let ended_by_seq = self.selection.seqs.to.is_some() && self.selection.only_channel().is_some();
        let ended_by_time = self.selection.recorded.to.is_some();
        if ended_by_seq || ended_by_time {
            return Ok(());
        }
        match self.visited {
            Some(visited) => self.check_holes(visited, to),
            None => self.check_holes_from(from, to),
        }
    }
}

enum Read {
    Chunk(Chunk),
    WindowEnd,
    SegmentEnd,
    ScanEnd,
}

enum Next {
    Entry(u64, Bytes),
    SegmentEnd,
}
