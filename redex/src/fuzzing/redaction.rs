//! Blocks of events that can be redacted, and redactions under way.

use base::Index;

use super::{Accepted, Choices, LOG, made, make_event};
use crate::codec::control::RedactionRecord;
use crate::codec::erasable::{self, Salted};
use crate::codec::redo::{self, Patch, Redo};
use crate::codec::{Cursor, Put};
use crate::hashing::LogHasher;

/// Reads a block to its end.
pub(super) fn read_block(bytes: &[u8]) -> Option<Accepted> {
    let hasher = LogHasher::new(LOG);
    let mut cursor = Cursor::new(bytes);
    let (mut again, mut redacted, mut events) = (Vec::new(), Vec::new(), 0);
    while cursor.remaining() > 0 {
        let mut event = cursor.clone();
        let salted = Salted::decode(&mut cursor).ok()?;
        let decoded = erasable::decode_event(&mut event, true);
        assert!(decoded.is_ok_and(|event| event.is_redacted()) || !salted.redacted);
        again.put(salted.bytes);
        redacted.put(&salted.redact(&hasher));
        events += 1;
    }
    let hash = erasable::block_hash(&hasher, bytes, events).expect("all of it was read");
    assert_eq!(erasable::block_hash(&hasher, &redacted, events), Ok(hash), "a redaction changes no hash");
    assert_eq!(redacted.len(), bytes.len());
    Some(Accepted { used: bytes.len(), again, canonical: true })
}

/// Makes an event of an erasable block, redacted or not.
pub(super) fn make_erasable_event(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = choices.array::<{ erasable::SALT_BYTES }>().to_vec();
    bytes.extend(make_event(choices));
    if choices.flag() {
        let salted = Salted::decode(&mut Cursor::new(&bytes)).expect("what was encoded is read");
        bytes = salted.redact(&LogHasher::new(LOG));
    }
    bytes
}

pub(super) fn make_block(choices: &mut Choices<'_>) -> Vec<u8> {
    (0..1 + choices.below(4)).flat_map(|_| make_erasable_event(choices)).collect()
}

pub(super) fn make_redo(choices: &mut Choices<'_>) -> Vec<u8> {
    let patches = (0..choices.below(4))
        .map(|_| Patch {
            segment: choices.number(),
            first_index: Index(choices.number()),
            offset: choices.below(60_000) as u64,
            bytes: choices.bytes(200),
        })
        .collect();
    let redo = Redo { log: LOG, number: choices.number(), record: choices.redaction(), patches };
    let bytes = made(&redo, redo::encode, redo::decode);
    let mut patched = vec![0; 100];
    redo.patch(redo.number, 50, &mut patched);
    redo.patches.iter().for_each(|patch| {
        redo.patch(patch.segment, patch.offset.saturating_sub(30), &mut patched);
    });
    bytes
}

impl Choices<'_> {
    pub(super) fn redaction(&mut self) -> RedactionRecord {
        let (mut next, mut ranges) = (0, Vec::new());
        for _ in 0..self.below(4) {
            let start = next + self.below(50) as u64;
            let end = start + 1 + self.below(50) as u64;
            ranges.push(start..end);
            next = end + 1;
        }
        RedactionRecord { channel: self.name(), reason: self.text(40).into(), ranges }
    }
}

/// Puts the checksum of a redaction under way right.
pub(super) fn repair_redo(bytes: &mut [u8]) {
    if let Some(content) = bytes.len().checked_sub(4) {
        super::checksum(bytes, 0, content);
    }
}
