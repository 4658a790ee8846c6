//! Reading a segment back into log state: what opening, reading beside a writer and rebuilding an index share.

use base::{Index, LogId, Position};

use crate::chain::Chain;
use crate::codec::append::Repeatable;
use crate::codec::control::{Control, HoleRecord, RedactionRecord};
use crate::codec::entry::{EntryHead, EntryParts};
use crate::codec::footer::{Footer, Standing, decode_close, decode_footer};
use crate::codec::frame::{FRAME_BYTES_MIN, FrameKind};
use crate::codec::local::{self, LocalState};
use crate::codec::segment_header::SEGMENT_HEADER_BYTES;
use crate::codec::state::Beginning;
use crate::codec::{Malformed, control, entry, state};
use crate::frames::{Frame, SegmentBytes, Step, testimony};
use crate::hashing::LogHasher;
use crate::index::SegmentIndex;
use crate::keyed::changes_of;
use crate::references::References;
use crate::state::{Effects, LogState};

/// How far a segment was read, and what was found there.
#[derive(Debug)]
pub(crate) struct Replay {
    pub state: LogState,
    pub chain: Chain,
    pub local: LocalState,
    pub index: SegmentIndex,
    /// What the events refer to, if the segment was read from its beginning and has lost nothing.
    pub references: References,
    /// Where the next frame begins.
    pub offset: u64,
    /// The highest position that a frame testified to be synced.
    pub testified: Position,
    /// Frames that nothing testified to be synced yet.
    pub unsynced: Vec<UnsyncedFrame>,
    /// Holes that no entry has on record yet.
    pub unrecorded: Vec<HoleRecord>,
    /// Redactions that were read.
    pub redactions: Vec<RedactionRecord>,
    pub end: End,
}

/// A frame that may be in the page cache alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnsyncedFrame {
    pub offset: u64,
    pub entry: bool,
    /// Whoever testifies that this entry is synced testifies to the frame, too: its own, or the next one.
    index: Index,
}

/// What stands behind the frames that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Zeros, or the end of the file.
    Open,
    /// Zeros behind a record of a clean close.
    Closed,
    /// A footer.
    Sealed(Box<Footer>),
    /// Neither a frame nor zeros.
    Bad(Malformed),
    /// The bound that was given.
    Bound,
}

/// Reads log state and chain from the two state frames at the beginning of a segment.
///
/// Returns the offset behind them and how many of the two are good.
pub(crate) fn read_state(segment: SegmentBytes<'_>) -> Result<(Beginning, u64, usize), Malformed> {
    let first_at = SEGMENT_HEADER_BYTES as u64;
    let first = state_frame(segment, first_at);
    let second = match &first {
        Ok((frame, ..)) => state_frame(segment, frame.end()),
        // The second copy is found by its mark when the first does not tell where it ends.
        Err(_) => segment
            .next_valid(first_at)
            .map_or(Err(Malformed::new("state frame")), |frame| state_frame(segment, frame.offset)),
    };
    match (first, second) {
        (Ok((_, beginning)), Ok((second, _))) => Ok((beginning, second.end(), 2)),
        (Ok((first, beginning)), Err(_)) => {
            let second_end = first.end() + first.header.frame_bytes() as u64;
            let end = if segment.frame(second_end).is_ok() || second_end >= segment.end() {
                second_end
            } else {
                segment.next_valid(first.end()).map_or(second_end, |frame| frame.offset)
            };
            Ok((beginning, end, 1))
        }
        (Err(_), Ok((second, beginning))) => Ok((beginning, second.end(), 1)),
        (Err(malformed), Err(_)) => Err(malformed),
    }
}

fn state_frame(segment: SegmentBytes<'_>, offset: u64) -> Result<(Frame<'_>, Beginning), Malformed> {
    let frame = segment.frame(offset)?;
    if frame.header.kind != FrameKind::State {
        return Err(Malformed::new("state frame"));
    }
    let beginning = state::decode(&frame.body()?)?;
    if beginning.state.next_index != frame.header.index {
        return Err(Malformed::new("state frame index"));
    }
    Ok((frame, beginning))
}

impl Replay {
    /// Starts at the entries of a segment.
    pub(crate) fn begin(segment: SegmentBytes<'_>) -> Result<Self, Malformed> {
        let (beginning, offset, _) = read_state(segment)?;
        Ok(Self::at_beginning(beginning, offset))
    }

    /// Starts behind the state frames of a segment.
    pub(crate) fn at_beginning(beginning: Beginning, offset: u64) -> Self {
        let Beginning { state, chain, local } = beginning;
        let references = References::default();
        Self { local, references, ..Self::resume(state, chain, SegmentIndex::default(), offset) }
    }

    /// Goes on where an earlier reading stopped.
    pub(crate) fn resume(state: LogState, chain: Chain, index: SegmentIndex, offset: u64) -> Self {
        let testified = Position::ZERO;
        let (unsynced, unrecorded, redactions) = (Vec::new(), Vec::new(), Vec::new());
        let local = LocalState::default();
        Self {
            state,
            chain,
            local,
            index,
            references: References::unlisted(),
            offset,
            testified,
            unsynced,
            unrecorded,
            redactions,
            end: End::Open,
        }
    }

    /// Reads frames until their end, a bad place, or the first entry that `bound` leaves out.
    pub(crate) fn run(&mut self, segment: SegmentBytes<'_>, hasher: &LogHasher, bound: Position) {
        loop {
            match segment.step(self.offset) {
                Step::End => return,
                Step::Bad(malformed) => {
                    self.end = End::Bad(malformed);
                    return;
                }
                Step::Frame(frame) => {
                    if frame.header.kind == FrameKind::Entry && bound.0 <= self.state.next_index.0 {
                        self.end = End::Bound;
                        return;
                    }
                    if let Err(malformed) = self.frame(&frame, hasher) {
                        self.end = End::Bad(malformed);
                        return;
                    }
                    self.offset = frame.end();
                    if matches!(self.end, End::Sealed(_)) {
                        return;
                    }
                }
            }
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, hasher: &LogHasher) -> Result<(), Malformed> {
        self.testify(testimony(&frame.header));
        self.end = End::Open;
        let body = frame.body()?;
        match frame.header.kind {
            FrameKind::Entry => self.entry(frame, &body, hasher)?,
            FrameKind::Footer => {
                let footer = decode_footer(&body)?;
                self.check_standing(frame, &footer.standing, hasher)?;
                self.end = End::Sealed(Box::new(footer));
            }
            FrameKind::Close => {
                self.check_standing(frame, &decode_close(&body)?, hasher)?;
                self.end = End::Closed;
            }
            FrameKind::Hole => self.hole(frame, &body, hasher)?,
            FrameKind::Local => self.local = local::decode(&body)?,
            FrameKind::State => return Err(Malformed::new("frame kind")),
        }
        let entry = frame.header.kind == FrameKind::Entry;
        let index = if entry { frame.header.index } else { self.state.next_index };
        self.unsynced.push(UnsyncedFrame { offset: frame.offset, entry, index });
        Ok(())
    }

    fn testify(&mut self, position: Position) {
        if position > self.testified {
            self.testified = position;
            self.unsynced.retain(|frame| !position.includes(frame.index));
        }
    }

    fn entry(&mut self, frame: &Frame<'_>, body: &[u8], hasher: &LogHasher) -> Result<(), Malformed> {
        let parts = entry::decode(body)?;
        let head = &parts.head;
        if head.slot.index != frame.header.index {
            return Err(Malformed::new("index"));
        }
        if head.previous != self.chain.last_hash {
            return Err(Malformed::new("previous hash"));
        }
        apply_entry(&mut self.state, &parts)?;
        for control in &head.controls {
            match control {
                Control::Hole(record) => self.unrecorded.retain(|hole| hole != record),
                Control::Redaction(record) => self.redactions.push(record.clone()),
                _ => {}
            }
        }
        let hash = hasher.entry(parts.head_bytes);
        self.chain.push(hasher, head.slot, hash, parts.signature.is_some());
        self.index.add(head.slot.index, frame.offset, head.recorded_at, &head.blocks);
        self.references.add_entry(&parts);
        Ok(())
    }

    fn check_standing(
        &self,
        frame: &Frame<'_>,
        standing: &Standing,
        hasher: &LogHasher,
    ) -> Result<(), Malformed> {
        // Readers go by the header alone.
        if frame.header.index != self.state.next_index {
            return Err(Malformed::new("index"));
        }
        let own = standing_of(&self.state, &self.chain, hasher);
        // The root over entries that were lost since is not known any more.
        let root = if self.state.holes.is_empty() { own.root } else { standing.root };
        match *standing == (Standing { root, ..own }) {
            true => Ok(()),
            false => Err(Malformed::new("standing of the log")),
        }
    }

    fn hole(&mut self, frame: &Frame<'_>, body: &[u8], hasher: &LogHasher) -> Result<(), Malformed> {
        let hole = decode_hole_frame(body)?;
        apply_hole(&mut self.state, &mut self.chain, &hole, frame.header.frame_bytes() as u64, hasher)?;
        self.unrecorded.push(hole.record);
        self.references = References::unlisted();
        Ok(())
    }
}

/// Moves state and chain over lost entries, as a hole frame of so many bytes says.
pub(crate) fn apply_hole(
    state: &mut LogState,
    chain: &mut Chain,
    hole: &HoleFrame,
    frame_bytes: u64,
    hasher: &LogHasher,
) -> Result<(), Malformed> {
    let record = &hole.record;
    if state.knows_hole(record) {
        state.apply_hole(record);
        return Ok(());
    }
    let lost = record.next.0.saturating_sub(record.first.0);
    if record.first != state.next_index || lost > entries_max(frame_bytes) {
        return Err(Malformed::new("hole start"));
    }
    state.apply_hole(record);
    chain.root.skip_to(hasher, record.next);
    chain.last_hash = hole.resumed_hash;
    Ok(())
}

/// Returns how many entries damaged bytes may have held, at most.
pub(crate) fn entries_max(bytes: u64) -> u64 {
    bytes / FRAME_BYTES_MIN + 1
}

pub(crate) fn apply_entry(state: &mut LogState, parts: &EntryParts<'_>) -> Result<(), Malformed> {
    let head = &parts.head;
    let repeatables = repeatables_of(head);
    let keyed = match state.keyed {
        Some(_) => changes_of(head, parts.blocks)?,
        None => Vec::new(),
    };
    state.apply(&Effects {
        slot: head.slot,
        previous: head.previous,
        recorded_at: head.recorded_at,
        controls: &head.controls,
        blocks: &head.blocks,
        repeatables: &repeatables,
        keyed: &keyed,
    })
}

/// Returns what an entry's appends are recognised by.
pub(crate) fn repeatables_of(head: &EntryHead) -> Vec<Repeatable> {
    head.appends.iter().filter_map(|append| append.repeatable.clone()).collect()
}

pub(crate) fn standing_of(state: &LogState, chain: &Chain, hasher: &LogHasher) -> Standing {
    Standing { next_index: state.next_index, last_hash: chain.last_hash, root: chain.root.hash(hasher) }
}

/// The body of a frame that was written over a damaged stretch of a segment.
///
/// *Shape*: `u16` format version, `u16` reserved 0, `u32` bytes of the record, the record as in control records,
/// `[32]` the hash that the next entry links to, then filling of `0xFF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HoleFrame {
    pub record: HoleRecord,
    /// The hash that the next entry names as the one before it.
    pub resumed_hash: base::Hash,
}

/// Bytes of a hole frame's body without its record.
const HOLE_FIXED_BYTES: usize = 8 + 32;

/// Returns the bytes of the smallest body that holds a hole.
pub(crate) fn hole_body_bytes(record: &HoleRecord) -> usize {
    let mut bytes = Vec::new();
    control::encode_hole(&mut bytes, record);
    HOLE_FIXED_BYTES + bytes.len()
}

/// Encodes a hole frame's body of exactly `body_bytes`; `None` when it does not fit.
pub(crate) fn encode_hole_frame(hole: &HoleFrame, body_bytes: usize) -> Option<Vec<u8>> {
    use crate::codec::{FORMAT_VERSION, Put};
    let mut record = Vec::new();
    control::encode_hole(&mut record, &hole.record);
    if HOLE_FIXED_BYTES + record.len() > body_bytes {
        return None;
    }
    let mut out = Vec::with_capacity(body_bytes);
    out.put_u16(FORMAT_VERSION);
    out.put_u16(0);
    out.put_length(record.len());
    out.put(&record);
    out.put(hole.resumed_hash.as_bytes());
    out.resize(body_bytes, 0xFF);
    Some(out)
}

pub(crate) fn decode_hole_frame(body: &[u8]) -> Result<HoleFrame, Malformed> {
    use crate::codec::{Cursor, FORMAT_VERSION};
    let mut cursor = Cursor::new(body);
    if cursor.u16("format version")? != FORMAT_VERSION || cursor.u16("reserved bits")? != 0 {
        return Err(Malformed::new("format version"));
    }
    let length = cursor.length("hole length")?;
    let mut record = Cursor::new(cursor.take(length, "hole length")?);
    let hole = control::decode_hole(&mut record)?;
    record.finish("hole length")?;
    let resumed_hash = base::Hash::from_bytes(cursor.array("resumed hash")?);
    let filling = cursor.take(cursor.remaining(), "hole filling")?;
    if filling.iter().any(|byte| *byte != 0xFF) {
        return Err(Malformed::new("hole filling"));
    }
    Ok(HoleFrame { record: hole, resumed_hash })
}

/// Content of a segment file, with what names it.
#[derive(Debug)]
pub(crate) struct LoadedSegment {
    pub log: LogId,
    pub number: u64,
    /// Where in the file the bytes begin.
    pub begin: u64,
    pub bytes: Vec<u8>,
}

impl LoadedSegment {
    pub(crate) fn view(&self) -> SegmentBytes<'_> {
        SegmentBytes { log: self.log, segment: self.number, begin: self.begin, bytes: &self.bytes }
    }
}
