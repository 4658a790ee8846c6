//! Setting damaged stretches of a segment aside, so that the log opens and says what it lost.

use std::collections::{BTreeMap, BTreeSet};

use base::{ChannelName, Index, OpenMode, Seq};

use super::open::QuarantinedRange;
use super::recovery::overwrite;
use crate::codec::control::{Control, HoleRecord};
use crate::codec::event::EVENT_BYTES_MIN;
use crate::codec::frame::{FRAME_BYTES_MIN, FrameKind, HEADER_BYTES, Place, TRAILER_BYTES};
use crate::codec::{entry, footer, frame};
use crate::error::{Corruption, OpenError};
use crate::frames::SegmentBytes;
use crate::replay::{HoleFrame, LoadedSegment, Replay, encode_hole_frame};
use crate::segments::{Segment, Segments};

/// Copies the damaged stretch that `replay` stopped at to `quarantine/`, and writes a hole frame over it.
pub(super) fn quarantine(
    segments: &Segments,
    segment: &Segment,
    loaded: &mut LoadedSegment,
    replay: &Replay,
) -> Result<QuarantinedRange, OpenError> {
    let damage = Damage::find(loaded.view(), replay);
    let begin = usize::try_from(replay.offset).expect("the offset lies in a segment that is in memory");
    let end = usize::try_from(damage.end).expect("the end lies in a segment that is in memory");
    let mut lost = loaded.bytes[begin.min(loaded.bytes.len())..end.min(loaded.bytes.len())].to_vec();
    let saved_as = save(segments, segment, replay.offset, &lost)?;
    lost.clear();
    let frame = hole_frame(loaded.view(), replay, &damage).ok_or_else(|| {
        OpenError::Corrupt(Corruption {
            file: segment.path.clone(),
            offset: replay.offset,
            expected: "a damaged stretch with room for a record of what was lost".to_owned(),
            found: format!("{} bytes; restore a backup", damage.end - replay.offset),
        })
    })?;
    overwrite(segments, segment, loaded, replay.offset, &frame)?;
    tracing::error!(
        path = %segment.path.display(),
        offset = replay.offset,
        bytes = damage.end - replay.offset,
        first = damage.record.first.0,
        next = damage.record.next.0,
        "damaged entries set aside"
    );
    Ok(QuarantinedRange {
        file: segment.path.clone(),
        offset: replay.offset,
        bytes: damage.end - replay.offset,
        first: damage.record.first,
        next: damage.record.next,
        saved_as,
    })
}

fn save(
    segments: &Segments,
    segment: &Segment,
    offset: u64,
    lost: &[u8],
) -> Result<std::path::PathBuf, OpenError> {
    let dir = segments.dir.join("quarantine");
    segments.disk.create_directories(&dir).map_err(OpenError::io(&dir))?;
    let mut copy = 0;
    loop {
        let path = dir.join(format!("{:010}-{offset:010}-{copy}.bin", segment.number));
        if !segments.disk.exists(&path).map_err(OpenError::io(&path))? {
            base::create_atomically(&*segments.disk, &path, OpenMode::Create, lost)
                .map_err(OpenError::io(&path))?;
            return Ok(path);
        }
        copy += 1;
    }
}

fn hole_frame(segment: SegmentBytes<'_>, replay: &Replay, damage: &Damage) -> Option<Vec<u8>> {
    let length = usize::try_from(damage.end - replay.offset).ok()?;
    let body_bytes = length.checked_sub(HEADER_BYTES + TRAILER_BYTES)?;
    let hole = HoleFrame { record: damage.record.clone(), resumed_hash: damage.resumed_hash };
    let body = encode_hole_frame(&hole, body_bytes)?;
    let place = Place { log: segment.log, segment: segment.segment, offset: replay.offset };
    let mut out = Vec::new();
    frame::encode(&mut out, place, FrameKind::Hole, damage.record.first, replay.testified, &body);
    (out.len() == length).then_some(out)
}

/// A damaged stretch and what it may have held.
pub(crate) struct Damage {
    /// Where the stretch ends: at the next valid frame, or behind the last byte that is not zero.
    pub end: u64,
    pub record: HoleRecord,
    pub resumed_hash: base::Hash,
}

impl Damage {
    /// Looks at the place where `replay` stopped; `segment` reaches from there to the end of the file.
    pub(crate) fn find(segment: SegmentBytes<'_>, replay: &Replay) -> Self {
        let first = replay.state.next_index;
        let resumed = segment.next_valid(replay.offset);
        let end = resumed.as_ref().map_or_else(|| used_end(segment, replay.offset), |frame| frame.offset);
        let bytes = end - replay.offset;
        let readable = Readable::read(segment, replay, end);
        let (next, resumed_hash) = match resumed.as_ref().and_then(|frame| standing(frame)) {
            Some((next, hash)) => (next.max(first), hash),
            None if readable.complete => (readable.next, replay.chain.last_hash),
            None => (first.plus(bytes / FRAME_BYTES_MIN + 1), replay.chain.last_hash),
        };
        let mut channels = readable.channels;
        if !readable.complete {
            // Beyond anything that the lost bytes could hold.
            let most = bytes / EVENT_BYTES_MIN as u64 + 1;
            for channel in replay.state.channels() {
                let raised = channel.next.plus(most);
                channels.insert(channel.name.clone(), raised);
            }
        }
        // Entries behind the stretch know better: they say where each of their channels goes on.
        channels.extend(first_mentions(segment, end));
        let channels = channels.into_iter().collect();
        Self { end, record: HoleRecord { first, next, bytes, channels }, resumed_hash }
    }
}

/// Returns the index and the hash link that the log goes on with at a valid frame.
fn standing(frame: &crate::frames::Frame<'_>) -> Option<(Index, base::Hash)> {
    let body = frame.body().ok()?;
    match frame.header.kind {
        FrameKind::Entry => {
            let parts = entry::decode(&body).ok()?;
            Some((parts.head.slot.index, parts.head.previous))
        }
        FrameKind::Footer => {
            let standing = footer::decode_footer(&body).ok()?.standing;
            Some((standing.next_index, standing.last_hash))
        }
        FrameKind::Close => {
            let standing = footer::decode_close(&body).ok()?;
            Some((standing.next_index, standing.last_hash))
        }
        _ => None,
    }
}

fn used_end(segment: SegmentBytes<'_>, offset: u64) -> u64 {
    let rest = segment.from(offset);
    let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    offset + (used as u64).next_multiple_of(8)
}

/// What the damaged stretch still tells: the heads of entries whose blocks are damaged.
struct Readable {
    /// Whether the heads of all entries in the stretch were read.
    complete: bool,
    next: Index,
    channels: BTreeMap<ChannelName, Seq>,
}

impl Readable {
    fn read(segment: SegmentBytes<'_>, replay: &Replay, end: u64) -> Self {
        let mut readable = Self { complete: false, next: replay.state.next_index, channels: BTreeMap::new() };
        let mut offset = replay.offset;
        while offset < end {
            let place = Place { log: segment.log, segment: segment.segment, offset };
            let bytes = segment.from(offset);
            let Ok(header) = frame::decode_header(bytes, place) else { return readable };
            let body = bytes.get(HEADER_BYTES..HEADER_BYTES + header.stored_bytes);
            let entry = body.filter(|_| header.kind == FrameKind::Entry && !header.escaped);
            let Some(Ok(parts)) = entry.map(entry::decode_front) else { return readable };
            if parts.head.slot.index != readable.next {
                return readable;
            }
            for block in &parts.head.blocks {
                let next = block.first_seq.plus(block.events.into());
                readable.channels.insert(block.channel.clone(), next);
            }
            readable.next = readable.next.next();
            offset += header.frame_bytes() as u64;
        }
        readable.complete = offset == end;
        readable
    }
}

/// Returns the first number that entries from `offset` on give to each channel that they write and that was
/// there before them.
fn first_mentions(segment: SegmentBytes<'_>, offset: u64) -> BTreeMap<ChannelName, Seq> {
    let mut mentions = BTreeMap::new();
    let mut created = BTreeSet::new();
    let mut at = offset;
    while let Ok(frame) = segment.frame(at) {
        at = frame.end();
        if frame.header.kind != FrameKind::Entry {
            continue;
        }
        let Ok(body) = frame.body() else { break };
        let Ok(parts) = entry::decode(&body) else { break };
        created.extend(parts.head.controls.into_iter().filter_map(|control| match control {
            Control::ChannelCreated { name, .. } => Some(name),
            _ => None,
        }));
        for block in parts.head.blocks {
            if !created.contains(&block.channel) {
                mentions.entry(block.channel).or_insert(block.first_seq);
            }
        }
    }
    mentions
}
