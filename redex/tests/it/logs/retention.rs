//! What a log of its own keeps, while others keep everything.

use std::time::Duration;

use redex::{Compression, LogOptions};

use super::*;
use crate::support::TemporaryDirectory;

#[test]
fn a_log_of_its_own_keeps_so_many_events_under_constant_write_and_main_keeps_all() {
    let place_ = TemporaryDirectory::new();
    let doors = Doors::system();
    let mut options = LogOptions::default();
    options.segment_bytes = 64 << 10;
    options.sync_within = Duration::from_millis(1);
    let store = Store::open(place_.path(), &doors, &options).unwrap();
    place(&store, "probes", &keeping_events(100));
    let payload = vec![7; 1_000];
    let event = [EventInput::new("k", &payload)];
    for _ in 0..2_000 {
        store.append(&channel("probes"), &event).unwrap().wait(Ack::Written).into_result().unwrap();
    }
    for _ in 0..200 {
        store.append(&channel("kept"), &event).unwrap().wait(Ack::Written).into_result().unwrap();
    }
    let log = store.log_of(&channel("probes"));
    let begun = doors.clock.monotonic();
    let kept = || {
        log.sync().unwrap();
        let info = log.reader().view().channel(&channel("probes")).unwrap().unwrap();
        assert_eq!(info.next_seq.0, 2_000);
        info.next_seq.0 - info.first_seq.0
    };
    while kept() > 400 {
        assert!(doors.clock.monotonic() - begun < Duration::from_secs(10), "{} events stay", kept());
        std::thread::yield_now();
    }
    assert!(kept() >= 100);
    store.main().sync().unwrap();
    let info = store.main().reader().view().channel(&channel("kept")).unwrap().unwrap();
    assert_eq!((info.first_seq.0, info.next_seq.0), (0, 200));
    store.close().unwrap();
    let reports = redex::verify_all(place_.path(), &doors, &VerifyOptions::default()).unwrap();
    assert!(reports.iter().all(|report| report.faults.is_empty()), "{reports:?}");
}

#[test]
fn main_keeps_what_it_was_set_to_whenever_it_is_opened() {
    let world = World::new();
    let mut small = options();
    small.segment_bytes = 64 << 10;
    let store = world.open_with(&small);
    store.set_config(&LogName::main(), &LogConfig::keeping(Retention::of_bytes(256 << 10))).unwrap();
    store.close().unwrap();
    drop(store);
    let payload = "x".repeat(1_000);
    let fill = |store: &Store| {
        for _ in 0..600 {
            put(store, "a", &payload);
        }
        for _ in 0..4 {
            world.clock.advance(Duration::from_millis(200));
            store.main().flush_step();
        }
        store.main().reader().view().channel(&channel("a")).unwrap().unwrap().first_seq.0
    };
    // Who needs the beginning holds it before anything is given up.
    let store = Store::open_to_hold(Path::new(DIR), &world.doors, &small).unwrap();
    let hold = store.main().hold("models", base::Position::ZERO).unwrap();
    store.begin_retention();
    assert_eq!(fill(&store), 0);
    drop(hold);
    assert!(fill(&store) > 300);
    store.close().unwrap();
    drop(store);
    // What is asked for at opening goes before.
    small.retention = Retention::of_bytes(u64::MAX);
    let store = world.open_with(&small);
    let before = store.main().reader().view().begins();
    fill(&store);
    assert_eq!(store.main().reader().view().begins(), before);
    check(&world.doors);
}

#[test]
fn each_log_is_stored_in_its_own_way() {
    let world = World::new();
    let store = world.open();
    let zstd = Placement::With(LogConfig::default().compressed(Compression::Zstd));
    place(&store, "packed", &zstd);
    let payload = "0123456789".repeat(1_000);
    put(&store, "packed", &payload);
    put(&store, "plain", &payload);
    store.close().unwrap();
    let length = |log: &Store, name: &str| {
        let view = log.log_of(&channel(name)).reader().view();
        view.segments().iter().map(|segment| segment.bytes).sum::<u64>()
    };
    assert!(length(&store, "packed") + 5_000 < length(&store, "plain"));
    drop(store);
    let store = world.open();
    assert_eq!(whole(&store, "packed"), [(0, payload)]);
    check(&world.doors);
}
