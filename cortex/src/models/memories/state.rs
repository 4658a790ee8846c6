//! All memories.

use std::sync::Arc;

use crate::table::Table;

use super::{Memory, MemoryGroup};

/// All memories as of one position.
pub type MemoriesState = Table<Memory>;

impl Table<Memory> {
    /// Returns how many memories have a tag.
    pub fn count_by_tag(&self, tag: &str) -> usize {
        self.count_in_group(&MemoryGroup::Tag(tag.into()))
    }

    /// Returns how many memories are pinned; takes constant time.
    pub fn count_pinned(&self) -> usize {
        self.count_in_partition(usize::from(true))
    }

    /// Returns the text of a tag as it is shared by all memories that have it.
    pub(super) fn shared_tag(&self, tag: &str) -> Arc<str> {
        self.shared(MemoryGroup::Tag(tag.into()))
    }

    /// Returns the text of a source as it is shared by all memories that have it.
    pub(super) fn shared_source(&self, source: &str) -> Arc<str> {
        self.shared(MemoryGroup::Source(source.into()))
    }

    fn shared(&self, group: MemoryGroup) -> Arc<str> {
        let (MemoryGroup::Tag(text) | MemoryGroup::Source(text)) = self.known_group(&group).unwrap_or(&group);
        Arc::clone(text)
    }
}
