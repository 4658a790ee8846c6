//! Reading: what it gives, what it costs, and what it does where something is missing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Disk, Hash, Position, Seq, Timestamp};
use redex::{
    Ack, AppendError, AppendRequest, BlobReference, Bounds, ChannelEvents, Channels, EVENT_BYTES_MAX, Event,
    EventInput, Idempotency, KEY_BYTES_MAX, KIND_BYTES_MAX, LogOptions, LogView, Outcome, ScanStatistics,
    Selection, Store,
};

use crate::support::{DIR, World, all, append, channel, options, payloads};

fn small_segments() -> LogOptions {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    options
}

fn fill(store: &Store, name: &str, count: u64, bytes: usize) {
    for _ in 0..count {
        append(store.main(), name, &"x".repeat(bytes));
    }
}

fn numbers(name: &str, from: u64, to: u64) -> Selection {
    Selection { seqs: Bounds::between(from, to), ..Selection::channel(&channel(name)) }
}

fn seqs(view: &LogView, selection: &Selection) -> Vec<u64> {
    view.read(selection).unwrap().map(|event| event.unwrap().seq.0).collect()
}

fn cost(view: &LogView, selection: &Selection) -> ScanStatistics {
    let mut scan = view.scan(selection).unwrap();
    while scan.next_chunk().unwrap().is_some() {}
    scan.statistics()
}

/// A log of 40 segments or so: 1,500 events of `dense`, and one of `sparse` for every hundred.
fn many_segments(world: &World) -> Store {
    let store = world.open_with(&small_segments());
    for hundred in 0..15 {
        append(store.main(), "sparse", &hundred.to_string());
        fill(&store, "dense", 100, 1400);
    }
    store.close().unwrap();
    let store = world.open_with(&small_segments());
    assert!(store.main().reader().view().segments().len() > 30);
    store
}

#[test]
fn one_event_costs_one_index_block_and_what_lies_between_two_points() {
    let world = World::new();
    let store = many_segments(&world);
    let view = store.main().reader().view();
    for seq in (0..1500).step_by(37) {
        for reverse in [false, true] {
            let selection = Selection { reverse, ..numbers("dense", seq, seq + 1) };
            assert_eq!(seqs(&view, &selection), [seq]);
            let cost = cost(&view, &selection);
            assert!(cost.segments == 1 && cost.index_blocks <= 1, "{seq}: {cost:?}");
            assert!(cost.entries <= 12 && cost.bytes <= 20_000, "{seq}: {cost:?}");
        }
    }
}

#[test]
fn a_sparse_channel_is_read_without_the_dense_one_around_it() {
    let world = World::new();
    let store = many_segments(&world);
    let view = store.main().reader().view();
    for reverse in [false, true] {
        let selection = Selection { reverse, ..Selection::channel(&channel("sparse")) };
        assert_eq!(payloads(&view, &selection).len(), 15);
        let cost = cost(&view, &selection);
        assert_eq!((cost.events, cost.entries), (15, 15), "{cost:?}");
        assert!(cost.bytes < 15 * 1000, "{cost:?}");
    }
    let newest = Selection { last: Some(2), ..Selection::channel(&channel("sparse")) };
    assert_eq!(payloads(&view, &newest), ["13", "14"]);
    assert!(cost(&view, &newest).entries <= 2);
}

#[test]
fn reads_by_time_look_only_into_the_segments_of_that_time() {
    let world = World::new();
    let store = world.open_with(&small_segments());
    let mut times = Vec::new();
    for _ in 0..20 {
        fill(&store, "a", 50, 1400);
        times.push(base::Clock::now(&*world.clock));
        world.clock.advance(Duration::from_secs(1));
    }
    let view = store.main().reader().view();
    for (second, time) in times.iter().enumerate() {
        let recorded = Bounds::between(*time, time.plus(Duration::from_nanos(1)));
        for (channels, reverse) in [(Channels::All, false), (Channels::Names(vec![channel("a")]), true)] {
            let selection = Selection { recorded, channels, reverse, ..Selection::default() };
            let mut found = seqs(&view, &selection);
            found.sort_unstable();
            assert_eq!(found, (second as u64 * 50..second as u64 * 50 + 50).collect::<Vec<_>>());
            let cost = cost(&view, &selection);
            assert!(cost.segments <= 3 && cost.entries <= 80, "{second}: {cost:?}");
        }
    }
}

#[test]
fn equal_times_are_all_read() {
    let world = World::new();
    let store = world.open();
    for round in 0..4 {
        fill(&store, "a", 100, 200);
        world.clock.advance(Duration::from_nanos(u64::from(round % 2 == 0)));
    }
    let view = store.main().reader().view();
    let begin = view.read(&Selection::default()).unwrap().next().unwrap().unwrap().recorded_at;
    let count = |from: u64, to: u64| {
        let time = |nanos| begin.plus(Duration::from_nanos(nanos));
        let recorded = Bounds::between(time(from), time(to));
        let selection = Selection { recorded, ..Selection::channel(&channel("a")) };
        let reverse = Selection { reverse: true, ..selection.clone() };
        assert_eq!(seqs(&view, &reverse).len(), seqs(&view, &selection).len());
        seqs(&view, &selection).len()
    };
    assert_eq!([count(0, 1), count(1, 2), count(2, 3), count(0, 3), count(3, 9)], [100, 200, 100, 400, 0]);
}

#[test]
fn empty_and_inverted_ranges_give_nothing() {
    let world = World::new();
    let store = world.open();
    fill(&store, "a", 10, 10);
    let view = store.main().reader().view();
    let time = Timestamp::from_nanos;
    let a = Selection::channel(&channel("a"));
    for selection in [
        numbers("a", 3, 3),
        numbers("a", 7, 2),
        numbers("a", 10, u64::MAX),
        numbers("a", u64::MAX, u64::MAX),
        Selection { indexes: Bounds::between(5, 5), ..a.clone() },
        Selection { indexes: Bounds::between(9, 1), ..a.clone() },
        Selection { indexes: Bounds::from(u64::MAX), ..a.clone() },
        Selection { recorded: Bounds::between(time(9), time(2)), ..a.clone() },
        Selection { recorded: Bounds::between(Timestamp::MIN, time(2)), ..a.clone() },
        Selection { recorded: Bounds::from(Timestamp::MAX), ..a.clone() },
        Selection { kinds: Some(Vec::new()), ..a.clone() },
        Selection { keys: Some(vec![String::new()]), ..a.clone() },
        Selection { channels: Channels::Names(Vec::new()), ..a.clone() },
        Selection { limit: Some(0), ..a.clone() },
        Selection { last: Some(0), ..a.clone() },
        Selection::channel(&channel("b")),
    ] {
        for reverse in [false, true] {
            let selection = Selection { reverse, ..selection.clone() };
            assert_eq!(seqs(&view, &selection), [0u64; 0], "{selection:?}");
        }
    }
    let whole =
        Selection { recorded: Bounds::between(Timestamp::MIN, Timestamp::MAX), ..numbers("a", 0, u64::MAX) };
    assert_eq!(seqs(&view, &whole).len(), 10);
}

#[test]
fn every_part_of_an_event_is_read_back() {
    let world = World::new();
    let store = world.open();
    let headers: [(&str, &[u8]); 3] = [("trace", b"\x00\xFF"), ("trace", b""), ("\u{fc}", b"1")];
    let blobs = [
        BlobReference { hash: Hash::of(b"a"), bytes: 0 },
        BlobReference { hash: Hash::ZERO, bytes: u64::MAX },
    ];
    let time = Timestamp::MIN;
    let full = EventInput::new("order.placed", b"{}").with_key("k").with_headers(&headers);
    let events = [
        full.with_time(time).with_blobs(&blobs),
        EventInput::new("", b"").with_key(""),
        EventInput::new("no key", &[0; 1000]),
    ];
    store.main().append(&channel("a"), &events).unwrap().wait(Ack::Durable).into_result().unwrap();
    let view = store.main().reader().view();
    let read: Vec<Event> = view.read(&Selection::default()).unwrap().map(Result::unwrap).collect();
    for (event, input) in read.iter().zip(&events) {
        assert_eq!((event.kind.as_str(), event.key.as_deref()), (input.kind, input.key));
        assert_eq!((event.time, event.blobs.as_slice()), (input.time, input.blobs));
        assert_eq!(event.payload, input.payload);
        let headers: Vec<_> = event.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
        assert_eq!(headers, input.headers);
    }
    assert_eq!(read.len(), 3);
    let keyed = Selection { keys: Some(vec![String::new()]), ..Selection::default() };
    assert_eq!(seqs(&view, &keyed), [1], "an empty key is a key, and none is none");
}

#[test]
fn the_largest_event_is_stored_and_a_larger_one_refused() {
    let world = World::new();
    let store = world.open();
    // The record of an event has 16 bytes beside its payload and kind.
    let payload = vec![0; EVENT_BYTES_MAX - 16];
    let largest = EventInput::new("", &payload);
    let (a, log) = (channel("a"), store.main());
    assert!(matches!(log.append(&a, &[largest]).unwrap().wait(Ack::Durable), Outcome::Appended { .. }));
    let event = log.reader().view().read(&Selection::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(event.payload, payload);

    let refused = |events: &[EventInput<'_>]| match log.append(&a, events) {
        Err(AppendError::TooLarge { what, bytes, max }) if bytes > max => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[EventInput::new("k", &payload)]), "event");
    assert_eq!(refused(&[largest, largest]), "append");
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    assert_eq!(refused(&[EventInput::new(&long[..KIND_BYTES_MAX + 1], b"")]), "kind");
    assert_eq!(refused(&[EventInput::new("k", b"").with_key(&long)]), "key");
    assert_eq!(refused(&[EventInput::new("k", b"").with_headers(&[(&long, b"")])]), "header name");
    let many = vec![("h", &b""[..]); usize::from(u16::MAX) + 1];
    assert_eq!(refused(&[EventInput::new("k", b"").with_headers(&many)]), "number of headers");
    let many = vec![BlobReference { hash: Hash::ZERO, bytes: 0 }; usize::from(u16::MAX) + 1];
    assert_eq!(refused(&[EventInput::new("k", b"").with_blobs(&many)]), "number of blob references");
    let longest = EventInput::new(&long[..KIND_BYTES_MAX], b"").with_key(&long[..KEY_BYTES_MAX]);
    log.append(&a, &[longest]).unwrap().wait(Ack::Durable).into_result().unwrap();
    let event = log.reader().view().read(&numbers("a", 1, 2)).unwrap().next().unwrap().unwrap();
    assert_eq!((event.kind.len(), event.key.map(|key| key.len())), (KIND_BYTES_MAX, Some(KEY_BYTES_MAX)));
}

#[test]
fn appends_of_nothing_change_nothing_unless_they_are_to_be_remembered() {
    let world = World::new();
    let store = world.open();
    let (a, log) = (channel("a"), store.main());
    let submit = |idempotency| {
        let parts = [ChannelEvents { channel: &a, events: &[] }];
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        log.submit(&request).unwrap().wait(Ack::Durable)
    };
    let Outcome::Appended { at } = submit(Idempotency::None) else { panic!() };
    assert_eq!((at.ranges(), log.reader().visible()), (&[][..], Position(0)));
    let Outcome::Appended { at } = submit(Idempotency::Key("key")) else { panic!() };
    assert_eq!((at.ranges(), log.reader().visible()), (&[][..], at.position()));
    assert_eq!(submit(Idempotency::Key("key")), Outcome::AlreadyAppended { at });
    let known = log.reader().view().channel(&a).unwrap().unwrap();
    assert_eq!(known.next_seq, Seq(0));
    assert!(all(log, "a").is_empty());
}

/// An entry is bounded by everything that it holds: here there are hardly any events in it.
#[test]
fn entries_stay_within_their_limit_whatever_fills_them() {
    let world = World::new();
    let store = world.open();
    let (a, log) = (channel("a"), store.main());
    let events = [EventInput::new("", b"")];
    let mut keys = (0..34_000).map(|number| format!("{number:01024}"));
    let mut last = None;
    for key in keys.by_ref() {
        let parts = [ChannelEvents { channel: &a, events: &events }];
        let idempotency = Idempotency::Key(&key);
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        last = Some(log.submit(&request).unwrap());
    }
    for number in 0..3000 {
        let name = channel(&format!("{number:0250}"));
        drop(log.create_channel(&name, &redex::ChannelConfig::with_content_type("text/plain")).unwrap());
    }
    let at = last.unwrap().wait(Ack::Durable).into_result().unwrap().at;
    assert!(at.index.0 > 20, "an entry is about a megabyte: {}", at.index);
    store.close().unwrap();
    assert_eq!(world.verify().faults, []);
    let store = world.open();
    let view = store.main().reader().view();
    assert_eq!(view.channels().unwrap().len(), 3001);
    let newest = Selection { last: Some(1), ..Selection::channel(&a) };
    assert_eq!(seqs(&view, &newest), [33_999]);
}

#[test]
fn system_channels_are_read_only_by_name() {
    let world = World::new();
    let store = world.open();
    for name in ["sys/audit", "sys", "system", "a/sys/b"] {
        append(store.main(), name, name);
    }
    let view = store.main().reader().view();
    assert_eq!(payloads(&view, &Selection::default()), ["system", "a/sys/b"]);
    assert_eq!(all(store.main(), "sys/audit"), ["sys/audit"]);
    let named = Channels::Names(vec![channel("sys"), channel("system")]);
    assert_eq!(payloads(&view, &Selection { channels: named, ..Selection::default() }), ["sys", "system"]);
}

fn index_files(world: &World) -> Vec<std::path::PathBuf> {
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.extension().is_some_and(|extension| extension == "idx")).collect()
}

#[test]
fn damaged_and_missing_index_files_are_made_up_for_also_in_the_middle_of_a_read() {
    let world = World::new();
    let expected = payloads(&many_segments(&world).main().reader().view(), &Selection::default()).len();
    let read_all = |store: &Store| {
        let view = store.main().reader().view();
        for reverse in [false, true] {
            let sparse = Selection { reverse, ..Selection::channel(&channel("sparse")) };
            assert_eq!(seqs(&view, &sparse).len(), 15);
            let dense = Selection { reverse, ..Selection::channel(&channel("dense")) };
            assert_eq!(seqs(&view, &dense).len(), 1500);
            assert_eq!(payloads(&view, &Selection { reverse, ..Selection::default() }).len(), expected);
        }
        assert_eq!(seqs(&view, &numbers("dense", 700, 702)), [700, 701]);
    };
    for path in index_files(&world).into_iter().step_by(15) {
        let bytes = world.disk.read(&path).unwrap();
        // A byte of the directory, of the first block of points, of the last one; a file cut short.
        for damage in [100, 4096, bytes.len() - 3000] {
            let store = world.open();
            let mut damaged = bytes.clone();
            damaged[damage] ^= 0x40;
            world.disk.write(&path, &damaged);
            read_all(&store);
        }
        let store = world.open();
        // The scan has begun, and the directories are in memory.
        let view = store.main().reader().view();
        let mut scan = view.scan(&Selection::channel(&channel("dense"))).unwrap();
        let first = scan.next_chunk().unwrap().unwrap().len();
        world.disk.write(&path, &bytes[..bytes.len() - 4096]);
        let mut events = first;
        while let Some(chunk) = scan.next_chunk().unwrap() {
            events += chunk.len();
        }
        assert_eq!(events, 1500);
        drop((scan, view, store));
        world.disk.remove(&path).unwrap();
        read_all(&world.open());
        world.disk.write(&path, &bytes);
    }
    assert!(index_files(&world).len() > 30);
}

#[test]
fn a_directory_of_another_format_version_is_refused_naming_both() {
    let world = World::new();
    world.open().close().unwrap();
    let path = std::path::Path::new(DIR).join("logs/main/superblock");
    let mut bytes = world.disk.read(&path).unwrap();
    for copy in bytes.chunks_mut(512) {
        copy[8..10].copy_from_slice(&7u16.to_le_bytes());
        let crc = crc32fast::hash(&copy[..508]).to_le_bytes();
        copy[508..].copy_from_slice(&crc);
    }
    world.disk.write(&path, &bytes);
    let error = Store::open(DIR.as_ref(), &world.doors, &options()).unwrap_err().to_string();
    assert!(error.contains("format version 1") && error.contains("format version 7"), "{error}");
    let error = redex::StoreReader::open(DIR.as_ref(), &world.doors, &options()).unwrap_err().to_string();
    assert!(error.contains("format version 1") && error.contains("format version 7"), "{error}");
    assert_eq!(world.disk.read(&path), Some(bytes));
}

#[test]
fn a_view_is_pinned_and_agrees_with_itself() {
    let world = World::new();
    let mut options = small_segments();
    options.staged_bytes_max = 64 << 20;
    let store = world.open_with(&options);
    append(store.main(), "a", "0");
    let pinned = store.main().reader().view();
    // Entries of more than a megabyte each, so that one write fills several segments.
    let payload = "x".repeat(600_000);
    let tickets: Vec<_> = (0..8)
        .map(|_| {
            let event = EventInput::new("k", payload.as_bytes());
            store.main().append(&channel("a"), &[event, event]).unwrap()
        })
        .collect();
    let small = store.main().append(&channel("a"), &[EventInput::new("k", b"")]).unwrap();
    small.wait(Ack::Written).into_result().unwrap();
    let view = store.main().reader().view();
    let next = view.channel(&channel("a")).unwrap().unwrap().next_seq;
    assert_eq!(seqs(&view, &Selection::default()).len() as u64, next.0, "at {}", view.position());
    assert_eq!((pinned.position(), all(store.main(), "a").len() as u64), (Position(1), next.0));
    assert_eq!(payloads(&pinned, &Selection::default()), ["0"]);
    assert!(view.position() > tickets[6].wait(Ack::Staged).into_result().unwrap().at.index.position_after());
    small.wait(Ack::Durable).into_result().unwrap();
    assert_eq!(all(store.main(), "a").len(), 18);
}

#[test]
fn an_earlier_view_knows_its_own_channels_and_times() {
    let world = World::new();
    let store = world.open();
    let mut expected = Vec::new();
    for round in 0..10 {
        let name = if round < 5 { "a" } else { "b" };
        let appended = append(store.main(), name, "x");
        let time = base::Clock::now(&*world.clock);
        expected.push((appended.at.position(), time, (round + 1).min(5), round.max(4) - 4));
        world.clock.advance(Duration::from_secs(1));
    }
    for (position, time, a, b) in expected {
        let view = store.main().reader().view_at(position);
        assert_eq!(view.last_recorded_at().unwrap(), time);
        let next = |name| view.channel(&channel(name)).unwrap().map_or(0, |info| info.next_seq.0);
        assert_eq!((next("a"), next("b")), (a, b));
        assert_eq!(view.channels().unwrap().len(), if b > 0 { 2 } else { 1 });
    }
    let empty = store.main().reader().view_at(Position(0));
    assert!(empty.channels().unwrap().is_empty() && empty.incarnations().is_empty());
    assert_eq!(empty.last_recorded_at().unwrap(), Timestamp::from_nanos(0));
}

#[test]
fn whenever_it_happens_a_read_sees_exactly_what_is_visible() {
    let world = World::new();
    let store = world.open_with(&small_segments());
    let reader = store.main().reader().clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let found = Arc::clone(&seen);
    world.disk.on_operation(Some(Box::new(move |_, _| {
        let view = reader.view();
        let events = |selection: &Selection| -> Vec<(u64, u64)> {
            view.read(selection)
                .unwrap()
                .map(Result::unwrap)
                .map(|event| (event.index.0, event.seq.0))
                .collect()
        };
        let newest = Selection { last: Some(3), ..Selection::channel(&channel("a")) };
        let all = Selection::channel(&channel("a"));
        found.lock().unwrap().push((
            view.position(),
            events(&all),
            events(&newest),
            view.channels().unwrap(),
        ));
    })));
    for number in 0..40u64 {
        let bytes = if number % 3 == 0 { 30_000 } else { 10 };
        let ticket = store.main().append(&channel("a"), &[EventInput::new("k", &vec![1; bytes])]).unwrap();
        if number % 4 != 0 {
            ticket.wait(if number % 2 == 0 { Ack::Written } else { Ack::Durable }).into_result().unwrap();
        }
    }
    store.close().unwrap();
    world.disk.on_operation(None);
    let view = store.main().reader().view();
    let final_events: Vec<(u64, u64)> = view
        .read(&Selection::channel(&channel("a")))
        .unwrap()
        .map(Result::unwrap)
        .map(|event| (event.index.0, event.seq.0))
        .collect();
    assert_eq!(final_events.len(), 40);
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 100);
    for (position, events, newest, channels) in seen.iter() {
        let due: Vec<_> = final_events.iter().filter(|(index, _)| *index < position.0).copied().collect();
        assert_eq!(*events, due, "at {position}");
        assert_eq!(*newest, due[due.len().saturating_sub(3)..]);
        let next = channels.first().map_or(0, |info| info.next_seq.0);
        assert_eq!(next, due.len() as u64, "at {position}");
    }
}
