//! Setting damaged stretches of a segment aside, so that the log opens and says what it lost.

use std::path::PathBuf;

use base::OpenMode;

use super::open::QuarantinedRange;
use super::recovery::overwrite;
use crate::codec::control::HoleRecord;
use crate::codec::frame;
use crate::codec::frame::{FrameKind, HEADER_BYTES, Place, TRAILER_BYTES};
use crate::damage::Damage;
use crate::error::OpenError;
use crate::replay::{End, HoleFrame, LoadedSegment, Replay, encode_hole_frame, hole_body_bytes};
use crate::segments::{Segment, Segments};
use crate::survey::Survey;

/// The repairs of one segment: made in memory while it is read, and on disk once it is known as a whole.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    /// Hole frames, each with its offset.
    patches: Vec<(u64, Vec<u8>)>,
    /// What did not fit into its hole's frame.
    supplements: Vec<HoleFrame>,
}

impl Repairs {
    /// Copies the damaged stretch that `replay` stopped at to `quarantine/`, and puts a hole frame over it in
    /// memory.
    pub(super) fn set_aside(
        &mut self,
        segments: &Segments,
        segment: &Segment,
        loaded: &mut LoadedSegment,
        replay: &Replay,
        survey: &Survey,
    ) -> Result<QuarantinedRange, OpenError> {
        let (damage, frame) = self.fit(loaded, replay, survey);
        let begin = in_memory(replay.offset);
        let lost = &loaded.bytes[begin..in_memory(damage.end).min(loaded.bytes.len())];
        let saved_as = save(segments, segment, replay.offset, lost)?;
        put(loaded, replay.offset, &frame);
        self.patches.push((replay.offset, frame));
        let HoleRecord { first, next, bytes, .. } = damage.hole.record;
        let (path, offset) = (segment.path.clone(), replay.offset);
        tracing::error!(path = %path.display(), offset, bytes, %first, %next, "damaged entries set aside");
        Ok(QuarantinedRange { file: path, offset, bytes, first, next, saved_as })
    }

    /// Finds what is lost, and the frame that says so. A stretch that is too short for that takes the next whole
    /// frame along.
    fn fit(&mut self, loaded: &LoadedSegment, replay: &Replay, survey: &Survey) -> (Damage, Vec<u8>) {
        let segment = loaded.view();
        let mut resumed = segment.next_valid(replay.offset);
        loop {
            let damage = Damage::find(segment, replay, survey, resumed.as_ref(), None);
            let whole = damage.with_raised();
            if let Some(frame) = hole_frame(loaded, replay, &damage, &whole) {
                return (damage, frame);
            }
            if let Some(frame) = hole_frame(loaded, replay, &damage, &damage.hole) {
                self.supplements.push(whole);
                return (damage, frame);
            }
            resumed = resumed.and_then(|frame| segment.next_valid(frame.offset));
        }
    }

    /// Writes the repairs: first what did not fit, behind the last frame, so that a crash meanwhile leaves damage
    /// that is found again rather than a hole which tells only half.
    pub(super) fn write(
        self,
        segments: &Segments,
        segment: &Segment,
        loaded: &mut LoadedSegment,
        replay: &mut Replay,
    ) -> Result<(), OpenError> {
        for supplement in &self.supplements {
            if matches!(replay.end, End::Sealed(_)) {
                // Nothing stands behind a footer; the state frame of the next segment tells.
                replay.state.apply_hole(&supplement.record);
                replay.unrecorded.push(supplement.record.clone());
                continue;
            }
            let frame = encode(loaded, replay, supplement, replay.offset, body_bytes(supplement));
            let frame = frame.expect("a body of its own size fits");
            overwrite(segments, segment, loaded, replay.offset, &frame)?;
            replay.run(loaded.view(), &segments.hasher, base::Position(u64::MAX));
        }
        for (offset, frame) in &self.patches {
            overwrite(segments, segment, loaded, *offset, frame)?;
        }
        Ok(())
    }
}

fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).expect("the offset lies in a segment that is in memory")
}

/// Puts bytes in place in memory.
pub(super) fn put(loaded: &mut LoadedSegment, offset: u64, bytes: &[u8]) {
    let begin = in_memory(offset);
    let end = begin + bytes.len();
    if loaded.bytes.len() < end {
        loaded.bytes.resize(end, 0);
    }
    loaded.bytes[begin..end].copy_from_slice(bytes);
}

fn save(segments: &Segments, segment: &Segment, offset: u64, lost: &[u8]) -> Result<PathBuf, OpenError> {
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

/// Encodes the frame of a hole, exactly as long as the stretch; at the end of the log it may be longer. `None`
/// when it does not fit.
fn hole_frame(loaded: &LoadedSegment, replay: &Replay, damage: &Damage, hole: &HoleFrame) -> Option<Vec<u8>> {
    let stretch = in_memory(damage.end - replay.offset);
    let needed = HEADER_BYTES + body_bytes(hole) + TRAILER_BYTES;
    let length = if damage.at_end { stretch.max(needed) } else { stretch };
    encode(loaded, replay, hole, replay.offset, length.checked_sub(HEADER_BYTES + TRAILER_BYTES)?)
}

/// Returns the bytes of a body that holds a hole and ends with filling, so that it needs no escaping.
fn body_bytes(hole: &HoleFrame) -> usize {
    (hole_body_bytes(&hole.record) + 8).next_multiple_of(8)
}

fn encode(
    loaded: &LoadedSegment,
    replay: &Replay,
    hole: &HoleFrame,
    offset: u64,
    body_bytes: usize,
) -> Option<Vec<u8>> {
    let body = encode_hole_frame(hole, body_bytes)?;
    let place = Place { log: loaded.log, segment: loaded.number, offset };
    let mut out = Vec::new();
    // What was read up to here need not be synced.
    frame::encode(&mut out, place, FrameKind::Hole, hole.record.first, replay.testified, &body);
    (out.len() == HEADER_BYTES + body_bytes + TRAILER_BYTES).then_some(out)
}
