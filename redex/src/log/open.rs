//! Opening a log for writing: what a crash or damage left is put in order first.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::Duration;

use base::{Disk, DiskLock, Doors, Identity, IncarnationId, Index, LogId, OpenMode, Position, Timestamp};

use super::committer::{Committer, Incarnation, News};
use super::flusher::Flusher;
use super::gathering::Gathering;
use super::placed::Admission;
use super::progress::Progress;
use super::recovery::{Ending, recover};
use super::retention::RetentionDue;
use super::stage::Stage;
use super::{ClockCheck, Closer, Log, Shared};
use crate::LogOptions;
use crate::appender::{Appender, create_segment};
use crate::codec::compression::Compressor;
use crate::codec::control::HoleRecord;
use crate::codec::segment_header::SegmentHeader;
use crate::codec::state::Beginning;
use crate::codec::superblock::{self, LogKind, Superblock};
use crate::codec::{FORMAT_VERSION, Foreign};
use crate::error::{Corruption, OpenError};
use crate::follower::visible_state;
use crate::held_blobs::Holder;
use crate::index::SegmentIndex;
use crate::reader::{LogReader, Published};
use crate::redaction;
use crate::references::References;
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
    /// What the log is made as, where there is none yet.
    pub kind: LogKind,
    /// The lock of the node's directory.
    pub lock: Arc<dyn DiskLock>,
    /// Which channels the log takes.
    pub admission: Admission,
    /// Who is asked whether blobs are held.
    pub holder: Arc<Holder>,
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
    /// Redactions on record that a crash had interrupted and that were finished.
    pub finished_redactions: u64,
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
    let mut report = RecoveryReport::default();
    prepare_directory(&*site.doors.disk, &site.dir)?;
    let made = || Superblock {
        log: LogId::random(&*site.doors.random),
        origin: site.identity.origin(),
        created_at: site.doors.clock.now(),
        name: site.name.clone(),
        kind: site.kind,
    };
    let superblock = open_superblock(&*site.doors.disk, &site.dir, made, &mut report)?;
    check_origin(site, &superblock)?;
    let (end, unrecorded) = open_end(&site.doors, &site.dir, &superblock, options, &mut report)?;
    check_clock(site, options, end.state.last_recorded_at)?;
    let log = assemble(site, options, end, unrecorded)?;
    Ok(OpenedLog { log, report })
}

/// Makes a log's directory, and puts its names in order.
pub(crate) fn prepare_directory(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    disk.create_directories(dir).map_err(OpenError::io(dir))?;
    remove_temporary_files(disk, dir)?;
    // A segment whose name an earlier process could not sync must not take entries before it is.
    disk.sync_directory(dir).map_err(OpenError::io(dir))
}

/// Puts the end of a log in order, from where it can be written on; returns holes that no entry has on record yet,
/// too.
pub(crate) fn open_end(
    doors: &Doors,
    dir: &Path,
    superblock: &Superblock,
    options: &LogOptions,
    report: &mut RecoveryReport,
) -> Result<(Appender, Vec<HoleRecord>), OpenError> {
    let segments = Segments::new(dir, superblock.log, Arc::clone(&doors.disk), options.cache_bytes);
    let segments = Arc::new(segments);
    segments.discover().map_err(OpenError::io(dir))?;
    // Frames that a redaction is halfway through are put in order before they are looked at.
    let due = redaction::finish_due(&*doors.disk, dir, superblock.log).map_err(OpenError::io(dir))?;
    let ending = match segments.last() {
        None => Ending::Fresh,
        Some(segment) => recover(&segments, superblock, &segment, options.strict, report)?,
    };
    let (end, unrecorded) = begin_writing(doors, options, &segments, superblock, ending)?;
    let prepared = redaction::settle_prepared(&*doors.disk, dir, superblock.log, end.state.redactions)
        .map_err(OpenError::io(dir))?;
    report.finished_redactions = due.iter().chain(&prepared).count() as u64;
    Ok((end, unrecorded))
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

/// Reads the superblock of a log, and repairs it; makes one where there is none.
pub(crate) fn open_superblock(
    disk: &dyn Disk,
    dir: &Path,
    made: impl FnOnce() -> Superblock,
    report: &mut RecoveryReport,
) -> Result<Superblock, OpenError> {
    let path = dir.join("superblock");
    if !disk.exists(&path).map_err(OpenError::io(&path))? {
        let superblock = made();
        base::create_atomically(disk, &path, OpenMode::Create, &superblock::encode(&superblock))
            .map_err(OpenError::io(&path))?;
        return Ok(superblock);
    }
    let (superblock, good) = read_superblock(disk, dir)?;
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
        if let Some(found) = superblock::foreign_format(&bytes) {
            return unknown_format(&path, found);
        }
        OpenError::Corrupt(Corruption {
            file: path,
            offset: 0,
            expected: "a superblock".to_owned(),
            found: format!("a wrong {malformed} in both copies"),
        })
    })
}

/// A file of another format is refused as it is: nobody knows what it would lose by a repair.
pub(crate) fn unknown_format(path: &Path, found: Foreign) -> OpenError {
    let known = Foreign::Version(FORMAT_VERSION).to_string();
    OpenError::Format { path: path.to_owned(), found: found.to_string(), known }
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

fn begin_writing(
    doors: &Doors,
    options: &LogOptions,
    segments: &Arc<Segments>,
    superblock: &Superblock,
    ending: Ending,
) -> Result<(Appender, Vec<HoleRecord>), OpenError> {
    let (number, beginning, unrecorded, writer) = match ending {
        Ending::Fresh => {
            let state = LogState::empty(superblock.kind);
            (0, Beginning { state, ..Beginning::default() }, Vec::new(), None)
        }
        Ending::Sealed { segment, replay } => {
            finish_sealed(segments, &segment, &replay)?;
            let Replay { state, chain, local, unrecorded, .. } = *replay;
            (segment.number + 1, Beginning { state, chain, local }, unrecorded, None)
        }
        Ending::Open { segment, replay, length } => {
            let file =
                segments.disk.open(&segment.path, OpenMode::Write).map_err(OpenError::io(&segment.path))?;
            let writer =
                SegmentWriter::new(segment.number, file, replay.offset, length, options.segment_bytes);
            let Replay { state, chain, local, index, references, unrecorded, .. } = *replay;
            let opened = (segment.clone(), writer, index, references);
            (segment.number, Beginning { state, chain, local }, unrecorded, Some(opened))
        }
    };
    let Beginning { state, chain, local } = beginning;
    // About where the frames behind the state frames begin.
    let begins = state.keyed.as_ref().map_or(0, |keyed| 2 * keyed.bytes());
    let (segment, writer, index, references) = match writer {
        Some(writer) => writer,
        None => {
            let header = SegmentHeader {
                log: superblock.log,
                origin: superblock.origin,
                number,
                first_index: state.next_index,
                created_at: doors.clock.now(),
                truncation: None,
            };
            let limit = options.segment_bytes;
            let (segment, writer) = create_segment(segments, &header, &state, &chain, &local, limit)
                .map_err(OpenError::io(&segments.dir))?;
            segments.insert(Arc::clone(&segment));
            (segment, writer, SegmentIndex::default(), References::default())
        }
    };
    let index = Arc::new(RwLock::new(index));
    segment.set_index(Arc::clone(&index));
    let synced = state.position();
    segments.note_written(synced);
    let mut end = Appender {
        doors: doors.clone(),
        superblock: superblock.clone(),
        segments: Arc::clone(segments),
        segment_bytes: options.segment_bytes,
        segment_bytes_wanted: options.segment_bytes,
        writer,
        sealed: false,
        index,
        references,
        state,
        chain,
        local,
        synced,
        began: false,
    };
    end.limit_segment(begins);
    Ok((end, unrecorded))
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
    end: Appender,
    unrecorded: Vec<HoleRecord>,
) -> Result<Log, OpenError> {
    let doors = &site.doors;
    let visible_path = site.dir.join("visible");
    let visible =
        doors.disk.open(&visible_path, OpenMode::OpenOrCreate).map_err(OpenError::io(&visible_path))?;
    let incarnation = Incarnation {
        id: IncarnationId::random(&*doors.random),
        term: end.chain.term.next(),
        begun: false,
        holes: unrecorded,
    };
    let incarnation_id = incarnation.id;
    let position = end.state.position();
    let (superblock, segments) = (end.superblock.clone(), Arc::clone(&end.segments));
    let staged = end.state.clone();
    let keyed = end.state.keyed.is_some();
    let mut committer = Committer {
        end,
        identity: Arc::clone(&site.identity),
        sign_within: options.sign_within,
        published: position,
        removed: Position::ZERO,
        incarnation,
        touched: Vec::new(),
        news: News::default(),
        keyed_written: Vec::new(),
        signed_at: Duration::ZERO,
        visible,
        frames: Vec::new(),
        compressor: Compressor::new(options.compression),
    };
    // What an earlier process gave up and could not remove.
    committer.remove_trimmed();
    committer.tell_readers(true);
    let published = Arc::new(Published::new(visible_state(&committer.end.state), Arc::clone(&doors.clock)));
    let clock_check = ClockCheck {
        wall: doors.clock.now(),
        monotonic: doors.clock.monotonic(),
        leap_max: options.clock_leap_max,
    };
    let shared = Arc::new_cyclic(|log| Shared {
        doors: doors.clone(),
        options: options.clone(),
        committer: Mutex::new(committer),
        stage: Mutex::new(Stage::new(
            staged,
            site.admission.clone(),
            Arc::clone(&site.holder),
            Arc::clone(&doors.random),
        )),
        progress: Progress::new(position),
        flusher: Flusher::new(options.flusher, Arc::clone(&doors.clock), Weak::<Shared>::clone(log)),
        deadline: AtomicU64::new(0),
        retention: Mutex::new(options.retention.clone()),
        gathering: Gathering::default(),
        retention_due: RetentionDue::default(),
        holds: Arc::default(),
        keyed,
        redaction: Mutex::new(()),
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
