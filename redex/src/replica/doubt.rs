//! What a replica lost of what it told others, and how it opens all the same: the damaged part and everything behind it
//! is set aside, and the replica is in doubt until the others have told it what it held.
//!
//! ```text
//! replicas/LOG-ID           there once this directory held a replica of the log; empty, unless that was given up
//! logs/NAME/doubt           there while the replica is in doubt; says why
//! logs/NAME/promised        what others were told
//! logs/NAME/quarantine/     segments, or what was left of them
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Disk, DiskFile, Index, LogId, OpenMode, Position};

use super::Vote;
use super::open::read_error;
use crate::appender::state_frames;
use crate::codec::frame::FrameKind;
use crate::codec::promised::{self, PROMISED_BYTES, Promised};
use crate::codec::segment_header::{self, SEGMENT_HEADER_BYTES, parse_file_name};
use crate::error::{Corruption, OpenError};
use crate::frames::Step;
use crate::log::overwrite;
use crate::replay::read_state;
use crate::segments::{Segment, Segments};
use crate::store::{CAME_BACK, note_held, record_path};

/// Segments before the newest one are looked through at opening as long as they have no more bytes than that, the newest first.
const LOOKED_THROUGH_BYTES: u64 = 4 << 30;

/// The marks that a replica leaves, and what they say when it is opened.
#[derive(Debug)]
pub(super) struct Doubt<'a> {
    disk: &'a dyn Disk,
    /// The node's directory.
    pub dir: &'a Path,
    log_dir: &'a Path,
    held_path: PathBuf,
    /// Why the replica is in doubt.
    pub cause: Option<String>,
    /// Whether the directory held a replica of the log before.
    pub held: bool,
}

impl<'a> Doubt<'a> {
    pub(super) fn read(
        disk: &'a dyn Disk,
        dir: &'a Path,
        log_dir: &'a Path,
        log: LogId,
    ) -> Result<Self, OpenError> {
        let held_path = record_path(dir, log);
        let exists = |path: &Path| disk.exists(path).map_err(OpenError::io(path));
        let marker = log_dir.join("doubt");
        let cause = match exists(&marker)? {
            // That it is there is what counts.
            true => Some(read_text(disk, &marker).unwrap_or_else(|| "a cause that does not read".to_owned())),
            false => None,
        };
        let held = exists(&held_path)?;
        Ok(Self { disk, dir, log_dir, held_path, cause, held })
    }

    /// Notes, durably, that the replica is in doubt; the first cause stays.
    pub(super) fn mark(&mut self, cause: String) -> Result<(), OpenError> {
        if self.cause.is_none() {
            let dir = self.log_dir.display();
            match cause.starts_with(CAME_BACK) {
                true => tracing::info!(%dir, %cause, "the replica asks the others before it takes part"),
                false => tracing::error!(%dir, %cause, "the replica lost something, and is in doubt"),
            }
            let marker = self.log_dir.join("doubt");
            base::create_atomically(self.disk, &marker, OpenMode::Create, cause.as_bytes())
                .map_err(OpenError::io(&marker))?;
            self.cause = Some(cause);
        }
        Ok(())
    }

    /// Notes that the directory holds the replica from now on, once it is made whole.
    pub(super) fn note_held(&self, log: LogId) -> Result<(), OpenError> {
        let io = OpenError::io(&self.held_path);
        if self.held {
            return note_held(self.disk, self.dir, log).map_err(io);
        }
        let dir = self.held_path.parent().unwrap_or(Path::new(""));
        let noted = self
            .disk
            .create_directories(dir)
            .and_then(|()| base::create_atomically(self.disk, &self.held_path, OpenMode::Create, &[]));
        noted.map_err(io)
    }

    /// Returns what others were told; `None` where nobody was, or nobody knows.
    pub(super) fn promised(&mut self, log: LogId) -> Result<Option<Promised>, OpenError> {
        let path = self.log_dir.join("promised");
        if !self.disk.exists(&path).map_err(OpenError::io(&path))? {
            if self.held {
                self.mark("the file `promised` is gone".to_owned())?;
            }
            return Ok(None);
        }
        let read = self.disk.open(&path, OpenMode::Read);
        let bytes = read.and_then(|file| base::read_to_end(&*file, PROMISED_BYTES));
        let promised = promised::decode(&bytes.map_err(OpenError::io(&path))?);
        if let Err(malformed) = &promised {
            tracing::warn!(path = %path.display(), %malformed, "what was promised does not read");
        }
        Ok(promised.ok().filter(|promised| promised.log == log))
    }

    /// Compares what the replica holds with what others were told.
    pub(super) fn check_promised(
        &mut self,
        told: Option<Promised>,
        end: Position,
        vote: Option<Vote>,
    ) -> Result<(), OpenError> {
        let Some(told) = told else { return Ok(()) };
        if told.position > end {
            let position = told.position;
            self.mark(format!("it told others that it has the log up to {position}, and has {end}"))?;
        }
        let rank = |vote: Vote| (vote.term, vote.node, vote.committed);
        if told.vote.map(rank) > vote.map(rank) {
            self.mark("it cast a vote that it does not know of any more".to_owned())?;
        }
        Ok(())
    }

    /// Sets aside what is behind a place in a segment; the beginning of the segment itself stays.
    pub(super) fn set_aside(&mut self, fault: &Fault) -> Result<(), OpenError> {
        self.mark(fault.to_string())?;
        let kept = self.log_dir.join("quarantine");
        let done = self.disk.create_directories(&kept).and_then(|()| self.move_behind(fault, &kept));
        done.map_err(OpenError::io(self.log_dir))
    }

    fn move_behind(&self, fault: &Fault, kept: &Path) -> std::io::Result<()> {
        let disk = self.disk;
        let names = disk.list(self.log_dir)?;
        let mut found: Vec<_> =
            names.iter().filter_map(|name| Some((parse_file_name(name)?, self.log_dir.join(name)))).collect();
        found.sort_unstable();
        // The newest first: a crash leaves the beginning of a log.
        while let Some(((number, first), path)) = found.pop().filter(|((_, first), _)| *first >= fault.first)
        {
            let index = path.with_extension("idx");
            if disk.exists(&index)? {
                disk.remove(&index)?;
            }
            let copy = free_name(disk, kept, number, first)?;
            if first > fault.first || fault.offset == 0 {
                disk.rename(&path, &copy)?;
                continue;
            }
            let file = disk.open(&path, OpenMode::Write)?;
            let bytes = base::read_to_end(&*file, usize::MAX)?;
            base::create_atomically(disk, &copy, OpenMode::Create, &bytes)?;
            file.set_length(fault.offset)?;
            file.sync_data()?;
        }
        disk.sync_directory(kept)?;
        disk.sync_directory(self.log_dir)
    }
}

/// Forgets, durably, that a replica is in doubt.
pub(super) fn settle(disk: &dyn Disk, log_dir: &Path) -> std::io::Result<()> {
    disk.remove(&log_dir.join("doubt"))?;
    disk.sync_directory(log_dir)
}

fn read_text(disk: &dyn Disk, path: &Path) -> Option<String> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    String::from_utf8(base::read_to_end(&*file, 4_096).ok()?).ok()
}

fn free_name(disk: &dyn Disk, dir: &Path, number: u64, first: Index) -> std::io::Result<PathBuf> {
    let name = segment_header::file_name(number, first);
    let mut copy = 0;
    loop {
        let path = dir.join(format!("{name}.{copy}"));
        if !disk.exists(&path)? {
            return Ok(path);
        }
        copy += 1;
    }
}

/// A place from where on a log lacks something, or is damaged.
#[derive(Debug)]
pub(super) struct Fault {
    /// The segment's file, and its first entry.
    path: PathBuf,
    first: Index,
    /// Up to where its bytes are good; 0 where nothing of it is.
    offset: u64,
    what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "{name} at byte {}: {}", self.offset, self.what)
    }
}

impl Fault {
    fn new(segment: &Segment, offset: u64, what: String) -> Self {
        Self { path: segment.path.clone(), first: segment.first_index, offset, what }
    }

    /// Makes a fault of what opening the newest segment found.
    pub(super) fn of(segment: &Segment, corruption: &Corruption) -> Self {
        let behind = corruption.offset >= SEGMENT_HEADER_BYTES as u64;
        let offset = if corruption.file == segment.path && behind { corruption.offset } else { 0 };
        Self::new(segment, offset, corruption.to_string())
    }

    /// Makes a fault of a whole log.
    pub(super) fn whole(segment: &Segment, what: String) -> Self {
        Self::new(segment, 0, what)
    }
}

/// Looks through the segments before the newest one; returns the first place that is damaged, or misses entries. Of what there
/// are two copies, one is made anew where it is damaged.
pub(super) fn first_fault(
    segments: &Segments,
    repaired: &mut Vec<PathBuf>,
) -> Result<Option<Fault>, OpenError> {
    let all = segments.all();
    let (mut from, mut bytes) = (all.len().saturating_sub(1), 0);
    while let Some(before) = from.checked_sub(1) {
        bytes += segments.bytes(&all[before]).map_err(|error| read_error(&segments.dir, error))?;
        if bytes > LOOKED_THROUGH_BYTES {
            break;
        }
        from = before;
    }
    for pair in all[from..].windows(2) {
        if let Some(fault) = fault_in(segments, &pair[0], &pair[1], repaired)? {
            return Ok(Some(fault));
        }
    }
    Ok(None)
}

fn fault_in(
    segments: &Segments,
    segment: &Segment,
    next: &Segment,
    repaired: &mut Vec<PathBuf>,
) -> Result<Option<Fault>, OpenError> {
    let mut loaded = segments.load(segment).map_err(|error| read_error(&segments.dir, error))?;
    let fault = |offset: u64, what: String| Ok(Some(Fault::new(segment, offset, what)));
    let Ok((header, headers)) = segment_header::decode(&loaded.bytes) else {
        return fault(0, "a header of which neither copy reads".to_owned());
    };
    if (header.log, header.number, header.first_index) != (segments.log, segment.number, segment.first_index)
    {
        return fault(0, "the header of another segment".to_owned());
    }
    let (beginning, mut offset, states) = match read_state(loaded.view()) {
        Ok(read) => read,
        Err(malformed) => return fault(0, format!("log state with a wrong {malformed} in both copies")),
    };
    let mut expected = beginning.state.next_index;
    if headers < 2 {
        overwrite(segments, segment, &mut loaded, 0, &segment_header::encode(&header))?;
        repaired.push(segment.path.clone());
    }
    let frames = state_frames(&header, &beginning.state, &beginning.chain, &beginning.local);
    if states < 2 && (SEGMENT_HEADER_BYTES + frames.len()) as u64 == offset {
        overwrite(segments, segment, &mut loaded, SEGMENT_HEADER_BYTES as u64, &frames)?;
        repaired.push(segment.path.clone());
    }
    let view = loaded.view();
    loop {
        match view.step(offset) {
            Step::Frame(frame) => {
                match frame.header.kind {
                    FrameKind::Entry if frame.header.index == expected => expected = expected.next(),
                    FrameKind::Entry => return fault(offset, format!("entry {expected} is missing")),
                    FrameKind::Footer => break,
                    _ => {}
                }
                offset = frame.end();
            }
            Step::End => break,
            Step::Bad(malformed) => return fault(offset, format!("a wrong {malformed}")),
        }
    }
    if expected >= next.first_index || is_on_record(segments, next, expected)? {
        return Ok(None);
    }
    fault(offset, format!("entries {expected} to {} are missing", next.first_index))
}

/// Tells whether a segment says itself that the entries before it were given up.
fn is_on_record(segments: &Segments, next: &Segment, expected: Index) -> Result<bool, OpenError> {
    let loaded = segments.load(next).map_err(|error| read_error(&segments.dir, error))?;
    let Ok((beginning, ..)) = read_state(loaded.view()) else { return Ok(false) };
    let purged = beginning.local.purged.map_or(Index::ZERO, |slot| slot.index.next());
    let covers = |first: Index, end: Index| first <= expected && end >= next.first_index;
    Ok(purged >= next.first_index || beginning.state.holes.iter().any(|hole| covers(hole.first, hole.next)))
}

/// The file that says what others were told.
#[derive(Debug)]
pub(super) struct PromisedFile {
    file: Arc<dyn DiskFile>,
    told: Promised,
}

impl PromisedFile {
    /// Begins with what the replica holds, durably.
    pub(super) fn create(disk: &dyn Disk, log_dir: &Path, told: Promised) -> Result<Self, OpenError> {
        let path = log_dir.join("promised");
        let file = disk.open(&path, OpenMode::OpenOrCreate).map_err(OpenError::io(&path))?;
        let made = Self { file, told };
        let written = made.write(&told).and_then(|()| made.file.sync_data());
        written.and_then(|()| disk.sync_directory(log_dir)).map_err(OpenError::io(&path))?;
        Ok(made)
    }

    fn write(&self, told: &Promised) -> std::io::Result<()> {
        base::write_all_at(&*self.file, &promised::encode(told), 0)
    }

    /// Notes what others are told from now on. It is evidence and no more, so that failing to is no failure.
    pub(super) fn note(&mut self, position: Position, vote: Option<Vote>) {
        let told = Promised { position, vote, ..self.told };
        if told == self.told {
            return;
        }
        match self.write(&told) {
            Ok(()) => self.told = told,
            Err(cause) => tracing::warn!(%cause, "what others are told was not noted"),
        }
    }

    /// Notes, durably, that entries from a position on are given up.
    pub(super) fn give_up(&mut self, position: Position) -> std::io::Result<()> {
        if position < self.told.position {
            let told = Promised { position, ..self.told };
            self.write(&told)?;
            self.file.sync_data()?;
            self.told = told;
        }
        Ok(())
    }

    /// Returns the vote that others know of.
    pub(super) fn vote(&self) -> Option<Vote> {
        self.told.vote
    }
}
