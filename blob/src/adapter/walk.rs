//! The chunks of a blob that lies elsewhere, in their order; only lists are read that have something of what is wanted.

use std::ops::Range;

use super::{ObjectName, VerifiedAdapter};
use crate::BlobError;
use crate::blobs::PlacedChunk;
use crate::node::{Node, Part};
use crate::object::ObjectKind;
use crate::reference::{BlobRef, ReferenceForm};

/// What a list must be, by what refers to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub part: Part,
    /// Levels of lists below it.
    pub levels: u8,
    /// How many chunks it lists, where that is known.
    pub chunks: Option<u32>,
}

impl Expected {
    /// Returns what the list of a blob must be; `None` for one that is a chunk.
    pub(super) fn of(reference: &BlobRef) -> Option<Self> {
        let part = Part { name: reference.hash(), bytes: reference.bytes() };
        match reference.form() {
            ReferenceForm::Small => None,
            ReferenceForm::Manifest { chunks } => Some(Self { part, levels: 0, chunks: Some(chunks) }),
            ReferenceForm::Tree { depth } => {
                Some(Self { part, levels: depth.saturating_sub(1), chunks: None })
            }
        }
    }

    /// Returns what a list must be that is listed here; `None` where chunks are.
    pub(super) fn below(self, part: Part) -> Option<Self> {
        self.levels.checked_sub(1).map(|levels| Self { part, levels, chunks: None })
    }

    /// Reads a list that must be this.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<Node, BlobError> {
        let node = Node::decode(bytes)?;
        let is_this = node.levels == self.levels
            && node.bytes() == self.part.bytes
            && self.chunks.is_none_or(|chunks| node.parts.len() == chunks as usize);
        match is_this {
            true => Ok(node),
            false => Err(BlobError::Decode { what: format!("list of chunks {}", self.part.name) }),
        }
    }

    pub(super) fn name(self) -> ObjectName {
        ObjectName { kind: ObjectKind::Node, hash: self.part.name }
    }
}

/// The chunks that have something of a range.
pub(super) struct Walk<'a> {
    adapter: &'a VerifiedAdapter,
    range: Range<u64>,
    /// What is to come, the next one last: where it begins, and what it must be where it is a list.
    open: Vec<(u64, Part, Option<Expected>)>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(adapter: &'a VerifiedAdapter, reference: &BlobRef, range: Range<u64>) -> Self {
        let part = Part { name: reference.hash(), bytes: reference.bytes() };
        Self { adapter, range, open: vec![(0, part, Expected::of(reference))] }
    }

    fn open(&mut self, offset: u64, list: Expected) -> Result<(), BlobError> {
        let node = list.decode(&self.adapter.fetch_object(&list.name())?)?;
        let mut behind = offset + list.part.bytes;
        for part in node.parts.into_iter().rev() {
            behind -= part.bytes;
            if behind < self.range.end && self.range.start < behind + part.bytes {
                self.open.push((behind, part, list.below(part)));
            }
        }
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<PlacedChunk, BlobError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (offset, part, list) = self.open.pop()?;
            let Some(list) = list else {
                return Some(Ok(PlacedChunk { hash: part.name, offset, bytes: part.bytes }));
            };
            if let Err(error) = self.open(offset, list) {
                self.open.clear();
                return Some(Err(error));
            }
        }
    }
}
