//! Damaged stretches that are met when a log opens.

use std::collections::BTreeMap;

use base::{CrashImage, Disk, Index};
use redex::{Outcome, RecoveryReport};

use super::*;
use crate::crash::workload::record;
use crate::support::{Dice, each_seed};

pub(super) const ENTRY: u8 = 1;
pub(super) const CLOSE: u8 = 4;
const HOLE: u8 = 5;

/// A frame of a segment file: its kind, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub kind: u8,
    pub offset: u64,
    pub bytes: u64,
}

impl Frame {
    pub fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// Walks over the frames of an undamaged segment.
pub(super) fn frames(world: &World, path: &Path) -> Vec<Frame> {
    let bytes = world.disk.read(path).unwrap();
    let mut frames = Vec::new();
    let mut at = 1_024;
    while at + 72 <= bytes.len() && bytes[at] != 0 {
        let stored = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap());
        let length = 64 + u64::from(stored).next_multiple_of(8) + 8;
        frames.push(Frame { kind: bytes[at + 4], offset: at as u64, bytes: length });
        at += usize::try_from(length).unwrap();
    }
    frames
}

pub(super) fn entries(world: &World) -> Vec<Frame> {
    let all = frames(world, &segment(&world.disk, 0));
    all.into_iter().filter(|frame| frame.kind == ENTRY).collect()
}

/// Inverts a bit so far into a frame.
pub(super) fn flip(world: &World, frame: Frame, byte: u64) {
    world.disk.flip_bit(segment(&world.disk, 0), (frame.offset + byte) * 8);
}

/// What is damaged of a frame: its header, the head of its entry, or what stands behind that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Head,
    Rest,
}

impl Part {
    const ALL: [Self; 3] = [Self::Header, Self::Head, Self::Rest];

    fn flip(self, world: &World, frame: Frame) {
        let byte = match self {
            Self::Header => 20,
            Self::Head => 64 + 20,
            Self::Rest => frame.bytes - 12,
        };
        flip(world, frame, byte);
    }
}

fn next_seq(store: &Store, name: &str) -> Option<u64> {
    let view = store.main().reader().view();
    view.channel(&channel(name)).unwrap().map(|info| info.next_seq.0)
}

/// Opens a damaged log, and opens it once more, which finds everything in order.
pub(super) fn open_twice(world: &World) -> (RecoveryReport, Store) {
    let store = world.open();
    let first = store.recovery().clone();
    let seen = outline(&store);
    drop(store);
    let store = world.open();
    let quiet = RecoveryReport::default();
    assert_eq!(*store.recovery(), quiet);
    assert_eq!(outline(&store), seen);
    (first, store)
}

/// Returns what is read over holes, and where the channels stand.
fn outline(store: &Store) -> (Vec<Event>, Vec<(String, u64)>) {
    let view = store.main().reader().view();
    let selection = Selection { skip_holes: true, ..Selection::default() };
    let events = view.read(&selection).unwrap().map(Result::unwrap).collect();
    let channels = view.channels().unwrap().into_iter().map(|info| (info.name.to_string(), info.next_seq.0));
    (events, channels.collect())
}

/// Five entries, each of one event: a0 b0 a1 b1 a2.
fn five() -> World {
    let world = World::new();
    let store = world.open();
    for (name, payload) in [("a", "a0"), ("b", "b0"), ("a", "a1"), ("b", "b1"), ("a", "a2")] {
        append(store.main(), name, payload);
    }
    store.close().unwrap();
    world
}

#[test]
fn a_corrupt_entry_is_set_aside_named_and_told_of_for_ever() {
    for part in Part::ALL {
        let world = five();
        let frame = entries(&world)[2];
        part.flip(&world, frame);
        let path = segment(&world.disk, 0);
        let damaged = world.disk.read(&path).unwrap();
        let (report, store) = open_twice(&world);
        let [range] = &report.quarantined[..] else { panic!("{report:?}") };
        assert_eq!((&range.file, range.offset, range.bytes), (&path, frame.offset, frame.bytes));
        assert_eq!((range.first, range.next), (Index(2), Index(3)));
        let stretch = frame.offset as usize..frame.end() as usize;
        assert_eq!(world.disk.read(&range.saved_as).unwrap(), damaged[stretch]);
        assert!(range.saved_as.starts_with(Path::new(LOG).join("quarantine")));

        assert_eq!(
            (next_seq(&store, "a"), next_seq(&store, "b")),
            (Some(3), Some(2)),
            "the entries behind tell"
        );
        let found: Result<Vec<_>, _> =
            store.main().reader().view().read(&Selection::default()).unwrap().collect();
        let Err(ReadError::Hole { first, last }) = found else { panic!("{found:?}") };
        assert_eq!((first, last), (Index(2), Index(2)));
        append(store.main(), "a", "a3");
        assert_eq!(next_seq(&store, "a"), Some(4));
        store.close().unwrap();
        drop(store);
        let faults = world.verify().faults;
        assert!(faults.iter().any(|fault| fault.file == path && fault.offset == frame.offset), "{faults:?}");
        let (_, store) = open_twice(&world);
        let (events, _) = outline(&store);
        let payloads: Vec<_> = events.iter().map(|event| &event.payload[..]).collect();
        assert_eq!(payloads, [&b"a0"[..], b"b0", b"b1", b"a2", b"a3"]);
    }
}

#[test]
fn the_first_entry_behind_a_hole_has_it_on_record() {
    let world = five();
    let lost = entries(&world)[2];
    flip(&world, lost, 100);
    append(world.open().main(), "a", "behind");
    let newest = *entries(&world).last().unwrap();
    let bytes = world.disk.read(segment(&world.disk, 0)).unwrap();
    let frame = &bytes[usize::try_from(newest.offset).unwrap()..usize::try_from(newest.end()).unwrap()];
    assert_eq!(frame[5], 0, "not escaped");
    let number = |at: usize| u64::from_le_bytes(frame[at..at + 8].try_into().unwrap());
    let (index, witnessed) = (number(64 + 8), number(64 + 104));
    assert_eq!((index, witnessed), (5, 5), "the log root counts what was lost");
    // Controls stand behind the fixed part of the head: u16 type, u16 0, u32 bytes.
    let mut controls = &frame[64 + 144..];
    let mut next = || {
        let bytes = u32::from_le_bytes(controls[4..8].try_into().unwrap());
        let kind = u16::from_le_bytes(controls[..2].try_into().unwrap());
        let (control, rest) = controls.split_at(8 + usize::try_from(bytes).unwrap());
        controls = rest;
        (kind, &control[8..])
    };
    assert_eq!(next().0, 1, "the incarnation");
    let (kind, hole) = next();
    assert_eq!((kind, &hole[..8], &hole[8..16]), (3, &2u64.to_le_bytes()[..], &3u64.to_le_bytes()[..]));
}

#[test]
fn a_corrupt_last_entry_is_corrupt_since_the_close_record_testifies() {
    for part in Part::ALL {
        let world = five();
        part.flip(&world, entries(&world)[4]);
        let (report, store) = open_twice(&world);
        assert_eq!((report.torn_bytes, report.quarantined.len()), (0, 1));
        assert_eq!(report.quarantined[0].next, Index(5), "the close record tells where the log stood");
        let next = next_seq(&store, "a").unwrap();
        match part {
            Part::Rest => assert_eq!(next, 3),
            Part::Header | Part::Head => assert!(next > 3, "{next}"),
        }
        assert!(append(store.main(), "b", "b2").at.index >= Index(5));
    }
}

#[test]
fn a_damaged_close_record_loses_nothing_where_it_can_be_told_to_be_one() {
    for (byte, lost) in [(70, false), (20, true)] {
        let world = five();
        let close = *frames(&world, &segment(&world.disk, 0)).last().unwrap();
        assert_eq!(close.kind, CLOSE);
        flip(&world, close, byte);
        assert!(!world.verify().faults.is_empty());
        let (report, store) = open_twice(&world);
        let [range] = &report.quarantined[..] else { panic!("{report:?}") };
        assert_eq!(range.first < range.next, lost, "what may have been an entry counts as one");
        if !lost {
            assert_eq!((next_seq(&store, "a"), next_seq(&store, "b")), (Some(3), Some(2)));
            assert_eq!(all(store.main(), "a"), ["a0", "a1", "a2"]);
        }
    }
}

#[test]
fn a_lost_beginning_does_not_let_numbers_be_given_out_again() {
    let world = five();
    for frame in &entries(&world)[..4] {
        Part::Head.flip(&world, *frame);
    }
    Part::Header.flip(&world, entries(&world)[4]);
    let (report, store) = open_twice(&world);
    assert_eq!(report.quarantined.last().unwrap().next, Index(5));
    assert_eq!(next_seq(&store, "a"), None, "nobody knows its name");
    for (name, given_out) in [("a", 3), ("b", 2)] {
        let first = append(store.main(), name, "anew").at.first_seq().unwrap();
        assert!(first >= Seq(given_out), "{name} begins at {first}");
        assert_eq!(all(store.main(), name), ["anew"]);
    }
    drop(store);
    let (_, store) = open_twice(&world);
    let first = append(store.main(), "c", "also later").at.first_seq().unwrap();
    assert!(first > Seq(0));
}

/// More channels than a small stretch has room to name.
fn many_channels() -> (World, Vec<String>) {
    let world = World::new();
    let store = world.open();
    let names: Vec<_> = (0..60).map(|number| format!("department/of/rather/long/names/{number}")).collect();
    for name in &names {
        append(store.main(), name, "0");
    }
    append(store.main(), &names[7], "lost");
    for name in &names[..10] {
        append(store.main(), name, "behind");
    }
    store.close().unwrap();
    (world, names)
}

fn check_many_channels(store: &Store, names: &[String]) {
    let next = |name: &str| next_seq(store, name).unwrap();
    let mentioned: Vec<_> = names[..10].iter().map(|name| next(name)).collect();
    assert_eq!(mentioned, [2, 2, 2, 2, 2, 2, 2, 3, 2, 2], "entries behind the hole tell");
    for name in &names[10..] {
        assert!(next(name) > 1, "{name} may have been in the lost entry");
        let view = store.main().reader().view();
        let read: Result<Vec<_>, _> = view.read(&Selection::channel(&channel(name))).unwrap().collect();
        assert!(matches!(read, Err(ReadError::Hole { .. })), "{name}: {read:?}");
    }
}

#[test]
fn a_hole_that_has_no_room_for_its_channels_tells_them_at_the_end() {
    for part in [Part::Header, Part::Head] {
        let (world, names) = many_channels();
        part.flip(&world, entries(&world)[60]);
        let (report, store) = open_twice(&world);
        assert_eq!(report.quarantined.len(), 1);
        check_many_channels(&store, &names);
        let holes =
            frames(&world, &segment(&world.disk, 0)).iter().filter(|frame| frame.kind == HOLE).count();
        assert_eq!(holes, 2);
        append(store.main(), "new", "x");
        drop(store);
        check_many_channels(&open_twice(&world).1, &names);
        let reader = StoreReader::open(Path::new(DIR), &world.doors, &options()).unwrap();
        let view = reader.main().view();
        let lost: Result<Vec<_>, _> = view.read(&Selection::channel(&channel(&names[30]))).unwrap().collect();
        assert!(matches!(lost, Err(ReadError::Hole { .. })));
    }
}

#[test]
fn a_crash_while_damage_is_set_aside_loses_nothing_more() {
    let (world, names) = many_channels();
    for entry in [3, 60, 64] {
        Part::Head.flip(&world, entries(&world)[entry]);
    }
    let moments = record(&world.disk);
    drop(world.open());
    world.disk.on_operation(None);
    let mut images = BTreeMap::new();
    for moment in moments.lock().unwrap().iter() {
        let torn = (0..8).map(|seed| CrashImage::Sectors { seed });
        let others = (0..4).map(|seed| CrashImage::Reordered { seed });
        for survivors in torn.chain(others).chain([CrashImage::None, CrashImage::All]) {
            let key = moment.snapshot.digest(&survivors);
            images.entry(key).or_insert_with(|| (moment.clone(), survivors));
        }
    }
    for (moment, survivors) in images.values() {
        let world = World::on(moment.snapshot.image(survivors), 5);
        let (_, store) = open_twice(&world);
        let next = |name: &str| next_seq(&store, name).unwrap();
        let line = format!("crash before {:?}, {survivors:?}", moment.next);
        assert_eq!((next(&names[7]), next(&names[4])), (3, 2), "{line}");
        let unmentioned = names[..3].iter().chain(&names[10..]);
        assert!(unmentioned.into_iter().all(|name| next(name) > 2), "{line}");
    }
    println!("{} images", images.len());
}

#[test]
fn damage_beside_an_older_hole_and_in_one_does_not_spread() {
    for (second, part) in
        [(1, Part::Head), (1, Part::Rest), (2, Part::Rest), (2, Part::Header), (3, Part::Head)]
    {
        let world = five();
        Part::Rest.flip(&world, entries(&world)[2]);
        drop(world.open());
        let path = segment(&world.disk, 0);
        let all = frames(&world, &path);
        let inner: Vec<_> = all.iter().filter(|frame| frame.kind == ENTRY || frame.kind == HOLE).collect();
        part.flip(&world, *inner[second]);
        let (report, store) = open_twice(&world);
        assert_eq!(report.quarantined.len(), 1, "{second} {part:?}");
        let (events, _) = outline(&store);
        let left: Vec<_> = (0..5).filter(|place| *place != 2 && *place != second).collect();
        let found: Vec<_> = events.iter().map(|event| event.index.0 as usize).collect();
        assert_eq!(found, left, "{second} {part:?}");
        assert!(next_seq(&store, "a").unwrap() >= 3 && next_seq(&store, "b").unwrap() >= 2);
    }
}

#[test]
fn a_hole_stays_the_only_fault_of_a_log_that_goes_on() {
    let world = World::new();
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let large = "x".repeat(20_000);
    let store = world.open_with(&options);
    for name in ["a", "b", "a"] {
        append(store.main(), name, &large);
    }
    drop(store);
    let lost = entries(&world)[1];
    Part::Head.flip(&world, lost);
    for _ in 0..2 {
        let store = world.open_with(&options);
        for name in ["a", "b", "new", "a"] {
            append(store.main(), name, &large);
        }
        store.close().unwrap();
    }
    let report = world.verify();
    let [fault] = &report.faults[..] else { panic!("{:?}", report.faults) };
    assert_eq!((&fault.file, fault.offset), (&segment(&world.disk, 0), lost.offset));
    assert!(report.segments > 2);
}

#[test]
fn a_segment_whose_beginning_and_whose_forerunner_are_damaged_opens() {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let fill = |store: &Store| {
        for number in 0..5 {
            append(
                store.main(),
                if number == 1 { "b" } else { "a" },
                &format!("{number}{}", "x".repeat(30_000)),
            );
        }
    };
    for forerunner in ["whole", "damaged", "missing"] {
        let world = World::new();
        fill(&world.open_with(&options));
        let (first, second) = (segment(&world.disk, 0), segment(&world.disk, 1));
        match forerunner {
            "missing" => world.disk.remove(&first).unwrap(),
            "damaged" => world.disk.flip_bit(&first, frames(&world, &first)[3].offset * 8 + 200 * 8),
            _ => {}
        }
        let second_entries = frames(&world, &second);
        zero(&world.disk, &second, 1_040, second_entries[1].end() - 40);
        let store = world.open_with(&options);
        let view = store.main().reader().view();
        let a = view.channel(&channel("a")).unwrap().unwrap();
        assert_eq!(a.next_seq, Seq(4), "{forerunner}");
        let appended = append(store.main(), "b", "behind").at.first_seq().unwrap();
        assert!(appended >= Seq(1), "{forerunner}: {appended}");
        let newest = Selection { last: Some(1), ..Selection::channel(&channel("a")) };
        let found = view.read(&newest).unwrap().next().unwrap().unwrap();
        assert!(found.payload.starts_with(b"4"), "{forerunner}");
        drop(store);
        let store = world.open_with(&options);
        assert_eq!(store.recovery().quarantined, []);
        assert!(!world.verify().faults.is_empty() || forerunner == "whole");
    }
}

/// Bytes that are overwritten at random, anywhere behind the superblock.
#[test]
fn whatever_is_overwritten_the_log_opens_and_tells_no_lies() {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let fill = || {
        Closed::new(options.clone(), |_, store| {
            for number in 0..40 {
                let (name, size) = (["a", "b", "c"][number % 3], 100 + (number * 977) % 5_000);
                let zeros = vec![0; size];
                let text = format!("{number}{}", "x".repeat(size));
                let payload = if number % 4 == 0 { &zeros } else { text.as_bytes() };
                let event = EventInput::new("k", payload);
                let outcome = store.main().append(&channel(name), &[event]).unwrap().wait(Ack::Durable);
                assert!(matches!(outcome, Outcome::Appended { .. }));
            }
        })
    };
    let closed = fill();
    let without_index_files = fill().without_index_files();
    let lost = each_seed(0..150, |seed| {
        let dice = Dice::new(seed);
        let closed = if seed % 2 == 0 { &closed } else { &without_index_files };
        let world = closed.world();
        let files = closed.files(".seg");
        for _ in 0..=dice.below(4) {
            let (path, length) = dice.pick(&files);
            let mut bytes = world.disk.read(path).unwrap();
            let from = dice.below(*length) as usize;
            let to =
                bytes.len().min(from + 1 + dice.below(if dice.chance(50) { 40 } else { 4_000 }) as usize);
            let zeros = dice.chance(30);
            bytes[from..to].iter_mut().for_each(|byte| *byte = if zeros { 0 } else { dice.byte() });
            world.disk.write(path, &bytes);
        }
        // Zeros at the end look like a write that a crash has stopped, which was never acknowledged.
        let torn = world.verify().torn_tail.is_some();
        if let Ok(reader) = StoreReader::open(Path::new(DIR), &world.doors, &closed.options)
            && !torn
        {
            let _ = read(&reader.main().view(), &closed.events);
        }
        let store = world.open_with(&closed.options);
        let lost = !torn && read(&store.main().reader().view(), &closed.events).is_err();
        read_skipping(&store.main().reader().view(), &closed.events).unwrap();
        for name in ["a", "b", "c"] {
            let last = closed.events.iter().rev().find(|event| event.channel.as_str() == name).unwrap();
            let appended = append(store.main(), name, "behind damage").at.first_seq().unwrap();
            assert!(appended > last.seq || torn, "a number of {name} was given out again");
        }
        drop(store);
        let store = world.open_with(&closed.options);
        assert_eq!(store.recovery().quarantined, []);
        lost
    });
    let count = lost.iter().filter(|lost| **lost).count();
    println!("{count} of {} logs have lost something", lost.len());
    assert!(count > lost.len() / 2);
}
