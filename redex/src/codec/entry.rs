//! The entry: what is hashed, signed and replicated as one; the body of an entry frame.
//!
//! ```text
//! head, covered by the entry hash:
//!   0   u16  format version
//!   2   u16  flags: 1 signed
//!   4   u32  bytes of the head
//!   8   u64  index           16  u64  term          24  u64  node
//!  32   [16] incarnation, zero in entries that have none
//!  48   [32] hash of the entry before, zero before the first
//!  80   i64  recorded at
//!  88   u32  events          92  u32  append records  96  u32  blocks     100  u32  controls
//! if signed:
//! 104   u64  witness: the position of the log root that the signer had seen
//! 112   [32] witness: that root
//!   +   controls, append records, block list
//! behind the head:
//!   +   u32  CRC of the head
//!   +   [64] signature, if signed
//!   +   the blocks, in the order of the list
//! ```

use base::{Hash, IncarnationId, Index, NodeId, Position, Signature, Slot, Term, Timestamp};

use super::append::AppendRecord;
use super::block::BlockItem;
use super::control::Control;
use super::erasable::Hashed;
use super::{Cursor, FORMAT_VERSION, Malformed, Put, append, block, control, erasable};
use crate::hashing::LogHasher;

const FLAG_SIGNED: u16 = 1;
const FIXED_BYTES: usize = 104;
/// Bytes of the witness in a signed head.
const WITNESS_BYTES: usize = 8 + 32;
/// Bytes in front of the blocks, but for controls, append records and block list: the fixed part of the head, its
/// checksum and a signature.
const FRONT_BYTES: usize = FIXED_BYTES + WITNESS_BYTES + 4 + Signature::BYTES;

/// Returns the most bytes that an entry's body has: signed, with so many bytes behind the fixed part of its
/// head, and so many bytes of blocks.
pub(crate) const fn body_bytes_max(variable_bytes: usize, block_bytes: usize) -> usize {
    FRONT_BYTES + variable_bytes + block_bytes
}

/// The decoded head of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EntryHead {
    pub slot: Slot,
    pub incarnation: IncarnationId,
    pub previous: Hash,
    pub recorded_at: Timestamp,
    pub events: u32,
    /// The position and value of the log root that the signer had seen; present in signed entries.
    pub witness: Option<(Position, Hash)>,
    pub controls: Vec<Control>,
    pub appends: Vec<AppendRecord>,
    pub blocks: Vec<BlockItem>,
}

/// What goes into the fixed part of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadFields {
    pub slot: Slot,
    pub incarnation: IncarnationId,
    pub previous: Hash,
    pub recorded_at: Timestamp,
    pub events: u32,
    pub append_records: u32,
    pub blocks: u32,
    pub controls: u32,
    pub witness: Option<(Position, Hash)>,
}

/// Appends the head; `controls`, `appends` and `block_list` are encoded already.
pub(crate) fn encode_head(
    out: &mut Vec<u8>,
    fields: &HeadFields,
    controls: &[u8],
    appends: &[u8],
    block_list: &[u8],
) {
    let (flags, witness_bytes) = if fields.witness.is_some() { (FLAG_SIGNED, WITNESS_BYTES) } else { (0, 0) };
    out.put_u16(FORMAT_VERSION);
    out.put_u16(flags);
    out.put_length(FIXED_BYTES + witness_bytes + controls.len() + appends.len() + block_list.len());
    out.put_u64(fields.slot.index.0);
    out.put_u64(fields.slot.term.0);
    out.put_u64(fields.slot.node.0);
    out.put(fields.incarnation.as_bytes());
    out.put(fields.previous.as_bytes());
    out.put_i64(fields.recorded_at.as_nanos());
    out.put_u32(fields.events);
    out.put_u32(fields.append_records);
    out.put_u32(fields.blocks);
    out.put_u32(fields.controls);
    if let Some((position, root)) = fields.witness {
        out.put_u64(position.0);
        out.put(root.as_bytes());
    }
    out.put(controls);
    out.put(appends);
    out.put(block_list);
}

/// An entry split into its parts, nothing copied.
#[derive(Debug)]
pub(crate) struct EntryParts<'a> {
    pub head: EntryHead,
    /// Exactly the bytes that the entry hash covers.
    pub head_bytes: &'a [u8],
    pub signature: Option<Signature>,
    /// Where the blocks begin in the body.
    pub blocks_at: usize,
    /// What stands there: the blocks, unless some are missing.
    pub blocks: &'a [u8],
}

impl<'a> EntryParts<'a> {
    /// Returns the blocks with what the head says of them; they were found to fill the rest of the body.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&BlockItem, &'a [u8])> {
        let blocks = self.blocks;
        self.head.blocks.iter().scan(0, move |offset, item| {
            let begin = *offset;
            *offset += item.bytes;
            Some((item, &blocks[begin..*offset]))
        })
    }

    /// Returns the hashes that the blocks have, in order.
    pub(crate) fn block_hashes(&self, hasher: &LogHasher) -> Result<Vec<Hash>, Malformed> {
        let hashed: Vec<Hashed<'_>> = self.items().map(|(item, bytes)| Hashed::of(item, bytes)).collect();
        erasable::hashes_of(hasher, &hashed)
    }
}

/// Decodes an entry's body up to its blocks, and checks that the blocks fill the rest exactly.
pub(crate) fn decode(body: &[u8]) -> Result<EntryParts<'_>, Malformed> {
    decode_front(body).and_then(whole)
}

/// The same for who only reads events: append records are checked, and left out of the head.
pub(crate) fn decode_to_read(body: &[u8]) -> Result<EntryParts<'_>, Malformed> {
    decode_parts(body, false).and_then(whole)
}

fn whole(parts: EntryParts<'_>) -> Result<EntryParts<'_>, Malformed> {
    let blocks: usize = parts.head.blocks.iter().map(|item| item.bytes).sum();
    if blocks == parts.blocks.len() { Ok(parts) } else { Err(Malformed::new("entry length")) }
}

/// Decodes the part of an entry's body in front of its blocks; the blocks may be missing or damaged.
pub(crate) fn decode_front(body: &[u8]) -> Result<EntryParts<'_>, Malformed> {
    decode_parts(body, true)
}

fn decode_parts(body: &[u8], with_appends: bool) -> Result<EntryParts<'_>, Malformed> {
    let mut cursor = Cursor::new(body);
    if cursor.u16("entry version")? != FORMAT_VERSION {
        return Err(Malformed::new("entry version"));
    }
    let flags = cursor.u16("entry flags")?;
    let head_length = cursor.length("head length")?;
    let mut cursor = Cursor::new(body);
    let head_bytes = cursor.take(head_length, "head length")?;
    if cursor.u32("head checksum")? != crc32fast::hash(head_bytes) {
        return Err(Malformed::new("head checksum"));
    }
    if flags & !FLAG_SIGNED != 0 {
        return Err(Malformed::new("entry flags"));
    }
    let signed = flags & FLAG_SIGNED != 0;
    let signature = match signed {
        true => Some(Signature::from_bytes(cursor.array("signature")?)),
        false => None,
    };
    let head = decode_head(head_bytes, signed, with_appends)?;
    let blocks_at = body.len() - cursor.remaining();
    Ok(EntryParts { head, head_bytes, signature, blocks_at, blocks: &body[blocks_at..] })
}

fn decode_head(bytes: &[u8], signed: bool, with_appends: bool) -> Result<EntryHead, Malformed> {
    let mut cursor = Cursor::new(bytes);
    cursor.take(8, "entry head")?;
    let index = Index(cursor.u64("index")?);
    let term = Term(cursor.u64("term")?);
    let node = NodeId(cursor.u64("node")?);
    let incarnation = IncarnationId::from_bytes(cursor.array("incarnation")?);
    let previous = Hash::from_bytes(cursor.array("previous hash")?);
    let recorded_at = Timestamp::from_nanos(cursor.i64("recorded at")?);
    let events = cursor.u32("event count")?;
    let append_records = cursor.u32("append count")?;
    let block_count = cursor.u32("block count")?;
    let control_count = cursor.u32("control count")?;
    let witness = match signed {
        true => {
            Some((Position(cursor.u64("witness position")?), Hash::from_bytes(cursor.array("witness root")?)))
        }
        false => None,
    };
    let controls = repeat(control_count, || control::decode(&mut cursor))?;
    let mut appended = 0;
    let mut appends = Vec::new();
    if with_appends {
        appends = repeat(append_records, || append::decode(&mut cursor))?;
        appended = appends.iter().map(AppendRecord::all_events).fold(0, u64::saturating_add);
    } else {
        for _ in 0..append_records {
            appended = append::skip(&mut cursor)?.saturating_add(appended);
        }
    }
    let blocks = repeat(block_count, || block::decode(&mut cursor))?;
    cursor.finish("head length")?;
    let counted: u64 = blocks.iter().map(|item| u64::from(item.events)).sum();
    if counted != u64::from(events) || appended != counted {
        return Err(Malformed::new("event count"));
    }
    let slot = Slot { term, node, index };
    Ok(EntryHead { slot, incarnation, previous, recorded_at, events, witness, controls, appends, blocks })
}

/// Collects `count` items without trusting `count` for an allocation.
fn repeat<T>(count: u32, mut item: impl FnMut() -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
    let mut items = Vec::with_capacity(count.min(1024) as usize);
    for _ in 0..count {
        items.push(item()?);
    }
    Ok(items)
}
