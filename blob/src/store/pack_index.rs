//! The index of a pack that is full: derived, and made anew where it is missing or does not fit.
//!
//! ```text
//!   0  [8] "NetDbPix"   8 u16 format version   10 u16 reserved, 0   12 u32 number of the pack
//!  16  u64 bytes of the pack   24 u32 records   28 u32 reserved, 0
//!  32  each record: 64 bytes as its header stands in the pack, then u64 where it begins
//!   +  u32 CRC of all before
//! ```

use std::path::{Path, PathBuf};

use base::{Disk, OpenMode};

use super::packs::{check_header, pack_path};
use super::record::{PACK_HEADER_BYTES, RECORD_BYTES, Record, VERSION};
use super::scan::scan;
use crate::BlobError;

const MAGIC: [u8; 8] = *b"NetDbPix";
const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = RECORD_BYTES + 8;

fn index_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.idx"))
}

/// Returns the records of a full pack.
pub(super) fn load_or_make(
    disk: &dyn Disk,
    dir: &Path,
    number: u32,
) -> Result<Vec<(Record, u64)>, BlobError> {
    let path = pack_path(dir, number);
    let file = disk.open(&path, OpenMode::Read).map_err(BlobError::io(&path))?;
    let length = file.length().map_err(BlobError::io(&path))?;
    if let Some(records) = load(disk, dir, number, length) {
        return Ok(records);
    }
    let bytes = base::read_to_end(&*file, usize::MAX).map_err(BlobError::io(&path))?;
    check_header(&path, &bytes, number)?;
    let records = scan(&bytes).records;
    write(disk, dir, number, length, &records);
    Ok(records)
}

fn load(disk: &dyn Disk, dir: &Path, number: u32, length: u64) -> Option<Vec<(Record, u64)>> {
    let file = disk.open(&index_path(dir, number), OpenMode::Read).ok()?;
    decode(&base::read_to_end(&*file, usize::MAX).ok()?, number, length)
}

/// Reads the index of a pack of that length; `None` for anything else.
pub(super) fn decode(bytes: &[u8], number: u32, length: u64) -> Option<Vec<(Record, u64)>> {
    let (content, crc) = bytes.split_last_chunk()?;
    let header = content.get(..HEADER_BYTES)?;
    if header[..24] != begin(number, length)[..] || u32::from_le_bytes(*crc) != crc32fast::hash(content) {
        return None;
    }
    let entries = content[HEADER_BYTES..].chunks_exact(ENTRY_BYTES);
    let count = u32::try_from(entries.len()).ok()?.to_le_bytes();
    if header[24..28] != count || header[28..] != [0; 4] || !entries.remainder().is_empty() {
        return None;
    }
    let mut end = PACK_HEADER_BYTES;
    entries
        .map(|entry| {
            let record = Record::decode(entry)?;
            let offset = u64::from_le_bytes(*entry[RECORD_BYTES..].first_chunk()?);
            // Nothing is looked for where nothing can be.
            let follows = offset >= end && offset.is_multiple_of(8);
            end = offset.checked_add(record.length() as u64).filter(|end| follows && *end <= length)?;
            Some((record, offset))
        })
        .collect()
}

/// Writes the index of a pack; that it cannot be written is no failure.
pub(super) fn write(disk: &dyn Disk, dir: &Path, number: u32, length: u64, records: &[(Record, u64)]) {
    let bytes = encode(number, length, records);
    let path = index_path(dir, number);
    let written = (|| {
        if disk.exists(&path)? {
            disk.remove(&path)?;
        }
        let file = disk.open(&path, OpenMode::Create)?;
        base::write_all_at(&*file, &bytes, 0)
    })();
    if let Err(cause) = written {
        tracing::warn!(file = %path.display(), %cause, "the index of a pack was not written; it is made when it is needed");
    }
}

pub(super) fn encode(number: u32, length: u64, records: &[(Record, u64)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len() * ENTRY_BYTES + 4);
    bytes.extend_from_slice(&begin(number, length));
    bytes.extend_from_slice(&(records.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for (record, offset) in records {
        bytes.extend_from_slice(&record.encode_header());
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Removes the index of a pack that is gone; one that stays does no harm, since it fits no other pack.
pub(super) fn remove(disk: &dyn Disk, dir: &Path, number: u32) {
    let _ = disk.remove(&index_path(dir, number));
}

fn begin(number: u32, length: u64) -> Vec<u8> {
    let mut begin = MAGIC.to_vec();
    begin.extend_from_slice(&VERSION.to_le_bytes());
    begin.extend_from_slice(&[0; 2]);
    begin.extend_from_slice(&number.to_le_bytes());
    begin.extend_from_slice(&length.to_le_bytes());
    begin
}

#[cfg(test)]
mod tests {
    use base::{Hash, Timestamp};

    use super::*;
    use crate::store::record::What;

    const LENGTH: u64 = 32 + 2 * 64 + 8;

    fn records() -> Vec<(Record, u64)> {
        let record = Record::of(What::PutWhole, Hash::of(b"x"), &[], Timestamp::from_nanos(1));
        vec![(record, 32), (record, 96)]
    }

    fn read(bytes: &[u8]) -> Option<Vec<(Record, u64)>> {
        decode(bytes, 7, LENGTH)
    }

    #[test]
    fn an_index_comes_back_and_any_other_is_made_anew() {
        let bytes = encode(7, LENGTH, &records());
        assert_eq!(read(&bytes), Some(records()));
        assert_eq!((decode(&bytes, 8, LENGTH), decode(&bytes, 7, LENGTH + 8)), (None, None));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), None, "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), None, "{bit}");
        }
    }

    /// The checksum is right of what says that something stands where it cannot.
    #[test]
    fn an_index_that_cannot_be_is_made_anew() {
        let [first, second] = records()[..] else { panic!("two") };
        for offsets in [[96, 32], [32, 32], [0, 96], [36, 100], [32, 112], [32, u64::MAX - 63]] {
            let records = [(first.0, offsets[0]), (second.0, offsets[1])];
            assert_eq!(read(&encode(7, LENGTH, &records)), None, "{offsets:?}");
        }
        let body = encode(7, LENGTH, &records());
        let body = &body[..body.len() - 4];
        let with_checksum = |mut bytes: Vec<u8>| {
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            read(&bytes)
        };
        assert!(with_checksum(body.to_vec()).is_some());
        assert_eq!(with_checksum([body, &[0]].concat()), None, "a byte more");
        for at in [24, 28] {
            let mut other = body.to_vec();
            other[at] ^= 1;
            assert_eq!(with_checksum(other), None, "{at}");
        }
    }
}
