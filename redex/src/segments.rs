//! The segment files of a log, as readers share them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use base::{ChannelName, Disk, DiskFile, Index, LogId, OpenMode, Position, Seq};

use crate::cache::BlockCache;
use crate::codec::segment_header::{file_name, parse_file_name};
use crate::error::ReadError;
use crate::hashing::LogHasher;
use crate::index::SegmentIndex;
use crate::index::file::{self, IndexOwner, decode_directory, decode_header};
use crate::index::points::{IndexFile, IndexSource};
use crate::replay::{LoadedSegment, Replay};

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u64,
    pub first_index: Index,
    pub path: PathBuf,
    file: OnceLock<Arc<dyn DiskFile>>,
    index: Mutex<Option<IndexSource>>,
    /// Where the last frame that may be read ends; unset while the segment is not known as a whole.
    pub sealed: OnceLock<Sealed>,
}

/// What is known of a segment that takes no more entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub next_index: Index,
}

impl Segment {
    pub(crate) fn new(dir: &Path, number: u64, first_index: Index) -> Self {
        let path = dir.join(file_name(number, first_index));
        let index = Mutex::new(None);
        Self { number, first_index, path, file: OnceLock::new(), index, sealed: OnceLock::new() }
    }

    /// Opens the file on first use.
    pub(crate) fn file(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, ReadError> {
        if let Some(file) = self.file.get() {
            return Ok(Arc::clone(file));
        }
        let file = disk.open(&self.path, OpenMode::Read).map_err(ReadError::io(&self.path))?;
        Ok(Arc::clone(self.file.get_or_init(|| file)))
    }

    pub(crate) fn set_index(&self, source: IndexSource) {
        *self.index() = Some(source);
    }

    fn index(&self) -> MutexGuard<'_, Option<IndexSource>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_path(&self) -> PathBuf {
        self.path.with_extension("idx")
    }
}

/// The segments of one log, by first index.
#[derive(Debug)]
pub(crate) struct Segments {
    pub dir: PathBuf,
    pub log: LogId,
    pub disk: Arc<dyn Disk>,
    pub hasher: LogHasher,
    pub cache: BlockCache,
    map: RwLock<BTreeMap<u64, Arc<Segment>>>,
}

impl Segments {
    pub(crate) fn new(dir: &Path, log: LogId, disk: Arc<dyn Disk>, cache_bytes: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            log,
            disk,
            hasher: LogHasher::new(log),
            cache: BlockCache::new(cache_bytes),
            map: RwLock::default(),
        }
    }

    fn map(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, segment: Arc<Segment>) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let first = segment.first_index;
        if let Some((_, before)) = map.range(..first.0).next_back() {
            before.sealed.get_or_init(|| Sealed { next_index: first });
        }
        map.insert(first.0, segment);
    }

    /// Takes up every segment file that is not known yet; returns them in order.
    pub(crate) fn discover(&self) -> std::io::Result<()> {
        let mut found: Vec<_> =
            self.disk.list(&self.dir)?.iter().filter_map(|name| parse_file_name(name)).collect();
        found.sort_unstable();
        for (number, first_index) in found {
            if !self.map().contains_key(&first_index.0) {
                self.insert(Arc::new(Segment::new(&self.dir, number, first_index)));
            }
        }
        Ok(())
    }

    /// Returns all segments in order.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.map().values().cloned().collect()
    }

    pub(crate) fn last(&self) -> Option<Arc<Segment>> {
        self.map().values().next_back().cloned()
    }

    /// Returns the segments that hold entries with indexes from `from` to below `to`, in order.
    pub(crate) fn between(&self, from: u64, to: u64) -> Vec<Arc<Segment>> {
        let map = self.map();
        let first = map.range(..=from).next_back().map_or(from, |(first, _)| *first);
        if first >= to {
            return Vec::new();
        }
        map.range(first..to).map(|(_, segment)| Arc::clone(segment)).collect()
    }

    /// Returns the index of a segment: the one in memory, its file, or one rebuilt from the segment.
    pub(crate) fn index(&self, segment: &Segment) -> Result<IndexSource, ReadError> {
        let mut slot = segment.index();
        if let Some(source) = &*slot {
            return Ok(source.clone());
        }
        let source = match self.open_index(segment) {
            Some(file) => IndexSource::File(Arc::new(file)),
            None => {
                let index = self.rebuild_index(segment)?;
                tracing::info!(segment = segment.number, "index rebuilt in memory");
                IndexSource::Memory(Arc::new(RwLock::new(index)))
            }
        };
        *slot = Some(source.clone());
        Ok(source)
    }

    /// Returns the number that follows a segment's last event of a channel; `None` when it has none.
    pub(crate) fn next_seq(
        &self,
        segment: &Segment,
        channel: &ChannelName,
    ) -> Result<Option<Seq>, ReadError> {
        Ok(match self.index(segment)? {
            IndexSource::Memory(index) => {
                let index = index.read().unwrap_or_else(PoisonError::into_inner);
                index.channels.get(channel).map(|list| list.next)
            }
            IndexSource::File(file) => file.directory.list(Some(channel)).map(|list| list.next),
        })
    }

    fn owner(&self, segment: &Segment, segment_bytes: u64) -> IndexOwner {
        IndexOwner { log: self.log, segment: segment.number, segment_bytes }
    }

    /// Opens the index file of a segment; `None` when there is none that reads.
    fn open_index(&self, segment: &Segment) -> Option<IndexFile> {
        let path = segment.index_path();
        let index = self.disk.open(&path, OpenMode::Read).ok()?;
        let segment_bytes = segment.file(&*self.disk).ok()?.length().ok()?;
        let owner = self.owner(segment, segment_bytes);
        let length = index.length().ok()?;
        let mut bytes = vec![0; 64];
        base::read_exact_at(&*index, &mut bytes, 0).ok()?;
        let end = decode_header(&bytes, owner).ok().filter(|end| *end as u64 <= length)?;
        bytes.resize(end, 0);
        base::read_exact_at(&*index, &mut bytes, 0).ok()?;
        let directory = decode_directory(&bytes, owner, length).ok()?;
        let cache = self.cache.clone();
        Some(IndexFile { path, file: index, segment: segment.number, directory, cache })
    }

    /// Forgets an index file that turned out damaged; the next use rebuilds the index.
    pub(crate) fn distrust_index(&self, segment: &Segment) -> Result<(), ReadError> {
        let index = self.rebuild_index(segment)?;
        tracing::warn!(segment = segment.number, "index file damaged, rebuilt in memory");
        segment.set_index(IndexSource::Memory(Arc::new(RwLock::new(index))));
        Ok(())
    }

    fn rebuild_index(&self, segment: &Segment) -> Result<SegmentIndex, ReadError> {
        let loaded = self.load(segment)?;
        let mut replay = Replay::begin(loaded.view()).map_err(|malformed| {
            ReadError::Corrupt(crate::error::Corruption {
                file: segment.path.clone(),
                offset: crate::codec::segment_header::SEGMENT_HEADER_BYTES as u64,
                expected: "a state frame".to_owned(),
                found: malformed.to_string(),
            })
        })?;
        replay.run(loaded.view(), &self.hasher, Position(u64::MAX));
        Ok(replay.index)
    }

    /// Writes the index file of a sealed segment; it is derived, so that failing to is no failure.
    pub(crate) fn write_index(&self, segment: &Segment, segment_bytes: u64, index: &SegmentIndex) {
        let bytes = file::encode(self.owner(segment, segment_bytes), index);
        let path = segment.index_path();
        let written = self.disk.open(&path, OpenMode::OpenOrCreate).and_then(|file| {
            file.set_length(0)?;
            base::write_all_at(&*file, &bytes, 0)
        });
        if let Err(cause) = written {
            tracing::warn!(path = %path.display(), %cause, "index file not written");
        }
    }

    /// Reads a whole segment file.
    pub(crate) fn load(&self, segment: &Segment) -> Result<LoadedSegment, ReadError> {
        let file = segment.file(&*self.disk)?;
        let bytes = base::read_to_end(&*file, usize::MAX).map_err(ReadError::io(&segment.path))?;
        Ok(LoadedSegment { log: self.log, number: segment.number, begin: 0, bytes })
    }

    /// Reads at most `count` bytes of a segment file from an offset on.
    pub(crate) fn load_part(
        &self,
        segment: &Segment,
        begin: u64,
        count: u64,
    ) -> Result<LoadedSegment, ReadError> {
        let file = segment.file(&*self.disk)?;
        let length = file.length().map_err(ReadError::io(&segment.path))?;
        let count = length.saturating_sub(begin).min(count);
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        base::read_exact_at(&*file, &mut bytes, begin).map_err(ReadError::io(&segment.path))?;
        Ok(LoadedSegment { log: self.log, number: segment.number, begin, bytes })
    }
}
