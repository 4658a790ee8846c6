//! Reading what another process writes.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use base::{ChannelName, Disk, OpenMode, Position};

use crate::chain::Chain;
use crate::channels::VisibleChannels;
use crate::codec::frame::FrameKind;
use crate::codec::segment_header::SEGMENT_HEADER_BYTES;
use crate::codec::superblock::LogKind;
use crate::codec::visible::{self, VISIBLE_BYTES, Visible};
use crate::damage::replay_over_damage;
use crate::error::{Corruption, ReadError};
use crate::frames::SegmentBytes;
use crate::index::SegmentIndex;
use crate::reader::VisibleState;
use crate::redaction;
use crate::replay::{End, LoadedSegment, Replay};
use crate::segments::{Segment, Segments};
use crate::state::LogState;

/// Bytes of the first read of what a writer added.
const READ_BYTES_MIN: u64 = 256 << 10;

/// How often a reader begins anew when what it reads is given up meanwhile.
const LEFT_BEHIND_MAX: usize = 3;

/// A reader's place in a log that it does not write.
#[derive(Debug)]
pub(crate) struct Follower {
    segments: Arc<Segments>,
    disk: Arc<dyn Disk>,
    /// The node's lock file, which tells whether there is a writer.
    lock: PathBuf,
    /// Whether others decide what the log holds: then entries are visible only as far as somebody said so, and segments
    /// may end where later ones cut them off.
    replicated: bool,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    state: LogState,
    chain: Chain,
    /// Where the next frame begins.
    offset: u64,
    /// The index of the segment, shared with readers.
    index: Arc<RwLock<SegmentIndex>>,
    /// Whether the footer was read, so that entries go on in the next segment.
    sealed: bool,
    /// Whether damage was passed over, which a writer repairs.
    damaged: bool,
}

/// Whether there may be more to read.
enum Reading {
    /// Everything that may be seen was read.
    UpToDate,
    /// There is more.
    On,
    /// More bytes are needed to tell.
    Short,
}

impl Follower {
    pub(crate) fn new(segments: Arc<Segments>, lock: PathBuf, kind: LogKind) -> Self {
        let disk = Arc::clone(&segments.disk);
        Self { segments, disk, lock, replicated: kind == LogKind::Replicated, place: None }
    }

    fn position(&self) -> Option<Position> {
        self.place.as_ref().map(|place| place.state.position())
    }

    /// Reads on; returns the new visible state if there is more than before. A writer that gives up its beginning may
    /// have left everything behind that was read so far: then it goes on at the end.
    pub(crate) fn refresh(&mut self) -> Result<Option<VisibleState>, ReadError> {
        for _ in 0..LEFT_BEHIND_MAX {
            match self.look() {
                Err(_) if self.is_left_behind() => self.place = None,
                looked => return looked,
            }
        }
        self.look()
    }

    /// Tells whether the segment is gone that was read last.
    fn is_left_behind(&self) -> bool {
        let segment = self.place.as_ref().map(|place| &place.segment.path);
        segment.is_some_and(|path| !self.disk.exists(path).unwrap_or(true))
    }

    fn look(&mut self) -> Result<Option<VisibleState>, ReadError> {
        let before = self.position();
        let bound = self.bound()?;
        if bound.is_some() && self.place.as_ref().is_some_and(|place| place.damaged) {
            // What was passed over is in order now, and need not end where the damage did.
            self.place = None;
        }
        if bound.is_some_and(|bound| before.is_some_and(|position| position >= bound)) {
            return Ok(None);
        }
        if self.is_left_behind() {
            self.place = None;
        }
        self.segments.discover().map_err(ReadError::io(&self.segments.dir))?;
        let begins = self.place.is_none();
        if begins {
            self.begin(bound)?;
        }
        self.read_on(bound)?;
        if begins {
            self.note_redactions_under_way();
        }
        let Some(place) = &self.place else { return Ok(None) };
        if self.replicated
            && let Some(first) = self.segments.all().first()
        {
            // One that was behind begins with what the others kept, and reads of it in the log only later.
            self.segments.begin_at(Position(first.first_index.0));
        }
        self.segments.forget_below(place.state.trimmed);
        Ok((Some(place.state.position()) != before).then(|| visible_state(&place.state)))
    }

    /// Notes what is redacted by a record that was read, or stands before all that was, and may still be on disk.
    fn note_redactions_under_way(&self) {
        let (disk, dir, log) = (&*self.disk, &self.segments.dir, self.segments.log);
        let known = self.place.as_ref().map_or(0, |place| place.state.redactions);
        let prepared = redaction::prepared(disk, dir, log).filter(|redo| redo.number <= known);
        for redo in redaction::due(disk, dir, log).iter().chain(&prepared) {
            self.segments.redact(&redo.record);
        }
    }

    /// Returns how far a live writer lets readers read; `None` when there is no writer, so that everything
    /// that opening would keep is visible.
    fn bound(&self) -> Result<Option<Position>, ReadError> {
        if !self.replicated && !self.disk.is_locked(&self.lock).map_err(ReadError::io(&self.lock))? {
            return Ok(None);
        }
        let told = self.read_visible();
        let seen = self.position().unwrap_or(Position::ZERO);
        Ok(Some(told.map_or(seen, |visible| visible.position.max(seen))))
    }

    fn read_visible(&self) -> Option<Visible> {
        let file = self.disk.open(&self.segments.dir.join("visible"), OpenMode::Read).ok()?;
        let mut bytes = vec![0; VISIBLE_BYTES];
        base::read_exact_at(&*file, &mut bytes, 0).ok()?;
        visible::decode(&bytes).ok().filter(|visible| visible.log == self.segments.log)
    }

    /// Starts at the newest segment whose state frame reads and is not beyond the bound.
    fn begin(&mut self, bound: Option<Position>) -> Result<(), ReadError> {
        let bound = bound.unwrap_or(Position(u64::MAX));
        let all = self.segments.all();
        let mut fault = None;
        for segment in all.iter().rev().filter(|segment| segment.first_index.0 <= bound.0) {
            match self.at_beginning(segment, |view| Replay::begin(view).ok())? {
                Some(replay) => {
                    self.enter(Arc::clone(segment), replay.state, replay.chain, replay.offset);
                    return Ok(());
                }
                None => {
                    fault = fault.or(Some(corrupt(segment, SEGMENT_HEADER_BYTES as u64, "a state frame")))
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// Reads something at the beginning of a segment, from its first bytes or, when they do not suffice, from
    /// all of it.
    fn at_beginning<R>(
        &self,
        segment: &Segment,
        read: impl Fn(SegmentBytes<'_>) -> Option<R>,
    ) -> Result<Option<R>, ReadError> {
        let first = self.segments.load_part(segment, 0, READ_BYTES_MIN)?;
        match read(first.view()) {
            Some(found) => Ok(Some(found)),
            None => Ok(read(self.segments.load(segment)?.view())),
        }
    }

    fn enter(&mut self, segment: Arc<Segment>, state: LogState, chain: Chain, offset: u64) {
        let index = Arc::new(RwLock::new(SegmentIndex::default()));
        segment.set_index(Arc::clone(&index));
        let (sealed, damaged) = (false, false);
        self.place = Some(Place { segment, state, chain, offset, index, sealed, damaged });
    }

    fn read_on(&mut self, bound: Option<Position>) -> Result<(), ReadError> {
        let mut count = READ_BYTES_MIN;
        while let Some(place) = &self.place {
            if place.sealed {
                if !self.next_segment()? {
                    return Ok(());
                }
                count = READ_BYTES_MIN;
                continue;
            }
            let part = self.segments.load_part(&place.segment, place.offset, count)?;
            match self.read_part(&part, (part.bytes.len() as u64) < count, bound)? {
                Reading::UpToDate => return Ok(()),
                Reading::On => {}
                Reading::Short => count = count.saturating_mul(4),
            }
        }
        Ok(())
    }

    /// Reads the frames in a part of the segment; `whole` tells whether the part reaches to the file's end.
    fn read_part(
        &mut self,
        part: &LoadedSegment,
        whole: bool,
        bound: Option<Position>,
    ) -> Result<Reading, ReadError> {
        let Some(mut place) = self.place.take() else { return Ok(Reading::UpToDate) };
        let index = place.index.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut replay = Replay::resume(place.state, place.chain, index, place.offset);
        replay.run(part.view(), &self.segments.hasher, bound.unwrap_or(Position(u64::MAX)));
        replay.redactions.iter().for_each(|record| self.segments.redact(record));
        let progressed = replay.offset > place.offset;
        let missing = bound.filter(|bound| replay.state.position() < *bound);
        let reading = match &replay.end {
            End::Bound => Ok(Reading::UpToDate),
            End::Sealed(_) => {
                place.sealed = true;
                Ok(Reading::On)
            }
            // The end of a part says nothing while the file goes on.
            _ if !whole => Ok(if progressed { Reading::On } else { Reading::Short }),
            _ if self.replicated && missing.is_some() && self.is_cut_off(&place.segment, &replay) => {
                place.sealed = true;
                Ok(Reading::On)
            }
            _ if missing.is_some() => {
                Err(corrupt(&place.segment, replay.offset, &format!("entry {}", replay.state.next_index)))
            }
            End::Bad(_) if bound.is_none() => {
                place.damaged = self.skip_damage(part, &mut replay);
                place.sealed = matches!(replay.end, End::Sealed(_));
                Ok(if place.damaged { Reading::On } else { Reading::UpToDate })
            }
            // A writer may be at work there.
            _ => Ok(Reading::UpToDate),
        };
        *place.index.write().unwrap_or_else(PoisonError::into_inner) = replay.index;
        self.place = Some(Place { state: replay.state, chain: replay.chain, offset: replay.offset, ..place });
        reading
    }

    /// Tells whether a later segment goes on where a segment was read to.
    fn is_cut_off(&self, segment: &Segment, replay: &Replay) -> bool {
        let next = replay.state.next_index;
        let found = self.segments.between(next.0, next.0 + 1);
        found.iter().any(|later| later.first_index == next && later.number > segment.number)
    }

    /// Goes over damaged stretches as opening for writing would; tells whether there are any, and no torn end.
    fn skip_damage(&self, part: &LoadedSegment, replay: &mut Replay) -> bool {
        let before = replay.offset;
        replay_over_damage(part.view(), replay, &self.segments.hasher, None);
        let bytes = replay.offset - before;
        if bytes > 0 {
            tracing::warn!(offset = before, bytes, "damaged entries passed over");
        }
        bytes > 0
    }

    /// Goes to the segment behind the sealed one; tells whether there is one.
    fn next_segment(&mut self) -> Result<bool, ReadError> {
        let Some(place) = &self.place else { return Ok(false) };
        let next = place.state.next_index;
        let found = self.segments.between(next.0, next.0 + 1).into_iter().find(|s| s.first_index == next);
        let Some(segment) = found.filter(|segment| segment.number > place.segment.number) else {
            return Ok(false);
        };
        let Some(offset) = self.at_beginning(&segment, first_entry_offset)? else {
            return Err(corrupt(&segment, SEGMENT_HEADER_BYTES as u64, "a state frame"));
        };
        if let Some(place) = self.place.take() {
            // The writer has left an index file, or it is rebuilt when it is needed.
            place.segment.release_index();
            self.enter(segment, place.state, place.chain, offset);
        }
        Ok(true)
    }
}

/// Returns where the frames behind the state frames of a segment begin.
fn first_entry_offset(segment: SegmentBytes<'_>) -> Option<u64> {
    if let Ok(replay) = Replay::begin(segment) {
        return Some(replay.offset);
    }
    let mut at = SEGMENT_HEADER_BYTES as u64;
    loop {
        let frame = segment.frame(at).ok().or_else(|| segment.next_valid(at))?;
        if frame.header.kind != FrameKind::State {
            return Some(frame.offset);
        }
        at = frame.end();
    }
}

fn corrupt(segment: &Segment, offset: u64, expected: &str) -> ReadError {
    ReadError::Corrupt(Corruption {
        file: segment.path.clone(),
        offset,
        expected: expected.to_owned(),
        found: "damage".to_owned(),
    })
}

/// Returns what readers may see of a state.
pub(crate) fn visible_state(state: &LogState) -> VisibleState {
    VisibleState {
        position: state.position(),
        channels: VisibleChannels::of(state.channels()),
        incarnations: state.incarnations.clone().into(),
        holes: state.holes.clone().into(),
        last_recorded_at: state.last_recorded_at,
        trimmed: state.trimmed,
        keyed: state.keyed.clone(),
        arrivals: arrivals(state),
    }
}

/// Returns the channels that came from other logs.
pub(crate) fn arrivals(state: &LogState) -> Arc<[ChannelName]> {
    let came = state.channels().iter().filter(|channel| channel.arrived.is_some());
    came.map(|channel| channel.name.clone()).collect()
}
