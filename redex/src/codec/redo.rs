//! The file of a redaction that is under way: what is to be written over the bytes of redacted events. It holds nothing
//! of these events, and writing it again changes nothing.
//!
//! ```text
//!   0  "NetDbRdo"   8 u16 version   10 u16 0   12 u32 patches
//!  16  [16] log id
//!  32  u64 how many redactions are on record with this one
//!  40  u32 bytes of the redaction, the redaction as in control records
//!   +  patches, each: u64 segment, u64 its first index, u64 offset in the file, u32 bytes, bytes
//!   +  u32 CRC-32 of everything before
//! ```

use base::{Index, LogId};

use super::control::{RedactionRecord, decode_redaction, encode_redaction};
use super::{Cursor, FORMAT_VERSION, Malformed, Put};

const MAGIC: &[u8; 8] = b"NetDbRdo";
const CRC_BYTES: usize = 4;

/// Bytes that are written over others of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    pub segment: u64,
    pub first_index: Index,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// A redaction under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redo {
    pub log: LogId,
    /// How many redactions log state counts once this one is on record.
    pub number: u64,
    pub record: RedactionRecord,
    pub patches: Vec<Patch>,
}

pub(crate) fn encode(redo: &Redo) -> Vec<u8> {
    let mut out = Vec::new();
    out.put(MAGIC);
    out.put_u16(FORMAT_VERSION);
    out.put_u16(0);
    out.put_length(redo.patches.len());
    out.put(redo.log.as_bytes());
    out.put_u64(redo.number);
    let mut record = Vec::new();
    encode_redaction(&mut record, &redo.record);
    out.put_length(record.len());
    out.put(&record);
    for patch in &redo.patches {
        out.put_u64(patch.segment);
        out.put_u64(patch.first_index.0);
        out.put_u64(patch.offset);
        out.put_length(patch.bytes.len());
        out.put(&patch.bytes);
    }
    let crc = crc32fast::hash(&out);
    out.put_u32(crc);
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Redo, Malformed> {
    let content = bytes.len().checked_sub(CRC_BYTES).ok_or(Malformed::new("redaction file"))?;
    let (content, crc) = bytes.split_at(content);
    if crc32fast::hash(content).to_le_bytes() != *crc {
        return Err(Malformed::new("checksum"));
    }
    let mut cursor = Cursor::new(content);
    if cursor.array::<8>("magic")? != *MAGIC {
        return Err(Malformed::new("magic"));
    }
    if cursor.u16("format version")? != FORMAT_VERSION || cursor.u16("reserved bits")? != 0 {
        return Err(Malformed::new("format version"));
    }
    let count = cursor.u32("patches")?;
    let log = LogId::from_bytes(cursor.array("log id")?);
    let number = cursor.u64("redactions")?;
    let length = cursor.length("redaction")?;
    let mut record = Cursor::new(cursor.take(length, "redaction")?);
    let redaction = decode_redaction(&mut record)?;
    record.finish("redaction")?;
    let mut patches = Vec::new();
    for _ in 0..count {
        let segment = cursor.u64("segment number")?;
        let first_index = Index(cursor.u64("first index")?);
        let offset = cursor.u64("offset")?;
        let length = cursor.length("patch")?;
        let bytes = cursor.take(length, "patch")?.to_vec();
        if offset.checked_add(length as u64).is_none() {
            return Err(Malformed::new("offset"));
        }
        patches.push(Patch { segment, first_index, offset, bytes });
    }
    cursor.finish("redaction file")?;
    Ok(Redo { log, number, record: redaction, patches })
}

#[cfg(test)]
mod tests {
    use base::ChannelName;

    use super::*;

    #[test]
    fn redactions_under_way_round_trip_and_any_other_byte_is_refused() {
        let record = RedactionRecord {
            channel: ChannelName::new("a/b").unwrap(),
            reason: "asked".into(),
            ranges: vec![1..3, 7..8],
        };
        let patch = |offset| Patch { segment: 2, first_index: Index(9), offset, bytes: vec![255; 20] };
        let patches = vec![patch(700), patch(8)];
        let redo = Redo { log: LogId::from_bytes([5; 16]), number: 4, record, patches };
        let bytes = encode(&redo);
        assert_eq!(decode(&bytes).as_ref(), Ok(&redo));
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
        for byte in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[byte] ^= 4;
            assert!(decode(&altered).is_err(), "{byte}");
        }
    }
}
