//! Sealing an entry: hashing what was staged, linking it to the entry before, signing it.

use base::{Hash, Identity};

use super::stage::{OpenBlock, OpenEntry};
use crate::chain::Chain;
use crate::codec::block::BlockItem;
use crate::codec::control::Control;
use crate::codec::entry::HeadFields;
use crate::codec::{Put, block, control, entry};
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
}

impl<'a> Contents<'a> {
    /// Hashes the blocks of an entry, which carries further control records in front of its own.
    pub(crate) fn new(hasher: &LogHasher, open: &'a OpenEntry, mut controls: Vec<Control>) -> Self {
        controls.extend(open.controls.iter().cloned());
        let mut control_bytes = Vec::new();
        controls.iter().for_each(|record| control::encode(&mut control_bytes, record));
        let mut block_list = Vec::new();
        let blocks: Vec<BlockItem> = open.blocks.iter().map(|block| item(hasher, block)).collect();
        blocks.iter().for_each(|item| block::encode(&mut block_list, item));
        let body_bytes = entry::body_bytes_max(
            control_bytes.len() + open.append_bytes.len() + block_list.len(),
            blocks.iter().map(|item| item.bytes).sum(),
        );
        Self { open, controls, control_bytes, blocks, block_list, body_bytes }
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
            appends: self.open.appends,
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
        entry::encode_head(body, fields, &self.control_bytes, &self.open.append_bytes, &self.block_list);
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

fn item(hasher: &LogHasher, block: &OpenBlock) -> BlockItem {
    BlockItem {
        channel: block.channel.clone(),
        first_seq: block.first_seq,
        events: block.events,
        bytes: block.bytes.len(),
        hash: hasher.block(&block.bytes),
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("an entry is far below 4 Gi items")
}
