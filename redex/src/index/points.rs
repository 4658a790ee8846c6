//! A list of points, wherever it is kept.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use base::{ChannelName, Timestamp};

use super::file::{BLOCK_BYTES, Directory, ListDirectory, decode_block};
use super::{Point, SegmentIndex, Target, search};
use crate::error::{Corruption, ReadError};
use crate::segments::{Segment, Segments};

/// An index file whose directory was read.
#[derive(Debug)]
pub(crate) struct IndexFile {
    pub path: PathBuf,
    pub directory: Directory,
}

impl IndexFile {
    fn block(
        &self,
        segments: &Segments,
        segment: &Segment,
        list: &ListDirectory,
        block: usize,
    ) -> Result<Arc<Vec<Point>>, ReadError> {
        let offset = self.directory.block_offset(list, block);
        segments.cache.index_block(segment.number, offset, || {
            let mut bytes = vec![0; BLOCK_BYTES];
            let file = segments.index_file(segment).map_err(ReadError::io(&self.path))?;
            let found = match base::read_exact_at(&*file, &mut bytes, offset) {
                Ok(()) => decode_block(&bytes).map_err(|malformed| malformed.to_string()),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(error.to_string()),
                Err(error) => return Err(ReadError::io(&self.path)(error)),
            };
            found.map_err(|found| {
                let (file, expected) = (self.path.clone(), "an index block".to_owned());
                ReadError::Corrupt(Corruption { file, offset, expected, found })
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

impl IndexSource {
    /// Returns the numbers of a channel's events; `None` when it has none.
    pub(crate) fn seqs(&self, channel: &ChannelName) -> Option<Range<u64>> {
        match self {
            Self::Memory(index) => {
                read(index).channels.get(channel).map(|channel| channel.first.0..channel.next.0)
            }
            Self::File(file) => file.directory.list(Some(channel)).map(|list| list.first.0..list.next.0),
        }
    }

    /// Returns how many events there are.
    pub(crate) fn events(&self) -> u64 {
        match self {
            Self::Memory(index) => read(index).events,
            Self::File(file) => file.directory.events,
        }
    }

    /// Tells whether entries are missing of which nobody knows the channels.
    pub(crate) fn is_damaged(&self) -> bool {
        match self {
            Self::Memory(index) => read(index).damaged,
            Self::File(_) => false,
        }
    }

    /// Returns when the first and the last entry were recorded; `None` when there is none.
    pub(crate) fn recorded(&self) -> Option<(Timestamp, Timestamp)> {
        let (entries, first, last) = match self {
            Self::Memory(index) => {
                let index = read(index);
                (index.entries, index.first_recorded_at, index.last_recorded_at)
            }
            Self::File(file) => {
                let directory = &file.directory;
                (directory.entries, directory.first_recorded_at, directory.last_recorded_at)
            }
        };
        (entries > 0).then_some((first, last))
    }
}

/// The points of one channel, or of all entries, in one segment. Where the index file turns out damaged, it
/// goes on with one that is rebuilt from the segment.
#[derive(Debug)]
pub(crate) struct PointList {
    segments: Arc<Segments>,
    segment: Arc<Segment>,
    source: IndexSource,
    channel: Option<ChannelName>,
    /// Index blocks that were looked at.
    pub blocks_read: u64,
    last_block: Option<(usize, Arc<Vec<Point>>)>,
}

impl PointList {
    pub(crate) fn new(
        segments: &Arc<Segments>,
        segment: &Arc<Segment>,
        channel: Option<ChannelName>,
    ) -> Result<Self, ReadError> {
        let source = segments.index(segment)?;
        let (segments, segment) = (Arc::clone(segments), Arc::clone(segment));
        Ok(Self { segments, segment, source, channel, blocks_read: 0, last_block: None })
    }

    /// Tells whether these are the points of one channel.
    pub(crate) fn of_channel(&self) -> bool {
        self.channel.is_some()
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
        self.repairing(|list| list.try_search(target))
    }

    /// Returns the point at a place; `None` behind the last.
    pub(crate) fn get(&mut self, place: usize) -> Result<Option<Point>, ReadError> {
        self.repairing(|list| list.try_get(place))
    }

    /// Returns the number below which the channel's events stand before the next point, or before the end of
    /// the segment.
    pub(crate) fn seq_behind(&mut self, place: usize) -> Result<u64, ReadError> {
        if let Some(next) = self.get(place + 1)? {
            return Ok(next.seq);
        }
        let seqs = self.channel.as_ref().and_then(|channel| self.source.seqs(channel));
        Ok(seqs.map_or(u64::MAX, |seqs| seqs.end))
    }

    /// Looks into the list; when the index file is damaged, again into a rebuilt one.
    fn repairing<R>(
        &mut self,
        mut look: impl FnMut(&mut Self) -> Result<R, ReadError>,
    ) -> Result<R, ReadError> {
        match look(self) {
            Err(ReadError::Corrupt(corruption)) if corruption.file == self.segment.index_path() => {
                self.source = self.segments.distrust_index(&self.segment)?;
                self.last_block = None;
                look(self)
            }
            found => found,
        }
    }

    fn try_search(&mut self, target: Target) -> Result<usize, ReadError> {
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
        let part = list.part(block);
        Ok(part.first + search(points.get(part.within).unwrap_or_default(), target))
    }

    fn try_get(&mut self, place: usize) -> Result<Option<Point>, ReadError> {
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
        let points = file.block(&self.segments, &self.segment, list, block)?;
        self.blocks_read += 1;
        self.last_block = Some((block, Arc::clone(&points)));
        Ok(points)
    }
}

fn read(index: &RwLock<SegmentIndex>) -> RwLockReadGuard<'_, SegmentIndex> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}
