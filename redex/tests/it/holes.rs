//! Reading where entries were lost: whoever misses something is told, and nobody else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{Clock, Index, Position, Seq, Timestamp};
use redex::{
    Ack, Bounds, Channels, EventInput, LogReader, LogView, ReadError, Selection, Store, StoreReader,
};

use crate::support::{DIR, World, append, channel, options};

/// The bytes that a frame begins with.
const BEGIN_MARK: [u8; 4] = 0xB7E1_5CA3_u32.to_le_bytes();

/// What was read before the end or the first error.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Whole(Vec<String>),
    Hole(Vec<String>, u64, u64),
}

fn whole(payloads: &[&str]) -> Found {
    Found::Whole(payloads.iter().map(|text| (*text).to_owned()).collect())
}

fn hole(payloads: &[&str], first: u64, last: u64) -> Found {
    Found::Hole(payloads.iter().map(|text| (*text).to_owned()).collect(), first, last)
}

fn read(view: &LogView, selection: &Selection) -> Found {
    let mut payloads = Vec::new();
    let events = match view.read(selection) {
        Ok(events) => events,
        Err(ReadError::Hole { first, last }) => return Found::Hole(payloads, first.0, last.0),
        Err(error) => panic!("{error}"),
    };
    for event in events {
        match event {
            Ok(event) => payloads.push(String::from_utf8(event.payload.to_vec()).unwrap()),
            Err(ReadError::Hole { first, last }) => return Found::Hole(payloads, first.0, last.0),
            Err(error) => panic!("{error}"),
        }
    }
    Found::Whole(payloads)
}

fn of(names: &[&str]) -> Selection {
    let names = names.iter().map(|name| channel(name)).collect();
    Selection { channels: Channels::Names(names), ..Selection::default() }
}

fn segment(world: &World) -> PathBuf {
    let mut files = world.disk.files().into_iter().map(|(path, _)| path);
    files.find(|path| path.extension().is_some_and(|extension| extension == "seg")).unwrap()
}

/// Inverts a bit of the entry that holds a payload: of its block, or of its head.
fn damage(world: &World, payload: &str, head: bool) {
    let path = segment(world);
    let bytes = world.disk.read(&path).unwrap();
    let at = bytes.windows(payload.len()).position(|part| part == payload.as_bytes()).unwrap();
    let frame = bytes[..at].windows(4).rposition(|part| part == BEGIN_MARK).unwrap();
    world.disk.flip_bit(&path, 8 * if head { frame as u64 + 64 + 20 } else { at as u64 });
}

/// Entries 0 to 8, a second apart: a0 b0 a1 (a2 c1) a3 b1 c2 a4 a5.
fn nine_entries(world: &World) -> Vec<Timestamp> {
    let store = world.open();
    let mut times = Vec::new();
    let mut write = |name: &str, payload: &str| {
        times.push(world.clock.now());
        append(store.main(), name, payload);
        world.clock.advance(Duration::from_secs(1));
    };
    for payload in ["a0", "b0", "a1", "a2-lost", "a3", "b1", "c0", "a4", "a5"] {
        write(&payload[..1], payload);
    }
    store.close().unwrap();
    times
}

fn one_lost() -> (World, Store, Vec<Timestamp>) {
    let world = World::new();
    let times = nine_entries(&world);
    damage(&world, "a2-lost", false);
    let store = world.open();
    let recovery = store.recovery();
    assert_eq!((recovery.quarantined[0].first, recovery.quarantined[0].next), (Index(3), Index(4)));
    append(store.main(), "new", "new");
    (world, store, times)
}

#[test]
fn only_a_channel_that_lost_something_fails_at_the_hole() {
    let (_world, store, _) = one_lost();
    let view = store.main().reader().view();
    assert_eq!(read(&view, &of(&["a"])), hole(&["a0", "a1"], 3, 3));
    assert_eq!(read(&view, &of(&["b"])), whole(&["b0", "b1"]));
    assert_eq!(read(&view, &of(&["c"])), whole(&["c0"]));
    assert_eq!(read(&view, &of(&["new"])), whole(&["new"]));
    assert_eq!(read(&view, &of(&["a", "b"])), hole(&["a0", "b0", "a1"], 3, 3));
    assert_eq!(read(&view, &Selection::default()), hole(&["a0", "b0", "a1"], 3, 3));
    let skipping = |selection: Selection| Selection { skip_holes: true, ..selection };
    assert_eq!(read(&view, &skipping(of(&["a"]))), whole(&["a0", "a1", "a3", "a4", "a5"]));
    let all = ["a0", "b0", "a1", "a3", "b1", "c0", "a4", "a5", "new"];
    assert_eq!(read(&view, &skipping(Selection::default())), whole(&all));
}

#[test]
fn backward_what_is_newer_than_the_hole_comes_first() {
    let (_world, store, _) = one_lost();
    let view = store.main().reader().view();
    let back = |names: &[&str]| Selection { reverse: true, ..of(names) };
    assert_eq!(read(&view, &back(&["a"])), hole(&["a5", "a4", "a3"], 3, 3));
    assert_eq!(read(&view, &back(&["b"])), whole(&["b1", "b0"]));
    let all = Selection { reverse: true, ..Selection::default() };
    assert_eq!(read(&view, &all), hole(&["new", "a5", "a4", "c0", "b1", "a3"], 3, 3));
    for count in 0..3 {
        let newest = Selection { last: Some(count), ..of(&["a"]) };
        assert_eq!(read(&view, &newest), whole(&["a3", "a4", "a5"][3 - count as usize..]));
    }
    assert_eq!(read(&view, &Selection { last: Some(4), ..of(&["a"]) }), hole(&[], 3, 3));
}

#[test]
fn a_range_fails_only_when_it_reaches_over_the_hole() {
    let (_world, store, times) = one_lost();
    let view = store.main().reader().view();
    let numbers = |from, to| Selection { seqs: Bounds { from, to }, ..of(&["a"]) };
    assert_eq!(read(&view, &numbers(Some(0), Some(2))), whole(&["a0", "a1"]));
    assert_eq!(read(&view, &numbers(Some(1), Some(3))), hole(&["a1"], 3, 3));
    assert_eq!(read(&view, &numbers(Some(2), Some(3))), hole(&[], 3, 3));
    assert_eq!(read(&view, &numbers(Some(2), None)), hole(&[], 3, 3));
    assert_eq!(read(&view, &numbers(Some(3), Some(4))), whole(&["a3"]));
    assert_eq!(read(&view, &numbers(Some(3), None)), whole(&["a3", "a4", "a5"]));
    assert_eq!(read(&view, &numbers(Some(6), None)), whole(&[]));
    let backward = |from, to| Selection { reverse: true, ..numbers(from, to) };
    assert_eq!(read(&view, &backward(None, Some(2))), whole(&["a1", "a0"]));
    assert_eq!(read(&view, &backward(None, Some(3))), hole(&[], 3, 3));
    assert_eq!(read(&view, &backward(Some(3), None)), whole(&["a5", "a4", "a3"]));
    assert_eq!(read(&view, &backward(Some(2), None)), hole(&["a5", "a4", "a3"], 3, 3));

    let indexes = |from, to| Selection { indexes: Bounds { from, to }, ..Selection::default() };
    assert_eq!(read(&view, &indexes(None, Some(3))), whole(&["a0", "b0", "a1"]));
    assert_eq!(read(&view, &indexes(Some(3), Some(4))), hole(&[], 3, 3));
    assert_eq!(read(&view, &indexes(Some(2), Some(5))), hole(&["a1"], 3, 3));
    assert_eq!(read(&view, &indexes(Some(4), Some(7))), whole(&["a3", "b1", "c0"]));
    let of_b = Selection { channels: of(&["b"]).channels, ..indexes(Some(2), None) };
    assert_eq!(read(&view, &of_b), whole(&["b1"]));
    let of_a = Selection { channels: of(&["a"]).channels, ..indexes(Some(3), None) };
    assert_eq!(read(&view, &of_a), hole(&[], 3, 3));

    for reverse in [false, true] {
        let recorded = |from: Option<usize>, to: Option<usize>| {
            let time = |entry: usize| times[entry];
            let recorded = Bounds { from: from.map(time), to: to.map(time) };
            let found = read(&view, &Selection { recorded, reverse, ..Selection::default() });
            let of_a = read(&view, &Selection { recorded, reverse, ..of(&["a"]) });
            [found, of_a].map(|found| match found {
                Found::Whole(payloads) => Ok(payloads.len()),
                Found::Hole(..) => Err(()),
            })
        };
        assert_eq!(recorded(None, Some(2)), [Ok(2), Ok(1)]);
        assert_eq!(recorded(Some(5), None), [Ok(5), Ok(2)]);
        assert_eq!(
            recorded(Some(4), Some(6)),
            [Err(()), Err(())],
            "what was lost may have been of that time"
        );
        assert_eq!(recorded(Some(3), Some(4)), [Err(()), Err(())]);
        assert_eq!(recorded(Some(0), None), [Err(()), Err(())]);
    }
}

#[test]
fn earlier_views_count_what_was_lost() {
    let (_world, store, _) = one_lost();
    let next = |position| {
        let view = store.main().reader().view_at(Position(position));
        view.channel(&channel("a")).unwrap().unwrap().next_seq.0
    };
    assert_eq!((1..10).map(next).collect::<Vec<_>>(), [1, 1, 2, 3, 4, 4, 4, 5, 6]);
}

#[test]
fn a_tail_stays_before_a_hole_or_reads_on_over_it() {
    let (_world, store, _) = one_lost();
    let mut tail = store.main().reader().tail(of(&["a"]));
    assert_eq!(tail.next_batch().unwrap().len(), 2);
    for _ in 0..2 {
        assert!(matches!(tail.next_batch(), Err(ReadError::Hole { .. })));
    }
    assert_eq!(store.main().reader().tail(of(&["b"])).next_batch().unwrap().len(), 2);
    let mut tail = store.main().reader().tail(Selection { skip_holes: true, ..of(&["a"]) });
    assert_eq!(tail.next_batch().unwrap().len(), 5);
    let mut behind = store.main().reader().tail(Selection { seqs: Bounds::from(3), ..of(&["a"]) });
    assert_eq!(behind.next_batch().unwrap().len(), 3);
    append(store.main(), "a", "a6");
    assert_eq!(behind.next_batch().unwrap()[0].seq, Seq(6));
}

#[test]
fn where_heads_were_lost_numbers_are_raised_and_the_loss_is_told() {
    let world = World::new();
    nine_entries(&world);
    damage(&world, "a2-lost", true);
    let store = world.open();
    let log = store.main();
    let raised = append(log, "b", "b2").at.first_seq().unwrap();
    assert_eq!(raised, Seq(2), "b goes on where the entries behind the hole say");
    let view = log.reader().view();
    assert_eq!(read(&view, &of(&["b"])), whole(&["b0", "b1", "b2"]));
    assert_eq!(read(&view, &of(&["a"])), hole(&["a0", "a1"], 3, 3));
}

#[test]
fn a_channel_that_is_not_met_again_counts_as_having_lost() {
    let world = World::new();
    let store = world.open();
    for (name, payload) in [("a", "a0"), ("b", "b0"), ("a", "a1-lost"), ("b", "b1")] {
        append(store.main(), name, payload);
    }
    store.close().unwrap();
    damage(&world, "a1-lost", true);
    let store = world.open();
    let view = store.main().reader().view();
    let next = view.channel(&channel("a")).unwrap().unwrap().next_seq.0;
    assert!(next > 2, "{next}");
    assert_eq!(read(&view, &of(&["a"])), hole(&["a0"], 2, 2));
    assert_eq!(read(&view, &of(&["b"])), whole(&["b0", "b1"]));
    let numbers = |from| Selection { seqs: Bounds::from(from), ..of(&["a"]) };
    assert_eq!(read(&view, &numbers(1)), hole(&[], 2, 2));
    assert_eq!(read(&view, &numbers(next)), whole(&[]));
    append(store.main(), "a", "a-raised");
    let view = store.main().reader().view();
    assert_eq!(read(&view, &numbers(next)), whole(&["a-raised"]));
    assert_eq!(read(&view, &Selection { reverse: true, ..of(&["a"]) }), hole(&["a-raised"], 2, 2));
}

/// Where nobody records a hole: damage in a segment that is sealed.
#[test]
fn damage_in_a_sealed_segment_is_met_by_whoever_reads_there_and_can_be_skipped() {
    let world = World::new();
    let mut options = options();
    options.segment_bytes = 64 << 10;
    let store = world.open_with(&options);
    for number in 0..12 {
        for name in ["a", "b"] {
            let payload = format!("{name}-{number}-{}", "x".repeat(20_000));
            let event = EventInput::new("k", payload.as_bytes());
            store.main().append(&channel(name), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
        }
    }
    store.close().unwrap();
    damage(&world, "a-1-x", false);
    let index = segment(&world).with_extension("idx");
    let bytes = world.disk.read(&index).unwrap();
    for index_bytes in [bytes.clone(), vec![0; bytes.len()]] {
        world.disk.write(&index, &index_bytes);
        let store = world.open_with(&options);
        assert!(store.recovery().quarantined.is_empty());
        let view = store.main().reader().view();
        let count = |selection: &Selection| {
            let mut count = 0;
            for event in view.read(selection).unwrap() {
                match event {
                    Ok(_) => count += 1,
                    Err(ReadError::Corrupt(_)) => return (count, false),
                    Err(error) => panic!("{error}"),
                }
            }
            (count, true)
        };
        for reverse in [false, true] {
            let selection = |names: &[&str]| Selection { reverse, ..of(names) };
            assert_eq!(count(&selection(&["a"])), (if reverse { 10 } else { 1 }, false));
            assert_eq!(count(&selection(&["b"])), (12, true));
            assert!(!count(&Selection { reverse, ..Selection::default() }).1);
            let skipping = Selection { skip_holes: true, ..selection(&["a"]) };
            assert_eq!(count(&skipping), (11, true));
            assert_eq!(count(&Selection { skip_holes: true, reverse, ..Selection::default() }), (23, true));
        }
    }
}

/// A reader beside no writer finds what opening for writing would find, and writes nothing.
#[test]
fn a_reader_regards_a_damaged_stretch_as_the_hole_that_opening_would_make() {
    for head in [false, true] {
        let world = World::new();
        nine_entries(&world);
        damage(&world, "a2-lost", head);
        let before = world.disk.digest();
        let reader = StoreReader::open(Path::new(DIR), &world.doors, &options()).unwrap();
        let found = seen_by(reader.main());
        assert_eq!(world.disk.digest(), before);
        let store = world.open();
        assert_eq!(found, seen_by(store.main().reader()));
        append(store.main(), "a", "a6");
        reader.main().refresh().unwrap();
        assert_eq!(seen_by(reader.main()), seen_by(store.main().reader()));
    }
}

fn seen_by(reader: &LogReader) -> (Position, Vec<(String, u64)>, Vec<Found>) {
    let view = reader.view();
    let channels = view.channels().unwrap().into_iter().map(|info| (info.name.to_string(), info.next_seq.0));
    let found = ["a", "b", "c"]
        .iter()
        .flat_map(|name| [of(&[name]), Selection { skip_holes: true, ..of(&[name]) }])
        .map(|selection| read(&view, &selection))
        .collect();
    (view.position(), channels.collect(), found)
}
