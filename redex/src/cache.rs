//! What reads keep: directories and blocks of indexes, frames and pages, bounded in bytes, and open files, bounded in
//! number.

use std::sync::Arc;

use base::DiskFile;
use bytes::Bytes;
use moka::sync::Cache;
use rustc_hash::FxBuildHasher;

use crate::error::ReadError;
use crate::index::Point;
use crate::index::points::IndexFile;
use crate::lookup::Page;

/// Names something that was read of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The segment's number.
    pub segment: u64,
    /// Where the frame begins that it was read from.
    pub offset: u64,
    /// Tells the pages of several channels apart; 0 is the frame itself.
    pub tag: u64,
}

/// What was read there, and verified.
#[derive(Debug, Clone)]
pub(crate) enum Cached {
    /// A frame as it is stored.
    Frame(Bytes),
    /// The events of a channel from there on.
    Page(Arc<Page>),
}

/// Files that are kept open; processes often may open no more than 1,024.
const FILES_MAX: u64 = 128;

/// Which file of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FileKind {
    Segment,
    Index,
}

/// What was read of an index file.
#[derive(Clone)]
enum IndexPart {
    Directory(Arc<IndexFile>),
    Block(Arc<Vec<Point>>),
}

/// Where directories stand in index files; no block does.
const DIRECTORY_AT: u64 = 0;

/// A bounded cache; cloning shares it.
#[derive(Clone)]
pub(crate) struct BlockCache {
    index: Cache<(u64, u64), IndexPart, FxBuildHasher>,
    read: Cache<Place, Cached, FxBuildHasher>,
    files: Cache<(u64, FileKind), Arc<dyn DiskFile>, FxBuildHasher>,
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockCache({} bytes of frames and pages)", self.read.weighted_size())
    }
}

impl BlockCache {
    /// Returns how many bytes of frames and pages it keeps at most.
    pub(crate) fn bytes(&self) -> u64 {
        self.read.policy().max_capacity().unwrap_or(u64::MAX)
    }

    /// Makes a cache of at most `bytes` bytes, an eighth of them for indexes.
    pub(crate) fn new(bytes: u64) -> Self {
        let index = bytes / 8;
        Self {
            index: Cache::builder()
                .max_capacity(index)
                .weigher(|_, part: &IndexPart| match part {
                    IndexPart::Directory(file) => weight(file.directory.weight()),
                    IndexPart::Block(points) => weight(points.len() * size_of::<Point>()),
                })
                .build_with_hasher(FxBuildHasher),
            read: Cache::builder()
                .max_capacity(bytes - index)
                .weigher(|_, cached: &Cached| match cached {
                    Cached::Frame(frame) => weight(frame.len()),
                    Cached::Page(page) => weight(page.weight()),
                })
                .build_with_hasher(FxBuildHasher),
            files: Cache::builder().max_capacity(FILES_MAX).build_with_hasher(FxBuildHasher),
        }
    }

    /// Returns the index file of a sealed segment, whose directory was read; `None` if it does not read.
    pub(crate) fn index_file(
        &self,
        segment: u64,
        open: impl FnOnce() -> Option<IndexFile>,
    ) -> Option<Arc<IndexFile>> {
        if let Some(IndexPart::Directory(file)) = self.index.get(&(segment, DIRECTORY_AT)) {
            return Some(file);
        }
        let file = Arc::new(open()?);
        self.index.insert((segment, DIRECTORY_AT), IndexPart::Directory(Arc::clone(&file)));
        Some(file)
    }

    pub(crate) fn index_block(
        &self,
        segment: u64,
        offset: u64,
        load: impl FnOnce() -> Result<Vec<Point>, ReadError>,
    ) -> Result<Arc<Vec<Point>>, ReadError> {
        if let Some(IndexPart::Block(points)) = self.index.get(&(segment, offset)) {
            return Ok(points);
        }
        let points = Arc::new(load()?);
        self.index.insert((segment, offset), IndexPart::Block(Arc::clone(&points)));
        Ok(points)
    }

    /// Returns an open file of a segment.
    pub(crate) fn file(
        &self,
        segment: u64,
        kind: FileKind,
        open: impl FnOnce() -> std::io::Result<Arc<dyn DiskFile>>,
    ) -> std::io::Result<Arc<dyn DiskFile>> {
        if let Some(file) = self.files.get(&(segment, kind)) {
            return Ok(file);
        }
        let file = open()?;
        self.files.insert((segment, kind), Arc::clone(&file));
        Ok(file)
    }

    /// Lets go of the files of a segment that is removed, whose bytes would else stay in use.
    pub(crate) fn forget(&self, segment: u64) {
        self.index.invalidate(&(segment, DIRECTORY_AT));
        self.files.invalidate(&(segment, FileKind::Segment));
        self.files.invalidate(&(segment, FileKind::Index));
    }

    /// Returns what is kept of a place.
    pub(crate) fn get(&self, place: &Place) -> Option<Cached> {
        self.read.get(place)
    }

    /// Lets go of everything that was read, some of which was overwritten.
    pub(crate) fn forget_read(&self) {
        self.read.invalidate_all();
    }

    pub(crate) fn keep(&self, place: Place, cached: Cached) {
        self.read.insert(place, cached);
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes + 64).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use base::{ChannelName, Hash, Index, LogId, Seq, Timestamp};

    use super::*;
    use crate::codec::block::BlockItem;
    use crate::index::SegmentIndex;
    use crate::index::file::{IndexOwner, decode_directory, encode};

    #[test]
    fn directories_of_indexes_take_no_more_than_their_part_of_the_cache() {
        let item = |number| BlockItem {
            channel: ChannelName::new(&format!("orders/{number}")).unwrap(),
            first_seq: Seq::ZERO,
            events: 1,
            bytes: 1,
            erasable: false,
            hash: Hash::ZERO,
        };
        let mut index = SegmentIndex::default();
        index.add(Index(0), 0, Timestamp::from_nanos(0), &(0..100).map(item).collect::<Vec<_>>());
        let owner = IndexOwner { log: LogId::from_bytes([1; 16]), segment: 0, segment_bytes: 1 };
        let bytes = encode(owner, &index);
        let directory = decode_directory(&bytes, owner, bytes.len() as u64).unwrap();
        let weight = directory.weight() as u64;
        let cache = BlockCache::new(8 * 10 * weight);
        let open = || Some(IndexFile { path: PathBuf::new(), directory: directory.clone() });
        for segment in 0..200 {
            assert!(cache.index_file(segment, open).is_some());
            assert!(cache.index_file(segment, || None).is_some() || segment > 5, "{segment}");
        }
        cache.index.run_pending_tasks();
        assert!(cache.index.weighted_size() <= 10 * weight, "{} of {weight}", cache.index.weighted_size());
        assert!(cache.index.entry_count() > 5);
    }
}
