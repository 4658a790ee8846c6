//! A list of points, wherever it is kept.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use base::{ChannelName, DiskFile};

use super::file::{BLOCK_BYTES, Directory, ListDirectory, decode_block};
use super::{Point, SegmentIndex, Target, search};
use crate::cache::BlockCache;
use crate::error::{Corruption, ReadError};

/// An open index file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    pub segment: u64,
    pub directory: Directory,
    pub cache: BlockCache,
}

impl IndexFile {
    fn block(&self, list: &ListDirectory, block: usize) -> Result<Arc<Vec<Point>>, ReadError> {
        let offset = self.directory.block_offset(list, block);
        self.cache.index_block(self.segment, offset, || {
            let mut bytes = vec![0; BLOCK_BYTES];
            base::read_exact_at(&*self.file, &mut bytes, offset).map_err(ReadError::io(&self.path))?;
            decode_block(&bytes).map_err(|malformed| {
                ReadError::Corrupt(Corruption {
                    file: self.path.clone(),
                    offset,
                    expected: "an index block".to_owned(),
                    found: malformed.to_string(),
                })
            })
        })
    }
}

/// The index of a segment, in memory or in its file.
#[derive(Debug, Clone)]
pub(crate) enum IndexSource {
    Memory(Arc<RwLock<SegmentIndex>>),
    File(Arc<IndexFile>),
}

/// The points of one channel, or of all entries, in one segment.
#[derive(Debug)]
pub(crate) struct PointList {
    source: IndexSource,
    channel: Option<ChannelName>,
    /// Index blocks that were looked at.
    pub blocks_read: u64,
    last_block: Option<(usize, Arc<Vec<Point>>)>,
}

impl PointList {
    pub(crate) fn new(source: IndexSource, channel: Option<ChannelName>) -> Self {
        Self { source, channel, blocks_read: 0, last_block: None }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.source {
            IndexSource::Memory(index) => read(index).list(self.channel.as_ref()).len(),
            IndexSource::File(file) => {
                file.directory.list(self.channel.as_ref()).map_or(0, |list| list.points)
            }
        }
    }

    /// Returns the place of the last point from which `target` is reached, or of the first point.
    pub(crate) fn search(&mut self, target: Target) -> Result<usize, ReadError> {
        let file = match &self.source {
            IndexSource::Memory(index) => {
                return Ok(search(read(index).list(self.channel.as_ref()), target));
            }
            IndexSource::File(file) => Arc::clone(file),
        };
        let Some(list) = file.directory.list(self.channel.as_ref()) else { return Ok(0) };
        if list.points == 0 {
            return Ok(0);
        }
        let block = list.block_of(target);
        let points = self.load(&file, list, block)?;
        let (first, count) = list.block_range(block);
        Ok(first + search(&points[..count.min(points.len())], target))
    }

    /// Returns the point at a place; `None` behind the last.
    pub(crate) fn get(&mut self, place: usize) -> Result<Option<Point>, ReadError> {
        let file = match &self.source {
            IndexSource::Memory(index) => {
                return Ok(read(index).list(self.channel.as_ref()).get(place).copied());
            }
            IndexSource::File(file) => Arc::clone(file),
        };
        let list = file.directory.list(self.channel.as_ref()).filter(|list| place < list.points);
        let Some(list) = list else { return Ok(None) };
        let (block, within) = list.place(place);
        Ok(self.load(&file, list, block)?.get(within).copied())
    }

    fn load(
        &mut self,
        file: &IndexFile,
        list: &ListDirectory,
        block: usize,
    ) -> Result<Arc<Vec<Point>>, ReadError> {
        if let Some((_, points)) = self.last_block.as_ref().filter(|(last, _)| *last == block) {
            return Ok(Arc::clone(points));
        }
        let points = file.block(list, block)?;
        self.blocks_read += 1;
        self.last_block = Some((block, Arc::clone(&points)));
        Ok(points)
    }
}

fn read(index: &RwLock<SegmentIndex>) -> std::sync::RwLockReadGuard<'_, SegmentIndex> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}
