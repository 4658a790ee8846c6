//! What the events of a segment refer to: the list that goes into its footer.

use std::collections::BTreeSet;

use base::{Hash, Seq};

use crate::BlobReference;
use crate::codec::block::BlockItem;
use crate::codec::entry::EntryParts;
use crate::codec::{Cursor, Malformed, erasable};
use crate::limits::LISTED_REFERENCES_MAX;

mod footer;
mod read;

/// The distinct hashes that the events of a segment refer to; of erasable channels none are listed, since a redaction
/// leaves no trace of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct References {
    /// Absent where they are not known as a whole, or too many to be listed.
    listed: Option<BTreeSet<Hash>>,
}

impl Default for References {
    fn default() -> Self {
        Self { listed: Some(BTreeSet::new()) }
    }
}

impl References {
    /// Those of a segment that has lost entries, or of which nobody makes a footer.
    pub(crate) fn unlisted() -> Self {
        Self { listed: None }
    }

    /// Adds what an entry's events refer to; `None` where an event does not read.
    pub(crate) fn add(&mut self, hashes: Option<&[Hash]>) {
        match (&mut self.listed, hashes) {
            (Some(listed), Some(hashes)) => listed.extend(hashes),
            (listed, _) => *listed = None,
        }
        if self.listed.as_ref().is_some_and(|listed| listed.len() > LISTED_REFERENCES_MAX) {
            self.listed = None;
        }
    }

    /// Adds what the events of an entry refer to that was read.
    pub(crate) fn add_entry(&mut self, parts: &EntryParts<'_>) {
        if self.listed.is_some() {
            self.add(of_entry(parts).as_deref());
        }
    }

    /// Returns the hashes in rising order, if they are to be listed.
    pub(crate) fn list(&self) -> Option<Vec<Hash>> {
        self.listed.as_ref().map(|listed| listed.iter().copied().collect())
    }
}

/// Returns what the events of an entry refer to, but for those of erasable channels; `None` where an event does not
/// read.
pub(crate) fn of_entry(parts: &EntryParts<'_>) -> Option<Vec<Hash>> {
    let mut hashes = Vec::new();
    for (item, block) in parts.items().filter(|(item, _)| !item.erasable) {
        each_of_block(item, block, |_, reference| hashes.push(reference.hash)).ok()?;
    }
    Some(hashes)
}

/// Calls `take` with every reference of a block's events, and the number of its event.
fn each_of_block(
    item: &BlockItem,
    block: &[u8],
    mut take: impl FnMut(Seq, BlobReference),
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(block);
    for nth in 0..item.events {
        let event = erasable::find_event(&mut cursor, item.erasable)?;
        if event.has_blobs_if_any() {
            event.check(false)?;
            event.blobs().iter().for_each(|reference| take(item.first_seq.plus(nth.into()), reference));
        }
    }
    cursor.finish("block length")
}

#[cfg(test)]
mod tests;
