//! The records of a pack.
//!
//! ```text
//! header of a pack, 32 bytes:
//!   0  [8] "NetDbPak"   8 u16 format version   10 u16 reserved, 0   12 u32 its number   16 zeros   28 u32 CRC of 0..28
//! record, at a multiple of 8:
//!   0  u32 "ObjR"       4 u8 what: 1 chunk, 2 node, 3 put whole, 4 closed, 5 removed, 6 no blob, 7 sent, 8 away, 9 not sent,
//!                       10 freed, 11 directory
//!   5  zeros
//!   8  [32] name of the object, zeros for what is none
//!  40  u32 bytes of content   44 u32 bytes of the pack that were synced before   48 i64 when it was put, nanoseconds   56 u32 CRC of the content
//!  60  u32 CRC of 0..60, then the content, then zeros up to a multiple of 8
//! ```
//!
//! Since a record tells how much was synced before it, bytes that do not read are known to be damaged where a later record says that
//! they were synced, and else are what a crash left. *Put whole* says that somebody put the object as a blob, not as a part of one,
//! and when; *no blob* takes that back. *Removed* says that it is neither here nor a blob any more. *Closed* says that everything
//! before it was synced when the store was closed.
//!
//! *Sent* says that something of a chunk may lie in the place that the store overflows to, which nobody relies on; *away* that all of
//! it was read back from there: the checksum of its content, of which there is none, is its length then. *Not sent* takes both back.
//! *Freed* says that it is not in a pack any more.

use base::{Hash, Timestamp};

use crate::limits::CHUNK_BYTES_MAX;
use crate::object::ObjectKind;

/// Bytes of a pack's header.
pub(super) const PACK_HEADER_BYTES: u64 = 32;
/// Bytes of a record without its content.
pub(super) const RECORD_BYTES: usize = 64;
/// The version of the format.
pub(super) const VERSION: u16 = 1;
const PACK_MAGIC: [u8; 8] = *b"NetDbPak";
const RECORD_MAGIC: [u8; 4] = *b"ObjR";

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Object(ObjectKind),
    PutWhole,
    Closed,
    Removed,
    NoBlob,
    Sent,
    Away,
    NotSent,
    Freed,
}

/// A record, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub what: What,
    pub name: Hash,
    pub bytes: u32,
    pub put_at: Timestamp,
    pub content_crc: u32,
    /// Bytes of the pack that were synced before it was written.
    pub synced: u32,
}

impl Record {
    pub(super) fn of(what: What, name: Hash, content: &[u8], put_at: Timestamp) -> Self {
        let bytes = u32::try_from(content.len()).expect("what is packed is small");
        Self { what, name, bytes, put_at, content_crc: crc32fast::hash(content), synced: 0 }
    }

    /// Says that a chunk of so many bytes was read back from elsewhere.
    pub(super) fn away(name: Hash, bytes: u32, put_at: Timestamp) -> Self {
        Self { what: What::Away, name, bytes: 0, put_at, content_crc: bytes, synced: 0 }
    }

    /// Tells whether these bytes are its content.
    pub(super) fn has_content(&self, content: &[u8]) -> bool {
        self.what == What::Away || crc32fast::hash(content) == self.content_crc
    }

    pub(super) fn encode(&self, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length());
        out.extend_from_slice(&self.encode_header());
        out.extend_from_slice(content);
        out.resize(self.length(), 0);
        out
    }

    /// Encodes the record without its content.
    pub(super) fn encode_header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(RECORD_BYTES);
        out.extend_from_slice(&RECORD_MAGIC);
        out.push(match self.what {
            What::Object(kind) => kind.as_u8(),
            What::PutWhole => 3,
            What::Closed => 4,
            What::Removed => 5,
            What::NoBlob => 6,
            What::Sent => 7,
            What::Away => 8,
            What::NotSent => 9,
            What::Freed => 10,
        });
        out.extend_from_slice(&[0; 3]);
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.synced.to_le_bytes());
        out.extend_from_slice(&self.put_at.as_nanos().to_le_bytes());
        out.extend_from_slice(&self.content_crc.to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// Returns the bytes that it takes, with its content.
    pub(super) fn length(&self) -> usize {
        length_of(self.bytes)
    }

    /// Reads a record; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; RECORD_BYTES] = bytes.first_chunk()?;
        let u32_at =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[..4] != RECORD_MAGIC || u32_at(60) != crc32fast::hash(&header[..60]) {
            return None;
        }
        let what = match header[4] {
            3 => What::PutWhole,
            4 => What::Closed,
            5 => What::Removed,
            6 => What::NoBlob,
            7 => What::Sent,
            8 => What::Away,
            9 => What::NotSent,
            10 => What::Freed,
            kind => What::Object(ObjectKind::from_u8(kind)?),
        };
        let zeros = header[5..8] == [0; 3];
        let name = Hash::from_bytes(*header[8..].first_chunk()?);
        let put_at = Timestamp::from_nanos(i64::from_le_bytes(*header[48..].first_chunk()?));
        let (bytes, synced, content_crc) = (u32_at(40), u32_at(44), u32_at(56));
        let is_sound = match what {
            What::Object(_) => bytes as usize <= CHUNK_BYTES_MAX,
            What::Away => bytes == 0,
            _ => bytes == 0 && content_crc == 0,
        };
        (zeros && is_sound).then_some(Self { what, name, bytes, put_at, content_crc, synced })
    }
}

/// Returns the bytes that a record with so much content takes.
pub(super) fn length_of(content_bytes: u32) -> usize {
    (RECORD_BYTES + content_bytes as usize).next_multiple_of(8)
}

pub(super) fn encode_pack_header(number: u32) -> [u8; PACK_HEADER_BYTES as usize] {
    let mut header = [0; PACK_HEADER_BYTES as usize];
    header[..8].copy_from_slice(&PACK_MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Returns the version in a pack's header; `None` for anything else.
pub(super) fn pack_version(bytes: &[u8], number: u32) -> Option<u16> {
    let header: &[u8; PACK_HEADER_BYTES as usize] = bytes.first_chunk()?;
    let version = u16::from_le_bytes([header[8], header[9]]);
    let crc = crc32fast::hash(&header[..28]).to_le_bytes();
    let is_whole = header[..8] == PACK_MAGIC && header[28..] == crc && header[12..16] == number.to_le_bytes();
    is_whole.then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_no_changed_bit_passes() {
        let kinds = [ObjectKind::Chunk, ObjectKind::Node, ObjectKind::Directory].map(What::Object);
        let notes = [What::PutWhole, What::Closed, What::Removed, What::NoBlob, What::Sent, What::NotSent];
        let (name, put_at) = (Hash::of(b"x"), Timestamp::from_nanos(77));
        let kinds = kinds.map(|what| (Record::of(what, name, b"content", put_at), &b"content"[..]));
        let notes = notes.map(|what| (Record::of(what, name, b"", put_at), &b""[..]));
        let others = [Record::of(What::Freed, name, b"", put_at), Record::away(name, 9, put_at)];
        for (record, content) in kinds.into_iter().chain(notes).chain(others.map(|other| (other, &b""[..]))) {
            let bytes = record.encode(content);
            assert_eq!(Record::decode(&bytes), Some(record));
            assert_eq!(bytes.len(), (64 + content.len()).next_multiple_of(8));
            for bit in 0..RECORD_BYTES * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Record::decode(&flipped), None, "{bit}");
            }
            assert_eq!(Record::decode(&bytes[..RECORD_BYTES - 1]), None);
        }
    }

    #[test]
    fn what_no_record_says_is_none() {
        let (name, put_at) = (Hash::of(b"x"), Timestamp::from_nanos(77));
        let object = Record::of(What::Object(ObjectKind::Chunk), name, b"", put_at);
        let away = Record::away(name, 9, put_at);
        let most = CHUNK_BYTES_MAX as u32;
        assert!(Record::decode(&Record { bytes: most, ..object }.encode_header()).is_some());
        for wrong in [
            Record { bytes: most + 1, ..object },
            Record { bytes: 8, ..away },
            Record::of(What::Removed, name, b"content", put_at),
            Record { content_crc: 1, ..Record::of(What::PutWhole, name, b"", put_at) },
        ] {
            assert_eq!(Record::decode(&wrong.encode_header()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_pack_is_known_by_its_number() {
        let header = encode_pack_header(7);
        assert_eq!((pack_version(&header, 7), pack_version(&header, 8)), (Some(VERSION), None));
        for bit in 0..header.len() * 8 {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(pack_version(&flipped, 7), None, "{bit}");
        }
    }
}
