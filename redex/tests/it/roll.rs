//! Sealing a segment and beginning the next one.

use base::CrashImage;
use redex::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, EventInput, Idempotency, Log, LogOptions, Outcome,
    Selection,
};

use super::support::{World, all, append, channel, options};

fn small_segments() -> LogOptions {
    let mut small = options();
    small.segment_bytes = 64 << 10;
    small
}

/// Appends to a channel until the log has so many segments.
fn fill(log: &Log, name: &str, segments: usize) {
    let payload = "x".repeat(5_000);
    while log.reader().view().segments().len() < segments {
        append(log, name, &payload);
    }
}

#[test]
fn what_is_acknowledged_in_a_new_segment_survives_a_crash() {
    let world = World::new();
    let store = world.open_with(&small_segments());
    for segments in 2..5 {
        fill(store.main(), "filling", segments);
        append(store.main(), "a", "first of its segment");
        let crashed = World::on(world.disk.snapshot().image(&CrashImage::None), 2);
        let store = crashed.open_with(&small_segments());
        assert_eq!(all(store.main(), "a").len(), segments - 1);
    }
}

#[test]
fn a_segment_begins_with_every_channel_and_producer_of_those_before() {
    let world = World::new();
    let store = world.open_with(&small_segments());
    let names = ["one", "two", "three"];
    let produce = |log: &Log, name: &str| {
        let (channel, events) = (channel(name), [EventInput::new("k", b"1")]);
        let parts = [ChannelEvents { channel: &channel, events: &events }];
        let idempotency = Idempotency::Producer { id: name, number: 7, digest: None };
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        log.submit(&request).unwrap().wait(Ack::Durable)
    };
    append(store.main(), "filling", "the first channel, which every segment has");
    for name in names {
        assert!(matches!(produce(store.main(), name), Outcome::Appended { .. }), "{name}");
        let _ = store
            .main()
            .create_channel(&channel(&format!("{name}/created")), &ChannelConfig::default())
            .unwrap();
    }
    fill(store.main(), "filling", 2);
    store.close().unwrap();
    drop(store);

    let store = world.open_with(&small_segments());
    for name in names {
        let number = store.main().producer(name).map(|producer| producer.number);
        assert_eq!(number, Some(7), "{name}");
        assert!(matches!(produce(store.main(), name), Outcome::AlreadyAppended { .. }), "{name}");
        let created = store.main().reader().view().channel(&channel(&format!("{name}/created"))).unwrap();
        assert!(created.is_some(), "{name}");
    }
}

#[test]
fn a_scan_begun_before_its_segment_was_sealed_gives_every_event() {
    let small = small_segments();
    let world = World::new();
    let store = world.open_with(&small);
    let log = store.main();
    let payload = "x".repeat(5_000);
    for _ in 0..10 {
        append(log, "orders", &payload);
    }
    let view = log.reader().view();
    assert_eq!(view.segments().len(), 1, "the scan must begin in a segment that takes entries");

    let mut scan = view.scan(&Selection::channel(&channel("orders"))).unwrap();
    let mut seqs = Vec::new();
    while let Some(chunk) = scan.next_chunk().unwrap() {
        seqs.extend(chunk.events().map(|event| event.seq.0));
        if log.reader().view().segments().len() == 1 {
            append(log, "orders", &payload);
        }
    }
    assert!(log.reader().view().segments().len() > 1, "the segment must be sealed during the scan");
    assert_eq!(seqs, (0..10).collect::<Vec<_>>());
}
