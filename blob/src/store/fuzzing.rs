//! The part of the door for harnesses that leads to packs.

use super::pack_index;
use super::record::{
    PACK_HEADER_BYTES, RECORD_BYTES, Record, VERSION, What, encode_pack_header, length_of, pack_version,
};
use super::scan::{Scanned, scan};
use crate::fuzzing::{Accepted, Choices, checksum};
use crate::limits::PACKED_BYTES_MAX;
use crate::object::ObjectKind;

const NUMBER: u32 = 7;
const HEADER: usize = PACK_HEADER_BYTES as usize;
/// Where what is said of a record stands in an index, and how long that is.
const ENTRY: (usize, usize) = (32, RECORD_BYTES + 8);

pub(crate) fn read_header(bytes: &[u8]) -> Option<Accepted> {
    let version = pack_version(bytes, NUMBER)?;
    // A header of another version is known to be one, and refused.
    let is_ours = version == VERSION && bytes[10..12] == [0; 2] && bytes[16..28] == [0; 12];
    let again = if version == VERSION { make_header() } else { bytes[..HEADER].to_vec() };
    Some(Accepted { used: HEADER, again, canonical: is_ours || version != VERSION })
}

pub(crate) fn make_header() -> Vec<u8> {
    encode_pack_header(NUMBER).to_vec()
}

pub(crate) fn read_record(bytes: &[u8]) -> Option<Accepted> {
    let again = Record::decode(bytes)?.encode_header();
    Some(Accepted { used: RECORD_BYTES, again, canonical: true })
}

/// Scans a pack, which is accepted if all of it reads. What is found lies within it whatever it is.
pub(crate) fn read_pack(bytes: &[u8]) -> Option<Accepted> {
    let Scanned { records, damaged, end } = scan(bytes);
    let length = bytes.len() as u64;
    assert!(end <= length.max(PACK_HEADER_BYTES), "the end {end} lies behind {length}");
    let mut behind = PACK_HEADER_BYTES;
    let mut stretches = damaged.iter().peekable();
    for (record, offset) in &records {
        while let Some(stretch) = stretches.next_if(|stretch| stretch.start < *offset) {
            assert!(stretch.start == behind && stretch.end > stretch.start, "{stretch:?} behind {behind}");
            behind = stretch.end;
        }
        assert!(*offset == behind, "a record at {offset}, and {behind} before it");
        behind = offset + record.length() as u64;
    }
    if let Some(stretch) = stretches.next() {
        assert!(stretch.start == behind && stretches.next().is_none(), "{stretch:?} behind {behind}");
        behind = stretch.end;
    }
    assert!(behind == end, "{end} is not behind the last, {behind}");
    if !damaged.is_empty() || end != length || pack_version(bytes, NUMBER) != Some(VERSION) {
        return None;
    }
    let mut again = make_header();
    for (record, offset) in &records {
        let from = *offset as usize + RECORD_BYTES;
        again.extend(record.encode(&bytes[from..from + record.bytes as usize]));
    }
    Some(Accepted { used: bytes.len(), again, canonical: false })
}

pub(crate) fn make_record(choices: &mut Choices<'_>) -> Vec<u8> {
    let (record, content) = choices.record();
    let bytes = record.encode(&content);
    assert!(Record::decode(&bytes) == Some(record), "{record:?} came back as another");
    assert!(record.has_content(&content), "it is whole");
    bytes[..RECORD_BYTES].to_vec()
}

pub(crate) fn make_pack(choices: &mut Choices<'_>) -> Vec<u8> {
    let (bytes, records) = choices.pack();
    let found = scan(&bytes);
    assert!(found.records == records && found.damaged.is_empty(), "{records:?} came back as {found:?}");
    bytes
}

/// The length of the pack is taken from the index, since there is no pack.
pub(crate) fn read_index(bytes: &[u8]) -> Option<Accepted> {
    let length = u64::from_le_bytes(*bytes.get(16..)?.first_chunk()?);
    let records = pack_index::decode(bytes, NUMBER, length)?;
    for (record, offset) in &records {
        let end = offset.checked_add(record.length() as u64);
        assert!(end.is_some_and(|end| end <= length), "a record at {offset} of {length}");
    }
    let again = pack_index::encode(NUMBER, length, &records);
    Some(Accepted { used: bytes.len(), again, canonical: true })
}

pub(crate) fn make_index(choices: &mut Choices<'_>) -> Vec<u8> {
    let (bytes, records) = choices.pack();
    let length = bytes.len() as u64;
    let index = pack_index::encode(NUMBER, length, &records);
    assert!(pack_index::decode(&index, NUMBER, length).as_ref() == Some(&records), "{records:?}");
    index
}

/// Puts the checksums of header, records and their contents right.
pub(crate) fn repair_pack(bytes: &mut [u8]) {
    checksum(bytes, 0, 28);
    for at in (HEADER..bytes.len()).step_by(8) {
        if !bytes[at..].starts_with(b"ObjR") || bytes.len() < at + RECORD_BYTES {
            continue;
        }
        let length = u32::from_le_bytes(*bytes[at + 40..].first_chunk().expect("there are 64 bytes"));
        let content = bytes.get(at + RECORD_BYTES..at + RECORD_BYTES + length as usize);
        if let Some(crc) = content.filter(|_| bytes[at + 4] != 8).map(crc32fast::hash) {
            bytes[at + 56..at + 60].copy_from_slice(&crc.to_le_bytes());
        }
        checksum(bytes, at, at + 60);
    }
}

/// Puts the checksums of an index right.
pub(crate) fn repair_index(bytes: &mut [u8]) {
    for at in (ENTRY.0..bytes.len()).step_by(ENTRY.1) {
        checksum(bytes, at, at + 60);
    }
    if let Some(end) = bytes.len().checked_sub(4) {
        checksum(bytes, 0, end);
    }
}

impl Choices<'_> {
    fn record(&mut self) -> (Record, Vec<u8>) {
        let kinds = [ObjectKind::Chunk, ObjectKind::Node, ObjectKind::Directory];
        let (name, put_at) = (self.hash(), self.time());
        let notes = [What::PutWhole, What::Removed, What::NoBlob, What::Sent, What::NotSent, What::Freed];
        match self.below(3) {
            0 => (Record::away(name, self.number() as u32, put_at), Vec::new()),
            1 => (Record::of(notes[self.below(6)], name, &[], put_at), Vec::new()),
            _ => {
                let content = self.bytes(300);
                (Record::of(What::Object(kinds[self.below(3)]), name, &content, put_at), content)
            }
        }
    }

    fn pack(&mut self) -> (Vec<u8>, Vec<(Record, u64)>) {
        let (mut bytes, mut records) = (make_header(), Vec::new());
        let mut synced = bytes.len();
        for _ in 0..self.below(20) {
            let (mut record, content) = self.record();
            if self.flag() {
                synced = bytes.len();
            }
            record.synced = synced as u32;
            assert!(length_of(record.bytes) == record.length() && content.len() < PACKED_BYTES_MAX);
            records.push((record, bytes.len() as u64));
            bytes.extend(record.encode(&content));
        }
        (bytes, records)
    }
}
