//! Single events by number: the same as a scan gives, from memory where they were read before.

use base::{Clock, Seq};
use redex::{
    Ack, ChannelConfig, EventInput, LogOptions, Lookup, ReadError, Retention, Selection, Store, StoreReader,
};

use crate::support::{DIR, World, append, channel, options};

fn small() -> LogOptions {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    options
}

fn payload(seq: u64) -> String {
    format!("{seq} ").repeat(60)
}

/// Events in entries of 1, 10 and 200, over several segments.
fn filled(world: &World, options: &LogOptions) -> Store {
    let store = world.open_with(options);
    let mut next = 0;
    for batch in [1, 1, 10, 1, 200, 1].repeat(5) {
        let payloads: Vec<String> = (next..next + batch).map(payload).collect();
        let events: Vec<_> = payloads.iter().map(|it| EventInput::new("kind", it.as_bytes())).collect();
        append(store.main(), "other", &payload(next));
        let appended = store.main().append(&channel("c"), &events).unwrap().wait(Ack::Durable);
        appended.into_result().unwrap();
        next += batch;
    }
    store
}

fn text(lookup: &mut Lookup, seq: u64) -> Option<String> {
    let held = lookup.get(Seq(seq)).unwrap();
    let borrowed = lookup.event(Seq(seq)).unwrap().map(|event| event.to_event());
    assert_eq!(held.as_ref().map(|held| held.event().to_event()), borrowed);
    let held = held?;
    assert_eq!((held.event().seq, held.event().kind), (Seq(seq), "kind"));
    assert_eq!(held.payload(), held.event().payload);
    Some(String::from_utf8(held.event().payload.to_vec()).unwrap())
}

#[test]
fn every_event_is_found_whatever_the_cache_holds() {
    for cache_bytes in [0, 100_000, 64 << 20] {
        let world = World::new();
        let mut options = small();
        options.cache_bytes = cache_bytes;
        let store = filled(&world, &options);
        let view = store.main().reader().view();
        assert!(view.segments().len() > 3);
        let count = view.channel(&channel("c")).unwrap().unwrap().next_seq.0;
        let mut lookup = view.lookup(&channel("c"));
        for round in 0..3 {
            for seq in (0..count).step_by(7).chain((0..count).rev().step_by(5)) {
                assert_eq!(text(&mut lookup, seq), Some(payload(seq)), "round {round}");
            }
            assert_eq!(text(&mut lookup, count), None);
            assert_eq!(text(&mut lookup, u64::MAX), None);
        }
        assert!(view.lookup(&channel("unknown")).get(Seq(0)).unwrap().is_none());
    }
}

#[test]
fn what_was_read_before_is_not_read_again() {
    let world = World::new();
    let store = filled(&world, &small());
    let count = store.main().reader().view().channel(&channel("c")).unwrap().unwrap().next_seq.0;
    let mut lookup = store.main().reader().view().lookup(&channel("c"));
    for seq in 0..count {
        assert_eq!(text(&mut lookup, seq), Some(payload(seq)));
    }
    let before = world.disk.operation_count();
    for seq in 0..count {
        assert_eq!(text(&mut lookup, seq), Some(payload(seq)));
    }
    assert_eq!(world.disk.operation_count(), before);
}

#[test]
fn a_lookup_of_an_earlier_view_sees_nothing_later_and_one_of_a_later_view_everything() {
    let world = World::new();
    let store = world.open_with(&small());
    let mut views = Vec::new();
    for seq in 0..40 {
        let text = payload(seq);
        let event = EventInput::new("kind", text.as_bytes());
        let _ = store.main().append(&channel("c"), &[event]).unwrap().wait(Ack::Durable);
        views.push(store.main().reader().view());
    }
    // The newest view goes first, so that pages hold more than earlier ones may see; then the other way round.
    for order in [views.iter().rev().collect::<Vec<_>>(), views.iter().collect()] {
        for view in order {
            let next = view.channel(&channel("c")).unwrap().unwrap().next_seq.0;
            let mut lookup = view.lookup(&channel("c"));
            for seq in 0..41 {
                assert_eq!(text(&mut lookup, seq), (seq < next).then(|| payload(seq)), "{next}");
            }
        }
    }
}

#[test]
fn redacted_events_are_redacted_also_where_they_are_held() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = store.main();
    let name = channel("people");
    log.create_channel(&name, &ChannelConfig::of_erasable())
        .unwrap()
        .wait(Ack::Durable)
        .into_result()
        .unwrap();
    for seq in 0..20 {
        let text = payload(seq);
        let event = EventInput::new("kind", text.as_bytes()).with_key("somebody");
        let _ = log.append(&name, &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    let mut lookup = log.reader().view().lookup(&name);
    let held = lookup.get(Seq(7)).unwrap().unwrap();
    assert_eq!(held.event().payload, payload(7).as_bytes());
    log.redact(&name, [7], "asked for").unwrap();
    let mut later = log.reader().view().lookup(&name);
    for event in [held.clone(), lookup.get(Seq(7)).unwrap().unwrap(), later.get(Seq(7)).unwrap().unwrap()] {
        let event = event.event();
        assert!(event.is_redacted());
        assert_eq!((event.kind, event.key, event.payload), ("", None, &[][..]));
    }
    assert!(held.payload().is_empty());
    assert_eq!(text(&mut lookup, 8), Some(payload(8)));
}

#[test]
fn damage_concerns_the_events_that_were_lost_and_no_others() {
    let world = World::new();
    let store = world.open();
    for seq in 0..9 {
        append(store.main(), "c", &payload(seq));
    }
    store.close().unwrap();
    // Looked up before the damage, and after it by a reader that knows nothing of a hole.
    let reader = StoreReader::open(DIR.as_ref(), &world.doors, &options()).unwrap();
    let segment = world
        .disk
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .find(|path| path.extension().is_some_and(|it| it == "seg"));
    let segment = segment.unwrap();
    let bytes = world.disk.read(&segment).unwrap();
    let lost = payload(4);
    let at = bytes.windows(lost.len()).position(|part| part == lost.as_bytes()).unwrap();
    world.disk.flip_bit(&segment, 8 * at as u64);
    let mut lookup = reader.main().view().lookup(&channel("c"));
    for seq in [0, 4, 3, 4, 5, 8] {
        match lookup.get(Seq(seq)) {
            Ok(held) => {
                assert_eq!(held.map(|held| held.event().payload.to_vec()), Some(payload(seq).into_bytes()))
            }
            Err(error) => assert!(seq >= 4 && matches!(error, ReadError::Corrupt(_)), "{seq}: {error}"),
        }
    }
    drop(reader);
    let store = world.open();
    let mut lookup = store.main().reader().view().lookup(&channel("c"));
    for _ in 0..2 {
        for seq in (0..9).filter(|seq| *seq != 4) {
            let held = lookup.get(Seq(seq)).unwrap().unwrap();
            assert_eq!(held.event().payload, payload(seq).as_bytes());
        }
        assert!(matches!(lookup.get(Seq(4)), Err(ReadError::Hole { .. })));
    }
}

#[test]
fn what_the_log_gave_up_is_not_found_by_later_views() {
    let world = World::new();
    let mut options = small();
    options.retention = Retention::of_bytes(100_000);
    let store = filled(&world, &options);
    for _ in 0..4 {
        world.clock.advance(std::time::Duration::from_millis(200));
        store.main().flush_step();
    }
    let view = store.main().reader().view();
    let info = view.channel(&channel("c")).unwrap().unwrap();
    assert!(info.first_seq.0 > 0, "at {:?}", world.clock.now());
    let mut lookup = view.lookup(&channel("c"));
    assert_eq!(text(&mut lookup, info.first_seq.0 - 1), None);
    assert_eq!(text(&mut lookup, info.first_seq.0), Some(payload(info.first_seq.0)));
    let all = view.read(&Selection::channel(&channel("c"))).unwrap().count() as u64;
    assert_eq!(info.first_seq.0 + all, info.next_seq.0);
}
