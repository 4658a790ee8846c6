//! The bytes of a reference.
//!
//! ```text
//!  0 "NBlR"   4 u16 version   6 u8 form: 1 small, 2 manifest, 3 tree   7 u8 encoding: 0 replicated, 1 Reed-Solomon
//!  8 u8 shards of data   9 u8 shards of parity, both 0 where replicated   10 u16 bytes of the URI, 0 for our own storage
//! 12 u32 chunks of a manifest, depth of a tree, else 0   16 [32] name   48 u64 bytes of the blob
//! 56 URI   then u32 CRC of all before
//! ```

use base::Hash;
use base::wire::{Cursor, Malformed, Put};

use super::{BlobEncoding, BlobRef, FIXED_BYTES, ReferenceForm, malformed};
use crate::BlobError;

const MAGIC: [u8; 4] = *b"NBlR";
const VERSION: u16 = 1;
/// Bytes of magic and version.
const HEAD_BYTES: usize = 6;

pub(super) fn encode(reference: &BlobRef) -> Vec<u8> {
    let uri = reference.location.as_deref().unwrap_or_default();
    let (form, count) = match reference.form {
        ReferenceForm::Small => (1, 0),
        ReferenceForm::Manifest { chunks } => (2, chunks),
        ReferenceForm::Tree { depth } => (3, depth.into()),
    };
    let (encoding, k, m) = match reference.encoding {
        BlobEncoding::Replicated => (0, 0, 0),
        BlobEncoding::ReedSolomon { k, m } => (1, k, m),
    };
    let mut out = Vec::with_capacity(FIXED_BYTES + uri.len());
    out.put(&MAGIC);
    out.put_u16(VERSION);
    [form, encoding, k, m].iter().for_each(|byte| out.put_u8(*byte));
    out.put_u16(u16::try_from(uri.len()).expect("a reference is limited to 1 KiB"));
    out.put_u32(count);
    out.put(reference.hash.as_bytes());
    out.put_u64(reference.bytes);
    out.put(uri.as_bytes());
    out.put_u32(crc32fast::hash(&out));
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<BlobRef, BlobError> {
    let mut cursor = Cursor::new(bytes);
    let head = cursor.array("beginning").and_then(|magic| Ok((magic, cursor.u16("version")?)));
    let (magic, found) = head.map_err(malformed)?;
    match (magic == MAGIC, found) {
        (true, VERSION) => body(bytes).map_err(malformed),
        (true, _) => {
            Err(BlobError::UnsupportedVersion { what: "a reference to a blob", found, known: VERSION })
        }
        (false, _) => Err(malformed(Malformed::new("beginning"))),
    }
}

/// Reads what stands behind the version.
fn body(bytes: &[u8]) -> Result<BlobRef, Malformed> {
    let (fields, crc) = bytes.split_last_chunk().ok_or(Malformed::new("length"))?;
    if crc32fast::hash(fields) != u32::from_le_bytes(*crc) {
        return Err(Malformed::new("checksum"));
    }
    let mut cursor = Cursor::new(fields);
    cursor.take(HEAD_BYTES, "beginning")?;
    let [form, encoding, k, m] = cursor.array("form")?;
    let uri_bytes = usize::from(cursor.u16("length of the URI")?);
    let count = cursor.u32("count")?;
    let hash = Hash::from_bytes(cursor.array("name")?);
    let total = cursor.u64("count of bytes")?;
    let uri = cursor.text(uri_bytes, "URI")?;
    cursor.finish("length")?;
    let form = match (form, count) {
        (1, 0) => ReferenceForm::Small,
        (2, chunks) => ReferenceForm::Manifest { chunks },
        (3, depth) => {
            ReferenceForm::Tree { depth: u8::try_from(depth).map_err(|_| Malformed::new("depth"))? }
        }
        _ => return Err(Malformed::new("form")),
    };
    let encoding = match (encoding, k, m) {
        (0, 0, 0) => BlobEncoding::Replicated,
        (1, k, m) => BlobEncoding::ReedSolomon { k, m },
        _ => return Err(Malformed::new("encoding")),
    };
    let location = (!uri.is_empty()).then(|| uri.into());
    BlobRef { form, hash, bytes: total, encoding, location }.checked()
}
