//! Sealing an entry: hashing what was staged, linking it to the entry before, signing it.

use base::{Hash, Identity};

use super::stage::{OpenBlock, OpenEntry};
use crate::chain::Chain;
use crate::codec::block::BlockItem;
use crate::codec::control::Control;
use crate::codec::entry::HeadFields;
use crate::codec::erasable::Hashed;
use crate::codec::{Put, block, control, entry, erasable};
use crate::hashing::LogHasher;

/// Everything of an entry but its place in the log and its links: hashed, and ready to be encoded.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    open: &'a OpenEntry,
    pub controls: Vec<Control>,
    control_bytes: Vec<u8>,
    pub blocks: Vec<BlockItem>,
    block_list: Vec<u8>,
    /// The most bytes that the entry's body has.
    pub body_bytes: usize,
    /// Whether events of it can be redacted, so that it is stored as it is.
    pub erasable: bool,
}

impl<'a> Contents<'a> {
    /// Hashes the blocks of an entry, which carries further control records in front of its own.
    pub(crate) fn new(hasher: &LogHasher, open: &'a OpenEntry, mut controls: Vec<Control>) -> Self {
        controls.extend(open.controls.iter().cloned());
        let mut control_bytes = Vec::new();
        controls.iter().for_each(|record| control::encode(&mut control_bytes, record));
        let mut block_list = Vec::new();
        let blocks = items(hasher, &open.blocks);
        blocks.iter().for_each(|item| block::encode(&mut block_list, item));
        let body_bytes = entry::body_bytes_max(
            control_bytes.len() + open.appends.bytes.len() + block_list.len(),
            blocks.iter().map(|item| item.bytes).sum(),
        );
        let erasable = blocks.iter().any(|item| item.erasable);
        Self { open, controls, control_bytes, blocks, block_list, body_bytes, erasable }
    }

    /// Returns the fixed fields of the head of an entry behind `chain`.
    pub(crate) fn fields(
        &self,
        hasher: &LogHasher,
        slot: base::Slot,
        incarnation: base::IncarnationId,
        chain: &Chain,
        signed: bool,
    ) -> HeadFields {
        HeadFields {
            slot,
            incarnation,
            previous: chain.last_hash,
            recorded_at: self.open.recorded_at,
            events: self.open.events,
            append_records: self.open.appends.count,
            blocks: count(self.blocks.len()),
            controls: count(self.controls.len()),
            witness: signed.then(|| (chain.root.position(), chain.root.hash(hasher))),
        }
    }

    /// Appends the entry's body, signed if its head has a witness; returns the entry's hash.
    pub(crate) fn encode(
        &self,
        body: &mut Vec<u8>,
        hasher: &LogHasher,
        identity: &Identity,
        fields: &HeadFields,
    ) -> Hash {
        let begin = body.len();
        entry::encode_head(body, fields, &self.control_bytes, &self.open.appends.bytes, &self.block_list);
        let hash = hasher.entry(&body[begin..]);
        body.put_u32(crc32fast::hash(&body[begin..]));
        if fields.witness.is_some() {
            let message = hasher.signed_message(fields.incarnation, fields.slot.index, &hash);
            body.put(identity.sign(&message).as_bytes());
        }
        self.open.blocks.iter().for_each(|block| body.put(&block.bytes));
        hash
    }
}

/// Describes the blocks of an entry, with their hashes.
fn items(hasher: &LogHasher, blocks: &[OpenBlock]) -> Vec<BlockItem> {
    let hashed: Vec<Hashed<'_>> = blocks
        .iter()
        .map(|block| Hashed { erasable: block.erasable, events: block.events, bytes: &block.bytes })
        .collect();
    let hashes = erasable::hashes_of(hasher, &hashed).expect("blocks were made of whole events");
    let item = |(block, hash): (&OpenBlock, Hash)| BlockItem {
        channel: block.channel.clone(),
        first_seq: block.first_seq,
        events: block.events,
        bytes: block.bytes.len(),
        erasable: block.erasable,
        hash,
    };
    blocks.iter().zip(hashes).map(item).collect()
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("an entry is far below 4 Gi items")
}
