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
use super::record::{RECORD_BYTES, Record, VERSION};
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
    let bytes = base::read_to_end(&*file, usize::MAX).ok()?;
    let (content, crc) = bytes.split_last_chunk()?;
    let header = content.get(..HEADER_BYTES)?;
    if header[..24] != begin(number, length)[..] || u32::from_le_bytes(*crc) != crc32fast::hash(content) {
        return None;
    }
    let entries = content[HEADER_BYTES..].chunks_exact(ENTRY_BYTES);
    entries
        .map(|entry| {
            Some((Record::decode(entry)?, u64::from_le_bytes(*entry[RECORD_BYTES..].first_chunk()?)))
        })
        .collect()
}

/// Writes the index of a pack; that it cannot be written is no failure.
pub(super) fn write(disk: &dyn Disk, dir: &Path, number: u32, length: u64, records: &[(Record, u64)]) {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len() * ENTRY_BYTES + 4);
    bytes.extend_from_slice(&begin(number, length));
    bytes.extend_from_slice(&(records.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for (record, offset) in records {
        bytes.extend_from_slice(&record.encode_header());
        bytes.extend_from_slice(&offset.to_le_bytes());
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
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
