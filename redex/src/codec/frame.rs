//! The frame: what lies between a segment's header and its end.
//!
//! ```text
//!   0  u32  begin mark
//!   4  u8   kind            5  u8  flags          6  u16 reserved, 0
//!   8  u32  stored bytes   12  u32 body bytes
//!  16  [8]  first half of the log id
//!  24  u64  segment number
//!  32  u64  offset of this frame in its file
//!  40  u64  synced through: the position known synced when this frame was written
//!  48  u64  index: of the entry; in other frames, of the next entry
//!  56  u32  CRC of bytes 0..56
//!  60  u32  second mark
//!  64  the stored body, zero-padded to 8 bytes
//!   +  u32  CRC of the stored body and its padding
//!   +  u32  end mark
//! ```
//!
//! Frames start at multiples of 8, so that neither mark, nor header CRC and second mark, ever straddle a
//! sector: the part of each sector that belongs to a frame is never all zero once it was written.

use base::{Index, LogId, Position};

use super::compression::{Compressor, decompress};
use super::escape::{escape, escaped_bytes, is_needed, unescape};
use super::{Cursor, Malformed, Put};
use crate::Compression;
use crate::limits::{ENTRY_BYTES_MAX, SECTOR_BYTES, STATE_BYTES_MAX};

pub(crate) const BEGIN_MARK: u32 = 0xB7E1_5CA3;
const SECOND_MARK: u32 = 0x6D2B_79F5;
const END_MARK: u32 = 0x9E37_C1B5;
const FLAG_ESCAPED: u8 = 1;
/// Where the compression's code stands in the flags, and which bits it takes.
const COMPRESSION_SHIFT: u8 = 1;
const COMPRESSION_BITS: u8 = 0b110;

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 64;
/// Bytes behind a frame's body.
pub(crate) const TRAILER_BYTES: usize = 8;
/// Bytes of the smallest frame.
pub(crate) const FRAME_BYTES_MIN: u64 = (HEADER_BYTES + TRAILER_BYTES) as u64;
/// What frames are aligned to.
pub(crate) const ALIGNMENT: u64 = 8;

/// What a frame holds. Only entries take an index and enter the log root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Entry,
    State,
    Footer,
    Close,
    Hole,
    /// Local state; takes no index.
    Local,
}

impl FrameKind {
    const ALL: [(u8, Self); 6] = [
        (1, Self::Entry),
        (2, Self::State),
        (3, Self::Footer),
        (4, Self::Close),
        (5, Self::Hole),
        (6, Self::Local),
    ];

    fn code(self) -> u8 {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or(0, |(code, _)| *code)
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == code).map(|(_, kind)| *kind)
    }

    /// Returns the longest body. That of an entry has room for the largest append and for the records of holes
    /// that the first entry of an incarnation carries.
    fn body_bytes_max(self) -> usize {
        if self == Self::State { STATE_BYTES_MAX } else { 2 * ENTRY_BYTES_MAX }
    }
}

/// Where a frame stands; repeated in its header, so that a misplaced frame testifies to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub log: LogId,
    pub segment: u64,
    pub offset: u64,
}

/// A frame's decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub kind: FrameKind,
    pub escaped: bool,
    pub compression: Compression,
    pub stored_bytes: usize,
    pub body_bytes: usize,
    pub synced_through: Position,
    pub index: Index,
}

impl FrameHeader {
    /// Returns the bytes from the begin mark to behind the end mark.
    pub(crate) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.stored_bytes.next_multiple_of(8) + TRAILER_BYTES
    }
}

/// Returns the most bytes that a frame has around a body of `body_bytes`.
pub(crate) const fn frame_bytes_max(body_bytes: usize) -> usize {
    HEADER_BYTES + escaped_bytes(body_bytes).next_multiple_of(8) + TRAILER_BYTES
}

/// Appends a frame that will stand at `place`.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    place: Place,
    kind: FrameKind,
    index: Index,
    synced_through: Position,
    body: &[u8],
) {
    let mut as_it_is = Compressor::new(Compression::None);
    encode_with(out, place, kind, index, synced_through, &mut as_it_is, body.len(), |out| out.put(body));
}

/// Appends a frame whose body of about `body_bytes` bytes is appended by `write_body`, so that it is not copied
/// once more.
#[allow(clippy::too_many_arguments, reason = "the fields of a frame's header, each of another type")]
pub(crate) fn encode_with(
    out: &mut Vec<u8>,
    place: Place,
    kind: FrameKind,
    index: Index,
    synced_through: Position,
    compressor: &mut Compressor,
    body_bytes: usize,
    write_body: impl FnOnce(&mut Vec<u8>),
) {
    out.reserve(HEADER_BYTES + TRAILER_BYTES + 8 + body_bytes);
    let begin = out.len();
    out.put_u32(BEGIN_MARK);
    out.put_u8(kind.code());
    // Flags, lengths and checksum are filled in when the body is known.
    out.put(&[0; 11]);
    out.put(&place.log.as_bytes()[..8]);
    out.put_u64(place.segment);
    out.put_u64(place.offset);
    out.put_u64(synced_through.0);
    out.put_u64(index.0);
    out.put_u32(0);
    out.put_u32(SECOND_MARK);
    let body_begin = out.len();
    write_body(out);
    let body_bytes = out.len() - body_begin;
    assert!(body_bytes <= kind.body_bytes_max(), "a frame that no reader would take is not written");
    if let Some(stored) = compressor.compress(&out[body_begin..]) {
        out.truncate(body_begin);
        out.put(&stored);
        out[begin + 5] = compressor.compression().code() << COMPRESSION_SHIFT;
    }
    if is_needed(&out[body_begin..], place.offset + HEADER_BYTES as u64) {
        let stored = escape(&out[body_begin..]);
        out.truncate(body_begin);
        out.put(&stored);
        out[begin + 5] |= FLAG_ESCAPED;
    }
    let stored_bytes = out.len() - body_begin;
    out[begin + 8..begin + 12].copy_from_slice(&length(stored_bytes).to_le_bytes());
    out[begin + 12..begin + 16].copy_from_slice(&length(body_bytes).to_le_bytes());
    let crc = crc32fast::hash(&out[begin..begin + 56]);
    out[begin + 56..begin + 60].copy_from_slice(&crc.to_le_bytes());
    out.resize(body_begin + stored_bytes.next_multiple_of(8), 0);
    let crc = crc32fast::hash(&out[body_begin..]);
    out.put_u32(crc);
    out.put_u32(END_MARK);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("lengths are limited to far below 4 GiB")
}

/// Decodes the header of a frame that should stand at `place`.
pub(crate) fn decode_header(bytes: &[u8], place: Place) -> Result<FrameHeader, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let header = cursor.take(HEADER_BYTES, "frame header")?;
    let mut cursor = Cursor::new(header);
    if cursor.u32("begin mark")? != BEGIN_MARK {
        return Err(Malformed::new("begin mark"));
    }
    let kind = cursor.u8("frame kind")?;
    let flags = cursor.u8("frame flags")?;
    let reserved = cursor.u16("reserved bits")?;
    let stored_bytes = cursor.length("stored length")?;
    let body_bytes = cursor.length("body length")?;
    let log: [u8; 8] = cursor.array("log id")?;
    let segment = cursor.u64("segment number")?;
    let offset = cursor.u64("frame offset")?;
    let synced_through = Position(cursor.u64("synced through")?);
    let index = Index(cursor.u64("index")?);
    if cursor.u32("header checksum")? != crc32fast::hash(&header[..56]) {
        return Err(Malformed::new("header checksum"));
    }
    if cursor.u32("second mark")? != SECOND_MARK {
        return Err(Malformed::new("second mark"));
    }
    if log != place.log.as_bytes()[..8] || segment != place.segment || offset != place.offset {
        return Err(Malformed::new("frame place"));
    }
    let kind = FrameKind::from_code(kind).ok_or(Malformed::new("frame kind"))?;
    if flags & !(FLAG_ESCAPED | COMPRESSION_BITS) != 0 || reserved != 0 {
        return Err(Malformed::new("reserved bits"));
    }
    let compression = Compression::from_code((flags & COMPRESSION_BITS) >> COMPRESSION_SHIFT)
        .filter(|compression| *compression == Compression::None || kind == FrameKind::Entry)
        .ok_or(Malformed::new("compression"))?;
    if body_bytes > kind.body_bytes_max() || stored_bytes > kind.body_bytes_max() / 255 * 256 + 256 {
        return Err(Malformed::new("frame length"));
    }
    let escaped = flags & FLAG_ESCAPED != 0;
    Ok(FrameHeader { kind, escaped, compression, stored_bytes, body_bytes, synced_through, index })
}

/// Checks the trailer of a frame of which `frame` holds all bytes, and returns its stored body.
pub(crate) fn check_body<'a>(frame: &'a [u8], header: &FrameHeader) -> Result<&'a [u8], Malformed> {
    let padded = header.stored_bytes.next_multiple_of(8);
    let mut cursor = Cursor::new(frame);
    cursor.take(HEADER_BYTES, "frame header")?;
    let body = cursor.take(padded, "frame body")?;
    let crc = cursor.u32("body checksum")?;
    if cursor.u32("end mark")? != END_MARK {
        return Err(Malformed::new("end mark"));
    }
    if crc != crc32fast::hash(body) {
        return Err(Malformed::new("body checksum"));
    }
    let (stored, padding) = body.split_at(header.stored_bytes);
    if padding.iter().all(|byte| *byte == 0) { Ok(stored) } else { Err(Malformed::new("frame padding")) }
}

/// Undoes escaping and compression of a stored body, where there is any.
pub(crate) fn unpacked<'a>(
    stored: &'a [u8],
    header: &FrameHeader,
) -> Result<std::borrow::Cow<'a, [u8]>, Malformed> {
    let stored = if header.escaped { unescape(stored)?.into() } else { std::borrow::Cow::Borrowed(stored) };
    if header.compression != Compression::None {
        return Ok(decompress(header.compression, &stored, header.body_bytes)?.into());
    }
    let body = stored;
    if body.len() == header.body_bytes { Ok(body) } else { Err(Malformed::new("body length")) }
}

/// Tells whether the frame that should stand at `offset` was only partly written: its end mark, its second mark
/// where the header does not read, or its part of some sector, reads as zeros. A mark that begins right and goes on
/// with zeros is one that a short write cut. `bytes` starts at `offset` and reaches to the end of the file; what is beyond
/// counts as zeros.
pub(crate) fn is_incomplete(bytes: &[u8], place: Place) -> bool {
    let begin = place.offset;
    let sector = SECTOR_BYTES as u64;
    let part_is_zero = |from: u64, to: u64| {
        let clip = |at: u64| usize::try_from(at - begin).map_or(bytes.len(), |at| at.min(bytes.len()));
        bytes[clip(from)..clip(to)].iter().all(|byte| *byte == 0)
    };
    let mark_is_cut = |mark: u32, end: u64| {
        let mark = mark.to_le_bytes();
        let written = (0..4).rev().find(|byte| !part_is_zero(end - 4 + byte, end - 3 + byte));
        written.is_none_or(|last| {
            let at = usize::try_from(end - 4 - begin).expect("bytes that are not zero are in memory");
            last < 3 && bytes[at..].iter().zip(mark).take(last as usize + 1).all(|(byte, mark)| *byte == mark)
        })
    };
    let first_end = (begin / sector + 1) * sector;
    let header_end = begin + HEADER_BYTES as u64;
    let Ok(header) = decode_header(bytes, place) else {
        // Without a header the frame's extent is unknown, so only the sectors that hold the header can tell.
        let second = first_end < header_end && part_is_zero(first_end, first_end + sector);
        return part_is_zero(begin, first_end) || second || mark_is_cut(SECOND_MARK, header_end);
    };
    let end = begin + header.frame_bytes() as u64;
    let mut from = begin;
    while from < end {
        let to = ((from / sector + 1) * sector).min(end);
        if part_is_zero(from, to) {
            return true;
        }
        from = to;
    }
    mark_is_cut(END_MARK, end)
}

#[cfg(test)]
mod tests;
