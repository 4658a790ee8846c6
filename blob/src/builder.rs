//! From the chunks of a blob to the one name that stands for all of them.

use base::Hash;

use crate::BlobError;
use crate::chunking::Chunking;
use crate::limits::{FAN_OUT, FLAT_BYTES_MAX, MANIFEST_CHUNKS_MAX, TREE_BYTES_MAX, TREE_DEPTH_MAX};
use crate::node::{Node, Part};

/// Takes chunks in their order, and gives nodes to be put as they become full.
#[derive(Debug)]
pub(crate) struct Builder {
    chunking: Chunking,
    /// Chunks, while they still may be a manifest.
    flat: Vec<Part>,
    /// Parts that are in no node yet, by the levels below them; in use once they are too many for a manifest.
    levels: Vec<Vec<Part>>,
    bytes: u64,
}

/// Puts a node, and returns its name.
pub(crate) type PutNode<'a> = &'a mut dyn FnMut(&Node) -> Result<Hash, BlobError>;

impl Builder {
    pub(crate) fn new(chunking: Chunking) -> Self {
        Self { chunking, flat: Vec::new(), levels: Vec::new(), bytes: 0 }
    }

    /// Adds the next chunk.
    pub(crate) fn add(&mut self, chunk: Part, put: PutNode<'_>) -> Result<(), BlobError> {
        self.bytes += chunk.bytes;
        if self.bytes > TREE_BYTES_MAX {
            return Err(BlobError::TooLarge { max: TREE_BYTES_MAX });
        }
        if !self.levels.is_empty() {
            return self.add_at(0, chunk, put);
        }
        self.flat.push(chunk);
        if self.flat.len() > MANIFEST_CHUNKS_MAX || self.bytes > FLAT_BYTES_MAX {
            self.levels.push(Vec::new());
            for chunk in std::mem::take(&mut self.flat) {
                self.add_at(0, chunk, put)?;
            }
        }
        Ok(())
    }

    fn add_at(&mut self, level: u8, part: Part, put: PutNode<'_>) -> Result<(), BlobError> {
        let at = usize::from(level);
        if at == self.levels.len() {
            self.levels.push(Vec::new());
        }
        if self.levels[at].len() == FAN_OUT {
            let full = std::mem::take(&mut self.levels[at]);
            let part = self.put(level, full, put)?;
            self.add_at(level + 1, part, put)?;
        }
        self.levels[at].push(part);
        Ok(())
    }

    fn put(&self, levels: u8, parts: Vec<Part>, put: PutNode<'_>) -> Result<Part, BlobError> {
        if levels >= TREE_DEPTH_MAX {
            return Err(BlobError::TooLarge { max: TREE_BYTES_MAX });
        }
        let node = Node { levels, chunking: self.chunking, parts };
        Ok(Part { name: put(&node)?, bytes: node.bytes() })
    }

    /// Puts what is left, and returns the whole; `None` where there was no chunk.
    pub(crate) fn finish(mut self, put: PutNode<'_>) -> Result<Option<Part>, BlobError> {
        if self.levels.is_empty() {
            return match self.flat[..] {
                [] => Ok(None),
                [only] => Ok(Some(only)),
                _ => {
                    let flat = std::mem::take(&mut self.flat);
                    self.put(0, flat, put).map(Some)
                }
            };
        }
        let mut level = 0;
        loop {
            let rest = std::mem::take(&mut self.levels[usize::from(level)]);
            let is_last = usize::from(level) + 1 == self.levels.len();
            let part = match (&rest[..], is_last) {
                ([only], true) if level > 0 => return Ok(Some(*only)),
                ([], _) => None,
                _ => Some(self.put(level, rest, put)?),
            };
            match part {
                Some(part) if is_last => return Ok(Some(part)),
                Some(part) => self.add_at(level + 1, part, put)?,
                None => {}
            }
            level += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn chunk(at: u64) -> Part {
        Part { name: Hash::of(&at.to_le_bytes()), bytes: 1 + at % 7 }
    }

    /// Builds a blob of so many chunks, and reads its chunks back.
    fn built(count: u64) -> (Option<Part>, Vec<Part>, usize) {
        let mut nodes = BTreeMap::new();
        let mut put = |node: &Node| {
            let name = Hash::of(&node.encode());
            nodes.insert(name, node.clone());
            Ok(name)
        };
        let mut builder = Builder::new(Chunking::Fixed);
        (0..count).for_each(|at| builder.add(chunk(at), &mut put).unwrap());
        let whole = builder.finish(&mut put).unwrap();
        let mut chunks = Vec::new();
        let mut open: Vec<Part> = whole.into_iter().collect();
        while let Some(part) = open.pop() {
            match nodes.get(&part.name) {
                Some(node) => {
                    assert_eq!(node.bytes(), part.bytes);
                    open.extend(node.parts.iter().rev());
                }
                None => chunks.push(part),
            }
        }
        (whole, chunks, nodes.len())
    }

    #[test]
    fn whatever_is_built_has_its_chunks_in_their_order() {
        for count in [0, 1, 2, 127, 128, 129, 8_191, 8_192, 8_193, 8_320, 16_384, 16_385, 20_000] {
            let (whole, chunks, nodes) = built(count);
            assert_eq!(chunks, (0..count).map(chunk).collect::<Vec<_>>(), "{count}");
            assert_eq!(
                whole.map_or(0, |whole| whole.bytes),
                chunks.iter().map(|chunk| chunk.bytes).sum::<u64>()
            );
            match count {
                0 | 1 => assert_eq!(nodes, 0),
                2..=8_192 => assert_eq!(nodes, 1, "a manifest"),
                _ => assert!(nodes > 64, "a tree"),
            }
        }
    }
}
