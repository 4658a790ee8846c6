//! The superblock: what a log is, once and for all; two equal copies of 512 bytes.
//!
//! ```text
//!   0  [8]  "NetDbLog"
//!   8  u16  format version   10  u16 features, 0   12  u32 copy, 0 or 1
//!  16  [16] log id
//!  32  [32] origin
//!  64  i64  created at
//!  72  u8   bytes of the log's name, name (at most 64 bytes)
//! 140  u16  kind: 0 local, 1 replicated, 2 keyed
//! 142  zeros (cluster and voter are reserved)
//! 508  u32  CRC of bytes 0..508
//! ```

use base::{LogId, OriginId, Timestamp};

use super::{Cursor, FORMAT_VERSION, Foreign, Malformed, Put};

/// Bytes of one copy.
const COPY_BYTES: usize = 512;
/// Bytes of the file.
pub(crate) const SUPERBLOCK_BYTES: usize = 2 * COPY_BYTES;
const NAME_BYTES_MAX: usize = 64;
/// Where the name's bytes begin, and where the kind stands.
const NAME_AT: usize = 73;
const KIND_AT: usize = 140;
const MAGIC: [u8; 8] = *b"NetDbLog";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub log: LogId,
    pub origin: OriginId,
    pub created_at: Timestamp,
    pub name: String,
    pub kind: LogKind,
}

/// Who puts the log in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogKind {
    /// The node that has it; all its incarnations have one key.
    Local,
    /// Consensus: each leader signs with its own key.
    Replicated,
    /// The node that has it; log state holds the newest event of each key, and older segments go.
    Keyed,
}

pub(crate) fn encode(superblock: &Superblock) -> Vec<u8> {
    let mut out = Vec::with_capacity(SUPERBLOCK_BYTES);
    for copy in 0..2 {
        let begin = out.len();
        out.put(&MAGIC);
        out.put_u16(FORMAT_VERSION);
        out.put_u16(0);
        out.put_u32(copy);
        out.put(superblock.log.as_bytes());
        out.put(superblock.origin.as_bytes());
        out.put_i64(superblock.created_at.as_nanos());
        out.put_u8(u8::try_from(superblock.name.len()).expect("log names are limited to 64 bytes"));
        out.put(superblock.name.as_bytes());
        out.resize(begin + KIND_AT, 0);
        out.put_u16(match superblock.kind {
            LogKind::Local => 0,
            LogKind::Replicated => 1,
            LogKind::Keyed => 2,
        });
        finish_copy(&mut out, begin, COPY_BYTES);
    }
    out
}

fn decode_copy(bytes: &[u8], copy: u32) -> Result<Superblock, Malformed> {
    let mut cursor = checked_copy(bytes, COPY_BYTES, &MAGIC, "superblock magic")?;
    if cursor.u32("copy number")? != copy {
        return Err(Malformed::new("copy number"));
    }
    let log = LogId::from_bytes(cursor.array("log id")?);
    let origin = OriginId::from_bytes(cursor.array("origin")?);
    let created_at = Timestamp::from_nanos(cursor.i64("created at")?);
    let name_bytes = usize::from(cursor.u8("log name")?);
    if name_bytes > NAME_BYTES_MAX {
        return Err(Malformed::new("log name"));
    }
    let name = cursor.text(name_bytes, "log name")?.to_owned();
    let filling = cursor.take(KIND_AT - NAME_AT - name_bytes, "log name")?;
    let kind = match (cursor.u16("log kind")?, filling.iter().all(|byte| *byte == 0)) {
        (0, true) => LogKind::Local,
        (1, true) => LogKind::Replicated,
        (2, true) => LogKind::Keyed,
        _ => return Err(Malformed::new("log kind")),
    };
    finish_zeros(cursor)?;
    Ok(Superblock { log, origin, created_at, name, kind })
}

/// Returns what a superblock that is whole says of its format, if we do not know it.
pub(crate) fn foreign_format(bytes: &[u8]) -> Option<Foreign> {
    foreign(bytes, COPY_BYTES, &MAGIC)
}

/// Tells whether the bytes are the good copy of a number.
pub(crate) fn is_copy(bytes: &[u8], copy: u32) -> bool {
    decode_copy(bytes, copy).is_ok()
}

/// Decodes the first good copy and tells how many are good.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Superblock, usize), Malformed> {
    decode_either(bytes, COPY_BYTES, decode_copy)
}

/// Pads a copy that began at `begin` with zeros and closes it with its checksum.
pub(crate) fn finish_copy(out: &mut Vec<u8>, begin: usize, copy_bytes: usize) {
    out.resize(begin + copy_bytes - 4, 0);
    let crc = crc32fast::hash(&out[begin..]);
    out.put_u32(crc);
}

/// Checks checksum, magic and version of a copy; the cursor stands behind the reserved bits.
pub(crate) fn checked_copy<'a>(
    bytes: &'a [u8],
    copy_bytes: usize,
    magic: &[u8; 8],
    what: &'static str,
) -> Result<Cursor<'a>, Malformed> {
    let copy = bytes.get(..copy_bytes).ok_or(Malformed::new("file length"))?;
    let (content, crc) = copy.split_at(copy_bytes - 4);
    if crc != crc32fast::hash(content).to_le_bytes() {
        return Err(Malformed::new("checksum"));
    }
    let mut cursor = Cursor::new(content);
    if cursor.array::<8>(what)? != *magic {
        return Err(Malformed::new(what));
    }
    if cursor.u16("format version")? != FORMAT_VERSION {
        return Err(Malformed::new("format version"));
    }
    if cursor.u16("features")? != 0 {
        return Err(Malformed::new("features"));
    }
    Ok(cursor)
}

/// Returns what the copies in a head that are whole say of their format, if we do not know it.
pub(crate) fn foreign(head: &[u8], copy_bytes: usize, magic: &[u8; 8]) -> Option<Foreign> {
    head.chunks_exact(copy_bytes).take(2).find_map(|copy| {
        let (content, crc) = copy.split_at(copy_bytes - 4);
        let mut cursor = Cursor::new(content);
        let whole = crc == crc32fast::hash(content).to_le_bytes() && cursor.array::<8>("magic") == Ok(*magic);
        match (cursor.u16("format version"), cursor.u16("features")) {
            (Ok(version), _) if whole && version != FORMAT_VERSION => Some(Foreign::Version(version)),
            (Ok(_), Ok(features)) if whole && features != 0 => Some(Foreign::Features(features)),
            _ => None,
        }
    })
}

/// Fails when what is left is not zeros.
pub(crate) fn finish_zeros(mut cursor: Cursor<'_>) -> Result<(), Malformed> {
    let rest = cursor.take(cursor.remaining(), "reserved bytes")?;
    if rest.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(Malformed::new("reserved bytes")) }
}

/// Decodes two copies; returns the first good one and how many are good.
pub(crate) fn decode_either<T: PartialEq>(
    bytes: &[u8],
    copy_bytes: usize,
    decode: impl Fn(&[u8], u32) -> Result<T, Malformed>,
) -> Result<(T, usize), Malformed> {
    let second = bytes.get(copy_bytes..).ok_or(Malformed::new("file length"))?;
    match (decode(bytes, 0), decode(second, 1)) {
        (Ok(first), Ok(second)) if first == second => Ok((first, 2)),
        (Ok(_), Ok(_)) => Err(Malformed::new("two different copies")),
        (Ok(good), Err(_)) | (Err(_), Ok(good)) => Ok((good, 1)),
        (Err(malformed), Err(_)) => Err(malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_copy_suffices_and_any_flipped_bit_is_found() {
        let sample = Superblock {
            log: LogId::from_bytes([1; 16]),
            origin: OriginId::from_bytes([2; 32]),
            created_at: Timestamp::from_nanos(5),
            name: "main".to_owned(),
            kind: LogKind::Replicated,
        };
        let bytes = encode(&sample);
        assert_eq!(decode(&bytes), Ok((sample.clone(), 2)));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), Ok((sample.clone(), 1)), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).map_or(true, |(_, good)| good < 2), "{length}");
        }
    }
}
