//! The list of an entry's channel blocks. The entry hash covers the list, and through it the blocks.
//!
//! ```text
//! for each block:
//!   u16  bytes of the channel name, name
//!   u64  sequence number of the first event
//!   u32  events          u32  bytes of the block
//!   u8   flags: 1 erasable, events committed to one by one
//!   [32] hash of the block's bytes; of an erasable block, of the list of its commitments
//! ```

use base::{ChannelName, Hash, Seq};

use super::{Cursor, Malformed, Put};

const FLAG_ERASABLE: u8 = 1;

/// One item of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockItem {
    pub channel: ChannelName,
    pub first_seq: Seq,
    pub events: u32,
    pub bytes: usize,
    /// Whether events are committed to one by one, as `erasable.rs` has it.
    pub erasable: bool,
    pub hash: Hash,
}

/// Returns the bytes of an item of the list.
pub(crate) fn encoded_bytes(item: &BlockItem) -> usize {
    2 + item.channel.as_str().len() + 8 + 4 + 4 + 1 + Hash::BYTES
}

pub(crate) fn encode(out: &mut Vec<u8>, item: &BlockItem) {
    out.reserve(encoded_bytes(item));
    out.put_text16(item.channel.as_str());
    out.put_u64(item.first_seq.0);
    out.put_u32(item.events);
    out.put_length(item.bytes);
    out.put_u8(if item.erasable { FLAG_ERASABLE } else { 0 });
    out.put(item.hash.as_bytes());
}

pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<BlockItem, Malformed> {
    let channel =
        ChannelName::new(cursor.text16("channel name")?).map_err(|_| Malformed::new("channel name"))?;
    let first_seq = Seq(cursor.u64("first sequence number")?);
    let events = cursor.u32("block events")?;
    let bytes = cursor.length("block length")?;
    let erasable = match cursor.u8("block flags")? {
        0 => false,
        FLAG_ERASABLE => true,
        _ => return Err(Malformed::new("block flags")),
    };
    let hash = Hash::from_bytes(cursor.array("block hash")?);
    if first_seq.0.checked_add(u64::from(events)).is_none() {
        return Err(Malformed::new("first sequence number"));
    }
    Ok(BlockItem { channel, first_seq, events, bytes, erasable, hash })
}
