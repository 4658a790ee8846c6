//! Finding out what a damaged stretch of a segment may have held.

use std::collections::BTreeMap;

use base::{ChannelName, Hash, Index, Position, Seq};

use crate::chain::Chain;
use crate::codec::control::HoleRecord;
use crate::codec::entry::EntryHead;
use crate::codec::escape::unescape;
use crate::codec::event::EVENT_BYTES_MIN;
use crate::codec::frame::{FrameHeader, FrameKind, HEADER_BYTES, Place};
use crate::codec::{entry, footer, frame};
use crate::frames::{Frame, SegmentBytes, Verdict};
use crate::hashing::LogHasher;
use crate::references::References;
use crate::replay::{End, HoleFrame, Replay, decode_hole_frame, entries_max};
use crate::state::LogState;
use crate::survey::Survey;

/// Reads to the end of a segment over damage, and leaves the segment as it is. `next` is the entry that the
/// segment behind begins with; in the newest segment there is none, and a torn end is its end.
pub(crate) fn replay_over_damage(
    segment: SegmentBytes<'_>,
    replay: &mut Replay,
    hasher: &LogHasher,
    next: Option<Index>,
) {
    let bound = next.map_or(Position(u64::MAX), |next| Position(next.0));
    let mut survey = None;
    loop {
        replay.run(segment, hasher, bound);
        let End::Bad(_) = &replay.end else { return };
        let survey = survey.get_or_insert_with(|| Survey::behind(segment, replay.offset.saturating_sub(1)));
        let testified = survey.testified_behind(replay.offset);
        let torn = || segment.judge(replay.offset, replay.state.next_index, testified) == Verdict::Torn;
        if next.is_none() && torn() {
            return;
        }
        let resumed = leapt(segment, replay).or_else(|| segment.next_valid(replay.offset));
        let damage = Damage::find(segment, replay, survey, resumed.as_ref(), next);
        skip(&mut replay.state, &mut replay.chain, &damage.with_raised(), hasher);
        replay.references = References::unlisted();
        replay.offset = damage.end;
        if damage.at_end {
            return;
        }
    }
}

/// Returns the whole entry where a replay stopped, if it only comes too early: entries before it are missing
/// without a trace, at the beginning of a segment.
fn leapt<'a>(segment: SegmentBytes<'a>, replay: &Replay) -> Option<Frame<'a>> {
    let most = replay.state.next_index.plus(entries_max(replay.offset));
    let frame = segment.frame(replay.offset).ok()?;
    let index = frame.header.index;
    (frame.header.kind == FrameKind::Entry && index > replay.state.next_index && index <= most)
        .then_some(frame)
}

/// Moves state and chain over a damaged stretch.
pub(crate) fn skip(state: &mut LogState, chain: &mut Chain, hole: &HoleFrame, hasher: &LogHasher) {
    state.apply_hole(&hole.record);
    chain.root.skip_to(hasher, hole.record.next);
    chain.last_hash = hole.resumed_hash;
}

/// A damaged stretch and what it may have held.
pub(crate) struct Damage {
    /// Where the stretch ends: at the next whole frame, or behind the last byte that is not zero.
    pub end: u64,
    /// Whether no frame follows.
    pub at_end: bool,
    /// What later entries rely on: where their channels go on.
    pub hole: HoleFrame,
    /// Channels that no later entry mentions, raised beyond anything that the lost bytes could hold.
    raised: Vec<(ChannelName, Seq)>,
}

impl Damage {
    /// Looks at the stretch from where `replay` stopped to the whole frame `resumed`. `next` is the entry that
    /// follows where no frame does, if it is known.
    pub(crate) fn find(
        segment: SegmentBytes<'_>,
        replay: &Replay,
        survey: &Survey,
        resumed: Option<&Frame<'_>>,
        next: Option<Index>,
    ) -> Self {
        let first = replay.state.next_index;
        let end = resumed.map_or_else(|| used_end(segment, replay.offset), |frame| frame.offset);
        let bytes = end - replay.offset;
        let readable = Readable::read(segment, replay, end);
        let last_hash = replay.chain.last_hash;
        let most = first.plus(entries_max(if bytes > 0 { bytes } else { end }));
        let (next, resumed_hash) = match (resumed.and_then(standing), next) {
            (Some((next, hash)), _) => (next.clamp(first, most), hash.unwrap_or(last_hash)),
            (None, Some(next)) => (next.max(first), last_hash),
            (None, None) if readable.complete => (readable.next, last_hash),
            (None, None) => (most, last_hash),
        };
        let exact = readable.complete && readable.next == next || next == first;
        let mentioned = survey.mentioned_from(end);
        let lost = exact && next > first;
        let mut channels = if lost { readable.channels.clone() } else { BTreeMap::new() };
        for (name, seq) in &mentioned {
            channels.remove(*name);
            if let Some(seq) = seq
                && replay.state.next_seq(name).is_none_or(|known| known < *seq)
            {
                channels.insert((*name).clone(), *seq);
            }
        }
        let more = bytes / EVENT_BYTES_MIN as u64 + 1;
        let mut raised = Vec::new();
        if !exact {
            // A channel that left the log has nothing in what was lost behind that.
            let living = replay.state.channels().iter().filter(|channel| channel.moved.is_none());
            let known = living.map(|channel| (channel.name.clone(), channel.next));
            // What is readable comes later, and tells of channels that nobody else knows.
            let known: BTreeMap<_, _> = known.chain(readable.channels).collect();
            let others = known.into_iter().filter(|(name, _)| !mentioned.contains_key(name));
            raised = others.map(|(name, next)| (name, next.plus(more))).collect();
        }
        let floor = if exact { Seq::ZERO } else { Seq(more) };
        let record = HoleRecord { first, next, bytes, floor, channels: channels.into_iter().collect() };
        Self { end, at_end: resumed.is_none(), hole: HoleFrame { record, resumed_hash }, raised }
    }

    /// Returns the hole with everything that is known of it.
    pub(crate) fn with_raised(&self) -> HoleFrame {
        let mut hole = self.hole.clone();
        hole.record.channels.extend(self.raised.iter().cloned());
        hole
    }
}

/// Returns the index, and the hash link, that the log goes on with at a whole frame.
fn standing(frame: &Frame<'_>) -> Option<(Index, Option<Hash>)> {
    let body = frame.body().ok()?;
    match frame.header.kind {
        FrameKind::Entry => {
            let parts = entry::decode(&body).ok()?;
            Some((parts.head.slot.index, Some(parts.head.previous)))
        }
        FrameKind::Footer => {
            let standing = footer::decode_footer(&body).ok()?.standing;
            Some((standing.next_index, Some(standing.last_hash)))
        }
        FrameKind::Close => {
            let standing = footer::decode_close(&body).ok()?;
            Some((standing.next_index, Some(standing.last_hash)))
        }
        // The hole's own frame says what it goes on with.
        FrameKind::Hole => Some((decode_hole_frame(&body).ok()?.record.first, None)),
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
    /// Where the channels that lost events go on.
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
            match header.kind {
                FrameKind::Entry => match head(bytes, &header) {
                    Some(head) if head.slot.index == readable.next => readable.take(&head),
                    _ => return readable,
                },
                FrameKind::Footer | FrameKind::Close => {}
                _ => return readable,
            }
            offset += header.frame_bytes() as u64;
        }
        readable.complete = offset == end;
        readable
    }

    fn take(&mut self, head: &EntryHead) {
        for control in &head.controls {
            if let Some((name, base)) = control.begins() {
                self.channels.insert(name.clone(), base);
            }
        }
        for block in &head.blocks {
            self.channels.insert(block.channel.clone(), block.first_seq.plus(block.events.into()));
        }
        self.next = self.next.next();
    }
}

/// Returns the head of an entry, which has a checksum of its own.
fn head(frame: &[u8], header: &FrameHeader) -> Option<EntryHead> {
    let stored = frame.get(HEADER_BYTES..HEADER_BYTES + header.stored_bytes)?;
    let unescaped = if header.escaped { Some(unescape(stored).ok()?) } else { None };
    entry::decode_front(unescaped.as_deref().unwrap_or(stored)).ok().map(|parts| parts.head)
}
