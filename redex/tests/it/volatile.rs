//! A log in memory: written is as safe as it gets, and signatures are amortised over time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Doors, MemoryDisk};
use redex::{Ack, EventInput, LogOptions, Store, VerifyReport};

use crate::support::{DIR, World, all, append, channel, options};

fn in_memory() -> World {
    let world = World::new();
    let doors = Doors { disk: Arc::new(MemoryDisk::default()), ..world.doors };
    World { doors, ..world }
}

/// Options that sign only when somebody asks.
fn patient() -> LogOptions {
    let mut options = options();
    options.sign_within = Duration::from_secs(1);
    options.sync_within = Duration::from_secs(10);
    options
}

fn verified(world: &World) -> VerifyReport {
    let report = world.verify();
    assert_eq!(report.faults, []);
    report
}

#[test]
fn what_is_written_is_visible_and_acknowledged_without_a_signature_for_each() {
    let world = in_memory();
    let store = world.open_with(&patient());
    for number in 0..100 {
        append(store.main(), "a", &number.to_string());
    }
    let ticket = store.main().append(&channel("a"), &[EventInput::new("k", b"written")]).unwrap();
    ticket.wait(Ack::Written).into_result().unwrap();
    assert_eq!(all(store.main(), "a").len(), 101);
    let report = verified(&world);
    assert_eq!((report.entries, report.unsigned), (101, 100), "the first one only is signed");
}

#[test]
fn a_write_much_later_a_sync_and_a_close_sign() {
    let world = in_memory();
    let store = world.open_with(&patient());
    append(store.main(), "a", "0");
    append(store.main(), "a", "1");
    assert_eq!(verified(&world).unsigned, 1);
    world.clock.advance(Duration::from_secs(1));
    append(store.main(), "a", "2");
    assert_eq!(verified(&world).unsigned, 0, "the last signature was long ago");
    append(store.main(), "a", "3");
    assert_eq!(verified(&world).unsigned, 1);
    world.clock.advance(Duration::from_secs(10));
    store.main().flush_step();
    assert_eq!(store.main().flush_step(), None, "nothing is left to be written");
    assert_eq!(verified(&world).unsigned, 1, "an idle log stays where it is");
    append(store.main(), "a", "4");
    store.main().sync().unwrap();
    assert_eq!(verified(&world).unsigned, 0, "who syncs has it signed");
    append(store.main(), "a", "5");
    store.close().unwrap();
    assert_eq!(verified(&world).unsigned, 0, "a closed log is signed");
}

#[test]
fn a_segment_ends_signed() {
    let world = in_memory();
    let mut options = patient();
    options.segment_bytes = 64 << 10;
    let store = world.open_with(&options);
    let payload = "x".repeat(1_000);
    while store.main().reader().view().segments().len() < 3 {
        append(store.main(), "a", &payload);
    }
    assert_eq!(verified(&world).unsigned, 0, "the last entry of a segment is signed");
}

#[test]
fn it_goes_on_after_a_reopening() {
    let world = in_memory();
    let store = world.open();
    append(store.main(), "a", "0");
    store.close().unwrap();
    drop(store);
    let store = Store::open(Path::new(DIR), &world.doors, &options()).unwrap();
    append(store.main(), "a", "1");
    assert_eq!(all(store.main(), "a"), ["0", "1"]);
    drop(store);
    assert_eq!(verified(&world).incarnations.len(), 2);
}
