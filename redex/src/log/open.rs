//! Opening a log for writing: what a crash or damage left is put in order first.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::Duration;

use base::{Disk, DiskLock, Doors, Identity, IncarnationId, Index, LogId, OpenMode, Position, Timestamp};

use super::committer::{Committer, Incarnation, News, create_segment};
use super::flusher::Flusher;
use super::placed::Admission;
use super::progress::Progress;
use super::recovery::{Ending, recover};
use super::retention::RetentionDue;
use super::stage::Stage;
use super::{ClockCheck, Closer, Log, Shared};
use crate::LogOptions;
use crate::chain::Chain;
use crate::codec::compression::Compressor;
use crate::codec::control::HoleRecord;
use crate::codec::superblock::{self, Superblock};
use crate::error::{Corruption, OpenError};
use crate::follower::visible_state;
use crate::index::SegmentIndex;
use crate::index::points::IndexSource;
use crate::reader::{LogReader, Published};
use crate::replay::Replay;
use crate::segments::{Segment, Segments};
use crate::state::LogState;
use crate::writer::SegmentWriter;

/// Where a log is, and who opens it.
#[derive(Debug)]
pub(crate) struct Site {
    pub dir: PathBuf,
    pub name: String,
    pub doors: Doors,
    pub identity: Arc<Identity>,
    pub identity_path: PathBuf,
    /// The lock of the node's directory.
    pub lock: Arc<dyn DiskLock>,
    /// Which channels the log takes.
    pub admission: Admission,
}

#[derive(Debug)]
pub(crate) struct OpenedLog {
    pub log: Log,
    pub report: RecoveryReport,
}

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether the log was not closed cleanly.
    pub unclean: bool,
    /// Bytes that were written only in part and never acknowledged as durable; they were zeroed.
    pub torn_bytes: u64,
    /// Entries that were kept though nothing testified that they were synced; they were written again and
    /// synced.
    pub rewritten_entries: u64,
    /// Damaged stretches that were set aside.
    pub quarantined: Vec<QuarantinedRange>,
    /// Files of which one of two copies was damaged and written anew.
    pub repaired: Vec<PathBuf>,
}

/// A damaged stretch of a segment that was copied to `quarantine/`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuarantinedRange {
    /// The segment.
    pub file: PathBuf,
    /// Where the stretch begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// The first entry that was lost.
    pub first: Index,
    /// The entry that the log goes on with.
    pub next: Index,
    /// Where the bytes were copied to.
    pub saved_as: PathBuf,
}

/// Opens the log at a site for writing; creates what is missing.
pub(crate) fn open(site: &Site, options: &LogOptions) -> Result<OpenedLog, OpenError> {
    let disk = &*site.doors.disk;
    disk.create_directories(&site.dir).map_err(OpenError::io(&site.dir))?;
    remove_temporary_files(disk, &site.dir)?;
    // A segment whose name an earlier process could not sync must not take entries before it is.
    disk.sync_directory(&site.dir).map_err(OpenError::io(&site.dir))?;
    let mut report = RecoveryReport::default();
    let superblock = open_superblock(site, &mut report)?;
    check_origin(site, &superblock)?;
    let segments =
        Arc::new(Segments::new(&site.dir, superblock.log, Arc::clone(&site.doors.disk), options.cache_bytes));
    segments.discover().map_err(OpenError::io(&site.dir))?;
    let ending = match segments.last() {
        None => Ending::Fresh,
        Some(segment) => recover(&segments, &superblock, &segment, options.strict, &mut report)?,
    };
    let begun = begin_writing(site, options, &segments, &superblock, ending)?;
    check_clock(site, options, begun.state.last_recorded_at)?;
    let log = assemble(site, options, segments, superblock, begun)?;
    Ok(OpenedLog { log, report })
}

fn remove_temporary_files(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    for name in disk.list(dir).map_err(OpenError::io(dir))? {
        if name.ends_with(".tmp") {
            let path = dir.join(name);
            disk.remove(&path).map_err(OpenError::io(&path))?;
        }
    }
    Ok(())
}

fn open_superblock(site: &Site, report: &mut RecoveryReport) -> Result<Superblock, OpenError> {
    let disk = &*site.doors.disk;
    let path = site.dir.join("superblock");
    if !disk.exists(&path).map_err(OpenError::io(&path))? {
        let superblock = Superblock {
            log: LogId::random(&*site.doors.random),
            origin: site.identity.origin(),
            created_at: site.doors.clock.now(),
            name: site.name.clone(),
        };
        base::create_atomically(disk, &path, OpenMode::Create, &superblock::encode(&superblock))
            .map_err(OpenError::io(&path))?;
        return Ok(superblock);
    }
    let (superblock, good) = read_superblock(disk, &site.dir)?;
    if good < 2 {
        let file = disk.open(&path, OpenMode::Write).map_err(OpenError::io(&path))?;
        base::write_all_at(&*file, &superblock::encode(&superblock), 0)
            .and_then(|()| file.set_length(superblock::SUPERBLOCK_BYTES as u64))
            .and_then(|()| file.sync_data())
            .map_err(OpenError::io(&path))?;
        report.repaired.push(path);
    }
    Ok(superblock)
}

/// Reads a log's superblock; returns how many of its copies are good, too.
pub(crate) fn read_superblock(disk: &dyn Disk, dir: &Path) -> Result<(Superblock, usize), OpenError> {
    let path = dir.join("superblock");
    let file = disk.open(&path, OpenMode::Read).map_err(OpenError::io(&path))?;
    let bytes = base::read_to_end(&*file, 2 * superblock::SUPERBLOCK_BYTES).map_err(OpenError::io(&path))?;
    superblock::decode(&bytes).map_err(|malformed| {
        if let Some(version) = superblock::other_version(&bytes) {
            return other_version(&path, version);
        }
        OpenError::Corrupt(Corruption {
            file: path,
            offset: 0,
            expected: "a superblock".to_owned(),
            found: format!("a wrong {malformed} in both copies"),
        })
    })
}

/// A file of another format version is refused as it is: nobody knows what it would lose by a repair.
pub(crate) fn other_version(path: &Path, version: u16) -> OpenError {
    OpenError::Corrupt(Corruption {
        file: path.to_owned(),
        offset: 8,
        expected: format!("format version {}", crate::codec::FORMAT_VERSION),
        found: format!("format version {version}"),
    })
}

fn check_origin(site: &Site, superblock: &Superblock) -> Result<(), OpenError> {
    let found = site.identity.origin();
    if found == superblock.origin {
        return Ok(());
    }
    Err(OpenError::IdentityMismatch { path: site.identity_path.clone(), expected: superblock.origin, found })
}

fn check_clock(site: &Site, options: &LogOptions, last: Timestamp) -> Result<(), OpenError> {
    let now = site.doors.clock.now();
    if last.since(now) > options.clock_leap_max { Err(OpenError::ClockBehind { now, last }) } else { Ok(()) }
}

/// What writing goes on from.
struct Begun {
    writer: SegmentWriter,
    state: LogState,
    chain: Chain,
    index: Arc<RwLock<SegmentIndex>>,
    /// Holes that no entry has on record yet.
    unrecorded: Vec<HoleRecord>,
}

fn begin_writing(
    site: &Site,
    options: &LogOptions,
    segments: &Segments,
    superblock: &Superblock,
    ending: Ending,
) -> Result<Begun, OpenError> {
    let fresh = |number: u64, state: LogState, chain: Chain, unrecorded: Vec<HoleRecord>| {
        let now = site.doors.clock.now();
        let limit = options.segment_bytes;
        let (segment, writer) = create_segment(segments, superblock, number, &state, &chain, limit, now)
            .map_err(OpenError::io(&site.dir))?;
        let index = Arc::new(RwLock::new(SegmentIndex::default()));
        segment.set_index(IndexSource::Memory(Arc::clone(&index)));
        segments.insert(segment);
        Ok(Begun { writer, state, chain, index, unrecorded })
    };
    match ending {
        Ending::Fresh => fresh(0, LogState::default(), Chain::default(), Vec::new()),
        Ending::Sealed { segment, replay } => {
            finish_sealed(segments, &segment, &replay)?;
            fresh(segment.number + 1, replay.state, replay.chain, replay.unrecorded)
        }
        Ending::Open { segment, replay, length } => {
            let file =
                segments.disk.open(&segment.path, OpenMode::Write).map_err(OpenError::io(&segment.path))?;
            let writer =
                SegmentWriter::new(segment.number, file, replay.offset, length, options.segment_bytes);
            let index = Arc::new(RwLock::new(replay.index));
            segment.set_index(IndexSource::Memory(Arc::clone(&index)));
            let (state, chain, unrecorded) = (replay.state, replay.chain, replay.unrecorded);
            Ok(Begun { writer, state, chain, index, unrecorded })
        }
    }
}

/// Does what a crash kept from being done behind a footer.
fn finish_sealed(segments: &Segments, segment: &Segment, replay: &Replay) -> Result<(), OpenError> {
    let trimmed = segments.disk.open(&segment.path, OpenMode::Write).and_then(|file| {
        file.set_length(replay.offset)?;
        file.sync_data()
    });
    trimmed.map_err(OpenError::io(&segment.path))?;
    segments.write_index(segment, replay.offset, &replay.index);
    Ok(())
}

fn assemble(
    site: &Site,
    options: &LogOptions,
    segments: Arc<Segments>,
    superblock: Superblock,
    begun: Begun,
) -> Result<Log, OpenError> {
    let doors = &site.doors;
    let visible_path = site.dir.join("visible");
    let visible =
        doors.disk.open(&visible_path, OpenMode::OpenOrCreate).map_err(OpenError::io(&visible_path))?;
    let incarnation = Incarnation {
        id: IncarnationId::random(&*doors.random),
        term: begun.chain.term.next(),
        begun: false,
        holes: begun.unrecorded,
    };
    let incarnation_id = incarnation.id;
    let position = begun.state.position();
    let mut committer = Committer {
        doors: doors.clone(),
        identity: Arc::clone(&site.identity),
        superblock: superblock.clone(),
        segments: Arc::clone(&segments),
        segment_bytes: options.segment_bytes,
        sign_within: options.sign_within,
        writer: begun.writer,
        sealed: false,
        index: begun.index,
        state: begun.state.clone(),
        chain: begun.chain,
        synced: position,
        published: position,
        began: false,
        removed: Position::ZERO,
        incarnation,
        touched: Vec::new(),
        news: News::default(),
        signed_at: Duration::ZERO,
        visible,
        frames: Vec::new(),
        compressor: Compressor::new(options.compression),
    };
    // What an earlier process gave up and could not remove.
    committer.remove_trimmed();
    committer.tell_readers(true);
    let published = Arc::new(Published::new(visible_state(&committer.state), Arc::clone(&doors.clock)));
    let clock_check = ClockCheck {
        wall: doors.clock.now(),
        monotonic: doors.clock.monotonic(),
        leap_max: options.clock_leap_max,
    };
    let shared = Arc::new_cyclic(|log| Shared {
        doors: doors.clone(),
        options: options.clone(),
        committer: Mutex::new(committer),
        stage: Mutex::new(Stage::new(begun.state, site.admission.clone())),
        progress: Progress::new(position),
        flusher: Flusher::new(options.flusher, Arc::clone(&doors.clock), Weak::clone(log)),
        deadline: AtomicU64::new(0),
        retention: Mutex::new(options.retention.clone()),
        retention_due: RetentionDue::default(),
        holds: Arc::default(),
        clock_check,
        incarnation: incarnation_id,
        published: Arc::clone(&published),
        lock: Mutex::new(Some(Arc::clone(&site.lock))),
    });
    shared.look_at_retention();
    let reader = LogReader::new(superblock, segments, published, None);
    let closer = Arc::new(Closer(Arc::clone(&shared)));
    Ok(Log { shared, reader, _closer: closer })
}
