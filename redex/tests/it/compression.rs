//! Entries stored compressed: nothing else about the log is different.

use redex::{Ack, Compression, EventInput, LogOptions, Store};

use crate::support::{World, all, append, channel, options};

fn storing(compression: Compression) -> LogOptions {
    let mut options = options();
    options.compression = compression;
    options.segment_bytes = 256 << 10;
    options
}

fn payload(number: usize) -> String {
    format!(r#"{{"carrier":"UA","flight":{number},"origin":"EWR","destination":"ORD","delay":null}}"#)
}

fn fill(store: &Store, count: usize) {
    let name = channel("flights");
    for batch in 0..count / 100 {
        let payloads: Vec<String> = (0..100).map(|place| payload(batch * 100 + place)).collect();
        let events: Vec<_> = payloads.iter().map(|it| EventInput::new("flight", it.as_bytes())).collect();
        store.main().append(&name, &events).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
}

fn segment_bytes(world: &World) -> u64 {
    let files = world.disk.files();
    files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|end| end == "seg"))
        .map(|(_, bytes)| bytes)
        .sum()
}

#[test]
fn a_compressed_log_reads_verifies_and_opens_like_any_other_in_fewer_bytes() {
    let expected: Vec<String> = (0..5_000).map(payload).collect();
    let mut sizes = Vec::new();
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let world = World::new();
        let store = world.open_with(&storing(compression));
        fill(&store, 5_000);
        assert_eq!(all(store.main(), "flights"), expected);
        store.close().unwrap();
        drop(store);
        let report = world.verify();
        assert_eq!((report.faults, report.events, report.unsigned), (vec![], 5_000, 0));
        let store = world.open_with(&storing(compression));
        assert_eq!(all(store.main(), "flights"), expected);
        let last = redex::Selection { last: Some(1), ..redex::Selection::channel(&channel("flights")) };
        assert_eq!(crate::support::payloads(&store.main().reader().view(), &last), [payload(4_999)]);
        sizes.push(segment_bytes(&world));
    }
    let [plain, lz4, zstd] = sizes[..] else { panic!() };
    assert!(lz4 * 3 < plain && zstd * 3 < plain && zstd < lz4, "{sizes:?}");
}

#[test]
fn what_does_not_get_shorter_is_stored_as_it_is() {
    let size = |compression: Compression| {
        let world = World::new();
        let store = world.open_with(&storing(compression));
        let mut noise = vec![0; 10_000];
        for seed in 0..10 {
            base::Random::fill(&base::SeededRandom::new(seed), &mut noise);
            let ticket = store.main().append(&channel("a"), &[EventInput::new("k", &noise)]).unwrap();
            ticket.wait(Ack::Durable).into_result().unwrap();
        }
        store.close().unwrap();
        drop(store);
        assert_eq!(world.verify().faults, []);
        segment_bytes(&world)
    };
    let plain = size(Compression::None);
    assert_eq!((size(Compression::Lz4), size(Compression::Zstd)), (plain, plain));
}

#[test]
fn a_log_may_have_entries_stored_in_several_ways() {
    let world = World::new();
    let mut expected = Vec::new();
    for (nth, compression) in
        [Compression::Zstd, Compression::None, Compression::Lz4, Compression::Zstd].into_iter().enumerate()
    {
        let store = world.open_with(&storing(compression));
        let text = format!("{nth} {}", "again and again ".repeat(100));
        append(store.main(), "a", &text);
        expected.push(text);
        assert_eq!(all(store.main(), "a"), expected);
    }
    assert_eq!(world.verify().faults, []);
}

#[test]
fn each_flipped_bit_of_a_compressed_log_is_found() {
    let world = World::new();
    let store = world.open_with(&storing(Compression::Zstd));
    fill(&store, 300);
    store.close().unwrap();
    drop(store);
    let (path, bytes) = world
        .disk
        .files()
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|end| end == "seg"))
        .unwrap();
    for bit in (0..bytes * 8).step_by(13) {
        world.disk.flip_bit(&path, bit);
        let report = world.verify();
        assert!(!report.faults.is_empty(), "bit {bit}");
        world.disk.flip_bit(&path, bit);
    }
    assert_eq!(world.verify().faults, []);
}

#[test]
fn damage_in_a_compressed_entry_is_set_aside_and_the_rest_is_read() {
    let world = World::new();
    let store = world.open_with(&storing(Compression::Lz4));
    fill(&store, 300);
    store.close().unwrap();
    drop(store);
    let (path, bytes) = world
        .disk
        .files()
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|end| end == "seg"))
        .unwrap();
    world.disk.flip_bit(&path, bytes * 4);
    let store = world.open_with(&storing(Compression::Lz4));
    assert_eq!(store.recovery().quarantined.len(), 1);
    let selection = redex::Selection { skip_holes: true, ..redex::Selection::channel(&channel("flights")) };
    let read = crate::support::payloads(&store.main().reader().view(), &selection);
    assert!((100..300).contains(&read.len()), "{}", read.len());
    assert_eq!(
        append(store.main(), "flights", "x").at.first_seq(),
        Some(base::Seq(300)),
        "exactly, from the entries behind"
    );
}
