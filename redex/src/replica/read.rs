//! Reading the entries of a replica as they were appended, not their events.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{IncarnationId, Index, Position};
use bytes::Bytes;

use super::{EntryContent, ReplicaEntry, SealedEntry};
use crate::appender::Encoded;
use crate::codec::control::Control;
use crate::codec::entry::{self, EntryParts};
use crate::codec::segment_header::SEGMENT_HEADER_BYTES;
use crate::error::{Corruption, ReadError};
use crate::fork::EntryMark;
use crate::index::Target;
use crate::index::points::PointList;
use crate::replay::Replay;
use crate::scan::frame_reader::{Found, FrameReader};
use crate::segments::{Segment, Segments};

/// Reads the entries from `from` to below `to`; stops behind the first that brings them to `bytes_max`.
pub(super) fn entries(
    segments: &Arc<Segments>,
    from: Index,
    to: Position,
    bytes_max: u64,
) -> Result<Vec<ReplicaEntry>, ReadError> {
    walk(segments, from, to, bytes_max, |parts, body| {
        let content = match (parts.head.incarnation, parts.head.controls.as_slice()) {
            (IncarnationId::NONE, [Control::Consensus(bytes)]) => {
                EntryContent::Consensus(Bytes::copy_from_slice(bytes))
            }
            _ => EntryContent::Sealed(SealedEntry { bytes: body.clone(), known: true }),
        };
        ReplicaEntry { slot: parts.head.slot, content }
    })
}

/// Reads a segment from its beginning up to a position: log state there.
pub(super) fn replay_to(
    segments: &Segments,
    segment: &Segment,
    position: Position,
) -> Result<Replay, ReadError> {
    let loaded = segments.load(segment)?;
    let mut replay = Replay::begin(loaded.view()).map_err(|malformed| {
        ReadError::Corrupt(Corruption {
            file: segment.path.clone(),
            offset: SEGMENT_HEADER_BYTES as u64,
            expected: "two state frames".to_owned(),
            found: format!("a wrong {malformed}"),
        })
    })?;
    replay.run(loaded.view(), &segments.hasher, position);
    Ok(replay)
}

/// Reads what the entries from `from` to below `to` do to log state.
pub(super) fn effects(
    segments: &Arc<Segments>,
    from: Index,
    to: Position,
) -> Result<VecDeque<Encoded>, ReadError> {
    let read = walk(segments, from, to, u64::MAX, |parts, _| Encoded::of(parts, &segments.hasher, 0))?;
    Ok(read.into())
}

/// Reads the marks of the entries from `from` to below `to`; stops behind the first that brings them to `bytes_max`.
pub(super) fn marks(
    segments: &Arc<Segments>,
    from: Index,
    to: Position,
    bytes_max: u64,
) -> Result<Vec<EntryMark>, ReadError> {
    walk(segments, from, to, bytes_max, |parts, _| EntryMark {
        slot: parts.head.slot,
        incarnation: parts.head.incarnation,
        hash: segments.hasher.entry(parts.head_bytes),
        signature: parts.signature,
    })
}

fn walk<R>(
    segments: &Arc<Segments>,
    from: Index,
    to: Position,
    bytes_max: u64,
    mut take: impl FnMut(&EntryParts<'_>, &Bytes) -> R,
) -> Result<Vec<R>, ReadError> {
    let mut found = Vec::new();
    let (mut next, mut bytes) = (from, 0);
    while to.includes(next) && bytes < bytes_max {
        let Some(segment) = segments.at(next) else { break };
        let end = segment.sealed.get().map_or(to, |sealed| to.min(Position(sealed.next_index.0)));
        if !end.includes(next) {
            break;
        }
        let mut points = PointList::new(segments, &segment, None)?;
        let place = points.search(Target::Index(next.0))?;
        let Some(point) = points.get(place)? else { return Err(missing(&segment, next)) };
        let mut frames = FrameReader::new(segments, &segment)?;
        frames.go_to(point.offset);
        while end.includes(next) && bytes < bytes_max {
            match frames.next(end)? {
                Found::Entry { frame_bytes, body } => {
                    let parts = entry::decode(&body).map_err(|malformed| {
                        let found = format!("a wrong {malformed}");
                        corrupt(&segment, frames.last_offset(), "an entry".to_owned(), found)
                    })?;
                    if parts.head.slot.index < next {
                        continue;
                    }
                    if parts.head.slot.index > next {
                        return Err(missing(&segment, next));
                    }
                    found.push(take(&parts, &body));
                    next = next.next();
                    bytes += frame_bytes;
                }
                Found::Other => {}
                Found::End => return Err(missing(&segment, next)),
            }
        }
    }
    Ok(found)
}

fn missing(segment: &Segment, index: Index) -> ReadError {
    corrupt(segment, 0, format!("entry {index}"), "none".to_owned())
}

fn corrupt(segment: &Segment, offset: u64, expected: String, found: String) -> ReadError {
    ReadError::Corrupt(Corruption { file: segment.path.clone(), offset, expected, found })
}
