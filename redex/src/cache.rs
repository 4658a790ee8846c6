//! What reads keep: index blocks, frames and pages, bounded in bytes, and open files, bounded in number.

use std::sync::Arc;

use base::DiskFile;
use bytes::Bytes;
use moka::sync::Cache;
use rustc_hash::FxBuildHasher;

use crate::error::ReadError;
use crate::index::Point;
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

/// A bounded cache; cloning shares it.
#[derive(Clone)]
pub(crate) struct BlockCache {
    index_blocks: Cache<(u64, u64), Arc<Vec<Point>>, FxBuildHasher>,
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

    /// Makes a cache of at most `bytes` bytes, an eighth of them for index blocks.
    pub(crate) fn new(bytes: u64) -> Self {
        let index = bytes / 8;
        Self {
            index_blocks: Cache::builder()
                .max_capacity(index)
                .weigher(|_, points: &Arc<Vec<Point>>| weight(points.len() * size_of::<Point>()))
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

    pub(crate) fn index_block(
        &self,
        segment: u64,
        offset: u64,
        load: impl FnOnce() -> Result<Vec<Point>, ReadError>,
    ) -> Result<Arc<Vec<Point>>, ReadError> {
        if let Some(points) = self.index_blocks.get(&(segment, offset)) {
            return Ok(points);
        }
        let points = Arc::new(load()?);
        self.index_blocks.insert((segment, offset), Arc::clone(&points));
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
