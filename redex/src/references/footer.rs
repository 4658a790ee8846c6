//! Finding the footer of a sealed segment, without reading what stands before it.

use crate::codec::footer::{Footer, decode_footer};
use crate::codec::frame::{ALIGNMENT, BEGIN_MARK, FrameKind};
use crate::error::ReadError;
use crate::frames::{Frame, SegmentBytes};
use crate::segments::{Segment, Segments};

/// Bytes at the end of a segment in which its footer is looked for first.
const LOOKED_AT_BYTES: u64 = 16 << 10;

/// Reads the footer that a segment's file ends with; `None` where it ends with something else.
pub(super) fn read(segments: &Segments, segment: &Segment) -> Result<Option<Footer>, ReadError> {
    let length = segments.bytes(segment)?;
    let mut count = LOOKED_AT_BYTES;
    loop {
        let begin = length.saturating_sub(count).next_multiple_of(ALIGNMENT);
        let part = segments.load_part(segment, begin, u64::MAX)?;
        let found = last_frame(part.view()).filter(|frame| frame.header.kind == FrameKind::Footer);
        let found = found.and_then(|frame| decode_footer(&frame.body().ok()?).ok());
        if found.is_some() || begin == 0 {
            return Ok(found);
        }
        count = count.saturating_mul(8);
    }
}

/// Returns the whole frame that ends where the bytes do.
pub(super) fn last_frame(segment: SegmentBytes<'_>) -> Option<Frame<'_>> {
    let mark = BEGIN_MARK.to_le_bytes();
    let mut at = segment.end() - segment.end() % ALIGNMENT;
    while at >= segment.begin + ALIGNMENT {
        at -= ALIGNMENT;
        if segment.from(at).starts_with(&mark)
            && let Ok(frame) = segment.frame(at)
            && frame.end() == segment.end()
        {
            return Some(frame);
        }
    }
    None
}
