//! The door through which the harnesses in `fuzz/` reach the decoders; only with the feature `fuzzing`.
//!
//! Each [`Structure`] can be read from any bytes, be made of chosen fields, and have its checksums put right after
//! it was altered. What does not hold panics here, where both sides are known.

use std::collections::BTreeSet;

use base::{
    ChannelName, Hash, IncarnationId, Index, LogId, NodeId, OriginId, Position, PublicKey, Seq, Signature,
    Slot, Term, Timestamp,
};
use bytes::Bytes;

use crate::chain::Chain;
use crate::codec::append::{self, AppendRecord, RangeInBlock, Repeat, Repeatable};
use crate::codec::block::{self, BlockItem};
use crate::codec::compression::Compressor;
use crate::codec::control::{
    self, ArrivedRecord, Control, HoleRecord, IncarnationRecord, MovedRecord, TrimRecord,
};
use crate::codec::entry::{self, EntryHead, HeadFields};
use crate::codec::escape;
use crate::codec::event::{self, StoredEvent};
use crate::codec::footer::{self, Footer, FooterChannel, Standing};
use crate::codec::frame::{self, FrameKind, Place};
use crate::codec::local::{LocalState, Vote};
use crate::codec::segment_header::{self, SEGMENT_HEADER_BYTES, SegmentHeader, Truncation};
use crate::codec::state::Beginning;
use crate::codec::superblock::{self, LogKind, Superblock};
use crate::codec::visible::{self, Visible};
use crate::codec::{Cursor, Malformed, Put, log_config, redo, state};
use crate::hashing::LogHasher;
use crate::index::file::IndexOwner;
use crate::keyed::{KeyedChange, KeyedMap, KeyedRecord};
use crate::replay::{HoleFrame, apply_entry, decode_hole_frame, encode_hole_frame};
use crate::state::{ChannelState, IncarnationState, LogState};
use crate::{At, BlobReference, ChannelConfig, ChannelRange, Chunk, Compression, EventInput, Selection};

mod index;
mod placement;
mod redaction;

const LOG: LogId = LogId::from_bytes([1; 16]);
const OWNER: IndexOwner = IndexOwner { log: LOG, segment: 3, segment_bytes: 9_000_000 };
const PLACE: Place = Place { log: LOG, segment: 3, offset: SEGMENT_HEADER_BYTES as u64 };

/// What a decoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    Escaped,
    Frame,
    Event,
    Append,
    Block,
    ErasableBlock,
    Redo,
    Control,
    Entry,
    State,
    Footer,
    Close,
    Hole,
    SegmentHeader,
    Superblock,
    LogConfig,
    Visible,
    Index,
}

/// What came of bytes that were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The bytes that were read; what follows belongs to another structure.
    pub used: usize,
    /// What was read, encoded again.
    pub again: Vec<u8>,
    /// Whether `again` must be the bytes that were read.
    pub canonical: bool,
}

/// Fields chosen by a fuzzer: bytes taken one after the other, zeros when there are no more.
#[derive(Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl Structure {
    pub const ALL: [Self; 18] = [
        Self::Escaped,
        Self::Frame,
        Self::Event,
        Self::Append,
        Self::Block,
        Self::ErasableBlock,
        Self::Redo,
        Self::Control,
        Self::Entry,
        Self::State,
        Self::Footer,
        Self::Close,
        Self::Hole,
        Self::SegmentHeader,
        Self::Superblock,
        Self::LogConfig,
        Self::Visible,
        Self::Index,
    ];

    /// Reads the structure from any bytes; `None` when they are refused.
    pub fn read(self, bytes: &[u8]) -> Option<Accepted> {
        match self {
            Self::Escaped => read_whole(bytes, escape::unescape, |body| escape::escape(body)),
            Self::Frame => read_frame(bytes),
            Self::Event => read_part(bytes, StoredEvent::take, put_event),
            Self::Append => read_part(bytes, append::decode, put_append),
            Self::Block => read_part(bytes, block::decode, block::encode),
            Self::ErasableBlock => redaction::read_block(bytes),
            Self::Redo => read_whole(bytes, redo::decode, redo::encode),
            Self::Control => read_part(bytes, control::decode, control::encode),
            Self::Entry => read_entry(bytes),
            Self::State => read_state(bytes),
            Self::Footer => read_whole(bytes, footer::decode_footer, footer::encode_footer),
            Self::Close => read_whole(bytes, footer::decode_close, footer::encode_close),
            Self::Hole => read_whole(bytes, decode_hole_frame, |hole| {
                encode_hole_frame(hole, bytes.len()).expect("it was read from as many bytes")
            }),
            Self::SegmentHeader => {
                let _ = segment_header::foreign_format(bytes);
                read_copies(bytes, segment_header::decode, segment_header::encode)
            }
            Self::Superblock => {
                let _ = superblock::foreign_format(bytes);
                read_copies(bytes, superblock::decode, superblock::encode)
            }
            Self::LogConfig => {
                let _ = log_config::foreign_format(bytes);
                read_copies(bytes, log_config::decode, log_config::encode)
            }
            Self::Visible => {
                let accepted = read_whole(bytes, visible::decode, visible::encode)?;
                Some(Accepted { used: visible::VISIBLE_BYTES, ..accepted })
            }
            Self::Index => index::read(bytes),
        }
    }

    /// Makes a valid structure of chosen fields, and checks that reading it gives these fields.
    pub fn make(self, choices: &mut Choices<'_>) -> Vec<u8> {
        match self {
            Self::Escaped => {
                let body = choices.bytes(600);
                made(&body, |body| escape::escape(body), escape::unescape)
            }
            Self::Frame => make_frame(choices),
            Self::Event => make_event(choices),
            Self::Append => made_part(&choices.append(), put_append, append::decode),
            Self::Block => made_part(&choices.block(0), block::encode, block::decode),
            Self::ErasableBlock => redaction::make_block(choices),
            Self::Redo => redaction::make_redo(choices),
            Self::Control => made_part(&choices.control(), control::encode, control::decode),
            Self::Entry => make_entry(choices),
            Self::State => make_state(choices),
            Self::Footer => made(&choices.footer(), footer::encode_footer, footer::decode_footer),
            Self::Close => made(&choices.standing(), footer::encode_close, footer::decode_close),
            Self::Hole => {
                let hole = HoleFrame { record: choices.hole(), resumed_hash: choices.hash() };
                let bytes = crate::replay::hole_body_bytes(&hole.record) + choices.below(64);
                let encode = |hole: &HoleFrame| encode_hole_frame(hole, bytes).expect("there is room");
                made(&hole, encode, decode_hole_frame)
            }
            Self::SegmentHeader => {
                let header = SegmentHeader {
                    log: LogId::from_bytes(choices.array()),
                    origin: OriginId::from_bytes(choices.array()),
                    number: choices.number(),
                    first_index: Index(choices.number()),
                    created_at: choices.time(),
                    truncation: None,
                };
                let truncation = Truncation {
                    segment: choices.number() % header.number.max(1),
                    offset: choices.number(),
                    index: header.first_index,
                };
                let truncation = Some(truncation).filter(|_| header.number > 0 && choices.flag());
                let header = SegmentHeader { truncation, ..header };
                made(&(header, 2), |(header, _)| segment_header::encode(header), segment_header::decode)
            }
            Self::Superblock => {
                let superblock = Superblock {
                    log: LogId::from_bytes(choices.array()),
                    origin: OriginId::from_bytes(choices.array()),
                    created_at: choices.time(),
                    name: choices.text(64),
                    kind: [LogKind::Local, LogKind::Replicated, LogKind::Keyed][choices.below(3)],
                };
                made(&(superblock, 2), |(superblock, _)| superblock::encode(superblock), superblock::decode)
            }
            Self::LogConfig => {
                let config = choices.log_config();
                made(&(config, 2), |(config, _)| log_config::encode(config), log_config::decode)
            }
            Self::Visible => {
                let visible = Visible {
                    log: LogId::from_bytes(choices.array()),
                    incarnation: IncarnationId::from_bytes(choices.array()),
                    position: Position(choices.number()),
                    open: choices.flag(),
                };
                made(&visible, visible::encode, visible::decode)
            }
            Self::Index => index::make(choices),
        }
    }

    /// Puts the checksums of altered bytes right, so that what lies behind them is reached.
    pub fn repair(self, bytes: &mut [u8]) {
        match self {
            Self::Frame => repair_frame(bytes, 0),
            Self::Redo => redaction::repair_redo(bytes),
            Self::Entry => repair_entry(bytes),
            Self::SegmentHeader | Self::Superblock | Self::LogConfig => {
                checksum(bytes, 0, 508);
                checksum(bytes, 512, 1020);
            }
            Self::Visible => checksum(bytes, 0, 60),
            Self::Index => repair_index(bytes),
            _ => {}
        }
    }
}

/// Puts the checksums of a segment file right: header, frames, and heads of entries.
pub fn repair_segment(bytes: &mut [u8]) {
    Structure::SegmentHeader.repair(bytes);
    for at in (SEGMENT_HEADER_BYTES..bytes.len()).step_by(frame::ALIGNMENT as usize) {
        if bytes[at..].starts_with(&frame::BEGIN_MARK.to_le_bytes()) {
            if bytes.get(at + 4) == Some(&1)
                && let Some(body) = bytes.get_mut(at + frame::HEADER_BYTES..)
            {
                repair_entry(body);
            }
            repair_frame(bytes, at);
        }
    }
}

fn repair_frame(bytes: &mut [u8], at: usize) {
    checksum(bytes, at, at + 56);
    if let Some(stored) = u32_at(bytes, at + 8) {
        checksum(bytes, at + frame::HEADER_BYTES, at + frame::HEADER_BYTES + stored.next_multiple_of(8));
    }
}

fn repair_entry(bytes: &mut [u8]) {
    if let Some(head) = u32_at(bytes, 4) {
        checksum(bytes, 0, head);
    }
}

fn repair_index(bytes: &mut [u8]) {
    if let Some(directory) = u32_at(bytes, 12)
        && let Some(directory) = bytes.get(64..64 + directory)
    {
        let crc = crc32fast::hash(directory).to_le_bytes();
        bytes[52..56].copy_from_slice(&crc);
    }
    checksum(bytes, 0, 60);
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_le_bytes(*field)).ok()
}

/// Writes the checksum of `from..to` behind it, if there is room.
fn checksum(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(content) = bytes.get(from..to) {
        let crc = crc32fast::hash(content).to_le_bytes();
        if let Some(place) = bytes.get_mut(to..to + 4) {
            place.copy_from_slice(&crc);
        }
    }
}

/// A structure that fills its bytes.
fn read_whole<'a, T>(
    bytes: &'a [u8],
    decode: impl Fn(&'a [u8]) -> Result<T, Malformed>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<Accepted> {
    let again = encode(&decode(bytes).ok()?);
    Some(Accepted { used: bytes.len(), again, canonical: true })
}

/// A structure that others follow.
fn read_part<'a, T>(
    bytes: &'a [u8],
    decode: impl Fn(&mut Cursor<'a>) -> Result<T, Malformed>,
    encode: impl Fn(&mut Vec<u8>, &T),
) -> Option<Accepted> {
    let mut cursor = Cursor::new(bytes);
    let value = decode(&mut cursor).ok()?;
    let mut again = Vec::new();
    encode(&mut again, &value);
    Some(Accepted { used: bytes.len() - cursor.remaining(), again, canonical: true })
}

/// A structure in two copies, of which one may be damaged.
fn read_copies<T>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<(T, usize), Malformed>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<Accepted> {
    let (value, good) = decode(bytes).ok()?;
    Some(Accepted { used: 2 * segment_header::COPY_BYTES, again: encode(&value), canonical: good == 2 })
}

fn read_frame(bytes: &[u8]) -> Option<Accepted> {
    let _ = frame::is_incomplete(bytes, PLACE);
    let header = frame::decode_header(bytes, PLACE).ok()?;
    let stored = frame::check_body(bytes, &header).ok()?;
    let body = frame::unpacked(stored, &header).ok()?;
    let mut again = Vec::new();
    frame::encode(&mut again, PLACE, header.kind, header.index, header.synced_through, &body);
    // A body may be stored escaped without need.
    let needed = escape::is_needed(&body, PLACE.offset + frame::HEADER_BYTES as u64);
    let canonical = header.escaped == needed && header.compression == Compression::None;
    Some(Accepted { used: header.frame_bytes(), again, canonical })
}

fn read_entry(bytes: &[u8]) -> Option<Accepted> {
    let front = entry::decode_front(bytes).is_ok();
    let parts = entry::decode(bytes).ok()?;
    assert!(front, "an entry has a front");
    let _ = apply_entry(&mut LogState::default(), &parts);
    for reverse in [false, true] {
        let selection = Selection { reverse, ..Selection::default() };
        if let Ok(chunk) = Chunk::pick(Bytes::copy_from_slice(bytes), &selection) {
            let events: Vec<_> = chunk.events().map(|event| event.to_event()).collect();
            assert_eq!(events.len(), chunk.len());
        }
    }
    let again = put_entry(&parts.head, parts.signature, &bytes[parts.blocks_at..]);
    Some(Accepted { used: bytes.len(), again, canonical: true })
}

fn read_state(bytes: &[u8]) -> Option<Accepted> {
    let Beginning { state, mut chain, local } = state::decode(bytes).ok()?;
    let again = state::encode(&state, &chain, &local);
    // A writer goes on from it.
    let index = state.next_index;
    let slot = Slot { term: Term(1), node: NodeId(0), index };
    chain.push(&LogHasher::new(LOG), slot, Hash::ZERO, true);
    // Producers may stand in any order, and be told of more than once, as may keys.
    Some(Accepted {
        used: bytes.len(),
        again,
        canonical: state.producers().len() < 2 && state.keys().len() == 0,
    })
}

fn made<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, Malformed>,
) -> Vec<u8> {
    let bytes = encode(value);
    assert_eq!(decode(&bytes).as_ref(), Ok(value));
    bytes
}

fn made_part<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&mut Vec<u8>, &T),
    decode: impl Fn(&mut Cursor<'_>) -> Result<T, Malformed>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes, value);
    let mut cursor = Cursor::new(&bytes);
    assert_eq!(decode(&mut cursor).as_ref(), Ok(value));
    assert_eq!(cursor.remaining(), 0, "all of it is read");
    bytes
}

fn put_event(out: &mut Vec<u8>, event: &StoredEvent<'_>) {
    let headers: Vec<_> = event.headers().iter().collect();
    let blobs: Vec<_> = event.blobs().iter().collect();
    assert_eq!((headers.len(), blobs.len()), (event.headers().len(), event.blobs().len()));
    let input = EventInput {
        kind: event.kind(),
        key: event.key(),
        time: event.time(),
        headers: &headers,
        blobs: &blobs,
        payload: event.payload(),
    };
    event::encode(out, event.ordinal, &input);
}

fn make_event(choices: &mut Choices<'_>) -> Vec<u8> {
    let (kind, key, payload) = (choices.text(255), choices.text(300), choices.bytes(300));
    let headers: Vec<_> = (0..choices.below(4)).map(|_| (choices.text(20), choices.bytes(20))).collect();
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let blobs: Vec<_> = (0..choices.below(3))
        .map(|_| BlobReference { hash: choices.hash(), bytes: choices.number() })
        .collect();
    let input = EventInput {
        kind: &kind,
        key: choices.flag().then_some(&key),
        time: choices.flag().then(|| choices.time()),
        headers: &headers,
        blobs: &blobs,
        payload: &payload,
    };
    let ordinal = choices.u32();
    let mut bytes = Vec::new();
    event::encode(&mut bytes, ordinal, &input);
    assert_eq!(bytes.len(), event::encoded_bytes(&input));
    let event = StoredEvent::take(&mut Cursor::new(&bytes)).expect("what was encoded is read");
    assert_eq!(
        (event.ordinal, event.kind(), event.key(), event.time(), event.payload()),
        (ordinal, input.kind, input.key, input.time, input.payload)
    );
    assert!(event.headers().iter().eq(headers) && event.blobs().iter().eq(blobs));
    bytes
}

fn put_append(out: &mut Vec<u8>, record: &AppendRecord) {
    append::encode(out, record);
}

fn put_entry(head: &EntryHead, signature: Option<Signature>, blocks: &[u8]) -> Vec<u8> {
    let (mut controls, mut appends, mut block_list) = (Vec::new(), Vec::new(), Vec::new());
    head.controls.iter().for_each(|record| control::encode(&mut controls, record));
    head.appends.iter().for_each(|record| put_append(&mut appends, record));
    head.blocks.iter().for_each(|item| block::encode(&mut block_list, item));
    let count = |length| u32::try_from(length).expect("the counts are of this width");
    let fields = HeadFields {
        slot: head.slot,
        incarnation: head.incarnation,
        previous: head.previous,
        recorded_at: head.recorded_at,
        events: head.events,
        append_records: count(head.appends.len()),
        blocks: count(head.blocks.len()),
        controls: count(head.controls.len()),
        witness: head.witness,
    };
    let mut body = Vec::new();
    entry::encode_head(&mut body, &fields, &controls, &appends, &block_list);
    let crc = crc32fast::hash(&body);
    body.put_u32(crc);
    if let Some(signature) = signature {
        body.put(signature.as_bytes());
    }
    body.put(blocks);
    body
}

fn make_entry(choices: &mut Choices<'_>) -> Vec<u8> {
    let (mut list, mut blocks) = (Vec::new(), Vec::new());
    for _ in 0..choices.below(4) {
        let begin = blocks.len();
        let events = choices.below(3);
        let erasable = choices.flag();
        for _ in 0..events {
            blocks.extend(if erasable {
                redaction::make_erasable_event(choices)
            } else {
                make_event(choices)
            });
        }
        let events = u32::try_from(events).expect("it is small");
        list.push(BlockItem { events, erasable, ..choices.block(blocks.len() - begin) });
    }
    let signed = choices.flag();
    // The appends have as many events as the blocks.
    let events = list.iter().map(|item| item.events).sum();
    let mut appends: Vec<_> = (0..choices.below(4)).map(|_| choices.append()).collect();
    appends.iter_mut().for_each(|append| append.events = 0);
    let together = if events % 2 == 0 && choices.flag() { 2 } else { 1 };
    appends.push(AppendRecord { appends: together, events: events / together, repeatable: None });
    let head = EntryHead {
        slot: choices.slot(),
        incarnation: IncarnationId::from_bytes(choices.array()),
        previous: choices.hash(),
        recorded_at: choices.time(),
        events,
        witness: signed.then(|| (Position(choices.number()), choices.hash())),
        controls: (0..choices.below(4)).map(|_| choices.control()).collect(),
        appends,
        blocks: list,
    };
    let signature = signed.then(|| Signature::from_bytes([9; 64]));
    let bytes = put_entry(&head, signature, &blocks);
    let parts = entry::decode(&bytes).expect("what was encoded is read");
    assert_eq!((&parts.head, parts.signature.is_some()), (&head, signed));
    bytes
}

fn make_frame(choices: &mut Choices<'_>) -> Vec<u8> {
    const KINDS: [FrameKind; 5] =
        [FrameKind::Entry, FrameKind::State, FrameKind::Footer, FrameKind::Close, FrameKind::Hole];
    let kind = KINDS[choices.below(KINDS.len())];
    let (index, synced) = (Index(choices.number()), Position(choices.number()));
    let mut body = choices.bytes(1500);
    // Escaping is for bodies of zeros.
    body.resize(body.len() + choices.below(1500), 0);
    let ways = [Compression::None, Compression::Lz4, Compression::Zstd];
    let way = if kind == FrameKind::Entry { ways[choices.below(ways.len())] } else { Compression::None };
    let (mut bytes, mut compressor) = (Vec::new(), Compressor::new(way));
    frame::encode_with(&mut bytes, PLACE, kind, index, synced, &mut compressor, body.len(), |out| {
        out.put(&body)
    });
    let header = frame::decode_header(&bytes, PLACE).expect("what was encoded is read");
    assert_eq!((header.kind, header.index, header.synced_through), (kind, index, synced));
    assert_eq!(header.frame_bytes(), bytes.len());
    let stored = frame::check_body(&bytes, &header).expect("what was encoded is read");
    assert_eq!(frame::unpacked(stored, &header).as_deref(), Ok(body.as_slice()));
    assert!(!frame::is_incomplete(&bytes, PLACE), "a whole frame is not torn");
    bytes
}

fn make_state(choices: &mut Choices<'_>) -> Vec<u8> {
    let (mut state, mut chain) = (LogState::default(), Chain::default());
    state.last_recorded_at = choices.time();
    for place in 0..choices.below(4) {
        state.insert_channel(ChannelState {
            name: name(place),
            base: Seq(choices.number()),
            next: Seq(choices.number()),
            created_at: choices.time(),
            created_index: Index(choices.number()),
            config: choices.config(),
            moved: choices.flag().then(|| Box::new(choices.moved())),
            arrived: choices.flag().then(|| Box::new(choices.arrived())),
        });
    }
    for _ in 0..choices.below(4) {
        let (repeat, digest) = (choices.repeat(), choices.hash());
        state.remember(&repeat, digest, choices.at());
    }
    for _ in 0..choices.below(3) {
        state.incarnations.push(IncarnationState {
            record: choices.incarnation(),
            first_index: Index(choices.number()),
            term: Term(choices.number()),
            began_at: choices.time(),
            parent_hash: choices.hash(),
        });
    }
    (0..choices.below(3)).for_each(|_| state.holes.push(choices.hole()));
    let hasher = LogHasher::new(LOG);
    for index in 0..choices.below(20) as u64 {
        let slot = Slot { index: Index(index), ..choices.slot() };
        chain.push(&hasher, slot, choices.hash(), choices.flag());
        state.next_index = Index(index + 1);
    }
    state.redactions = choices.below(3) as u64;
    state.keyed = choices.flag().then(|| choices.keyed().into());
    state.trimmed = Position(choices.below(state.next_index.0 as usize + 1) as u64);
    let local = choices.local();
    let bytes = state::encode(&state, &chain, &local);
    let Beginning { state: read, chain: read_chain, local: read_local } =
        state::decode(&bytes).expect("what was encoded is read");
    assert_eq!(read_local, local);
    assert_eq!((read_chain, read.trimmed, read.redactions), (chain, state.trimmed, state.redactions));
    assert_eq!(read.keyed, state.keyed);
    assert_eq!((read.channels(), read.producers()), (state.channels(), state.producers()));
    assert_eq!((&read.incarnations, &read.holes), (&state.incarnations, &state.holes));
    assert!(read.keys().eq(state.keys()));
    assert_eq!((read.next_index, read.last_recorded_at), (state.next_index, state.last_recorded_at));
    bytes
}

fn name(number: usize) -> ChannelName {
    ChannelName::new(&format!("c/{number}")).expect("letters, slash and digits are allowed")
}

impl Choices<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        bytes[..taken.len()].copy_from_slice(taken);
        self.0 = rest;
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array())) % bound.max(1)
    }

    /// Small, large, or the largest.
    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => u64::MAX,
            1 => u64::from_le_bytes(self.array()),
            _ => self.below(1000) as u64,
        }
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_nanos(i64::from_le_bytes(self.array()))
    }

    fn hash(&mut self) -> Hash {
        Hash::from_bytes([self.array::<1>()[0]; 32])
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let count = self.below(max + 1).min(self.0.len());
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.to_vec()
    }

    fn text(&mut self, max: usize) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes(max)).into_owned();
        let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text
    }

    fn name(&mut self) -> ChannelName {
        name(self.below(5))
    }

    fn slot(&mut self) -> Slot {
        let (term, node) = (Term(self.number()), NodeId(self.number()));
        Slot { term, node, index: Index(self.number()) }
    }

    fn local(&mut self) -> LocalState {
        let vote = Vote { term: Term(self.number()), node: NodeId(self.number()), committed: self.flag() };
        let vote = Some(vote).filter(|_| self.flag());
        let (committed, purged) = (self.slot(), self.slot());
        LocalState {
            vote,
            committed: Some(committed).filter(|_| self.flag()),
            purged: Some(purged).filter(|_| self.flag()),
        }
    }

    fn repeat(&mut self) -> Repeat {
        let name = self.text(40).into();
        match self.flag() {
            true => Repeat::Producer { id: name, number: self.number() },
            false => Repeat::Key(name),
        }
    }

    fn append(&mut self) -> AppendRecord {
        let events = self.u32();
        let repeatable = self.flag().then(|| Repeatable {
            repeat: self.repeat(),
            digest: self.hash(),
            ranges: (0..self.below(4))
                .map(|_| RangeInBlock { block: self.u32(), first: Seq(self.number()), events: self.u32() })
                .collect(),
        });
        let appends = if repeatable.is_some() { 1 } else { self.u32().max(1) };
        AppendRecord { appends, events, repeatable }
    }

    fn block(&mut self, bytes: usize) -> BlockItem {
        let first_seq = Seq(self.number().min(u64::MAX - u64::from(u32::MAX)));
        let (channel, events, erasable) = (self.name(), self.u32(), self.flag());
        BlockItem { channel, first_seq, events, bytes, erasable, hash: self.hash() }
    }

    fn incarnation(&mut self) -> IncarnationRecord {
        IncarnationRecord {
            id: IncarnationId::from_bytes(self.array()),
            public_key: PublicKey::from_bytes(self.array()),
            parent: IncarnationId::from_bytes(self.array()),
            last_signed: Position(self.number()),
            last_signed_hash: self.hash(),
        }
    }

    fn config(&mut self) -> ChannelConfig {
        ChannelConfig { content_type: self.flag().then(|| self.text(255)), erasable: self.flag() }
    }

    fn keyed(&mut self) -> KeyedMap {
        let mut keyed = KeyedMap::default();
        for _ in 0..self.below(4) {
            let (key, payload) = (self.text(20), self.bytes(30));
            let mut bytes = Vec::new();
            event::encode(&mut bytes, self.u32(), &EventInput::new("k", &payload).with_key(&key));
            let kept = |choices: &mut Self| KeyedRecord {
                seq: Seq(choices.number()),
                index: Index(choices.number()),
                recorded_at: choices.time(),
                bytes: bytes.into(),
            };
            let record = if payload.is_empty() { None } else { Some(kept(self)) };
            keyed.apply(&KeyedChange { channel: self.name(), key: key.into(), record });
        }
        keyed
    }

    fn hole(&mut self) -> HoleRecord {
        let first = Index(self.number());
        HoleRecord {
            first,
            next: first.plus(self.below(9) as u64),
            bytes: self.number(),
            floor: Seq(self.number()),
            channels: (0..self.below(4)).map(|_| (self.name(), Seq(self.number()))).collect(),
        }
    }

    fn control(&mut self) -> Control {
        match self.below(8) {
            4 => Control::Moved(MovedRecord {
                channel: self.name(),
                to: self.place(),
                next: Seq(self.number()),
            }),
            5 => Control::Arrived(ArrivedRecord {
                channel: self.name(),
                base: Seq(self.number()),
                config: self.config(),
                from: self.place(),
                position: Position(self.number()),
            }),
            7 => Control::Redaction(self.redaction()),
            6 => Control::Consensus(self.text(60).into_bytes().into()),
            0 => Control::Incarnation(self.incarnation()),
            3 => {
                let channels = (0..self.below(4)).map(|_| (self.name(), Seq(self.number()))).collect();
                Control::Trim(TrimRecord { first: Index(self.number()), channels })
            }
            1 => {
                Control::ChannelCreated { name: self.name(), base: Seq(self.number()), config: self.config() }
            }
            _ => Control::Hole(self.hole()),
        }
    }

    fn at(&mut self) -> At {
        let range = |choices: &mut Self| ChannelRange {
            channel: choices.name(),
            first: Seq(choices.number()),
            count: choices.number(),
        };
        At::many(Index(self.number()), (0..self.below(3)).map(|_| range(self)).collect())
    }

    fn standing(&mut self) -> Standing {
        Standing { next_index: Index(self.number()), last_hash: self.hash(), root: self.hash() }
    }

    fn footer(&mut self) -> Footer {
        let channel = |choices: &mut Self| FooterChannel {
            name: choices.name(),
            first: Seq(choices.number()),
            next: Seq(choices.number()),
            events: choices.number(),
        };
        Footer {
            standing: self.standing(),
            first_index: Index(self.number()),
            entries: self.number(),
            events: self.number(),
            first_recorded_at: self.time(),
            last_recorded_at: self.time(),
            channels: (0..self.below(5)).map(|_| channel(self)).collect(),
            references: self.references(),
        }
    }

    fn references(&mut self) -> Option<Vec<Hash>> {
        let hashes: BTreeSet<_> = (0..self.below(5)).map(|_| self.hash()).collect();
        self.flag().then(|| hashes.into_iter().collect())
    }
}
