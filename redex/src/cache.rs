//! What reads keep: index blocks and frames, bounded in bytes, and open files, bounded in number.

use std::sync::Arc;

use base::DiskFile;
use bytes::Bytes;
use moka::sync::Cache;

use crate::error::ReadError;
use crate::index::Point;

/// Names a piece of a segment: segment number and offset.
type Place = (u64, u64);

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
    index_blocks: Cache<Place, Arc<Vec<Point>>>,
    frames: Cache<Place, Bytes>,
    files: Cache<(u64, FileKind), Arc<dyn DiskFile>>,
}

impl std::fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockCache({} bytes of frames)", self.frames.weighted_size())
    }
}

impl BlockCache {
    /// Makes a cache of at most `bytes` bytes, an eighth of them for index blocks.
    pub(crate) fn new(bytes: u64) -> Self {
        let index = bytes / 8;
        Self {
            index_blocks: Cache::builder()
                .max_capacity(index)
                .weigher(|_, points: &Arc<Vec<Point>>| weight(points.len() * size_of::<Point>()))
                .build(),
            frames: Cache::builder()
                .max_capacity(bytes - index)
                .weigher(|_, frame: &Bytes| weight(frame.len()))
                .build(),
            files: Cache::new(FILES_MAX),
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

    /// Returns the verified body of the frame at a place, if it is cached.
    pub(crate) fn frame(&self, segment: u64, offset: u64) -> Option<Bytes> {
        self.frames.get(&(segment, offset))
    }

    /// Lets go of all frames, some of which were overwritten.
    pub(crate) fn forget_frames(&self) {
        self.frames.invalidate_all();
    }

    pub(crate) fn keep_frame(&self, segment: u64, offset: u64, body: Bytes) {
        self.frames.insert((segment, offset), body);
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes + 64).unwrap_or(u32::MAX)
}
