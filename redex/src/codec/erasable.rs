//! The events of an erasable block: each is committed to by itself, so that it can be redacted.
//!
//! ```text
//! for each event:
//!   [32] salt; of a redacted event, its commitment
//!   the event's record, as in `event.rs`; of a redacted event:
//!     0  u32  bytes of the record, as they were
//!     4  u32  ordinal in the entry
//!     8  u8   128
//!     9  FF to the end of the record
//! ```
//!
//! The commitment is the hash of salt and record. The hash of the block is over the list of its events, each (u32 bytes
//! of the record, u32 ordinal, [32] commitment): it is the same before and after a redaction.

use base::Hash;

use super::block::BlockItem;
use super::event::{FLAG_REDACTED, StoredEvent};
use super::{Cursor, Malformed, Put, event};
use crate::hashing::LogHasher;

/// Bytes in front of each record.
pub(crate) const SALT_BYTES: usize = 32;
/// Bytes that an event takes in the list that the block hash covers.
const LISTED_BYTES: usize = 4 + 4 + Hash::BYTES;
const FLAGS_AT: usize = 8;
const FILLING: u8 = 0xFF;

/// Takes one event off a block, erasable or not, and checks everything in it.
pub(crate) fn decode_event<'a>(block: &mut Cursor<'a>, erasable: bool) -> Result<StoredEvent<'a>, Malformed> {
    let event = find_event(block, erasable)?;
    if !event.is_redacted() {
        event.check(false)?;
    }
    Ok(event)
}

/// Takes one event off a block; what it holds is not checked.
#[inline]
pub(crate) fn find_event<'a>(block: &mut Cursor<'a>, erasable: bool) -> Result<StoredEvent<'a>, Malformed> {
    if !erasable {
        let event = StoredEvent::find(block)?;
        return if event.is_redacted() { Err(Malformed::new("event flags")) } else { Ok(event) };
    }
    let salted = Salted::decode(block)?;
    match salted.redacted {
        true => Ok(StoredEvent::redacted(salted.ordinal)),
        false => StoredEvent::find(&mut Cursor::new(&salted.bytes[SALT_BYTES..])),
    }
}

/// An event of an erasable block, as far as its commitment needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Salted<'a> {
    /// Salt, or commitment, and record.
    pub bytes: &'a [u8],
    pub ordinal: u32,
    pub redacted: bool,
}

impl<'a> Salted<'a> {
    pub(crate) fn decode(block: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let length = block.clone();
        let mut ahead = length.clone();
        ahead.take(SALT_BYTES, "salt")?;
        let record_bytes = ahead.length("event length")?;
        let ordinal = ahead.u32("event ordinal")?;
        let redacted = ahead.u8("event flags")? == FLAG_REDACTED;
        if record_bytes < event::EVENT_BYTES_MIN {
            return Err(Malformed::new("event length"));
        }
        let total = record_bytes.checked_add(SALT_BYTES).ok_or(Malformed::new("event length"))?;
        let bytes = block.take(total, "event length")?;
        let filling = &bytes[SALT_BYTES + FLAGS_AT + 1..];
        if redacted && filling.iter().any(|byte| *byte != FILLING) {
            return Err(Malformed::new("filling of a redacted event"));
        }
        Ok(Self { bytes, ordinal, redacted })
    }

    pub(crate) fn commitment(&self, hasher: &LogHasher) -> Hash {
        match self.bytes.first_chunk::<SALT_BYTES>().filter(|_| self.redacted) {
            Some(commitment) => Hash::from_bytes(*commitment),
            None => hasher.event(self.bytes),
        }
    }

    /// Returns what stands in the place of the event once it is redacted.
    pub(crate) fn redact(&self, hasher: &LogHasher) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len());
        out.put(self.commitment(hasher).as_bytes());
        out.put(&self.bytes[SALT_BYTES..SALT_BYTES + FLAGS_AT]);
        out.put_u8(FLAG_REDACTED);
        out.resize(self.bytes.len(), FILLING);
        out
    }
}

/// What the hash of a block is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    pub erasable: bool,
    pub events: u32,
    pub bytes: &'a [u8],
}

impl<'a> Hashed<'a> {
    pub(crate) fn of(item: &BlockItem, bytes: &'a [u8]) -> Self {
        Self { erasable: item.erasable, events: item.events, bytes }
    }

    pub(crate) fn hash(&self, hasher: &LogHasher) -> Result<Hash, Malformed> {
        if self.erasable { block_hash(hasher, self.bytes, self.events) } else { Ok(hasher.block(self.bytes)) }
    }
}

/// Returns the hashes of an entry's blocks, erasable or not; short ones are hashed side by side.
pub(crate) fn hashes_of(hasher: &LogHasher, blocks: &[Hashed<'_>]) -> Result<Vec<Hash>, Malformed> {
    if let [block] = blocks {
        return Ok(vec![block.hash(hasher)?]);
    }
    let mut plain = hasher.blocks(blocks.len());
    blocks.iter().filter(|block| !block.erasable).for_each(|block| plain.add(block.bytes));
    let mut plain = plain.finish().into_iter();
    let hash = |block: &Hashed<'_>| match block.erasable {
        true => block.hash(hasher),
        false => Ok(plain.next().expect("each block that is not erasable was added")),
    };
    blocks.iter().map(hash).collect()
}

/// Hashes a block of so many events.
pub(crate) fn block_hash(hasher: &LogHasher, block: &[u8], events: u32) -> Result<Hash, Malformed> {
    // Every event takes some bytes, so that the count needs no trust.
    let count = (events as usize).min(block.len() / SALT_BYTES);
    let mut list = Vec::with_capacity(count * LISTED_BYTES);
    let mut commitments = hasher.events(count);
    let mut cursor = Cursor::new(block);
    for _ in 0..events {
        let salted = Salted::decode(&mut cursor)?;
        list.put_length(salted.bytes.len() - SALT_BYTES);
        list.put_u32(salted.ordinal);
        // Of a redacted event the commitment stands there; the others follow.
        list.put(&salted.bytes[..SALT_BYTES]);
        if !salted.redacted {
            commitments.add(salted.bytes);
        }
    }
    cursor.finish("block length")?;
    let mut commitments = commitments.finish().into_iter();
    let mut cursor = Cursor::new(block);
    for listed in list.chunks_exact_mut(LISTED_BYTES) {
        if !Salted::decode(&mut cursor)?.redacted {
            let commitment = commitments.next().expect("each event that is not redacted was added");
            listed[LISTED_BYTES - Hash::BYTES..].copy_from_slice(commitment.as_bytes());
        }
    }
    Ok(hasher.erasable_block(&list))
}

#[cfg(test)]
mod tests {
    use base::LogId;

    use super::*;
    use crate::EventInput;

    fn block() -> Vec<u8> {
        let mut block = Vec::new();
        for ordinal in 0..3 {
            block.put(&[u8::try_from(ordinal).unwrap() + 1; SALT_BYTES]);
            event::encode(&mut block, ordinal, &EventInput::new("k", b"secret").with_key("name"));
        }
        block
    }

    fn redact(block: &[u8], nth: usize, hasher: &LogHasher) -> Vec<u8> {
        let mut cursor = Cursor::new(block);
        let mut out = Vec::new();
        for place in 0..3 {
            let salted = Salted::decode(&mut cursor).unwrap();
            out.put(&if place == nth { salted.redact(hasher) } else { salted.bytes.to_vec() });
        }
        out
    }

    #[test]
    fn a_redacted_block_has_its_length_and_its_hash_and_nothing_of_the_event() {
        let hasher = LogHasher::new(LogId::from_bytes([1; 16]));
        let whole = block();
        let hash = block_hash(&hasher, &whole, 3).unwrap();
        let mut redacted = whole.clone();
        for nth in [1, 0, 1, 2] {
            redacted = redact(&redacted, nth, &hasher);
            assert_eq!(redacted.len(), whole.len());
            assert_eq!(block_hash(&hasher, &redacted, 3).unwrap(), hash, "{nth}");
            let mut cursor = Cursor::new(&redacted);
            let events: Vec<_> = (0..3).map(|_| decode_event(&mut cursor, true).unwrap()).collect();
            assert_eq!((events[nth].ordinal as usize, events[nth].is_redacted()), (nth, true));
        }
        assert!(!redacted.windows(6).any(|bytes| bytes == b"secret" || bytes == [2; 6]));
    }

    #[test]
    fn another_salt_record_ordinal_length_or_commitment_gives_another_hash() {
        let hasher = LogHasher::new(LogId::from_bytes([1; 16]));
        let whole = redact(&block(), 1, &hasher);
        let hash = block_hash(&hasher, &whole, 3).unwrap();
        for byte in 0..whole.len() {
            for bit in [1, 128] {
                let mut altered = whole.clone();
                altered[byte] ^= bit;
                assert_ne!(block_hash(&hasher, &altered, 3), Ok(hash), "byte {byte}");
            }
        }
        let other = LogHasher::new(LogId::from_bytes([2; 16]));
        assert_ne!(block_hash(&other, &whole, 3), Ok(hash));
    }

    #[test]
    fn truncated_blocks_are_refused() {
        let hasher = LogHasher::new(LogId::from_bytes([1; 16]));
        let whole = redact(&block(), 1, &hasher);
        for length in 0..whole.len() {
            assert!(block_hash(&hasher, &whole[..length], 3).is_err(), "{length}");
        }
    }
}
