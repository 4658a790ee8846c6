//! The place of a scan in one segment: what is read between two points of its index.

use std::sync::Arc;

use base::Position;

use super::frame_reader::FrameReader;
use crate::error::{Corruption, ReadError};
use crate::index::points::PointList;
use crate::limits::INDEX_GRAIN_BYTES;
use crate::segments::{Segment, Segments};

/// What is read from one point on. For one channel, its entries stand within a grain behind the point; else a
/// window reaches to the next point when read backward, and to the end of the segment when read forward.
#[derive(Debug)]
pub(super) struct Window {
    pub segment: Arc<Segment>,
    pub points: PointList,
    pub frames: FrameReader,
    /// The place of the window's point in the list.
    place: usize,
    backward: bool,
    /// Frames from here on belong to the next window.
    end: Option<u64>,
    /// Once the channel's numbers come to here, nothing more of it is in the window.
    seq_end: Option<u64>,
    closed: bool,
}

impl Window {
    /// Opens the window of the point at `place`, which is there.
    pub(super) fn open(
        segments: &Segments,
        segment: Arc<Segment>,
        points: PointList,
        place: usize,
        backward: bool,
    ) -> Result<Option<Self>, ReadError> {
        let frames = FrameReader::new(segments, &segment)?;
        let (end, seq_end) = (None, None);
        let mut window = Self { segment, points, frames, place, backward, end, seq_end, closed: false };
        Ok(window.go_to(place)?.then_some(window))
    }

    /// Goes to the window of a point, in the same buffer where it adjoins; tells whether there is the point.
    fn go_to(&mut self, place: usize) -> Result<bool, ReadError> {
        let Some(point) = self.points.get(place)? else { return Ok(false) };
        self.place = place;
        self.closed = false;
        self.seq_end = None;
        self.frames.go_to(point.offset);
        self.end = match (self.points.of_channel(), self.backward) {
            (true, _) => Some(point.offset + INDEX_GRAIN_BYTES),
            (false, true) => self.points.get(place + 1)?.map(|next| next.offset),
            (false, false) => None,
        };
        Ok(true)
    }

    /// Goes to the next window; tells whether there is one with entries below `to`.
    pub(super) fn go_to_next(&mut self, to: u64) -> Result<bool, ReadError> {
        // A forward window of all entries reaches to the end of the segment.
        let next = if self.points.of_channel() { self.points.get(self.place + 1)? } else { None };
        match next {
            Some(point) if point.index < to => self.go_to(self.place + 1),
            _ => Ok(false),
        }
    }

    /// Goes to the window before; tells whether there is one.
    pub(super) fn go_to_previous(&mut self) -> Result<bool, ReadError> {
        match self.place.checked_sub(1) {
            Some(place) => self.go_to(place),
            None => Ok(false),
        }
    }

    /// Tells whether everything of the window was read.
    pub(super) fn is_over(&self) -> bool {
        self.closed || self.end.is_some_and(|end| self.frames.offset() >= end)
    }

    /// Closes the window when the channel's events below `next` are all that it holds of it.
    pub(super) fn close_behind(&mut self, next: u64) -> Result<(), ReadError> {
        let seq_end = match self.seq_end {
            Some(seq_end) => seq_end,
            None => self.points.seq_behind(self.place)?,
        };
        self.seq_end = Some(seq_end);
        self.closed = next >= seq_end;
        Ok(())
    }

    /// Returns how far the window may be read: not behind the entries of its segment, which may have been cut off where
    /// no footer stands.
    pub(super) fn bound(&self, to: u64) -> Position {
        Position(self.segment.sealed.get().map_or(to, |sealed| to.min(sealed.next_index.0)))
    }

    /// Describes what is wrong with the frame that was read last.
    pub(super) fn corrupt(&self, expected: &str, found: &str) -> ReadError {
        ReadError::Corrupt(Corruption {
            file: self.segment.path.clone(),
            offset: self.frames.last_offset(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        })
    }
}
