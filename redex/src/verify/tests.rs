//! Forgery: what somebody can make of a log who can write its files and compute every hash and checksum, but does
//! not have the key.

use std::sync::Arc;

use base::{Identity, ManualClock, SeededRandom, SimulatedDisk, Timestamp};

use super::*;
use crate::codec::frame::{self, Place};
use crate::codec::local::LocalState;
use crate::codec::{Cursor, append, block, control, footer, state};
use crate::{Ack, EventInput, FlusherMode, LogOptions, Store};

const DIR: &str = "/node";

fn doors(disk: &SimulatedDisk, seed: u64) -> Doors {
    Doors {
        clock: Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000))),
        random: Arc::new(SeededRandom::new(seed)),
        disk: Arc::new(disk.clone()),
    }
}

/// An entry taken apart.
#[derive(Debug, Clone)]
struct Entry {
    head: EntryHead,
    signature: Option<Signature>,
    /// The bytes of its blocks, as in the list.
    blocks: Vec<Vec<u8>>,
    /// Whether the hashes of altered blocks are made right.
    rehash: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Entry(Box<Entry>),
    State,
    Footer,
    Close,
}

#[derive(Debug, Clone)]
struct Item {
    content: Content,
    synced_through: Position,
}

/// A segment whose frames can be altered, and put together again with all hashes, links and checksums right.
struct Forger {
    disk: SimulatedDisk,
    path: PathBuf,
    log: LogId,
    header: Vec<u8>,
    items: Vec<Item>,
    /// The key to sign with; signatures that are there are kept without one.
    key: Option<Identity>,
    /// Whether links, witnesses and standings are made right behind an alteration.
    relink: bool,
}

impl Forger {
    /// Makes a log of two incarnations and takes it apart.
    fn new() -> Self {
        let disk = SimulatedDisk::new();
        let options = LogOptions { flusher: FlusherMode::Manual, ..LogOptions::default() };
        for number in 0..2u8 {
            let store = Store::open(Path::new(DIR), &doors(&disk, number.into()), &options).unwrap();
            for name in ["a", "b"] {
                for nth in 0..3u8 {
                    let payload = [b'0' + number, b'.', b'0' + nth, b'!'];
                    let event = EventInput::new("kind", &payload);
                    let ticket = store.main().append(&ChannelName::new(name).unwrap(), &[event]).unwrap();
                    ticket.wait(Ack::Durable).into_result().unwrap();
                }
            }
            store.close().unwrap();
        }
        Self::open(&disk)
    }

    fn open(disk: &SimulatedDisk) -> Self {
        let (superblock, _) = crate::log::read_superblock(disk, &Path::new(DIR).join("logs/main")).unwrap();
        let path = disk
            .files()
            .into_iter()
            .map(|(path, _)| path)
            .find(|path| path.extension().is_some_and(|extension| extension == "seg"));
        let path = path.unwrap();
        let bytes = disk.read(&path).unwrap();
        let segment = SegmentBytes { log: superblock.log, segment: 0, begin: 0, bytes: &bytes };
        let mut items = Vec::new();
        let mut at = SEGMENT_HEADER_BYTES as u64;
        while let Ok(frame) = segment.frame(at) {
            let content = match frame.header.kind {
                FrameKind::Entry => Content::Entry(Box::new(Entry::take_apart(&frame.body().unwrap()))),
                FrameKind::State => Content::State,
                FrameKind::Footer => Content::Footer,
                FrameKind::Close => Content::Close,
                other => panic!("{other:?}"),
            };
            items.push(Item { content, synced_through: frame.header.synced_through });
            at = frame.end();
        }
        let header = bytes[..SEGMENT_HEADER_BYTES].to_vec();
        let (log, disk) = (superblock.log, disk.clone());
        Self { disk, path, log, header, items, key: None, relink: true }
    }

    fn entries(&mut self) -> Vec<&mut Entry> {
        let all = self.items.iter_mut().filter_map(|item| match &mut item.content {
            Content::Entry(entry) => Some(&mut **entry),
            _ => None,
        });
        all.collect()
    }

    /// Puts the segment together again and verifies the log.
    fn verify(&self, all_signatures: bool) -> VerifyReport {
        let hasher = LogHasher::new(self.log);
        let (mut log_state, mut chain) = (LogState::default(), Chain::default());
        let mut out = self.header.clone();
        for item in &self.items {
            let place = Place { log: self.log, segment: 0, offset: out.len() as u64 };
            let mut index = log_state.next_index;
            let (kind, body) = match &item.content {
                Content::State => {
                    (FrameKind::State, state::encode(&log_state, &chain, &LocalState::default()))
                }
                Content::Close => {
                    let standing = standing_of(&log_state, &chain, &hasher);
                    (FrameKind::Close, footer::encode_close(&standing))
                }
                Content::Footer => panic!("the log is of one segment"),
                Content::Entry(entry) => {
                    let mut entry = entry.clone();
                    if self.relink {
                        entry.link(&chain, &hasher);
                    }
                    let body = entry.put_together(&hasher, self.key.as_ref());
                    let parts = entry::decode(&body).unwrap();
                    index = parts.head.slot.index;
                    let _ = apply_entry(&mut log_state, &parts);
                    let hash = hasher.entry(parts.head_bytes);
                    chain.push(&hasher, parts.head.slot, hash, parts.signature.is_some());
                    (FrameKind::Entry, body)
                }
            };
            frame::encode(&mut out, place, kind, index, item.synced_through, &body);
        }
        self.disk.write(&self.path, &out);
        let options = VerifyOptions { all_signatures, ..VerifyOptions::default() };
        super::verify(Path::new(DIR), &doors(&self.disk, 9), &options).unwrap()
    }

    /// Demands that the alterations are found, with all signatures verified or only the last ones.
    fn is_found(&self) {
        for all_signatures in [false, true] {
            let faults = self.verify(all_signatures).faults;
            assert!(!faults.is_empty(), "all signatures: {all_signatures}");
        }
    }
}

impl Entry {
    fn take_apart(body: &[u8]) -> Self {
        let parts = entry::decode(body).unwrap();
        let mut blocks = Cursor::new(&body[parts.blocks_at..]);
        let take = |item: &block::BlockItem| blocks.take(item.bytes, "block").unwrap().to_vec();
        let blocks = parts.head.blocks.iter().map(take).collect();
        Self { signature: parts.signature, blocks, head: parts.head, rehash: true }
    }

    /// Makes link and witness what the chain demands.
    fn link(&mut self, chain: &Chain, hasher: &LogHasher) {
        self.head.previous = chain.last_hash;
        if let Some(witness) = &mut self.head.witness {
            *witness = (chain.root.position(), chain.root.hash(hasher));
        }
        for control in &mut self.head.controls {
            if let Control::Incarnation(record) = control {
                (record.last_signed, record.last_signed_hash) = (chain.last_signed, chain.last_signed_hash);
            }
        }
    }

    fn put_together(&mut self, hasher: &LogHasher, key: Option<&Identity>) -> Vec<u8> {
        use crate::codec::Put;
        for (item, bytes) in self.head.blocks.iter_mut().zip(&self.blocks).filter(|_| self.rehash) {
            (item.bytes, item.hash) = (bytes.len(), hasher.block(bytes));
        }
        let head = &self.head;
        let [mut controls, mut appends, mut list] = [Vec::new(), Vec::new(), Vec::new()];
        head.controls.iter().for_each(|item| control::encode(&mut controls, item));
        head.appends.iter().for_each(|item| append::encode(&mut appends, item));
        head.blocks.iter().for_each(|item| block::encode(&mut list, item));
        let count = |length: usize| u32::try_from(length).unwrap();
        let fields = entry::HeadFields {
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
        entry::encode_head(&mut body, &fields, &controls, &appends, &list);
        let hash = hasher.entry(&body);
        body.put_u32(crc32fast::hash(&body));
        let message = hasher.signed_message(head.incarnation, head.slot.index, &hash);
        let own = key.map(|key| key.sign(&message));
        if head.witness.is_some() {
            body.put(own.or(self.signature).unwrap().as_bytes());
        }
        self.blocks.iter().for_each(|bytes| body.put(bytes));
        body
    }
}

/// Alters the payload of the first event of an entry.
fn alter(entry: &mut Entry) {
    let last = entry.blocks[0].last_mut().unwrap();
    assert_eq!(*last, b'!');
    *last = b'?';
}

/// Makes a log with an erasable channel of three events, the second of which is redacted.
fn erasable() -> Forger {
    let disk = SimulatedDisk::new();
    let options = LogOptions { flusher: FlusherMode::Manual, ..LogOptions::default() };
    let store = Store::open(Path::new(DIR), &doors(&disk, 1), &options).unwrap();
    let name = ChannelName::new("people").unwrap();
    let created = store.main().create_channel(&name, &crate::ChannelConfig::of_erasable()).unwrap();
    created.wait(Ack::Durable).into_result().unwrap();
    let events = ["Ada", "Bob", "Eve"].map(|text| EventInput::new("k", text.as_bytes()));
    store.main().append(&name, &events).unwrap().wait(Ack::Durable).into_result().unwrap();
    store.main().redact(&name, 1..2, "").unwrap();
    store.close().unwrap();
    drop(store);
    Forger::open(&disk)
}

#[test]
fn a_salt_an_event_or_a_commitment_altered_under_the_hash_of_its_block_is_found() {
    let mut whole = erasable();
    whole.entries().into_iter().for_each(|entry| entry.rehash = false);
    assert_eq!(whole.verify(true).faults, []);
    let place = whole.entries().iter().position(|entry| !entry.blocks.is_empty()).unwrap();
    for byte in 0..whole.entries()[place].blocks[0].len() {
        let mut forger =
            Forger { items: whole.items.clone(), header: whole.header.clone(), key: None, ..erasable() };
        forger.entries()[place].blocks[0][byte] ^= 16;
        let faults = forger.verify(true).faults;
        assert!(faults.iter().any(|fault| fault.expected.contains("with hash")), "byte {byte}: {faults:?}");
    }
}

#[test]
fn an_erasable_block_that_is_passed_off_as_another_is_found() {
    let mut forger = erasable();
    let entry = forger.entries().into_iter().find(|entry| !entry.blocks.is_empty()).unwrap();
    entry.head.blocks[0].erasable = false;
    forger.is_found();
}

#[test]
fn a_log_that_is_put_together_unaltered_is_without_fault() {
    let mut forger = Forger::new();
    assert_eq!(forger.entries().len(), 12);
    for all_signatures in [false, true] {
        let report = forger.verify(all_signatures);
        assert_eq!(report.faults, []);
        assert_eq!((report.incarnations.len(), report.unsigned), (2, 0));
    }
}

#[test]
fn an_event_altered_with_its_checksums_and_hashes_is_found_at_every_entry() {
    for place in 0..12 {
        for relink in [false, true] {
            let mut forger = Forger::new();
            forger.relink = relink;
            alter(forger.entries()[place]);
            forger.is_found();
        }
    }
}

#[test]
fn an_event_altered_under_the_hash_of_its_block_is_found_at_every_entry() {
    for place in 0..12 {
        let mut forger = Forger::new();
        forger.entries()[place].rehash = false;
        alter(forger.entries()[place]);
        forger.is_found();
    }
}

#[test]
fn a_link_to_another_entry_is_found_also_where_the_own_key_signed_it() {
    for link in [Hash::ZERO, Hash::of(b"another")] {
        let mut forger = Forger::new();
        forger.key = Some(Identity::open(&forger.disk, &Path::new(DIR).join("identity")).unwrap());
        forger.relink = false;
        assert_eq!(forger.verify(false).faults, []);
        // The last one, since whatever came behind it would have to be linked to it anew.
        forger.entries()[11].head.previous = link;
        forger.is_found();
    }
}

#[test]
fn opening_sets_an_entry_aside_that_is_linked_to_another() {
    let mut forger = Forger::new();
    forger.relink = false;
    forger.entries()[11].head.previous = Hash::of(b"another");
    forger.verify(false);
    let options = LogOptions { flusher: FlusherMode::Manual, ..LogOptions::default() };
    let store = Store::open(Path::new(DIR), &doors(&forger.disk, 9), &options).unwrap();
    let lost: Vec<_> = store.recovery().quarantined.iter().map(|range| (range.first, range.next)).collect();
    assert_eq!(lost.first().map(|range| range.0), Some(Index(11)), "{lost:?}");
}

#[test]
fn other_fields_of_an_entry_cannot_be_altered_either() {
    let alterations: [fn(&mut Entry); 5] = [
        |entry| entry.head.recorded_at = entry.head.recorded_at.plus(std::time::Duration::from_secs(1)),
        |entry| entry.head.slot.term = base::Term(9),
        |entry| entry.head.slot.index = Index(u64::MAX),
        |entry| entry.head.blocks[0].channel = ChannelName::new("forged").unwrap(),
        |entry| entry.head.incarnation = IncarnationId::from_bytes([7; 16]),
    ];
    for (nth, alteration) in alterations.into_iter().enumerate() {
        for place in [0, 5, 11] {
            let mut forger = Forger::new();
            alteration(forger.entries()[place]);
            println!("alteration {nth} of entry {place}");
            forger.is_found();
        }
    }
}

#[test]
fn a_time_before_that_of_the_entry_before_is_found_also_where_the_own_key_signed_it() {
    for place in 1..12 {
        let mut forger = Forger::new();
        forger.key = Some(Identity::open(&forger.disk, &Path::new(DIR).join("identity")).unwrap());
        assert_eq!(forger.verify(false).faults, []);
        let before = forger.entries()[place - 1].head.recorded_at;
        forger.entries()[place].head.recorded_at = base::Timestamp::from_nanos(before.as_nanos() - 1);
        forger.is_found();
    }
}

#[test]
fn an_entry_cannot_be_taken_out_or_exchanged() {
    for place in 0..11 {
        let mut forger = Forger::new();
        let at = 2 + place + usize::from(place > 5);
        assert!(matches!(forger.items[at].content, Content::Entry(_)));
        forger.items.remove(at);
        forger.is_found();
        if place != 5 {
            let mut forger = Forger::new();
            forger.items.swap(at, at + 1);
            forger.is_found();
        }
    }
}

#[test]
fn stripped_signatures_are_found_where_a_frame_testifies() {
    for place in [5, 11] {
        let mut forger = Forger::new();
        for entry in &mut forger.entries()[if place == 5 { 0..6 } else { 6..12 }] {
            (entry.head.witness, entry.signature) = (None, None);
        }
        forger.is_found();
    }
}

#[test]
fn a_log_without_any_testimony_is_reported_as_unsigned() {
    let mut forger = Forger::new();
    for entry in forger.entries() {
        (entry.head.witness, entry.signature) = (None, None);
    }
    forger.items.retain(|item| !matches!(item.content, Content::Close));
    forger.items.iter_mut().for_each(|item| item.synced_through = Position::ZERO);
    let report = forger.verify(false);
    assert_eq!((report.signatures, report.unsigned), (0, 12));
}

#[test]
fn another_key_is_found_in_an_incarnation_record_and_behind_a_signature() {
    let other = Identity::from_seed(&[5; 32]);
    // The record alone; entries signed anew; both together, in one incarnation or in all.
    for (record, signed) in [(true, false), (false, true), (true, true)] {
        for incarnations in [0..12, 0..6, 6..12] {
            let mut forger = Forger::new();
            if signed {
                forger.key = Some(Identity::from_seed(&[5; 32]));
            }
            for entry in &mut forger.entries()[incarnations] {
                for control in &mut entry.head.controls {
                    if let Control::Incarnation(known) = control
                        && record
                    {
                        known.public_key = other.public_key();
                    }
                }
            }
            forger.is_found();
        }
    }
}

#[test]
fn an_incarnation_cannot_be_appended_with_another_key_or_behind_another() {
    let mut forger = Forger::new();
    let mut last = forger.entries()[11].clone();
    let begin = forger.entries()[6].head.controls[0].clone();
    let Control::Incarnation(mut record) = begin else { panic!() };
    let own_key = record.public_key;
    for (key, parent) in [
        (Identity::from_seed(&[5; 32]).public_key(), last.head.incarnation),
        (own_key, IncarnationId::from_bytes([1; 16])),
    ] {
        let mut forger = Forger::new();
        record.id = IncarnationId::from_bytes([9; 16]);
        (record.public_key, record.parent) = (key, parent);
        last.head.controls = vec![Control::Incarnation(record)];
        last.head.incarnation = record.id;
        last.head.slot.index = Index(12);
        last.head.blocks[0].first_seq = Seq(6);
        (last.head.witness, last.signature) = (None, None);
        let entry = Content::Entry(Box::new(last.clone()));
        forger.items.push(Item { content: entry, synced_through: Position::ZERO });
        forger.is_found();
    }
}

#[test]
fn a_key_file_that_is_not_the_origins_is_found() {
    let forger = Forger::new();
    forger.disk.write(Path::new(DIR).join("identity"), &[3; 32]);
    forger.is_found();
}

#[test]
fn a_frame_of_another_index_is_found() {
    let forger = Forger::new();
    assert_eq!(forger.verify(false).faults, []);
    let mut bytes = forger.disk.read(&forger.path).unwrap();
    let segment = SegmentBytes { log: forger.log, segment: 0, begin: 0, bytes: &bytes };
    let mut at = SEGMENT_HEADER_BYTES as u64;
    while let Ok(frame) = segment.frame(at)
        && frame.header.kind != FrameKind::Entry
    {
        at = frame.end();
    }
    let at = usize::try_from(at).unwrap();
    bytes[at + 48] = 5;
    let crc = crc32fast::hash(&bytes[at..at + 56]);
    bytes[at + 56..at + 60].copy_from_slice(&crc.to_le_bytes());
    forger.disk.write(&forger.path, &bytes);
    let report = super::verify(Path::new(DIR), &doors(&forger.disk, 9), &VerifyOptions::default()).unwrap();
    assert!(!report.faults.is_empty());
}
