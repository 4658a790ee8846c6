//! Putting in order what a crash or damage left of the newest segment.

use std::sync::Arc;

use base::{OpenMode, Position};

use super::open::RecoveryReport;
use super::quarantine::quarantine;
use crate::chain::Chain;
use crate::codec::frame::{FrameKind, Place};
use crate::codec::segment_header::{self, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::codec::superblock::Superblock;
use crate::codec::{frame, state};
use crate::error::{Corruption, OpenError, ReadError};
use crate::frames::{SegmentBytes, Verdict};
use crate::index::SegmentIndex;
use crate::replay::{End, LoadedSegment, Replay, read_state};
use crate::segments::{Segment, Segments};
use crate::state::LogState;
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
    report: &mut RecoveryReport,
) -> Result<Ending, OpenError> {
    let mut loaded = load(segments, segment)?;
    repair_header(segments, superblock, segment, &mut loaded, report)?;
    let mut replay = begin_replay(segments, segment, &mut loaded, report)?;
    loop {
        replay.run(loaded.view(), &segments.hasher, Position(u64::MAX));
        let End::Bad(_) = &replay.end else { break };
        match loaded.view().judge(replay.offset, replay.state.next_index) {
            Verdict::Torn => {
                report.torn_bytes += zero_torn(segments, segment, &mut loaded, replay.offset)?;
                replay.end = End::Open;
                break;
            }
            Verdict::Corrupt => {
                report.quarantined.push(quarantine(segments, segment, &mut loaded, &replay)?);
            }
        }
    }
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
pub(super) fn overwrite(
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
    let begin = usize::try_from(offset).expect("the offset lies in a segment that is in memory");
    let end = begin + bytes.len();
    if loaded.bytes.len() < end {
        loaded.bytes.resize(end, 0);
    }
    loaded.bytes[begin..end].copy_from_slice(bytes);
    Ok(())
}

fn repair_header(
    segments: &Segments,
    superblock: &Superblock,
    segment: &Segment,
    loaded: &mut LoadedSegment,
    report: &mut RecoveryReport,
) -> Result<(), OpenError> {
    let named = SegmentHeader {
        log: superblock.log,
        origin: superblock.origin,
        number: segment.number,
        first_index: segment.first_index,
        created_at: superblock.created_at,
    };
    let decoded = segment_header::decode(&loaded.bytes);
    if let Ok((found, copies)) = decoded {
        let expected = SegmentHeader { created_at: found.created_at, ..named };
        if found != expected {
            return Err(OpenError::Corrupt(Corruption {
                file: segment.path.clone(),
                offset: 0,
                expected: format!("segment {} of log {}", segment.number, superblock.log),
                found: format!("segment {} of log {}", found.number, found.log),
            }));
        }
        if copies == 2 {
            return Ok(());
        }
    }
    let header = decoded.map_or(named, |(found, _)| found);
    overwrite(segments, segment, loaded, 0, &segment_header::encode(&header))?;
    report.repaired.push(segment.path.clone());
    Ok(())
}

/// Reads the state that a segment begins with; where its copies are damaged, from the other copy or from the
/// segment before.
fn begin_replay(
    segments: &Segments,
    segment: &Segment,
    loaded: &mut LoadedSegment,
    report: &mut RecoveryReport,
) -> Result<Replay, OpenError> {
    let (state, chain) = match read_state(loaded.view()) {
        Ok((state, chain, offset, 2)) => {
            return Ok(Replay::resume(state, chain, SegmentIndex::default(), offset));
        }
        Ok((state, chain, ..)) => (state, chain),
        Err(_) => state_before(segments, segment)?,
    };
    let frames = state_frames(loaded.view(), &state, &chain);
    let offset = (SEGMENT_HEADER_BYTES + frames.len()) as u64;
    overwrite(segments, segment, loaded, SEGMENT_HEADER_BYTES as u64, &frames)?;
    report.repaired.push(segment.path.clone());
    Ok(Replay::resume(state, chain, SegmentIndex::default(), offset))
}

fn state_frames(segment: SegmentBytes<'_>, log_state: &LogState, chain: &Chain) -> Vec<u8> {
    let body = state::encode(log_state, chain);
    let mut frames = Vec::new();
    for _ in 0..2 {
        let offset = (SEGMENT_HEADER_BYTES + frames.len()) as u64;
        let place = Place { log: segment.log, segment: segment.segment, offset };
        let synced = Position(log_state.next_index.0);
        frame::encode(&mut frames, place, FrameKind::State, log_state.next_index, synced, &body);
    }
    frames
}

/// Returns the state at the beginning of a segment by reading the one before to its end.
fn state_before(segments: &Segments, segment: &Segment) -> Result<(LogState, Chain), OpenError> {
    let before = segments.all().into_iter().rev().find(|other| other.first_index < segment.first_index);
    let Some(before) = before else { return Ok((LogState::default(), Chain::default())) };
    let loaded = load(segments, &before)?;
    let replay = Replay::begin(loaded.view()).map(|mut replay| {
        replay.run(loaded.view(), &segments.hasher, Position(segment.first_index.0));
        replay
    });
    match replay {
        Ok(replay) if replay.state.next_index == segment.first_index => Ok((replay.state, replay.chain)),
        _ => Err(OpenError::Corrupt(Corruption {
            file: segment.path.clone(),
            offset: SEGMENT_HEADER_BYTES as u64,
            expected: "a state frame, here or by reading the segment before".to_owned(),
            found: "damage in both; restore a backup".to_owned(),
        })),
    }
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
