//! Putting in order what a crash or damage left of the newest segment.

use std::sync::Arc;

use base::{Index, OpenMode, Position, Seq};

use super::open::{RecoveryReport, unknown_format};
use super::quarantine::{Repairs, put};
use crate::appender::state_frames;
use crate::chain::Chain;
use crate::codec::control::HoleRecord;
use crate::codec::entry;
use crate::codec::event::EVENT_BYTES_MIN;
use crate::codec::frame::FrameKind;
use crate::codec::segment_header::{self, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::codec::state::Beginning;
use crate::codec::superblock::{LogKind, Superblock};
use crate::damage::{replay_over_damage, skip};
use crate::error::{Corruption, OpenError, ReadError};
use crate::frames::{Frame, SegmentBytes, Verdict};
use crate::limits::ENTRY_BYTES_MAX;
use crate::replay::{End, HoleFrame, LoadedSegment, Replay, read_state};
use crate::segments::{Segment, Segments};
use crate::state::LogState;
use crate::survey::Survey;
use crate::writer::write_zeros;

/// How the newest segment ends.
pub(super) enum Ending {
    /// There is no segment.
    Fresh,
    /// It takes further entries.
    Open { segment: Arc<Segment>, replay: Box<Replay>, length: u64 },
    /// It is sealed; the next one is missing.
    Sealed { segment: Arc<Segment>, replay: Box<Replay> },
}

/// Puts the newest segment in order.
pub(super) fn recover(
    segments: &Segments,
    superblock: &Superblock,
    segment: &Arc<Segment>,
    strict: bool,
    report: &mut RecoveryReport,
) -> Result<Ending, OpenError> {
    let mut loaded = load(segments, segment)?;
    let header = repair_header(segments, superblock, segment, &mut loaded, report)?;
    let mut replay = begin_replay(segments, segment, superblock.kind, &header, &mut loaded, report)?;
    let mut survey = None;
    let mut repairs = Repairs::default();
    loop {
        replay.run(loaded.view(), &segments.hasher, Position(u64::MAX));
        let End::Bad(_) = &replay.end else { break };
        let survey = survey.get_or_insert_with(|| Survey::behind(loaded.view(), replay.offset));
        let testified = survey.testified_behind(replay.offset);
        match loaded.view().judge(replay.offset, replay.state.next_index, testified) {
            Verdict::Torn => {
                report.torn_bytes += zero_torn(segments, segment, &mut loaded, replay.offset)?;
                replay.end = End::Open;
                break;
            }
            Verdict::Corrupt if strict => {
                return Err(OpenError::Corrupt(Corruption {
                    file: segment.path.clone(),
                    offset: replay.offset,
                    expected: format!("entry {}", replay.state.next_index),
                    found: "damage, which opening without `strict` would set aside".to_owned(),
                }));
            }
            Verdict::Corrupt => {
                let range = repairs.set_aside(segments, segment, &mut loaded, &replay, survey)?;
                report.quarantined.push(range);
            }
        }
    }
    repairs.write(segments, segment, &mut loaded, &mut replay)?;
    report.unclean = !matches!(replay.end, End::Closed | End::Sealed(_));
    report.rewritten_entries = rewrite_unsynced(segments, segment, &loaded, &replay)?;
    if let End::Sealed(_) = replay.end {
        return Ok(Ending::Sealed { segment: Arc::clone(segment), replay: Box::new(replay) });
    }
    let length = loaded.bytes.len() as u64;
    Ok(Ending::Open { segment: Arc::clone(segment), replay: Box::new(replay), length })
}

pub(super) fn load(segments: &Segments, segment: &Segment) -> Result<LoadedSegment, OpenError> {
    segments.load(segment).map_err(|error| match error {
        ReadError::Io { path, source } => OpenError::Io { path, source },
        other => OpenError::Io { path: segment.path.clone(), source: std::io::Error::other(other) },
    })
}

/// Writes a segment's bytes in place and syncs them.
pub(crate) fn overwrite(
    segments: &Segments,
    segment: &Segment,
    loaded: &mut LoadedSegment,
    offset: u64,
    bytes: &[u8],
) -> Result<(), OpenError> {
    let io = OpenError::io(&segment.path);
    let written = segments.disk.open(&segment.path, OpenMode::Write).and_then(|file| {
        base::write_all_at(&*file, bytes, offset)?;
        file.sync_data()
    });
    written.map_err(io)?;
    put(loaded, offset, bytes);
    Ok(())
}

fn repair_header(
    segments: &Segments,
    superblock: &Superblock,
    segment: &Segment,
    loaded: &mut LoadedSegment,
    report: &mut RecoveryReport,
) -> Result<SegmentHeader, OpenError> {
    let named = SegmentHeader {
        log: superblock.log,
        origin: superblock.origin,
        number: segment.number,
        first_index: segment.first_index,
        created_at: superblock.created_at,
        truncation: None,
    };
    if let Some(found) = segment_header::foreign_format(&loaded.bytes) {
        return Err(unknown_format(&segment.path, found));
    }
    let is_named =
        |found: &SegmentHeader| (found.number, found.first_index) == (segment.number, segment.first_index);
    let decoded = segment_header::decode(&loaded.bytes);
    if let Ok((found, copies)) = decoded {
        if (found.log, found.origin) != (named.log, named.origin) {
            return Err(OpenError::Corrupt(Corruption {
                file: segment.path.clone(),
                offset: 0,
                expected: format!("segment {} of log {}", segment.number, superblock.log),
                found: format!("segment {} of log {}", found.number, found.log),
            }));
        }
        if copies == 2 && is_named(&found) {
            return Ok(found);
        }
    }
    // The header of another segment of the log came here by a write that went astray: damage like any other.
    let header = decoded.ok().map(|(found, _)| found).filter(is_named).unwrap_or(named);
    overwrite(segments, segment, loaded, 0, &segment_header::encode(&header))?;
    report.repaired.push(segment.path.clone());
    Ok(header)
}

/// Reads the state that a segment begins with; where its copies are damaged, from the other copy or from the
/// segments before.
fn begin_replay(
    segments: &Segments,
    segment: &Segment,
    kind: LogKind,
    header: &SegmentHeader,
    loaded: &mut LoadedSegment,
    report: &mut RecoveryReport,
) -> Result<Replay, OpenError> {
    let (beginning, behind) = match read_state(loaded.view()) {
        Ok((beginning, offset, 2)) => return Ok(Replay::at_beginning(beginning, offset)),
        Ok((beginning, offset, _)) => (beginning, Some(offset)),
        Err(_) => {
            let beginning = state_before(segments, segment, kind, loaded.view())?;
            (beginning, first_frame(loaded.view()).map(|frame| frame.offset))
        }
    };
    let frames = state_frames(header, &beginning.state, &beginning.chain, &beginning.local);
    let own = (SEGMENT_HEADER_BYTES + frames.len()) as u64;
    let behind = behind.unwrap_or(own);
    // Where the segments before are damaged, too, their state may be longer than the lost one was.
    if own <= behind {
        overwrite(segments, segment, loaded, SEGMENT_HEADER_BYTES as u64, &frames)?;
        report.repaired.push(segment.path.clone());
    }
    // What lies between the state and the first whole frame is damage like any other.
    Ok(Replay::at_beginning(beginning, own.min(behind)))
}

/// Returns the first whole frame that is not a state frame.
fn first_frame(segment: SegmentBytes<'_>) -> Option<Frame<'_>> {
    let mut from = SEGMENT_HEADER_BYTES as u64;
    loop {
        let frame = segment.next_valid(from)?;
        if frame.header.kind != FrameKind::State {
            return Some(frame);
        }
        from = frame.offset;
    }
}

/// Returns the state at the beginning of a segment by reading the one before to its end.
fn state_before(
    segments: &Segments,
    segment: &Segment,
    kind: LogKind,
    bytes: SegmentBytes<'_>,
) -> Result<Beginning, OpenError> {
    let before = segments.all().into_iter().rev().find(|other| other.first_index < segment.first_index);
    let Beginning { mut state, mut chain, local } = match before {
        Some(before) => replay_damaged(segments, &before, kind, segment.first_index)?,
        None => Beginning { state: LogState::empty(kind), ..Beginning::default() },
    };
    if state.next_index < segment.first_index {
        let hole = lost_before(&state, &chain, segment.first_index, bytes);
        skip(&mut state, &mut chain, &hole, &segments.hasher);
    }
    Ok(Beginning { state, chain, local })
}

/// Describes the entries that are missing before a segment.
fn lost_before(state: &LogState, chain: &Chain, next: Index, bytes: SegmentBytes<'_>) -> HoleFrame {
    let survey = Survey::behind(bytes, SEGMENT_HEADER_BYTES as u64);
    let mentioned = survey.mentioned_from(0);
    let lost = next.0 - state.next_index.0;
    let more = lost.saturating_mul((ENTRY_BYTES_MAX / EVENT_BYTES_MIN) as u64);
    let raised = state.channels().iter().filter(|channel| !mentioned.contains_key(&channel.name));
    let raised = raised.map(|channel| (channel.name.clone(), channel.next.plus(more)));
    let exact = mentioned.iter().filter_map(|(name, seq)| seq.map(|seq| ((*name).clone(), seq)));
    let channels = exact.chain(raised).collect();
    let link = first_frame(bytes).and_then(|frame| {
        let body = frame.body().ok()?;
        entry::decode_front(&body).ok().map(|parts| parts.head.previous)
    });
    HoleFrame {
        record: HoleRecord { first: state.next_index, next, bytes: 0, floor: Seq(more), channels },
        resumed_hash: link.unwrap_or(chain.last_hash),
    }
}

/// Reads a segment that is not the newest from its beginning to its end, over damage, and leaves it as it is.
fn replay_damaged(
    segments: &Segments,
    segment: &Segment,
    kind: LogKind,
    next: Index,
) -> Result<Beginning, OpenError> {
    let loaded = load(segments, segment)?;
    let view = loaded.view();
    let (beginning, offset) = match read_state(view) {
        Ok((beginning, offset, _)) => (beginning, offset),
        Err(_) => {
            let beginning = state_before(segments, segment, kind, view)?;
            (beginning, first_frame(view).map_or(view.end(), |frame| frame.offset))
        }
    };
    let mut replay = Replay::at_beginning(beginning, offset);
    replay_over_damage(view, &mut replay, &segments.hasher, Some(next));
    let Replay { state, chain, local, .. } = replay;
    Ok(Beginning { state, chain, local })
}

/// Zeroes what was written only in part and everything behind it, back to front, so that a crash meanwhile
/// leaves a torn end again.
fn zero_torn(
    segments: &Segments,
    segment: &Segment,
    loaded: &mut LoadedSegment,
    offset: u64,
) -> Result<u64, OpenError> {
    const STEP: u64 = 64 << 10;
    let begin = usize::try_from(offset).expect("the offset lies in a segment that is in memory");
    let used = loaded.bytes[begin..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let end = offset + used as u64;
    let zeroed = segments.disk.open(&segment.path, OpenMode::Write).and_then(|file| {
        let mut to = end;
        while to > offset {
            let from = to.saturating_sub(STEP).max(offset);
            write_zeros(&*file, from, to)?;
            to = from;
        }
        file.sync_data()
    });
    zeroed.map_err(OpenError::io(&segment.path))?;
    loaded.bytes[begin..].fill(0);
    tracing::warn!(path = %segment.path.display(), offset, bytes = used, "torn end zeroed");
    Ok(used as u64)
}

/// Writes frames again that nothing testified to be synced, and syncs them: the page cache may hold what the
/// disk does not, even the record of a clean close. Returns how many of them are entries.
fn rewrite_unsynced(
    segments: &Segments,
    segment: &Segment,
    loaded: &LoadedSegment,
    replay: &Replay,
) -> Result<u64, OpenError> {
    let Some(first) = replay.unsynced.first() else { return Ok(0) };
    let from = first.offset;
    let range = usize::try_from(from).expect("in memory")..usize::try_from(replay.offset).expect("in memory");
    let rewritten = segments.disk.open(&segment.path, OpenMode::Write).and_then(|file| {
        base::write_all_at(&*file, &loaded.bytes[range], from)?;
        file.sync_data()
    });
    rewritten.map_err(OpenError::io(&segment.path))?;
    Ok(replay.unsynced.iter().filter(|frame| frame.entry).count() as u64)
}
