//! Opening a replica: a truncation that a crash interrupted is finished, what is damaged is set aside, and its end is put in
//! order.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};

use base::{Disk, DiskLock, Doors, Index, OpenMode, Position};

use super::core::Core;
use super::doubt::{Doubt, Fault, PromisedFile, first_fault};
use super::fork::{CutOff, ForkBook};
use super::{Closer, ReplicaIdentity, ReplicaLog, Shared, log_dir, read};
use crate::appender::{Appender, Encoded};
use crate::codec::compression::Compressor;
use crate::codec::promised::Promised;
use crate::codec::segment_header::{self, SEGMENT_HEADER_BYTES, Truncation, file_name, parse_file_name};
use crate::codec::superblock::{LogKind, Superblock};
use crate::error::{Corruption, OpenError, ReadError};
use crate::follower::visible_state;
use crate::held_blobs::Holder;
use crate::log::{Flusher, open_end, open_superblock, prepare_directory};
use crate::reader::{LogReader, Published};
use crate::segments::Segments;
use crate::state::LogState;
use crate::store::comes_back;
use crate::{LogOptions, RecoveryReport};

pub(super) fn open(
    dir: &Path,
    identity: &ReplicaIdentity,
    doors: &Doors,
    options: &LogOptions,
) -> Result<ReplicaLog, OpenError> {
    let faults = options.validate();
    if !faults.is_empty() {
        return Err(OpenError::Options { faults });
    }
    let disk = &*doors.disk;
    disk.create_directories(dir).map_err(OpenError::io(dir))?;
    let lock: Arc<dyn DiskLock> = Arc::from(crate::store::take_lock(disk, dir)?);
    disk.sync_directory(dir).map_err(OpenError::io(dir))?;
    open_locked(dir, identity, doors, options, Arc::default(), lock)
}

/// Opens a replica in a directory that is locked and there, with options that are valid.
pub(crate) fn open_locked(
    dir: &Path,
    identity: &ReplicaIdentity,
    doors: &Doors,
    options: &LogOptions,
    holder: Arc<Holder>,
    lock: Arc<dyn DiskLock>,
) -> Result<ReplicaLog, OpenError> {
    let disk = &*doors.disk;
    let log_dir = log_dir(dir, &identity.name);
    let comes_back = comes_back(disk, dir, identity.log).map_err(OpenError::io(&log_dir))?;
    prepare_directory(disk, &log_dir)?;
    let mut doubt = Doubt::read(disk, dir, &log_dir, identity.log)?;
    if let Some(cause) = comes_back {
        doubt.mark(cause)?;
    }
    let mut report = RecoveryReport::default();
    let made = || Superblock {
        log: identity.log,
        origin: identity.origin,
        created_at: doors.clock.now(),
        name: identity.name.clone(),
        kind: LogKind::Replicated,
    };
    if let Err(OpenError::Corrupt(corruption)) = read_superblock_if_there(disk, &log_dir) {
        // What it said is known; whether the segments are those of the log, they say themselves.
        doubt.mark(corruption.to_string())?;
        remove_superblock(disk, &log_dir).map_err(OpenError::io(&log_dir))?;
    }
    let superblock = open_superblock(disk, &log_dir, made, &mut report)?;
    check_identity(&log_dir, &superblock, identity)?;
    finish_truncation(disk, &log_dir, superblock.log).map_err(OpenError::io(&log_dir))?;
    // Nothing is skipped: what is missing is got from the others.
    let options = LogOptions { strict: true, ..options.clone() };
    let segments = Segments::new(&log_dir, superblock.log, Arc::clone(&doors.disk), 0);
    segments.discover().map_err(OpenError::io(&log_dir))?;
    if doubt.held && segments.last().is_none() {
        doubt.mark("the segments of the log are gone".to_owned())?;
    }
    if let Some(fault) = first_fault(&segments, &mut report.repaired)? {
        doubt.set_aside(&fault)?;
    }
    let end = open_good(doors, &log_dir, &superblock, &options, &mut report, &mut doubt)?;
    let told = doubt.promised(superblock.log)?;
    doubt.check_promised(told, end.state.position(), end.local.vote)?;
    let opened = assemble(doors, &options, superblock, end, report, holder, lock, &log_dir, &mut doubt)?;
    doubt.note_held(identity.log)?;
    Ok(opened)
}

/// Opens the end of the log, and sets aside what is damaged of it until what is left is good.
fn open_good(
    doors: &Doors,
    log_dir: &Path,
    superblock: &Superblock,
    options: &LogOptions,
    report: &mut RecoveryReport,
    doubt: &mut Doubt<'_>,
) -> Result<Appender, OpenError> {
    loop {
        let segments = Segments::new(log_dir, superblock.log, Arc::clone(&doors.disk), 0);
        segments.discover().map_err(OpenError::io(log_dir))?;
        let opened = open_end(doors, log_dir, superblock, options, report).and_then(|(end, _)| {
            let kept = end.local.purged.map_or(Position::ZERO, |slot| slot.index.position_after());
            check_beginning(&end, kept, log_dir)?;
            Ok(end)
        });
        let fault = match (opened, segments.last(), segments.all().first()) {
            (Err(OpenError::Corrupt(corruption)), Some(_), Some(first)) if corruption.file == *log_dir => {
                Fault::whole(first, corruption.to_string())
            }
            (Err(OpenError::Corrupt(corruption)), Some(last), _) => Fault::of(&last, &corruption),
            (opened, ..) => return opened,
        };
        doubt.set_aside(&fault)?;
    }
}

fn read_superblock_if_there(disk: &dyn Disk, log_dir: &Path) -> Result<(), OpenError> {
    let path = log_dir.join("superblock");
    if disk.exists(&path).map_err(OpenError::io(&path))? {
        crate::log::read_superblock(disk, log_dir)?;
    }
    Ok(())
}

fn remove_superblock(disk: &dyn Disk, log_dir: &Path) -> std::io::Result<()> {
    disk.remove(&log_dir.join("superblock"))?;
    disk.sync_directory(log_dir)
}

fn check_identity(dir: &Path, found: &Superblock, named: &ReplicaIdentity) -> Result<(), OpenError> {
    if (found.log, found.origin, found.kind) == (named.log, named.origin, LogKind::Replicated) {
        return Ok(());
    }
    Err(OpenError::Corrupt(Corruption {
        file: dir.join("superblock"),
        offset: 16,
        expected: format!("a replica of log {} of origin {}", named.log, named.origin),
        found: format!("a {:?} log {} of origin {}", found.kind, found.log, found.origin),
    }))
}

/// Does what a crash kept from being done of the newest segment's truncation, and removes segments in whose place others came.
fn finish_truncation(disk: &dyn Disk, dir: &Path, log: base::LogId) -> std::io::Result<()> {
    let mut found: Vec<_> = disk.list(dir)?.iter().filter_map(|name| parse_file_name(name)).collect();
    found.sort_unstable();
    let Some((newest, newest_first)) = found.pop() else { return Ok(()) };
    let truncation = read_truncation(disk, &dir.join(file_name(newest, newest_first)), log)?;
    let (mut changed, mut next_first) = (false, newest_first);
    while let Some((number, first)) = found.pop() {
        let path = dir.join(file_name(number, first));
        // Where the header does not read, names tell as much.
        let is_gone = first >= next_first || truncation.is_some_and(|truncation| number > truncation.segment);
        if !is_gone {
            if let Some(truncation) = truncation.filter(|truncation| truncation.segment == number) {
                changed |= shorten(disk, &path, truncation.offset)?;
            }
            next_first = first;
            continue;
        }
        for path in [path.with_extension("idx"), path] {
            if disk.exists(&path)? {
                disk.remove(&path)?;
            }
        }
        changed = true;
    }
    if changed { disk.sync_directory(dir) } else { Ok(()) }
}

fn read_truncation(disk: &dyn Disk, path: &Path, log: base::LogId) -> std::io::Result<Option<Truncation>> {
    let file = disk.open(path, OpenMode::Read)?;
    let bytes = base::read_to_end(&*file, SEGMENT_HEADER_BYTES)?;
    Ok(segment_header::decode(&bytes)
        .ok()
        .filter(|(header, _)| header.log == log)
        .and_then(|(header, _)| header.truncation))
}

fn shorten(disk: &dyn Disk, path: &Path, offset: u64) -> std::io::Result<bool> {
    let file = disk.open(path, OpenMode::Write)?;
    if file.length()? <= offset {
        return Ok(false);
    }
    file.set_length(offset)?;
    file.sync_data()?;
    let index = path.with_extension("idx");
    if disk.exists(&index)? {
        disk.remove(&index)?;
    }
    Ok(true)
}

#[expect(clippy::too_many_arguments, reason = "what opening found, put together in one place")]
fn assemble(
    doors: &Doors,
    options: &LogOptions,
    superblock: Superblock,
    end: Appender,
    report: RecoveryReport,
    holder: Arc<Holder>,
    lock: Arc<dyn DiskLock>,
    dir: &Path,
    doubt: &mut Doubt<'_>,
) -> Result<ReplicaLog, OpenError> {
    let local = end.local;
    let kept = local.purged.map_or(Position::ZERO, |slot| slot.index.position_after());
    let committed = local.committed.map_or(Position::ZERO, |slot| slot.index.position_after()).max(kept);
    let (visible, unseen) = up_to(&end, committed).map_err(|error| read_error(dir, error))?;
    let told_path = dir.join("visible");
    let told = doors.disk.open(&told_path, OpenMode::OpenOrCreate).map_err(OpenError::io(&told_path))?;
    let promise = Promised { log: superblock.log, position: end.state.position(), vote: local.vote };
    let promised = PromisedFile::create(&*doors.disk, dir, promise)?;
    let mut core = Core {
        told,
        promised,
        vote_write: 0,
        local,
        local_due: None,
        committed,
        visible,
        leapt: false,
        unseen,
        waiting: VecDeque::new(),
        writes: 0,
        durable_writes: 0,
        compressor: Compressor::new(options.compression),
        poison: None,
        closed: false,
        cut_off: CutOff::default(),
        end,
    };
    core.remove_purged();
    let forks = ForkBook::open(&doors.disk, doubt.dir, core.end.superblock.log)?;
    let segments = Arc::clone(&core.end.segments);
    segments.begin_at(core.kept());
    let published = Arc::new(Published::new(visible_state(&core.visible), Arc::clone(&doors.clock)));
    let shared = Arc::new_cyclic(|shared: &Weak<Shared>| Shared {
        doors: doors.clone(),
        core: Mutex::new(core),
        turn: Mutex::new(()),
        epoch: AtomicU64::new(0),
        published: Arc::clone(&published),
        flusher: Flusher::new(options.flusher, Arc::clone(&doors.clock), Weak::<Shared>::clone(shared)),
        recovery: report,
        log_dir: dir.to_owned(),
        doubt: Mutex::new(doubt.cause.clone()),
        forks,
        holder,
        lock: Mutex::new(Some(lock)),
    });
    let reader = LogReader::new(superblock, segments, published, None);
    let closer = Arc::new(Closer(Arc::clone(&shared)));
    Ok(ReplicaLog { shared, reader, _closer: closer })
}

/// Refuses a log that lacks entries behind what was purged: nobody is to guess at them.
fn check_beginning(end: &Appender, kept: Position, dir: &Path) -> Result<(), OpenError> {
    let first = end.segments.all().first().map_or(Index::ZERO, |segment| segment.first_index);
    let on_record = |hole: &crate::codec::control::HoleRecord| hole.next >= first && hole.first.0 <= kept.0;
    if first.0 <= kept.0 || end.state.holes.iter().any(on_record) {
        return Ok(());
    }
    Err(OpenError::Corrupt(Corruption {
        file: dir.to_owned(),
        offset: 0,
        expected: format!("a segment that begins at entry {kept} or before"),
        found: format!("none before entry {first}"),
    }))
}

/// Returns log state at a position, or at the end where that is before, and the entries behind.
fn up_to(end: &Appender, position: Position) -> Result<(LogState, VecDeque<Encoded>), ReadError> {
    let tail = end.state.position();
    let segments = &end.segments;
    let Some(segment) = segments.at(position.next_index()).filter(|_| position < tail) else {
        return Ok((end.state.clone(), VecDeque::new()));
    };
    let state = read::replay_to(segments, &segment, position)?.state;
    let unseen = read::effects(segments, state.next_index, tail)?;
    Ok((state, unseen))
}

pub(super) fn read_error(dir: &Path, error: ReadError) -> OpenError {
    match error {
        ReadError::Corrupt(corruption) => OpenError::Corrupt(corruption),
        ReadError::Io { path, source } => OpenError::Io { path, source },
        other => OpenError::Io { path: dir.to_owned(), source: std::io::Error::other(other) },
    }
}
