//! Lists of chunks, and of lists: what a blob of more than one chunk is made of.
//!
//! ```text
//!  0 u8 format version   1 u8 levels of nodes below, 0 where chunks are listed   2 u8 chunking: 0 fixed, 1 content   3 u8 reserved, 0
//!  4 u32 entries   8 u64 bytes of the blob, or of the part   16 u32 smallest, 20 u32 average, 24 u32 largest chunk   28 u32 reserved, 0
//! 32 each entry: [32] name, u64 bytes
//! ```

use base::Hash;
use base::wire::{Cursor, Malformed, Put};

use crate::BlobError;
use crate::chunking::{Chunking, ContentSizes};
use crate::limits::{CHUNK_BYTES_MAX, FAN_OUT, FIXED_CHUNK_BYTES, MANIFEST_CHUNKS_MAX, TREE_DEPTH_MAX};

const VERSION: u8 = 1;

/// A part of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// The name of a chunk or a node.
    pub name: Hash,
    /// Bytes of the blob in it.
    pub bytes: u64,
}

/// A list of parts, which follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Levels of nodes below it.
    pub levels: u8,
    /// How the blob was cut.
    pub chunking: Chunking,
    pub parts: Vec<Part>,
}

impl Node {
    /// Returns the bytes of the blob in it.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + 40 * self.parts.len());
        out.put_u8(VERSION);
        out.put_u8(self.levels);
        let (chunking, [min, average, max]) = match self.chunking {
            Chunking::Fixed => (0, [FIXED_CHUNK_BYTES as u32; 3]),
            Chunking::Content(sizes) => (1, sizes.all()),
        };
        out.put_u8(chunking);
        out.put_u8(0);
        out.put_length(self.parts.len());
        out.put_u64(self.bytes());
        [min, average, max, 0].iter().for_each(|value| out.put_u32(*value));
        for part in &self.parts {
            out.put(part.name.as_bytes());
            out.put_u64(part.bytes);
        }
        out
    }

    /// Reads a node.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnsupportedVersion`], [`BlobError::Decode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BlobError> {
        match bytes.first() {
            Some(&VERSION) | None => {
                decode(bytes).map_err(|malformed| BlobError::Decode { what: malformed.to_string() })
            }
            Some(&found) => Err(BlobError::UnsupportedVersion {
                what: "a list of chunks",
                found: found.into(),
                known: VERSION.into(),
            }),
        }
    }
}

fn decode(bytes: &[u8]) -> Result<Node, Malformed> {
    let mut cursor = Cursor::new(bytes);
    cursor.u8("version")?;
    let levels = cursor.u8("levels")?;
    let chunking = cursor.u8("chunking")?;
    let zero = cursor.u8("reserved byte")?;
    let count = cursor.u32("entries")? as usize;
    let total = cursor.u64("bytes")?;
    let sizes = [cursor.u32("smallest chunk")?, cursor.u32("average chunk")?, cursor.u32("largest chunk")?];
    if zero != 0 || cursor.u32("reserved bytes")? != 0 {
        return Err(Malformed::new("reserved bytes"));
    }
    let chunking = match (chunking, sizes) {
        (0, sizes) if sizes == [FIXED_CHUNK_BYTES as u32; 3] => Chunking::Fixed,
        (1, [min, average, max]) => Chunking::Content(
            ContentSizes::new(min, average, max).map_err(|_| Malformed::new("sizes of chunks"))?,
        ),
        _ => return Err(Malformed::new("chunking")),
    };
    let entries_max = if levels == 0 { MANIFEST_CHUNKS_MAX } else { FAN_OUT };
    if levels >= TREE_DEPTH_MAX || count == 0 || count > entries_max {
        return Err(Malformed::new("entries"));
    }
    let mut parts = Vec::new();
    for _ in 0..count {
        let part = Part { name: Hash::from_bytes(cursor.array("name")?), bytes: cursor.u64("bytes")? };
        if part.bytes == 0 || (levels == 0 && part.bytes > CHUNK_BYTES_MAX as u64) {
            return Err(Malformed::new("bytes"));
        }
        parts.push(part);
    }
    cursor.finish("length")?;
    let sum = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.bytes));
    match sum == Some(total) {
        true => Ok(Node { levels, chunking, parts }),
        false => Err(Malformed::new("bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(levels: u8, chunking: Chunking, count: usize) -> Node {
        let part = |at: usize| Part { name: Hash::of(&at.to_le_bytes()), bytes: 1 + at as u64 };
        Node { levels, chunking, parts: (0..count).map(part).collect() }
    }

    #[test]
    fn nodes_come_back_and_cut_or_changed_ones_are_refused_or_mean_something_else() {
        for node in [
            node(0, Chunking::Fixed, 3),
            node(0, Chunking::Content(ContentSizes::default()), 2),
            node(3, Chunking::Fixed, FAN_OUT),
            node(0, Chunking::Fixed, MANIFEST_CHUNKS_MAX),
        ] {
            let bytes = node.encode();
            assert!(bytes.len() <= crate::limits::NODE_BYTES_MAX);
            assert_eq!(Node::decode(&bytes).unwrap(), node);
            for length in (0..bytes.len()).step_by(if bytes.len() > 10_000 { 997 } else { 1 }) {
                assert!(matches!(Node::decode(&bytes[..length]), Err(BlobError::Decode { .. })), "{length}");
            }
        }
        let bytes = node(0, Chunking::Fixed, 3).encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Node::decode(&flipped) {
                assert_eq!(other.encode(), flipped, "one encoding each: bit {bit}");
            }
        }
    }

    #[test]
    fn counts_and_sums_that_cannot_be_are_refused() {
        for wrong in [
            node(0, Chunking::Fixed, 0),
            node(0, Chunking::Fixed, MANIFEST_CHUNKS_MAX + 1),
            node(1, Chunking::Fixed, FAN_OUT + 1),
            node(TREE_DEPTH_MAX, Chunking::Fixed, 1),
        ] {
            assert!(matches!(Node::decode(&wrong.encode()), Err(BlobError::Decode { .. })));
        }
        // A sum that does not fit.
        let mut bytes = node(1, Chunking::Fixed, 2).encode();
        bytes[64..72].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(Node::decode(&bytes), Err(BlobError::Decode { .. })));
    }
}
