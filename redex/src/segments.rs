//! The segment files of a log, as readers share them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use base::{ChannelName, Disk, DiskFile, Index, LogId, OpenMode, Position, Timestamp};

use crate::cache::{BlockCache, FileKind};
use crate::chain::Chain;
use crate::codec::control::RedactionRecord;
use crate::codec::entry;
use crate::codec::frame::FrameKind;
use crate::codec::segment_header::{SEGMENT_HEADER_BYTES, file_name, parse_file_name};
use crate::codec::state::Beginning;
use crate::error::{Corruption, ReadError};
use crate::frames::is_zero;
use crate::hashing::LogHasher;
use crate::index::SegmentIndex;
use crate::index::file::{self, IndexOwner, decode_directory, decode_header};
use crate::index::points::{IndexFile, IndexSource};
use crate::redaction::{self, Masks};
use crate::replay::{LoadedSegment, decode_hole_frame, read_state};
use crate::state::LogState;

/// Bytes of a segment that mostly hold its state frames.
const STATE_BYTES_FIRST: u64 = 256 << 10;

/// The index of a segment in memory.
pub(crate) type SharedIndex = Arc<RwLock<SegmentIndex>>;

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u64,
    pub first_index: Index,
    pub path: PathBuf,
    /// Its index, where that is in memory: while it is the newest one, or when its file does not read.
    index: Mutex<Option<SharedIndex>>,
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
        Self { number, first_index, path, index, sealed: OnceLock::new() }
    }

    pub(crate) fn set_index(&self, index: SharedIndex) {
        *self.index() = Some(index);
    }

    /// Lets go of the index in memory; the next use reads the file.
    pub(crate) fn release_index(&self) {
        *self.index() = None;
    }

    fn index(&self) -> MutexGuard<'_, Option<SharedIndex>> {
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
    pub masks: Arc<Masks>,
    /// Segments with entries below were forgotten, since the log gave them up.
    forgotten: AtomicU64,
    /// Up to where a writer of this process has written entries.
    written: AtomicU64,
    /// How often entries were cut off; held while that is done, and then taken before anything else of this.
    cuts: Mutex<u64>,
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
            masks: Arc::default(),
            forgotten: AtomicU64::new(0),
            written: AtomicU64::new(0),
            cuts: Mutex::new(0),
        }
    }

    fn map(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Arc<Segment>>> {
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

    /// Lets no reader see the content of redacted events from now on.
    pub(crate) fn redact(&self, record: &RedactionRecord) {
        self.masks.add(record);
        self.cache.forget_read();
    }

    /// Writes a redaction that is due over bytes that were read: a writer may be at it, or was when it crashed.
    fn patch(&self, loaded: &mut LoadedSegment) {
        if let Some(redo) = redaction::due(&*self.disk, &self.dir, self.log) {
            redo.patch(loaded.number, loaded.begin, &mut loaded.bytes);
        }
    }

    /// Returns all segments in order.
    pub(crate) fn all(&self) -> Vec<Arc<Segment>> {
        self.map().values().cloned().collect()
    }

    pub(crate) fn last(&self) -> Option<Arc<Segment>> {
        self.map().values().next_back().cloned()
    }

    /// Returns the position below which segments were forgotten.
    pub(crate) fn forgotten(&self) -> Position {
        Position(self.forgotten.load(Ordering::SeqCst))
    }

    /// Tells readers that a log begins at a position, though its own record of that may come later.
    pub(crate) fn begin_at(&self, position: Position) {
        self.forgotten.fetch_max(position.0, Ordering::SeqCst);
    }

    /// Notes up to where entries were written by this process.
    pub(crate) fn note_written(&self, position: Position) {
        self.written.store(position.0, Ordering::SeqCst);
    }

    /// Returns up to where entries were written by this process, durable or not; zero where another one writes.
    pub(crate) fn written(&self) -> Position {
        Position(self.written.load(Ordering::SeqCst))
    }

    /// Returns how often entries were cut off. None are while this is held.
    pub(crate) fn cuts(&self) -> MutexGuard<'_, u64> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the segments that hold nothing from `position` on; returns them, the oldest first.
    pub(crate) fn forget_below(&self, position: Position) -> Vec<Arc<Segment>> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut forgotten = Vec::new();
        while let Some(next) = map.keys().nth(1).copied().filter(|next| *next <= position.0) {
            let Some((_, segment)) = map.pop_first() else { break };
            self.cache.forget(segment.number);
            // Readers may have been told of more: this goes segment by segment.
            self.forgotten.fetch_max(next, Ordering::SeqCst);
            tracing::debug!(segment = segment.number, next, "segment forgotten");
            forgotten.push(segment);
        }
        forgotten
    }

    /// Removes the files of segments that hold nothing from `position` on, the oldest first; returns of how many.
    /// What could not be removed is when the log is opened next.
    pub(crate) fn remove_below(&self, position: Position) -> usize {
        let forgotten = self.forget_below(position);
        for segment in &forgotten {
            for path in [&segment.path, &segment.index_path()] {
                match self.disk.remove(path) {
                    Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                        tracing::warn!(path = %path.display(), %cause, "file not removed");
                    }
                    _ => {}
                }
            }
        }
        if !forgotten.is_empty()
            && let Err(cause) = self.disk.sync_directory(&self.dir)
        {
            tracing::warn!(dir = %self.dir.display(), %cause, "directory not synced");
        }
        forgotten.len()
    }

    /// Returns how many bytes the file of a segment has.
    pub(crate) fn bytes(&self, segment: &Segment) -> Result<u64, ReadError> {
        self.file(segment)?.length().map_err(ReadError::io(&segment.path))
    }

    /// Forgets the segments that begin at `index` or behind; returns them, the newest first. What was read of the
    /// one before is forgotten, too.
    pub(crate) fn forget_from(&self, index: Index) -> Vec<Arc<Segment>> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut forgotten: Vec<_> = map.split_off(&index.0).into_values().collect();
        let last = map.values().next_back();
        forgotten.iter().chain(last).for_each(|segment| self.cache.forget(segment.number));
        forgotten.reverse();
        forgotten
    }

    /// Returns the segment that holds an entry.
    pub(crate) fn at(&self, index: Index) -> Option<Arc<Segment>> {
        self.map().range(..=index.0).next_back().map(|(_, segment)| Arc::clone(segment))
    }

    /// Returns the segment before another one.
    pub(crate) fn before(&self, segment: &Segment) -> Option<Arc<Segment>> {
        self.map().range(..segment.first_index.0).next_back().map(|(_, before)| Arc::clone(before))
    }

    /// Removes the files of a segment.
    pub(crate) fn remove_files(&self, segment: &Segment) -> std::io::Result<()> {
        for path in [segment.index_path(), segment.path.clone()] {
            match self.disk.remove(&path) {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads log state and chain as they were when a segment began.
    pub(crate) fn state_at(&self, segment: &Segment) -> Result<(LogState, Chain), ReadError> {
        let first = self.load_part(segment, 0, STATE_BYTES_FIRST)?;
        let (Beginning { state, chain, .. }, ..) = match read_state(first.view()) {
            Ok(read) => read,
            Err(_) => read_state(self.load(segment)?.view()).map_err(|malformed| {
                ReadError::Corrupt(Corruption {
                    file: segment.path.clone(),
                    offset: SEGMENT_HEADER_BYTES as u64,
                    expected: "two state frames".to_owned(),
                    found: format!("a wrong {malformed}"),
                })
            })?,
        };
        Ok((state, chain))
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
        if let Some(index) = &*slot {
            return Ok(IndexSource::Memory(Arc::clone(index)));
        }
        if let Some(file) = self.cache.index_file(segment.number, || self.open_index(segment)) {
            return Ok(IndexSource::File(file));
        }
        let index = Arc::new(RwLock::new(self.rebuild_index(segment)?));
        tracing::info!(segment = segment.number, "index rebuilt in memory");
        *slot = Some(Arc::clone(&index));
        Ok(IndexSource::Memory(index))
    }

    /// Returns the numbers of a channel in a segment; `None` when the segment has no event of it.
    pub(crate) fn seqs(
        &self,
        segment: &Segment,
        channel: &ChannelName,
    ) -> Result<Option<Range<u64>>, ReadError> {
        Ok(self.index(segment)?.seqs(channel))
    }

    /// Returns when the first and the last entry of a segment were recorded; `None` when it has none.
    pub(crate) fn recorded(&self, segment: &Segment) -> Result<Option<(Timestamp, Timestamp)>, ReadError> {
        Ok(self.index(segment)?.recorded())
    }

    /// Opens a segment's file, or returns it when it is open.
    pub(crate) fn file(&self, segment: &Segment) -> Result<Arc<dyn DiskFile>, ReadError> {
        let open = || self.disk.open(&segment.path, OpenMode::Read);
        self.cache.file(segment.number, FileKind::Segment, open).map_err(|source| {
            let first = self.forgotten();
            match segment.first_index.0 < first.0 {
                true => ReadError::Trimmed { first },
                false => {
                    self.given_up_meanwhile(segment).unwrap_or_else(|| ReadError::io(&segment.path)(source))
                }
            }
        })
    }

    /// Tells a reader that a segment was given up by a writer in another process, if it is the oldest that the
    /// reader knows, and is gone while a later one is there.
    fn given_up_meanwhile(&self, segment: &Segment) -> Option<ReadError> {
        let map = self.map();
        let mut known = map.values();
        let oldest = known.next().filter(|oldest| oldest.first_index == segment.first_index)?;
        let is_there = |segment: &Segment| self.disk.exists(&segment.path).unwrap_or(true);
        let next = known.find(|next| is_there(next)).filter(|_| !is_there(oldest))?;
        Some(ReadError::Trimmed { first: Position(next.first_index.0) })
    }

    /// Opens a segment's index file, or returns it when it is open.
    pub(crate) fn index_file(&self, segment: &Segment) -> std::io::Result<Arc<dyn DiskFile>> {
        let open = || self.disk.open(&segment.index_path(), OpenMode::Read);
        self.cache.file(segment.number, FileKind::Index, open)
    }

    fn owner(&self, segment: &Segment, segment_bytes: u64) -> IndexOwner {
        IndexOwner { log: self.log, segment: segment.number, segment_bytes }
    }

    /// Opens the index file of a segment; `None` when there is none that reads.
    fn open_index(&self, segment: &Segment) -> Option<IndexFile> {
        let index = self.index_file(segment).ok()?;
        let segment_bytes = self.file(segment).ok()?.length().ok()?;
        let owner = self.owner(segment, segment_bytes);
        let length = index.length().ok()?;
        let mut bytes = vec![0; 64];
        base::read_exact_at(&*index, &mut bytes, 0).ok()?;
        let end = decode_header(&bytes, owner).ok().filter(|end| *end as u64 <= length)?;
        bytes.resize(end, 0);
        base::read_exact_at(&*index, &mut bytes, 0).ok()?;
        let directory = decode_directory(&bytes, owner, length).ok()?;
        Some(IndexFile { path: segment.index_path(), directory })
    }

    /// Replaces an index file that turned out damaged by an index that is rebuilt from the segment.
    pub(crate) fn distrust_index(&self, segment: &Segment) -> Result<IndexSource, ReadError> {
        tracing::warn!(segment = segment.number, "index file damaged, rebuilt in memory");
        let rebuilt = Arc::new(RwLock::new(self.rebuild_index(segment)?));
        segment.set_index(Arc::clone(&rebuilt));
        Ok(IndexSource::Memory(rebuilt))
    }

    /// Reads a whole segment for its index. Entries that were lost are noted where they stood.
    fn rebuild_index(&self, segment: &Segment) -> Result<SegmentIndex, ReadError> {
        let loaded = self.load(segment)?;
        let view = loaded.view();
        let mut index = SegmentIndex::default();
        let mut next = segment.first_index;
        let mut at = SEGMENT_HEADER_BYTES as u64;
        while let Some(frame) = view.frame(at).ok().or_else(|| view.next_valid(at)) {
            if frame.header.index > next {
                index.add_damage(next.0, at);
            }
            at = frame.end();
            next = next.max(frame.header.index);
            if frame.header.kind == FrameKind::Footer {
                return Ok(index);
            }
            let Ok(body) = frame.body() else { continue };
            if frame.header.kind == FrameKind::Entry
                && let Ok(parts) = entry::decode_front(&body)
            {
                let head = &parts.head;
                index.add(head.slot.index, frame.offset, head.recorded_at, &head.blocks);
                next = head.slot.index.next();
            } else if frame.header.kind == FrameKind::Hole
                && let Ok(hole) = decode_hole_frame(&body)
            {
                // Holes on record are known without the index.
                next = next.max(hole.record.next);
            }
        }
        if !is_zero(view.from(at)) {
            index.add_damage(next.0, at);
        }
        Ok(index)
    }

    /// Writes the index file of a sealed segment; it is derived, so that failing to is no failure. Tells whether
    /// it was written.
    pub(crate) fn write_index(&self, segment: &Segment, segment_bytes: u64, index: &SegmentIndex) -> bool {
        let bytes = file::encode(self.owner(segment, segment_bytes), index);
        let path = segment.index_path();
        let written = self.disk.open(&path, OpenMode::OpenOrCreate).and_then(|file| {
            file.set_length(0)?;
            base::write_all_at(&*file, &bytes, 0)
        });
        if let Err(cause) = written {
            tracing::warn!(path = %path.display(), %cause, "index file not written");
            return false;
        }
        true
    }

    /// Reads a whole segment file.
    pub(crate) fn load(&self, segment: &Segment) -> Result<LoadedSegment, ReadError> {
        let file = self.file(segment)?;
        let bytes = base::read_to_end(&*file, usize::MAX).map_err(ReadError::io(&segment.path))?;
        let mut loaded = LoadedSegment { log: self.log, number: segment.number, begin: 0, bytes };
        self.patch(&mut loaded);
        Ok(loaded)
    }

    /// Reads at most `count` bytes of a segment file from an offset on.
    pub(crate) fn load_part(
        &self,
        segment: &Segment,
        begin: u64,
        count: u64,
    ) -> Result<LoadedSegment, ReadError> {
        let file = self.file(segment)?;
        let length = file.length().map_err(ReadError::io(&segment.path))?;
        let count = length.saturating_sub(begin).min(count);
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        base::read_exact_at(&*file, &mut bytes, begin).map_err(ReadError::io(&segment.path))?;
        let mut loaded = LoadedSegment { log: self.log, number: segment.number, begin, bytes };
        self.patch(&mut loaded);
        Ok(loaded)
    }
}
