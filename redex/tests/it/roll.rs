//! Sealing a segment while somebody reads it.

use redex::{LogOptions, Selection};

use super::support::{World, append, channel, options};

#[test]
fn a_scan_begun_before_its_segment_was_sealed_gives_every_event() {
    let mut small = LogOptions::default();
    small.segment_bytes = 64 << 10;
    small.flusher = options().flusher;
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
