//! The head of a segment file: two equal copies of 512 bytes.
//!
//! ```text
//!   0  [8]  "NetDbSeg"
//!   8  u16  format version   10  u16 features, 0   12  u32 copy, 0 or 1
//!  16  [16] log id
//!  32  [32] origin
//!  64  u64  segment number
//!  72  u64  index of the first entry
//!  80  i64  created at
//!  88  u64  segment that this one cuts off, u64 offset where that one ends from now on, u64 index there;
//!           all ones: none
//! 112  zeros
//! 508  u32  CRC of bytes 0..508
//! ```

use base::{Index, LogId, OriginId, Timestamp};

use super::{FORMAT_VERSION, Foreign, Malformed, Put};

/// Bytes of one copy.
pub(crate) const COPY_BYTES: usize = 512;
/// Bytes of the head; the first frame stands here.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 2 * COPY_BYTES;
const MAGIC: [u8; 8] = *b"NetDbSeg";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub log: LogId,
    pub origin: OriginId,
    pub number: u64,
    pub first_index: Index,
    pub created_at: Timestamp,
    pub truncation: Option<Truncation>,
}

/// What a segment cuts off: the end of an earlier segment, and all segments in between. What stands there testifies
/// to nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncation {
    /// The earlier segment.
    pub segment: u64,
    /// Where it ends; 0 when nothing of it stays.
    pub offset: u64,
    /// The index of the first entry that was cut off.
    pub index: Index,
}

pub(crate) fn encode(header: &SegmentHeader) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    for copy in 0..2 {
        let begin = out.len();
        out.put(&MAGIC);
        out.put_u16(FORMAT_VERSION);
        out.put_u16(0);
        out.put_u32(copy);
        out.put(header.log.as_bytes());
        out.put(header.origin.as_bytes());
        out.put_u64(header.number);
        out.put_u64(header.first_index.0);
        out.put_i64(header.created_at.as_nanos());
        let truncation = header
            .truncation
            .map_or([u64::MAX; 3], |truncation| [truncation.segment, truncation.offset, truncation.index.0]);
        truncation.into_iter().for_each(|field| out.put_u64(field));
        super::superblock::finish_copy(&mut out, begin, COPY_BYTES);
    }
    out
}

/// Decodes one copy.
pub(crate) fn decode_copy(bytes: &[u8], copy: u32) -> Result<SegmentHeader, Malformed> {
    let mut cursor = super::superblock::checked_copy(bytes, COPY_BYTES, &MAGIC, "segment magic")?;
    if cursor.u32("copy number")? != copy {
        return Err(Malformed::new("copy number"));
    }
    let header = SegmentHeader {
        log: LogId::from_bytes(cursor.array("log id")?),
        origin: OriginId::from_bytes(cursor.array("origin")?),
        number: cursor.u64("segment number")?,
        first_index: Index(cursor.u64("first index")?),
        created_at: Timestamp::from_nanos(cursor.i64("created at")?),
        truncation: decode_truncation(&mut cursor)?,
    };
    if header.truncation.is_some_and(|truncation| {
        truncation.segment >= header.number || truncation.index != header.first_index
    }) {
        return Err(Malformed::new("truncation"));
    }
    super::superblock::finish_zeros(cursor)?;
    Ok(header)
}

fn decode_truncation(cursor: &mut super::Cursor<'_>) -> Result<Option<Truncation>, Malformed> {
    let mut field = || cursor.u64("truncation");
    let fields = [field()?, field()?, field()?];
    let [segment, offset, index] = fields;
    Ok((fields != [u64::MAX; 3]).then_some(Truncation { segment, offset, index: Index(index) }))
}

/// Returns what a head that is whole says of its format, if we do not know it.
pub(crate) fn foreign_format(bytes: &[u8]) -> Option<Foreign> {
    super::superblock::foreign(bytes, COPY_BYTES, &MAGIC)
}

/// Decodes the first good copy and tells how many are good.
pub(crate) fn decode(bytes: &[u8]) -> Result<(SegmentHeader, usize), Malformed> {
    super::superblock::decode_either(bytes, COPY_BYTES, decode_copy)
}

/// Returns the file name of a segment: its number and the index of its first entry, so that a listing is a
/// directory of the log.
pub(crate) fn file_name(number: u64, first_index: Index) -> String {
    format!("{number:010}-{:020}.seg", first_index.0)
}

/// Reads number and first index back from a file name.
pub(crate) fn parse_file_name(name: &str) -> Option<(u64, Index)> {
    let (number, first_index) = name.strip_suffix(".seg")?.split_once('-')?;
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(number, 10) || !digits(first_index, 20) {
        return None;
    }
    Some((number.parse().ok()?, Index(first_index.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            log: LogId::from_bytes([1; 16]),
            origin: OriginId::from_bytes([2; 32]),
            number: 3,
            first_index: Index(40),
            created_at: Timestamp::from_nanos(5),
            truncation: None,
        }
    }

    #[test]
    fn a_cut_round_trips_and_one_that_cannot_be_is_refused() {
        let truncation = Truncation { segment: 2, offset: 4096, index: Index(40) };
        let cutting = |truncation| SegmentHeader { truncation: Some(truncation), ..sample() };
        assert_eq!(decode(&encode(&cutting(truncation))), Ok((cutting(truncation), 2)));
        for wrong in [Truncation { segment: 3, ..truncation }, Truncation { index: Index(41), ..truncation }]
        {
            assert_eq!(decode(&encode(&cutting(wrong))), Err(Malformed::new("truncation")));
        }
    }

    #[test]
    fn either_copy_suffices_and_any_flipped_bit_is_found() {
        let bytes = encode(&sample());
        assert_eq!(decode(&bytes), Ok((sample(), 2)));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), Ok((sample(), 1)), "bit {bit}");
        }
    }

    #[test]
    fn file_names_round_trip_and_others_are_not_taken_for_segments() {
        assert_eq!(parse_file_name(&file_name(3, Index(40))), Some((3, Index(40))));
        for name in ["", "x.seg", "3-40.seg", "0000000003-00000000000000000040.tmp", "superblock"] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
