//! Walking over the frames of a segment, and judging the first place that is neither a frame nor zeros.

use base::{Index, LogId, Position};

use crate::codec::Malformed;
use crate::codec::frame::{self, ALIGNMENT, BEGIN_MARK, FrameHeader, FrameKind, HEADER_BYTES, Place};

/// A whole frame inside a segment's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub offset: u64,
    pub header: FrameHeader,
    /// The body as stored.
    pub stored: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.header.frame_bytes() as u64
    }

    pub(crate) fn body(&self) -> Result<std::borrow::Cow<'a, [u8]>, Malformed> {
        frame::unpacked(self.stored, &self.header)
    }
}

/// What stands at some offset of a segment.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Frame(Frame<'a>),
    /// Zeros to the end of the file.
    End,
    /// Neither.
    Bad(Malformed),
}

/// The bytes of one segment file, from some offset on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SegmentBytes<'a> {
    pub log: LogId,
    pub segment: u64,
    /// Where in the file the bytes begin.
    pub begin: u64,
    pub bytes: &'a [u8],
}

/// What a place that is neither a frame nor zeros is judged to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Written only in part, and never acknowledged as durable.
    Torn,
    /// Damaged after it was written.
    Corrupt,
}

impl<'a> SegmentBytes<'a> {
    fn place(&self, offset: u64) -> Place {
        Place { log: self.log, segment: self.segment, offset }
    }

    /// Returns where the bytes end.
    pub(crate) fn end(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }

    /// Returns the bytes from `offset` on.
    pub(crate) fn from(&self, offset: u64) -> &'a [u8] {
        let at = offset.checked_sub(self.begin).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.bytes.get(at..)).unwrap_or(&[])
    }

    /// Returns what stands at `offset`.
    pub(crate) fn step(&self, offset: u64) -> Step<'a> {
        match self.frame(offset) {
            Ok(frame) => Step::Frame(frame),
            Err(_) if is_zero(self.from(offset)) => Step::End,
            Err(malformed) => Step::Bad(malformed),
        }
    }

    /// Decodes the frame at `offset`, checksums included.
    pub(crate) fn frame(&self, offset: u64) -> Result<Frame<'a>, Malformed> {
        let bytes = self.from(offset);
        let header = frame::decode_header(bytes, self.place(offset))?;
        let stored = frame::check_body(bytes, &header)?;
        Ok(Frame { offset, header, stored })
    }

    /// Returns the first valid frame behind `offset`.
    pub(crate) fn next_valid(&self, offset: u64) -> Option<Frame<'a>> {
        let mut at = (offset + 1).next_multiple_of(ALIGNMENT);
        while at + HEADER_BYTES as u64 <= self.end() {
            if self.from(at).starts_with(&BEGIN_MARK.to_le_bytes())
                && let Ok(frame) = self.frame(at)
            {
                return Some(frame);
            }
            at += ALIGNMENT;
        }
        None
    }

    /// Judges the bad place at `offset`, where the entry `expected` should stand: testified synced by a frame
    /// behind it is corrupt; else incomplete is torn; else it is corrupt.
    pub(crate) fn judge(&self, offset: u64, expected: Index, testified: Position) -> Verdict {
        if testified.includes(expected) {
            return Verdict::Corrupt;
        }
        match frame::is_incomplete(self.from(offset), self.place(offset)) {
            true => Verdict::Torn,
            false => Verdict::Corrupt,
        }
    }
}

/// Returns the position that a frame testifies to be synced. Footers and close records are written only after
/// everything before them was synced.
pub(crate) fn testimony(header: &FrameHeader) -> Position {
    match header.kind {
        FrameKind::Footer | FrameKind::Close => header.synced_through.max(Position(header.index.0)),
        _ => header.synced_through,
    }
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
