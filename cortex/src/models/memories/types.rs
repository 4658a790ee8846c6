//! What a memory is.

use std::sync::Arc;

use base::{Seq, Timestamp};

use crate::models::{CREATED, UPDATED};
use crate::table::Record;

/// Something worth keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// What names it; chosen by whoever stores it.
    pub id: u64,
    /// What is to be kept.
    pub content: Box<str>,
    /// What it is about, in the order that they were given.
    pub tags: Vec<Arc<str>>,
    /// Where it comes from.
    pub source: Arc<str>,
    /// When it was stored first.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
    /// Whether it is pinned.
    pub pinned: bool,
    /// The number of the event that changed it last.
    pub version: Seq,
}

impl Memory {
    /// Makes a memory without tags and source, as storing it at a time does.
    pub fn new(id: u64, content: &str, at: Timestamp) -> Self {
        Self {
            id,
            content: content.into(),
            tags: Vec::new(),
            source: Arc::from(""),
            created: at,
            updated: at,
            pinned: false,
            version: Seq::ZERO,
        }
    }
}

/// What several memories have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryGroup {
    /// A tag.
    Tag(Arc<str>),
    /// A source.
    Source(Arc<str>),
}

impl Record for Memory {
    type Id = u64;
    type Group = MemoryGroup;

    const ID_MIN: u64 = u64::MIN;
    const ID_MAX: u64 = u64::MAX;
    const PARTITIONS: usize = 2;
    const ORDERS: usize = 2;

    fn id(&self) -> u64 {
        self.id
    }

    fn partition(&self) -> usize {
        usize::from(self.pinned)
    }

    fn rank(&self, order: usize) -> i64 {
        match order {
            CREATED => self.created.as_nanos(),
            UPDATED => self.updated.as_nanos(),
            _ => 0,
        }
    }

    fn groups(&self, visit: &mut dyn FnMut(&MemoryGroup)) {
        visit(&MemoryGroup::Source(Arc::clone(&self.source)));
        for (place, tag) in self.tags.iter().enumerate() {
            if !self.tags[..place].contains(tag) {
                visit(&MemoryGroup::Tag(Arc::clone(tag)));
            }
        }
    }
}
