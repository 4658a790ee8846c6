//! Reading a pack from its beginning.

use std::ops::Range;

use super::record::{PACK_HEADER_BYTES, RECORD_BYTES, Record};

/// What a pack holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// Each record with where it begins, also those whose content is damaged.
    pub records: Vec<(Record, u64)>,
    /// Stretches that were synced and do not read.
    pub damaged: Vec<Range<u64>>,
    /// Behind the last that is to stay; what follows is what a crash left.
    pub end: u64,
}

/// Reads the records of a pack. What some record says was synced stays, and is damaged where it does not read; behind that, the
/// first that is not whole is where a crash cut the pack off.
pub(super) fn scan(bytes: &[u8]) -> Scanned {
    let begins = PACK_HEADER_BYTES as usize;
    // What lies in the content of others may look like a record, and say anything.
    let synced = records(bytes, begins).map(|(record, at)| u64::from(record.synced).min(at)).max();
    let synced = synced.unwrap_or(0).max(PACK_HEADER_BYTES);
    let mut found = Scanned { end: PACK_HEADER_BYTES, ..Scanned::default() };
    for (record, begin) in records(bytes, begins) {
        let follows = begin == found.end;
        let is_whole = content_is_whole(bytes, begin as usize, &record);
        if found.end >= synced && !(follows && is_whole) {
            break;
        }
        if begin >= synced && !is_whole {
            break;
        }
        if !follows {
            found.damaged.push(found.end..begin);
        }
        found.end = begin + record.length() as u64;
        found.records.push((record, begin));
    }
    if found.end < synced {
        found.damaged.push(found.end..synced);
        found.end = synced;
    }
    found
}

/// Returns every record from a place on, and where each begins. Where none begins, the next one is looked for.
fn records(bytes: &[u8], mut at: usize) -> impl Iterator<Item = (Record, u64)> {
    std::iter::from_fn(move || {
        let record = next(bytes, &mut at)?;
        let begin = at as u64;
        at += record.length();
        Some((record, begin))
    })
}

/// Goes on to the next place at which a record begins.
fn next(bytes: &[u8], at: &mut usize) -> Option<Record> {
    while *at + RECORD_BYTES <= bytes.len() {
        match Record::decode(&bytes[*at..]) {
            Some(record) => return Some(record),
            None => *at += 8,
        }
    }
    None
}

/// Tells whether the content of a record is there and fits its checksum.
fn content_is_whole(bytes: &[u8], at: usize, record: &Record) -> bool {
    let content = bytes.get(at + RECORD_BYTES..at + RECORD_BYTES + record.bytes as usize);
    at + record.length() <= bytes.len() && content.is_some_and(|content| record.has_content(content))
}
