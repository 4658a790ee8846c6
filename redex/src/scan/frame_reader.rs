//! Reading the frames of a segment one after the other, through a buffer.

use std::sync::Arc;

use base::{DiskFile, Position};
use bytes::{Bytes, BytesMut};

use crate::cache::{BlockCache, Cached, Place as CachedPlace};
use crate::codec::Malformed;
use crate::codec::frame::{FrameHeader, FrameKind, HEADER_BYTES, Place, check_body, decode_header, unpacked};
use crate::error::{Corruption, ReadError};
use crate::replay::decode_hole_frame;
use crate::segments::{Segment, Segments};

/// Bytes of the first read of who goes on where all was read that there was.
const READ_BYTES_NEXT: usize = 4 << 10;
/// Bytes of the first read behind a seek.
const READ_BYTES_MIN: usize = 32 << 10;
/// Bytes of later reads, but for larger frames: what is read and decoded is to stay near the processor.
const READ_BYTES_MAX: usize = 128 << 10;

/// What was found at the reader's place.
#[derive(Debug)]
pub(crate) enum Found {
    Entry {
        frame_bytes: u64,
        body: Bytes,
    },
    /// A frame that holds no entry.
    Other,
    /// The bound, or the end of the segment.
    End,
}

#[derive(Debug)]
pub(crate) struct FrameReader {
    file: Arc<dyn DiskFile>,
    path: std::path::PathBuf,
    place: Place,
    cache: BlockCache,
    buffer: Bytes,
    /// Where in the file the buffer begins.
    buffer_at: u64,
    read_bytes: usize,
    last_offset: u64,
    /// Every entry below this index was read or passed. What stands behind the last entry that a reader may see
    /// is not looked at: it may be written at this moment, or torn.
    next_index: u64,
    /// Whether the next frame is the first one behind a seek; such frames are worth keeping.
    sought: bool,
    /// Whether frames are kept at all.
    pub keeps: bool,
    /// The place where a frame was last read anew that was damaged.
    mended: Option<u64>,
}

impl FrameReader {
    pub(crate) fn new(segments: &Segments, segment: &Segment) -> Result<Self, ReadError> {
        Ok(Self {
            file: segments.file(segment)?,
            path: segment.path.clone(),
            place: Place { log: segments.log, segment: segment.number, offset: 0 },
            cache: segments.cache.clone(),
            buffer: Bytes::new(),
            buffer_at: 0,
            read_bytes: READ_BYTES_MIN,
            last_offset: 0,
            next_index: 0,
            sought: true,
            keeps: true,
            mended: None,
        })
    }

    /// Returns where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.place.offset
    }

    /// Returns where the frame that was returned last begins.
    pub(crate) fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// Returns the index of the entry that should come next, where it is known.
    pub(crate) fn next_index(&self) -> Option<u64> {
        (self.next_index > 0).then_some(self.next_index)
    }

    pub(crate) fn go_to(&mut self, offset: u64) {
        self.place.offset = offset;
        self.next_index = 0;
        let buffered = self.buffer_at..=self.buffer_at + self.buffer.len() as u64;
        if !buffered.contains(&offset) {
            // Who leaps needs little of what lies between.
            self.read_bytes = READ_BYTES_MIN;
        }
    }

    /// Goes on at a frame that everything before was read of, if that is ahead.
    pub(crate) fn go_on_at(&mut self, offset: u64) {
        if offset > self.place.offset {
            self.place.offset = offset;
            self.read_bytes = READ_BYTES_NEXT;
            self.sought = false;
        }
    }

    /// Reads a damaged frame once more: a redaction that is due may have been halfway through it. Tells whether it
    /// is whole now.
    pub(crate) fn mend(&mut self, segments: &Segments, segment: &Segment) -> Result<bool, ReadError> {
        let offset = self.place.offset;
        if self.mended.replace(offset) == Some(offset) {
            return Ok(false);
        }
        let head = segments.load_part(segment, offset, HEADER_BYTES as u64)?;
        let Ok(header) = decode_header(&head.bytes, self.place) else { return Ok(false) };
        let frame = segments.load_part(segment, offset, header.frame_bytes() as u64)?;
        let whole = frame.view().frame(offset).is_ok();
        if whole {
            (self.buffer, self.buffer_at) = (Bytes::from(frame.bytes), offset);
        }
        Ok(whole)
    }

    /// Goes to the next valid frame behind a damaged one; tells whether there is one.
    pub(crate) fn skip_damage(&mut self, segments: &Segments, segment: &Segment) -> Result<bool, ReadError> {
        let rest = segments.load_part(segment, self.place.offset, u64::MAX)?;
        let next = rest.view().next_valid(self.place.offset);
        if let Some(frame) = &next {
            self.go_to(frame.offset);
        }
        Ok(next.is_some())
    }

    /// Returns what stands at the reader's place and goes behind it.
    pub(crate) fn next(&mut self, bound: Position) -> Result<Found, ReadError> {
        let offset = self.place.offset;
        self.last_offset = offset;
        if self.next_index >= bound.0 {
            return Ok(Found::End);
        }
        let kept = CachedPlace { segment: self.place.segment, offset, tag: 0 };
        let (frame, trusted) = match self.sought.then(|| self.cache.get(&kept)).flatten() {
            Some(Cached::Frame(frame)) => (frame, true),
            _ => match self.read_frame(bound)? {
                Some(frame) => (frame, false),
                None => return Ok(Found::End),
            },
        };
        let header = decode_header(&frame, self.place).map_err(|malformed| self.corrupt(&malformed))?;
        if header.kind == FrameKind::Entry && !bound.includes(header.index) {
            return Ok(Found::End);
        }
        let body = self.body(&frame, &header, trusted).map_err(|malformed| self.corrupt(&malformed))?;
        if self.sought && self.keeps && !trusted && header.kind == FrameKind::Entry {
            self.cache.keep(kept, Cached::Frame(Bytes::copy_from_slice(&frame)));
        }
        self.sought = false;
        self.place.offset += frame.len() as u64;
        self.next_index = match header.kind {
            FrameKind::Entry => header.index.position_after().0,
            // What a hole frame had no room for is told again behind later entries.
            FrameKind::Hole => {
                decode_hole_frame(&body).map_or(0, |hole| hole.record.next.0).max(self.next_index)
            }
            _ => header.index.0,
        };
        match header.kind {
            FrameKind::Entry => Ok(Found::Entry { frame_bytes: frame.len() as u64, body }),
            FrameKind::Footer => Ok(Found::End),
            _ => Ok(Found::Other),
        }
    }

    fn body(&self, frame: &Bytes, header: &FrameHeader, trusted: bool) -> Result<Bytes, Malformed> {
        let stored = match trusted {
            true => &frame[HEADER_BYTES..HEADER_BYTES + header.stored_bytes],
            false => check_body(frame, header)?,
        };
        Ok(match unpacked(stored, header)? {
            std::borrow::Cow::Borrowed(_) => frame.slice_ref(stored),
            std::borrow::Cow::Owned(body) => Bytes::from(body),
        })
    }

    /// Returns the bytes of the whole frame at the reader's place; `None` where it is an entry that `bound` leaves
    /// out.
    fn read_frame(&mut self, bound: Position) -> Result<Option<Bytes>, ReadError> {
        // Zeros and the end of the file are damage, too: what is to be read has not come yet.
        let header = decode_header(&self.ensure(HEADER_BYTES)?, self.place);
        let header = header.map_err(|malformed| self.corrupt(&malformed))?;
        if header.kind == FrameKind::Entry && !bound.includes(header.index) {
            return Ok(None);
        }
        let length = header.frame_bytes();
        let bytes = self.ensure(length)?;
        match bytes.len() >= length {
            true => Ok(Some(bytes.slice(..length))),
            false => Err(self.corrupt(&Malformed::new("end of the file"))),
        }
    }

    /// Returns the buffered bytes at the reader's place, at least `count` unless the file ends before.
    fn ensure(&mut self, count: usize) -> Result<Bytes, ReadError> {
        let skip = self.place.offset.checked_sub(self.buffer_at).and_then(|skip| usize::try_from(skip).ok());
        let skip = skip.unwrap_or(usize::MAX).min(self.buffer.len());
        let mut filled = self.buffer.len() - skip;
        if filled >= count {
            return Ok(self.buffer.slice(skip..));
        }
        // A large frame is read with the header of the next one, and no more, so that little is moved to the front.
        let wanted = if count < self.read_bytes / 4 { self.read_bytes } else { count + HEADER_BYTES };
        self.read_bytes = (self.read_bytes * 4).min(READ_BYTES_MAX);
        let mut bytes = match std::mem::take(&mut self.buffer).try_into_mut() {
            Ok(mut bytes) => {
                bytes.copy_within(skip.., 0);
                bytes
            }
            // Somebody still has what was read before.
            Err(buffer) => {
                let mut bytes = BytesMut::with_capacity(wanted);
                bytes.extend_from_slice(&buffer[skip..]);
                bytes
            }
        };
        bytes.resize(wanted, 0);
        while filled < wanted {
            match self.file.read_at(&mut bytes[filled..], self.place.offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::io(&self.path)(error)),
            }
        }
        bytes.truncate(filled);
        self.buffer = bytes.freeze();
        self.buffer_at = self.place.offset;
        Ok(self.buffer.clone())
    }

    fn corrupt(&self, malformed: &Malformed) -> ReadError {
        ReadError::Corrupt(Corruption {
            file: self.path.clone(),
            offset: self.place.offset,
            expected: "a frame".to_owned(),
            found: format!("a wrong {malformed}"),
        })
    }
}
