//! Decoders meet bytes from anywhere: whatever they are given, they answer and do not panic.
//!
//! Random bytes rarely pass a checksum, so that valid structures are altered and their checksums put right again.

use base::{
    ChannelName, Hash, IncarnationId, Index, LogId, NodeId, OriginId, Position, PublicKey, Random,
    SeededRandom, Seq, Signature, Slot, Term, Timestamp,
};
use bytes::Bytes;

use super::append::{AppendRecord, RangeInBlock, Repeat, Repeatable};
use super::block::BlockItem;
use super::control::{ArrivedRecord, Control, HoleRecord, IncarnationRecord, LogPlace, MovedRecord};
use super::entry::HeadFields;
use super::footer::{Footer, FooterChannel, Standing};
use super::frame::{FrameKind, Place};
use super::local::LocalState;
use super::segment_header::SegmentHeader;
use super::state::Beginning;
use super::superblock::{LogKind, Superblock};
use super::visible::Visible;
use super::{
    Cursor, Malformed, Put, append, block, control, entry, escape, event, footer, frame, log_config,
    segment_header, state, superblock, visible,
};
use crate::chain::Chain;
use crate::damage::replay_over_damage;
use crate::event::BlobReference;
use crate::frames::SegmentBytes;
use crate::hashing::LogHasher;
use crate::index::SegmentIndex;
use crate::index::file::{self, IndexOwner};
use crate::limits::KEY_WINDOW;
use crate::replay::{End, HoleFrame, Replay, apply_entry, decode_hole_frame, encode_hole_frame, read_state};
use crate::state::{ChannelState, LogState, MovedState};
use crate::{ChannelConfig, Chunk, Compression, EventInput, LogConfig, LogName, Retention, Selection};

const ROUNDS: u64 = 4000;

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).unwrap()
    }

    fn bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Alters bytes in one of the ways in which they come to be wrong.
    fn alter(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        if length == 0 {
            return bytes.extend(self.bytes(1 + self.below(9)));
        }
        let at = self.below(length);
        match self.below(8) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][self.below(5)],
            2 | 3 => {
                let values =
                    [0, 1, 8, 255, 65_535, u32::MAX.into(), 1 << 31, 1 << 32, i64::MAX as u64, u64::MAX];
                let value = values[self.below(values.len())].to_le_bytes();
                let count = [2, 4, 8][self.below(3)].min(length - at);
                bytes[at..at + count].copy_from_slice(&value[..count]);
            }
            4 => bytes.truncate(at),
            5 => {
                let part = bytes[at..(at + 1 + self.below(64)).min(length)].to_vec();
                let to = self.below(length);
                bytes.splice(to..to, part);
            }
            6 => {
                bytes.drain(at..(at + 1 + self.below(64)).min(length));
            }
            _ => {
                let more = self.bytes(1 + self.below(16));
                bytes.splice(at..at, more);
            }
        }
    }
}

/// Gives a decoder random bytes, and altered ones with their checksums put right by `repair`.
fn torment(name: &str, samples: &[Vec<u8>], repair: impl Fn(&mut Vec<u8>), decode: impl Fn(&[u8]) -> bool) {
    for sample in samples {
        assert!(decode(sample), "{name}: the samples are valid");
    }
    let mut accepted = 0;
    for seed in 0..ROUNDS {
        let dice = Dice(SeededRandom::new(seed));
        let mut bytes = if dice.below(8) == 0 {
            dice.bytes(dice.below(300))
        } else {
            samples[dice.below(samples.len())].clone()
        };
        for _ in 0..=dice.below(3) {
            dice.alter(&mut bytes);
        }
        if dice.below(4) > 0 {
            repair(&mut bytes);
        }
        let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decode(&bytes)));
        let Ok(ok) = decoded else { panic!("{name}: seed {seed} panicked") };
        accepted += u64::from(ok);
    }
    println!("{name}: {accepted} of {ROUNDS} altered ones were accepted");
}

/// Writes the CRC of `from..to` behind it, if there is room.
fn checksum(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(content) = bytes.get(from..to) {
        let crc = crc32fast::hash(content).to_le_bytes();
        if let Some(place) = bytes.get_mut(to..to + 4) {
            place.copy_from_slice(&crc);
        }
    }
}

fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

fn log() -> LogId {
    LogId::from_bytes([1; 16])
}

fn items(bytes: usize) -> Vec<BlockItem> {
    let item = |text, first, events| BlockItem {
        channel: name(text),
        first_seq: Seq(first),
        events,
        bytes,
        erasable: false,
        hash: Hash::of(b"block"),
    };
    vec![item("a", 0, 2), item("b/c", 7, 1)]
}

fn controls() -> Vec<Control> {
    let record = IncarnationRecord {
        id: IncarnationId::from_bytes([3; 16]),
        public_key: PublicKey::from_bytes([4; 32]),
        parent: IncarnationId::NONE,
        last_signed: Position(0),
        last_signed_hash: Hash::ZERO,
    };
    let hole = HoleRecord {
        first: Index(0),
        next: Index(2),
        bytes: 300,
        floor: Seq(9),
        channels: vec![(name("a"), Seq(4))],
    };
    vec![
        Control::Incarnation(record),
        Control::ChannelCreated {
            name: name("a"),
            base: Seq(0),
            config: ChannelConfig::with_content_type("x/y"),
        },
        Control::ChannelCreated { name: name("b/c"), base: Seq(7), config: ChannelConfig::default() },
        Control::Hole(hole),
        Control::Moved(MovedRecord { channel: name("a"), to: place("other"), next: Seq(4) }),
        Control::Arrived(ArrivedRecord {
            channel: name("d"),
            base: Seq(8),
            config: ChannelConfig::with_content_type("x/y"),
            from: place("main"),
            position: Position(2),
        }),
    ]
}

fn place(log: &str) -> LogPlace {
    LogPlace { id: LogId::from_bytes([6; 16]), name: LogName::new(log).unwrap() }
}

fn repeatables() -> Vec<Option<Repeatable>> {
    let ranges = vec![RangeInBlock { block: 0, first: Seq(0), events: 2 }];
    let digest = Hash::of(b"digest");
    let repeatable = |repeat, ranges| Some(Repeatable { repeat, digest, ranges });
    vec![
        None,
        repeatable(Repeat::Key("key".into()), ranges.clone()),
        repeatable(Repeat::Producer { id: "p".into(), number: 3 }, ranges),
    ]
}

fn events() -> Vec<u8> {
    let blobs = [BlobReference { hash: Hash::of(b"blob"), bytes: 9 }];
    let headers: [(&str, &[u8]); 2] = [("a", b"1"), ("b", b"")];
    let mut out = Vec::new();
    event::encode(&mut out, 0, &EventInput::new("kind", b"payload").with_key("key"));
    let full = EventInput::new("k", b"").with_headers(&headers).with_blobs(&blobs);
    event::encode(&mut out, 1, &full.with_time(Timestamp::from_nanos(5)));
    out
}

/// The body of an entry with two blocks, the first of two events, the second of one.
fn entry_body(index: u64, previous: Hash, signed: bool) -> Vec<u8> {
    let mut one = Vec::new();
    event::encode(&mut one, 2, &EventInput::new("kind", b"third"));
    let two = events();
    let mut list = items(two.len());
    list[1].bytes = one.len();
    let mut control_bytes = Vec::new();
    controls()[..3].iter().for_each(|record| control::encode(&mut control_bytes, record));
    let mut appends = Vec::new();
    let repeatable = repeatables().remove(1);
    append::encode(&mut appends, &AppendRecord { appends: 1, events: 1, repeatable });
    append::encode(&mut appends, &AppendRecord { appends: 2, events: 1, repeatable: None });
    let mut block_list = Vec::new();
    list.iter().for_each(|item| block::encode(&mut block_list, item));
    let fields = HeadFields {
        slot: Slot { term: Term(1), node: NodeId(0), index: Index(index) },
        incarnation: IncarnationId::from_bytes([3; 16]),
        previous,
        recorded_at: Timestamp::from_nanos(77),
        events: 3,
        append_records: 2,
        blocks: 2,
        controls: 3,
        witness: signed.then_some((Position(index), Hash::of(b"root"))),
    };
    let mut body = Vec::new();
    entry::encode_head(&mut body, &fields, &control_bytes, &appends, &block_list);
    let crc = crc32fast::hash(&body);
    body.put_u32(crc);
    if signed {
        body.put(Signature::from_bytes([9; 64]).as_bytes());
    }
    body.put(&two);
    body.put(&one);
    body
}

fn repair_entry(bytes: &mut [u8]) {
    if let Some(length) = bytes.get(4..8).and_then(|length| length.try_into().ok()) {
        let length = u32::from_le_bytes(length) as usize;
        checksum(bytes, 0, length);
    }
}

/// Log state and chain with something of everything.
fn full_state() -> (LogState, Chain) {
    let body = entry_body(0, Hash::ZERO, true);
    let parts = entry::decode(&body).unwrap();
    let mut state = LogState::default();
    // The second channel does not begin at 0, as one that was moved here.
    apply_entry(&mut state, &parts).unwrap();
    let HoleRecord { bytes, channels, .. } = match controls().remove(3) {
        Control::Hole(hole) => hole,
        other => panic!("{other:?}"),
    };
    let (first, next) = (Index(1), Index(3));
    state.apply_hole(&HoleRecord { first, next, bytes, floor: Seq(1), channels });
    let (index, recorded_at) = (Index(3), Timestamp::from_nanos(78));
    let Control::Arrived(arrived) = controls().remove(5) else { panic!() };
    state.insert_channel(ChannelState::arrived(&arrived, index, recorded_at));
    state.leave(0, MovedState { to: place("other"), index, recorded_at });
    let digest = Hash::of(b"digest");
    let at = state.key("key").unwrap().at.clone();
    state.remember(&Repeat::Producer { id: "p".into(), number: 3 }, digest, at);
    let hasher = LogHasher::new(log());
    let mut chain = Chain::default();
    chain.push(&hasher, parts.head.slot, hasher.entry(parts.head_bytes), true);
    chain.root.skip_to(&hasher, Index(3));
    (state, chain)
}

#[test]
fn parts_of_entries() {
    let encode = |put: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        put(&mut out);
        out
    };
    let take = |bytes: &[u8], decode: &dyn Fn(&mut Cursor<'_>) -> bool| decode(&mut Cursor::new(bytes));
    torment(
        "event",
        &[events()],
        |_| {},
        |bytes| {
            take(bytes, &|cursor| {
                let Ok(event) = event::decode(cursor) else { return false };
                // What was decoded can be read.
                assert_eq!(event.headers.iter().count(), event.headers.len());
                assert_eq!(event.blobs.iter().count(), event.blobs.len());
                true
            })
        },
    );
    let records: Vec<_> = repeatables()
        .into_iter()
        .map(|repeatable| AppendRecord {
            appends: if repeatable.is_some() { 1 } else { 7 },
            events: 2,
            repeatable,
        })
        .map(|record| encode(&|out| append::encode(out, &record)))
        .collect();
    torment("append record", &records, |_| {}, |bytes| take(bytes, &|cursor| append::decode(cursor).is_ok()));
    let blocks: Vec<_> = items(5).iter().map(|item| encode(&|out| block::encode(out, item))).collect();
    torment("block item", &blocks, |_| {}, |bytes| take(bytes, &|cursor| block::decode(cursor).is_ok()));
    let controls: Vec<_> =
        controls().iter().map(|record| encode(&|out| control::encode(out, record))).collect();
    torment(
        "control record",
        &controls,
        |_| {},
        |bytes| take(bytes, &|cursor| control::decode(cursor).is_ok()),
    );
}

#[test]
fn entries() {
    let samples = [entry_body(0, Hash::ZERO, false), entry_body(0, Hash::of(b"p"), true)];
    torment(
        "entry",
        &samples,
        |bytes| repair_entry(bytes),
        |bytes| {
            let front = entry::decode_front(bytes).is_ok();
            let Ok(parts) = entry::decode(bytes) else { return false };
            assert!(front);
            let _ = apply_entry(&mut LogState::default(), &parts);
            for reverse in [false, true] {
                let selection = Selection { reverse, ..Selection::default() };
                if let Ok(chunk) = Chunk::pick(Bytes::copy_from_slice(bytes), &selection) {
                    let events: Vec<_> = chunk.events().map(|event| event.to_event()).collect();
                    assert_eq!(events.len(), chunk.len());
                }
            }
            true
        },
    );
}

#[test]
fn state_frames() {
    let (full, chain) = full_state();
    let none = LocalState::default();
    let samples =
        [state::encode(&full, &chain, &none), state::encode(&LogState::default(), &Chain::default(), &none)];
    let hasher = LogHasher::new(log());
    torment(
        "state",
        &samples,
        |_| {},
        |bytes| {
            let Ok(Beginning { state, mut chain, local }) = state::decode(bytes) else { return false };
            // A writer would go on from it.
            let again = state::encode(&state, &chain, &local);
            assert!(state::decode(&again).is_ok());
            let slot = Slot { term: Term(1), node: NodeId(0), index: state.next_index };
            chain.push(&hasher, slot, Hash::ZERO, true);
            true
        },
    );
}

/// No sequencer writes a key twice, but a file may say so.
#[test]
fn a_key_that_comes_twice_is_kept_once() {
    let (full, chain) = full_state();
    let at = full.key("key").unwrap().at.clone();
    let mut bytes = state::encode(&full, &chain, &LocalState::default());
    let key = b"\x03\0key";
    let begin = bytes.windows(5).position(|part| part == key).unwrap();
    let record = bytes[begin..begin + 5 + 32 + 8 + 2 + (2 + 1 + 16)].to_vec();
    bytes[begin - 4] = 2;
    bytes.splice(begin..begin, record);
    let mut state = state::decode(&bytes).unwrap().state;
    for number in 1..KEY_WINDOW {
        state.remember(&Repeat::Key(number.to_string().into()), Hash::ZERO, at.clone());
    }
    assert_eq!(state.keys().count(), KEY_WINDOW);
}

#[test]
fn ends_and_holes() {
    let standing = Standing { next_index: Index(9), last_hash: Hash::of(b"last"), root: Hash::of(b"root") };
    let channel = FooterChannel { name: name("a"), first: Seq(3), next: Seq(9), events: 6 };
    let footer = Footer {
        standing,
        first_index: Index(2),
        entries: 7,
        events: 6,
        first_recorded_at: Timestamp::from_nanos(1),
        last_recorded_at: Timestamp::from_nanos(2),
        channels: vec![channel.clone(), channel],
        references: None,
    };
    let mut hashes = [1_u8, 2, 3].map(|number| Hash::of(&[number]));
    hashes.sort();
    let listed = Footer { references: Some(hashes.to_vec()), ..footer.clone() };
    torment(
        "footer",
        &[footer::encode_footer(&footer), footer::encode_footer(&listed)],
        |_| {},
        |bytes| footer::decode_footer(bytes).is_ok(),
    );
    torment("close", &[footer::encode_close(&standing)], |_| {}, |bytes| footer::decode_close(bytes).is_ok());
    let Control::Hole(record) = controls().remove(3) else { panic!() };
    let hole = encode_hole_frame(&HoleFrame { record, resumed_hash: Hash::of(b"x") }, 300).unwrap();
    torment("hole frame", &[hole], |_| {}, |bytes| decode_hole_frame(bytes).is_ok());
    let bodies = [vec![0; 700], vec![7; 255], vec![], vec![1; 256]].map(|body| escape::escape(&body));
    torment("escaped body", &bodies, |_| {}, |bytes| escape::unescape(bytes).is_ok());
}

#[test]
fn files_of_fixed_length() {
    let copies = |bytes: &mut Vec<u8>| {
        for begin in [0, 512] {
            checksum(bytes, begin, begin + 508);
        }
    };
    let (log, origin, created_at) = (log(), OriginId::from_bytes([2; 32]), Timestamp::from_nanos(5));
    let block = superblock::encode(&Superblock {
        log,
        origin,
        created_at,
        name: "main".to_owned(),
        kind: LogKind::Local,
    });
    torment("superblock", &[block], copies, |bytes| superblock::decode(bytes).is_ok());
    let config = LogConfig::keeping(Retention::of_events(9)).compressed(Compression::Lz4);
    let config = log_config::encode(&config);
    torment("configuration", &[config], copies, |bytes| log_config::decode(bytes).is_ok());
    let (number, first_index) = (3, Index(40));
    let header = segment_header::encode(&SegmentHeader {
        log,
        origin,
        number,
        first_index,
        created_at,
        truncation: None,
    });
    torment("segment header", &[header], copies, |bytes| segment_header::decode(bytes).is_ok());
    let (incarnation, position, open) = (IncarnationId::NONE, Position(7), true);
    let told = visible::encode(&Visible { log, incarnation, position, open });
    torment("visible", &[told], |bytes| checksum(bytes, 0, 60), |bytes| visible::decode(bytes).is_ok());
    for text in
        ["", "\u{FF}.seg", "0000000000-00000000000000000000.seg", "9999999999-99999999999999999999.seg"]
    {
        let _ = segment_header::parse_file_name(text);
    }
}

#[test]
fn index_files() {
    let mut index = SegmentIndex::default();
    for entry in 0..300 {
        let time = Timestamp::from_nanos(entry as i64);
        index.add(Index(entry), 1024 + entry * 20_000, time, &items(1));
    }
    let owner = IndexOwner { log: log(), segment: 3, segment_bytes: 9_000_000 };
    let repair = |bytes: &mut Vec<u8>| {
        if let Some(length) = bytes.get(12..16).and_then(|length| length.try_into().ok()) {
            let end = 64 + u32::from_le_bytes(length) as usize;
            if let Some(directory) = bytes.get(64..end) {
                let crc = crc32fast::hash(directory).to_le_bytes();
                bytes[52..56].copy_from_slice(&crc);
            }
        }
        checksum(bytes, 0, 60);
    };
    torment("index", &[file::encode(owner, &index)], repair, |bytes| {
        let _ = file::is_whole(bytes, owner);
        let _ = file::decode_block(bytes);
        let Ok(directory) = file::decode_directory(bytes, owner, bytes.len() as u64) else { return false };
        for list in &directory.lists {
            for place in [0, 1, 127, list.points.saturating_sub(1), list.points] {
                let (block, within) = list.place(place);
                let part = list.part(block);
                assert!(within < 127 && part.within.end <= 127);
                assert!(place >= list.points || part.first + within - part.within.start == place);
                let _ = directory.block_offset(list, block);
            }
            let _ = list.block_of(crate::index::Target::Seq(9));
        }
        true
    });
}

fn repair_frame(bytes: &mut [u8], at: usize) {
    checksum(bytes, at, at + 56);
    if let Some(stored) = bytes.get(at + 8..at + 12).and_then(|length| length.try_into().ok()) {
        let end = (at + 64).saturating_add((u32::from_le_bytes(stored) as usize).next_multiple_of(8));
        checksum(bytes, at + 64, end);
    }
}

#[test]
fn frames() {
    let place = Place { log: log(), segment: 3, offset: 1024 };
    let frame_of = |body: &[u8]| {
        let mut out = Vec::new();
        frame::encode(&mut out, place, FrameKind::Entry, Index(0), Position(0), body);
        out
    };
    let samples = [frame_of(&entry_body(0, Hash::ZERO, true)), frame_of(&[0; 900]), frame_of(&[])];
    torment(
        "frame",
        &samples,
        |bytes| repair_frame(bytes, 0),
        |bytes| {
            let _ = frame::is_incomplete(bytes, place);
            let Ok(header) = frame::decode_header(bytes, place) else { return false };
            let Ok(stored) = frame::check_body(bytes, &header) else { return false };
            frame::unpacked(stored, &header).is_ok()
        },
    );
}

/// A whole segment, altered anywhere and with the checksums of its frames put right, is replayed, judged, and
/// passed over where it is damaged.
#[test]
fn segments() {
    let hasher = LogHasher::new(log());
    let mut bytes = vec![0; segment_header::SEGMENT_HEADER_BYTES];
    let mut frames_at = Vec::new();
    let mut put = |bytes: &mut Vec<u8>, kind, index, body: &[u8]| {
        frames_at.push(bytes.len());
        let place = Place { log: log(), segment: 0, offset: bytes.len() as u64 };
        frame::encode(bytes, place, kind, Index(index), Position(index), body);
    };
    let empty = state::encode(&LogState::default(), &Chain::default(), &LocalState::default());
    put(&mut bytes, FrameKind::State, 0, &empty);
    put(&mut bytes, FrameKind::State, 0, &empty);
    let first = entry_body(0, Hash::ZERO, true);
    put(&mut bytes, FrameKind::Entry, 0, &first);
    let hole = |first, next, channels| HoleFrame {
        record: HoleRecord { first: Index(first), next: Index(next), bytes: 300, floor: Seq(0), channels },
        resumed_hash: Hash::of(b"resumed"),
    };
    let body = encode_hole_frame(&hole(1, 3, vec![(name("a"), Seq(9))]), 400).unwrap();
    put(&mut bytes, FrameKind::Hole, 1, &body);
    let standing = Standing { next_index: Index(3), last_hash: Hash::of(b"resumed"), root: Hash::ZERO };
    put(&mut bytes, FrameKind::Close, 3, &footer::encode_close(&standing));
    bytes.extend([0; 600]);
    let repair = |bytes: &mut Vec<u8>| {
        for at in &frames_at {
            if let Some(body) = bytes.get_mut(at + 64..) {
                repair_entry(body);
            }
            repair_frame(bytes, *at);
        }
    };
    torment("segment", &[bytes.clone()], repair, |bytes| {
        let view = SegmentBytes { log: log(), segment: 0, begin: 0, bytes };
        let _ = read_state(view);
        let Ok(mut replay) = Replay::begin(view) else { return false };
        replay_over_damage(view, &mut replay, &hasher, None);
        let _ = view.step(replay.offset);
        matches!(replay.end, End::Open | End::Closed)
    });
}

/// Readers go by the index in the header: an end that names another one would hide what is written behind it.
#[test]
fn an_end_whose_header_names_another_index_is_refused() {
    let hasher = LogHasher::new(log());
    let end_of = |header_index| {
        let mut bytes = vec![0; segment_header::SEGMENT_HEADER_BYTES];
        let mut put = |kind, index, body: &[u8]| {
            let place = Place { log: log(), segment: 0, offset: bytes.len() as u64 };
            frame::encode(&mut bytes, place, kind, Index(index), Position(0), body);
        };
        let (state, chain) = (LogState::default(), Chain::default());
        (0..2).for_each(|_| put(FrameKind::State, 0, &state::encode(&state, &chain, &LocalState::default())));
        let root = chain.root.hash(&hasher);
        let standing = Standing { next_index: Index(0), last_hash: chain.last_hash, root };
        put(FrameKind::Close, header_index, &footer::encode_close(&standing));
        let view = SegmentBytes { log: log(), segment: 0, begin: 0, bytes: &bytes };
        let mut replay = Replay::begin(view).unwrap();
        replay.run(view, &hasher, Position(u64::MAX));
        replay.end
    };
    assert_eq!(end_of(0), End::Closed);
    assert_eq!(end_of(7), End::Bad(Malformed::new("index")));
}

#[test]
fn a_state_whose_root_covers_other_entries_is_refused() {
    let (mut full, chain) = full_state();
    let none = LocalState::default();
    assert!(state::decode(&state::encode(&full, &chain, &none)).is_ok());
    full.next_index = Index(1 << 60);
    assert_eq!(state::decode(&state::encode(&full, &chain, &none)).unwrap_err(), Malformed::new("log root"));
}

/// What has two encodings, or none that a writer gives, is not read.
#[test]
fn reserved_bytes_and_fillings_are_checked() {
    let place = Place { log: log(), segment: 3, offset: 1024 };
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, place, FrameKind::Entry, Index(0), Position(0), &[7; 9]);
    bytes[64 + 9] = 1;
    repair_frame(&mut bytes, 0);
    let header = frame::decode_header(&bytes, place).unwrap();
    assert_eq!(frame::check_body(&bytes, &header), Err(Malformed::new("frame padding")));

    let (incarnation, position) = (IncarnationId::NONE, Position(7));
    for at in [12, 56] {
        let mut bytes = visible::encode(&Visible { log: log(), incarnation, position, open: true });
        bytes[at] = 2;
        checksum(&mut bytes, 0, 60);
        assert!(visible::decode(&bytes).is_err(), "{at}");
    }

    let Control::Hole(record) = controls().remove(3) else { panic!() };
    let mut bytes = encode_hole_frame(&HoleFrame { record, resumed_hash: Hash::ZERO }, 300).unwrap();
    bytes[299] = 0;
    assert_eq!(decode_hole_frame(&bytes), Err(Malformed::new("hole filling")));

    // An event with headers, or blob references, of which there are none.
    for flag in [4, 8] {
        let mut bytes = Vec::new();
        event::encode(&mut bytes, 0, &EventInput::new("", b"\0\0"));
        bytes[8] = flag;
        bytes[12] = 0;
        assert!(event::decode(&mut Cursor::new(&bytes)).is_err(), "{flag}");
    }
}
