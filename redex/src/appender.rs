//! The end of a log on disk: frames written behind the last one and synced, in one segment after the other.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use base::{Doors, Hash, Index, OpenMode, Position, Slot, Timestamp};

use crate::chain::Chain;
use crate::codec::append::Repeatable;
use crate::codec::block::BlockItem;
use crate::codec::control::Control;
use crate::codec::entry::EntryParts;
use crate::codec::footer::{self, Footer};
use crate::codec::frame::{self, FrameKind, Place};
use crate::codec::local::LocalState;
use crate::codec::segment_header::{self, SegmentHeader, Truncation};
use crate::codec::superblock::Superblock;
use crate::codec::{Put, state};
use crate::hashing::LogHasher;
use crate::index::SegmentIndex;
use crate::keyed::KeyedChange;
use crate::references::{self, References};
use crate::replay::{repeatables_of, standing_of};
use crate::segments::{Segment, Segments};
use crate::state::{Effects, LogState};
use crate::writer::SegmentWriter;

/// What writes a log, one at a time, with log state and chain behind everything written.
#[derive(Debug)]
pub(crate) struct Appender {
    pub doors: Doors,
    pub superblock: Superblock,
    pub segments: Arc<Segments>,
    /// Bytes at which the newest segment is sealed.
    pub segment_bytes: u64,
    /// Bytes at which segments are to be sealed.
    pub segment_bytes_wanted: u64,
    pub writer: SegmentWriter,
    /// Whether the newest segment has its footer, while there was no room for the next one.
    pub sealed: bool,
    /// The index of the newest segment, shared with readers.
    pub index: Arc<RwLock<SegmentIndex>>,
    /// What the events of the newest segment refer to.
    pub references: References,
    pub state: LogState,
    pub chain: Chain,
    pub local: LocalState,
    pub synced: Position,
    /// Whether a segment began since this was looked at.
    pub began: bool,
}

/// An entry as it was encoded, kept until it is written.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub slot: Slot,
    pub recorded_at: Timestamp,
    pub previous: Hash,
    pub hash: Hash,
    pub signed: bool,
    pub offset: u64,
    pub controls: Vec<Control>,
    pub blocks: Vec<BlockItem>,
    pub repeatables: Vec<Repeatable>,
    /// In a keyed log, what the events do to their keys.
    pub keyed: Vec<KeyedChange>,
    /// What events of channels that are not erasable refer to; `None` where an event does not read.
    pub references: Option<Vec<Hash>>,
}

impl Encoded {
    /// Describes an entry that stands, or will, at `offset`.
    pub(crate) fn of(parts: &EntryParts<'_>, hasher: &LogHasher, offset: u64) -> Self {
        let head = &parts.head;
        Self {
            slot: head.slot,
            recorded_at: head.recorded_at,
            previous: head.previous,
            hash: hasher.entry(parts.head_bytes),
            signed: parts.signature.is_some(),
            offset,
            controls: head.controls.clone(),
            blocks: head.blocks.clone(),
            repeatables: repeatables_of(head),
            keyed: Vec::new(),
            references: references::of_entry(parts),
        }
    }

    pub(crate) fn effects(&self) -> Effects<'_> {
        Effects {
            slot: self.slot,
            previous: self.previous,
            recorded_at: self.recorded_at,
            controls: &self.controls,
            blocks: &self.blocks,
            repeatables: &self.repeatables,
            keyed: &self.keyed,
        }
    }
}

/// Why writing stopped.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The bytes of the failed write were taken back.
    Write(io::Error),
    /// What the disk holds is unknown.
    Broken(String),
}

impl Appender {
    /// Returns the place of the frame that stands so many bytes behind the tail.
    pub(crate) fn place(&self, behind: usize) -> Place {
        let offset = self.writer.tail() + behind as u64;
        Place { log: self.superblock.log, segment: self.writer.number, offset }
    }

    /// Tells whether everything written is as safe as it gets here, without a sync and the signature with it.
    pub(crate) fn is_volatile(&self) -> bool {
        self.doors.disk.is_volatile()
    }

    /// Goes on behind a sealed segment, where that failed before.
    pub(crate) fn prepare(&mut self) -> Result<(), Stopped> {
        if self.sealed { self.follow_sealed() } else { Ok(()) }
    }

    pub(crate) fn append_frames(&mut self, frames: &[u8]) -> Result<(), Stopped> {
        self.writer.append(frames).map_err(|(cause, broken)| match broken {
            None => Stopped::Write(cause),
            Some(second) => {
                Stopped::Broken(format!("a failed write ({cause}) that could not be undone ({second})"))
            }
        })
    }

    /// Writes a frame that holds no entry.
    pub(crate) fn append_frame(&mut self, kind: FrameKind, body: &[u8]) -> Result<(), Stopped> {
        let mut frames = Vec::new();
        frame::encode(&mut frames, self.place(0), kind, self.state.next_index, self.synced, body);
        self.append_frames(&frames)
    }

    /// Takes a written entry into state and index.
    pub(crate) fn settle(&mut self, encoded: &Encoded, touched: &mut Vec<usize>) {
        let applied = self.state.apply_noting(&encoded.effects(), touched);
        assert!(applied.is_ok(), "what is written must follow from log state: {applied:?}");
        self.add_to_index(encoded);
    }

    /// Takes a written entry into the index, and tells readers of entries that it is there.
    pub(crate) fn add_to_index(&mut self, encoded: &Encoded) {
        self.references.add(encoded.references.as_deref());
        self.index.write().unwrap_or_else(PoisonError::into_inner).add(
            encoded.slot.index,
            encoded.offset,
            encoded.recorded_at,
            &encoded.blocks,
        );
        self.segments.note_written(encoded.slot.index.position_after());
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), Stopped> {
        self.writer.sync().map_err(|cause| Stopped::Broken(format!("a failed sync ({cause})")))?;
        self.synced = self.state.position();
        Ok(())
    }

    /// Seals the newest segment and begins the next one.
    pub(crate) fn roll(&mut self) -> Result<(), Stopped> {
        self.sync()?;
        // The index stays where it is meanwhile: scans that began before go on in it.
        let body = footer::encode_footer(&self.footer(&self.index()));
        self.append_frame(FrameKind::Footer, &body)?;
        self.sealed = true;
        self.sync()?;
        self.follow_sealed()
    }

    /// Trims the sealed segment, writes its index file, which readers use from now on, and begins the next
    /// segment. Where there is no room for that, the next write tries again.
    fn follow_sealed(&mut self) -> Result<(), Stopped> {
        self.writer
            .trim()
            .and_then(|()| self.writer.sync())
            .map_err(|cause| Stopped::Broken(format!("a segment not trimmed ({cause})")))?;
        if let Some(segment) = self.segments.last()
            && self.segments.write_index(&segment, self.writer.tail(), &self.index())
        {
            segment.release_index();
        }
        self.began = true;
        let (segment, writer) = self.create_next(&self.state, &self.chain, None)?;
        self.go_on_in(segment, writer);
        Ok(())
    }

    /// Creates the file of the next segment, which begins with `state` and `chain`.
    pub(crate) fn create_next(
        &self,
        state: &LogState,
        chain: &Chain,
        truncation: Option<Truncation>,
    ) -> Result<(Arc<Segment>, SegmentWriter), Stopped> {
        let header = SegmentHeader {
            log: self.superblock.log,
            origin: self.superblock.origin,
            number: self.writer.number + 1,
            first_index: state.next_index,
            created_at: self.doors.clock.now(),
            truncation,
        };
        let created = create_segment(&self.segments, &header, state, chain, &self.local, self.segment_bytes);
        created.map_err(|cause| {
            let path = segment_path(&self.segments.dir, &header);
            match self.segments.disk.exists(&path) {
                Ok(false) => Stopped::Write(cause),
                // It is there, but its name may not be durable.
                _ => Stopped::Broken(format!("a segment not begun ({cause})")),
            }
        })
    }

    /// Sets where the newest segment is sealed. In a keyed log it holds at least as much behind its state frames as in
    /// them, so that they are not written over and over.
    pub(crate) fn limit_segment(&mut self, begins: u64) {
        let wanted = self.segment_bytes_wanted;
        self.segment_bytes = if self.state.keyed.is_some() { begins + wanted.max(begins) } else { wanted };
    }

    /// Goes on in a segment that was created.
    pub(crate) fn go_on_in(&mut self, segment: Arc<Segment>, writer: SegmentWriter) {
        self.limit_segment(writer.tail());
        self.writer = writer;
        self.index = Arc::new(RwLock::new(SegmentIndex::default()));
        self.references = References::default();
        segment.set_index(Arc::clone(&self.index));
        let first = segment.first_index;
        self.segments.insert(segment);
        // Behind that: where the log leaps, nobody is to look for entries up to here in the segment before.
        self.segments.note_written(Position(first.0));
        self.sealed = false;
    }

    fn index(&self) -> RwLockReadGuard<'_, SegmentIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn footer(&self, index: &SegmentIndex) -> Footer {
        let standing = standing_of(&self.state, &self.chain, &self.segments.hasher);
        let first_index = self.segments.last().map_or(self.state.next_index, |segment| segment.first_index);
        index.footer(standing, first_index, self.references.list())
    }

    /// Writes the record of a clean close and cuts off what was filled ahead; a footer is record enough.
    pub(crate) fn close(&mut self) -> Result<(), Stopped> {
        self.sync()?;
        if self.sealed {
            return Ok(());
        }
        let standing = standing_of(&self.state, &self.chain, &self.segments.hasher);
        self.append_frame(FrameKind::Close, &footer::encode_close(&standing))?;
        let trimmed = self.writer.sync().and_then(|()| self.writer.trim()).and_then(|()| self.writer.sync());
        trimmed.map_err(|cause| Stopped::Broken(format!("a close that failed ({cause})")))
    }
}

fn segment_path(dir: &Path, header: &SegmentHeader) -> std::path::PathBuf {
    dir.join(segment_header::file_name(header.number, header.first_index))
}

/// Creates a segment file with header and state frames: temporary file, sync, rename, sync of the directory.
pub(crate) fn create_segment(
    segments: &Segments,
    header: &SegmentHeader,
    log_state: &LogState,
    chain: &Chain,
    local: &LocalState,
    segment_bytes: u64,
) -> io::Result<(Arc<Segment>, SegmentWriter)> {
    let segment = Segment::new(&segments.dir, header.number, header.first_index);
    let mut bytes = segment_header::encode(header);
    bytes.put(&state_frames(header, log_state, chain, local));
    base::create_atomically(&*segments.disk, &segment.path, OpenMode::Create, &bytes)?;
    let file = segments.disk.open(&segment.path, OpenMode::Write)?;
    let length = bytes.len() as u64;
    let writer = SegmentWriter::new(header.number, file, length, length, segment_bytes);
    Ok((Arc::new(segment), writer))
}

/// Encodes the two state frames that follow a segment's header.
pub(crate) fn state_frames(
    header: &SegmentHeader,
    log_state: &LogState,
    chain: &Chain,
    local: &LocalState,
) -> Vec<u8> {
    let body = state::encode(log_state, chain, local);
    let next: Index = log_state.next_index;
    let mut frames = Vec::new();
    for _ in 0..2 {
        let offset = (segment_header::SEGMENT_HEADER_BYTES + frames.len()) as u64;
        let place = Place { log: header.log, segment: header.number, offset };
        frame::encode(&mut frames, place, FrameKind::State, next, Position(next.0), &body);
    }
    frames
}
