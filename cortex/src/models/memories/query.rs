//! Which memories are wanted.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Timestamp;

use super::{Memory, MemoryGroup};
use crate::models::text::Needle;
use crate::models::times::Times;
use crate::query::{Filter, Query};

/// Which memories are wanted: those that fulfil everything that is set. Times include both ends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MemoryFilter {
    ids: Option<BTreeSet<u64>>,
    source: Option<Arc<str>>,
    content: Option<Needle>,
    /// Sets of tags; of each set a wanted memory has one at least.
    tags: Vec<BTreeSet<Arc<str>>>,
    pinned: Option<bool>,
    times: Times,
}

/// A question about memories.
pub type MemoryQuery = Query<Memory, MemoryFilter>;

impl MemoryFilter {
    /// Wants all memories.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants only these.
    #[must_use]
    pub fn ids(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.ids = Some(ids.into_iter().collect());
        self
    }

    /// Wants only those from a source.
    #[must_use]
    pub fn source(mut self, source: &str) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Wants only those with a text in their content, in whatever case.
    #[must_use]
    pub fn content_contains(mut self, text: &str) -> Self {
        self.content = Some(Needle::new(text));
        self
    }

    /// Wants only those with a tag.
    #[must_use]
    pub fn tag(self, tag: &str) -> Self {
        self.any_tag([tag])
    }

    /// Wants only those with one of some tags; none given demand nothing.
    #[must_use]
    pub fn any_tag<'a>(mut self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        let tags: BTreeSet<Arc<str>> = tags.into_iter().map(Arc::from).collect();
        if !tags.is_empty() {
            self.tags.push(tags);
        }
        self
    }

    /// Wants only those with all of some tags; none given demand nothing.
    #[must_use]
    pub fn all_tags<'a>(self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        tags.into_iter().fold(self, Self::tag)
    }

    /// Wants only those that are pinned, or only those that are not.
    #[must_use]
    pub fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = Some(pinned);
        self
    }

    /// Wants only those created at a time or later.
    #[must_use]
    pub fn created_from(mut self, time: Timestamp) -> Self {
        self.times.created.0 = Some(time);
        self
    }

    /// Wants only those created at a time or earlier.
    #[must_use]
    pub fn created_to(mut self, time: Timestamp) -> Self {
        self.times.created.1 = Some(time);
        self
    }

    /// Wants only those changed at a time or later.
    #[must_use]
    pub fn updated_from(mut self, time: Timestamp) -> Self {
        self.times.updated.0 = Some(time);
        self
    }

    /// Wants only those changed at a time or earlier.
    #[must_use]
    pub fn updated_to(mut self, time: Timestamp) -> Self {
        self.times.updated.1 = Some(time);
        self
    }
}

impl Filter<Memory> for MemoryFilter {
    fn matches(&self, memory: &Memory) -> bool {
        self.pinned.is_none_or(|pinned| memory.pinned == pinned)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&memory.id))
            && self.source.as_ref().is_none_or(|source| memory.source == *source)
            && self.tags.iter().all(|set| memory.tags.iter().any(|tag| set.contains(tag)))
            && self.times.include(memory.created, memory.updated)
            && self.content.as_ref().is_none_or(|needle| needle.is_in(&memory.content))
    }

    fn ids(&self) -> Option<&BTreeSet<u64>> {
        self.ids.as_ref()
    }

    fn partition(&self) -> Option<usize> {
        self.pinned.map(usize::from)
    }

    fn groups(&self) -> Vec<Vec<MemoryGroup>> {
        let source = self.source.iter().map(|source| vec![MemoryGroup::Source(Arc::clone(source))]);
        let tags = self.tags.iter().map(|set| set.iter().cloned().map(MemoryGroup::Tag).collect());
        source.chain(tags).collect()
    }

    fn ranks(&self, order: usize) -> (Option<i64>, Option<i64>) {
        self.times.ranks(order)
    }

    fn is_exact(&self) -> bool {
        self.content.is_none() && self.times.are_any()
    }
}
