//! What readers, tails and other processes see of several logs.

use std::time::Duration;

use redex::{Bounds, ReadError};

use super::*;

fn numbers(view: &StoreView, selection: &Selection) -> Vec<u64> {
    read(view, selection).into_iter().map(|(seq, _)| seq).collect()
}

/// A channel with ten events in each of three logs, and others around them.
fn moved(world: &World) -> Store {
    let store = world.open();
    for part in 0..3 {
        for number in 0..10 {
            put(&store, "c", &(10 * part + number).to_string());
            put(&store, "other", "x");
            world.clock.advance(Duration::from_millis(1));
        }
        if part < 2 {
            store.move_channel(&channel("c"), &keeping_bytes(1 << (20 + part))).unwrap();
        }
    }
    store
}

#[test]
fn a_channel_in_several_logs_reads_as_one() {
    let world = World::new();
    let store = moved(&world);
    let view = store.reader().view();
    let all = Selection::channel(&channel("c"));
    let seqs = |from, to| Selection { seqs: Bounds { from: Some(from), to: Some(to) }, ..all.clone() };
    assert_eq!(numbers(&view, &all), (0..30).collect::<Vec<_>>());
    assert_eq!(numbers(&view, &seqs(7, 23)), (7..23).collect::<Vec<_>>());
    for seq in 0..30 {
        assert_eq!(
            read(&view, &seqs(seq, seq + 1)),
            [(seq, seq.to_string())],
            "either side of a move is found"
        );
    }
    let reverse = Selection { reverse: true, ..all.clone() };
    assert_eq!(numbers(&view, &reverse), (0..30).rev().collect::<Vec<_>>());
    let last = Selection { last: Some(12), ..all.clone() };
    assert_eq!(numbers(&view, &last), (18..30).collect::<Vec<_>>());
    let newest = Selection { last: Some(12), reverse: true, limit: Some(3), ..all.clone() };
    assert_eq!(numbers(&view, &newest), [29, 28, 27]);
    let first = Selection { limit: Some(11), ..all.clone() };
    assert_eq!(numbers(&view, &first), (0..11).collect::<Vec<_>>());
    assert!(numbers(&view, &Selection { limit: Some(0), ..all }).is_empty());

    let everything = read(&view, &Selection::default());
    assert_eq!(everything.len(), 60);
    let numbered: Vec<_> =
        everything.iter().filter(|(_, payload)| payload != "x").map(|(seq, _)| *seq).collect();
    assert_eq!(numbered, (0..30).collect::<Vec<_>>(), "in the order of recording");
    let statistics = {
        let mut scan = view.scan(&Selection::default()).unwrap();
        while scan.next_chunk().unwrap().is_some() {}
        scan.statistics()
    };
    assert_eq!(statistics.events, 60);
}

#[test]
fn a_tail_follows_a_channel_from_log_to_log() {
    let world = World::new();
    let store = moved(&world);
    let mut tail = store.tail(Selection::channel(&channel("c")));
    let mut seen: Vec<u64> = Vec::new();
    loop {
        let batch = tail.next_batch().unwrap();
        if batch.is_empty() {
            break;
        }
        seen.extend(batch.iter().map(|event| event.seq.0));
    }
    assert_eq!(seen, (0..30).collect::<Vec<_>>());
    assert!(!tail.wait(Some(Duration::ZERO)) && !tail.is_ended());
    put(&store, "c", "30");
    store.move_channel(&channel("c"), &keeping_bytes(1 << 23)).unwrap();
    put(&store, "c", "31");
    assert!(tail.wait(None));
    assert_eq!(tail.next_batch().unwrap().iter().map(|event| event.seq.0).collect::<Vec<_>>(), [30, 31]);
    assert_eq!(tail.cut().len(), 4, "a log that was made later is followed, too");
    store.close().unwrap();
    assert!(tail.next_batch().unwrap().is_empty() && tail.is_ended());

    let store = world.open();
    let from = |seq| {
        let selection = Selection { seqs: Bounds::from(seq), ..Selection::channel(&channel("c")) };
        let mut tail = store.tail(selection);
        let mut seen: Vec<u64> = Vec::new();
        while let Some(chunk) = tail.next_chunk().unwrap() {
            seen.extend(chunk.events().map(|event| event.seq.0));
        }
        seen
    };
    for seq in [0, 9, 10, 11, 25, 31, 32] {
        assert_eq!(from(seq), (seq..32).collect::<Vec<_>>());
    }
}

#[test]
fn channels_that_cross_are_given_out_in_order_by_a_tail_of_everything() {
    let world = World::new();
    let store = world.open();
    let (one, two) = (keeping_bytes(1 << 20), keeping_bytes(2 << 20));
    place(&store, "x", &one);
    place(&store, "y", &two);
    for _ in 0..3 {
        put(&store, "x", "x");
        put(&store, "y", "y");
    }
    // Each log has what the other must be read for.
    store.move_channel(&channel("x"), &two).unwrap();
    for _ in 0..3 {
        put(&store, "x", "x");
        put(&store, "y", "y");
    }
    store.move_channel(&channel("y"), &one).unwrap();
    for _ in 0..3 {
        put(&store, "x", "x");
        put(&store, "y", "y");
    }
    let mut tail = store.tail(Selection::default());
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for event in tail.next_batch().unwrap() {
        if event.channel == channel("x") { xs.push(event.seq.0) } else { ys.push(event.seq.0) }
    }
    assert_eq!((xs, ys), ((0..9).collect(), (0..9).collect()));
    let view = store.reader().view();
    for name in ["x", "y"] {
        assert_eq!(numbers(&view, &Selection::channel(&channel(name))), (0..9).collect::<Vec<_>>());
    }
}

#[test]
fn a_reader_of_another_process_finds_new_logs_and_follows_a_move() {
    let world = World::new();
    let store = world.open();
    put(&store, "c", "0");
    let other = reader(&world);
    assert_eq!(other.logs().len(), 1);
    let mut tail = other.tail(Selection::channel(&channel("c")));
    assert_eq!(tail.next_batch().unwrap().len(), 1);
    store.move_channel(&channel("c"), &keeping_bytes(1 << 20)).unwrap();
    put(&store, "c", "1");
    assert_eq!(tail.next_batch().unwrap().len(), 0, "nobody has looked");
    other.refresh().unwrap();
    assert_eq!(other.logs().len(), 2);
    assert_eq!(tail.next_batch().unwrap().iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1]);
    let all = Selection::channel(&channel("c"));
    assert_eq!(numbers(&other.view(), &all), [0, 1]);
    assert_eq!(numbers(&reader(&world).view(), &all), [0, 1]);
    store.close().unwrap();
    drop(store);
    assert_eq!(numbers(&reader(&world).view(), &all), [0, 1]);
}

#[test]
fn a_view_never_shows_a_channel_with_a_gap() {
    let world = World::new();
    let store = world.open();
    put(&store, "c", "0");
    let early = store.main().reader().view();
    put(&store, "c", "1");
    store.move_channel(&channel("c"), &keeping_bytes(1 << 20)).unwrap();
    put(&store, "c", "2");
    let own = store.log_of(&channel("c")).reader().view();
    let all = Selection::channel(&channel("c"));
    // The views were taken one after the other, with the move between them.
    let view = StoreView::of(vec![early, own]);
    assert_eq!(numbers(&view, &all), [0]);
    assert_eq!(numbers(&store.reader().view(), &all), [0, 1, 2]);
}

#[test]
fn a_tail_whose_channel_lost_its_beginning_is_told_so_wherever_that_was() {
    let world = World::new();
    let mut small = options();
    small.segment_bytes = 64 << 10;
    let store = world.open_with(&small);
    let payload = "x".repeat(1_000);
    for _ in 0..10 {
        put(&store, "c", &payload);
    }
    store.move_channel(&channel("c"), &keeping_events(50)).unwrap();
    for _ in 0..400 {
        put(&store, "c", &payload);
    }
    let log = store.log_of(&channel("c"));
    for _ in 0..4 {
        world.clock.advance(Duration::from_millis(200));
        log.flush_step();
    }
    let history = store.reader().view().channel(&channel("c")).unwrap().unwrap();
    assert!(history.parts[1].info.first_seq.0 > 100);
    assert_eq!(history.parts[0].info.next_seq.0, 10, "what it had before the move stays in the old log");
    let from = |seq| Selection { seqs: Bounds::from(seq), ..Selection::channel(&channel("c")) };
    let read_all = |seq| {
        let mut tail = store.tail(from(seq));
        let mut events = 0;
        loop {
            match tail.next_batch() {
                Ok(batch) if batch.is_empty() => return Ok(events),
                Ok(batch) => events += batch.len(),
                Err(error) => return Err(error),
            }
        }
    };
    assert!(matches!(read_all(0), Err(ReadError::Trimmed { .. })));
    assert!(matches!(read_all(20), Err(ReadError::Trimmed { .. })));
    assert_eq!(read_all(380).unwrap(), 30);
}
