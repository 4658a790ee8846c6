//! Keyed logs: the newest event of each key stays, and everything else goes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CrashImage, Position};
use redex::{
    Ack, AppendError, ChannelConfig, EventInput, Keyed, Log, LogName, LogOptions, Outcome, PlaceError,
    Placement, Rejection, Store, StoreReader,
};

use crate::support::{DIR, Dice, World, append, channel, each_seed, options};

const CHANNELS: [&str; 2] = ["names", "pins"];
/// What a log holds: channel and key, and the payload.
type Twin = BTreeMap<(String, String), Vec<u8>>;

fn name() -> LogName {
    LogName::new("keyed").unwrap()
}

fn small() -> LogOptions {
    let mut options = options();
    options.segment_bytes = 16 << 10;
    options
}

fn make(store: &Store) -> Log {
    let log = store.create_keyed_log(&name()).unwrap();
    for channel_name in CHANNELS {
        let placed = Placement::Log(name());
        store.create_channel(&channel(channel_name), &ChannelConfig::default(), &placed).unwrap();
    }
    log
}

fn put(log: &Log, channel_name: &str, key: &str, payload: &[u8]) {
    let event = EventInput::new("set", payload).with_key(key);
    log.append(&channel(channel_name), &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
}

fn held(keyed: &Keyed) -> Twin {
    let all = CHANNELS.iter().flat_map(|name| {
        let name = channel(name);
        let of = keyed
            .scan(&name, "")
            .map(|event| ((name.as_str().to_owned(), event.key.to_owned()), event.payload.to_vec()));
        of.collect::<Vec<_>>()
    });
    all.collect()
}

fn settle(world: &World, log: &Log) {
    for _ in 0..4 {
        world.clock.advance(Duration::from_millis(200));
        log.flush_step();
    }
}

fn bytes(world: &World) -> u64 {
    let files = world.disk.files().into_iter();
    files.filter(|(path, _)| path.starts_with("/node/logs/keyed")).map(|(_, bytes)| bytes).sum()
}

fn verify(world: &World) {
    let reports = redex::verify_all(Path::new(DIR), &world.doors, &redex::VerifyOptions::default()).unwrap();
    for report in reports {
        assert_eq!(report.faults, []);
    }
}

#[test]
fn the_newest_of_each_key_is_found_by_key_and_prefix_also_after_reopening() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = make(&store);
    assert!(log.keyed().unwrap().is_empty() && store.main().keyed().is_none());
    for (key, payload) in
        [("a/1", "x"), ("a/2", "y"), ("b", "z"), ("a/1", "newer"), ("a/3", "gone"), ("a/3", "")]
    {
        put(&log, "names", key, payload.as_bytes());
    }
    put(&log, "pins", "a/1", b"other");
    let before = log.keyed().unwrap();
    put(&log, "names", "b", b"later");
    let check = |keyed: &Keyed| {
        let names = channel("names");
        let newest = keyed.get(&names, "a/1").unwrap();
        assert_eq!((newest.payload, newest.seq.0, newest.kind), (&b"newer"[..], 3, "set"));
        assert!(keyed.get(&names, "a/3").is_none() && keyed.get(&names, "none").is_none());
        let keys: Vec<_> = keyed.scan(&names, "a/").map(|event| event.key).collect();
        assert_eq!(keys, ["a/1", "a/2"]);
        assert_eq!(keyed.get(&channel("pins"), "a/1").unwrap().payload, b"other");
        assert_eq!(keyed.len(), 4);
    };
    check(&before);
    assert_eq!(before.get(&channel("names"), "b").unwrap().payload, b"z", "a snapshot stays as it is");
    assert_eq!(log.keyed().unwrap().get(&channel("names"), "b").unwrap().payload, b"later");
    assert_eq!(log.keyed().unwrap().position(), log.reader().visible());
    assert!(log.reader().view_at(Position(3)).keyed().is_none(), "only the newest is kept");
    drop((log, store));
    let store = world.open_with(&small());
    let log = store.log(&name()).unwrap();
    check(&log.keyed().unwrap());
    let other = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    check(&other.log(&name()).unwrap().view().keyed().unwrap());
    verify(&world);
}

#[test]
fn what_a_keyed_log_cannot_take_is_refused_and_says_why() {
    let world = World::new();
    let mut options = small();
    options.keyed_bytes_max = 10_000;
    let store = world.open_with(&options);
    let log = make(&store);
    let plain = log.append(&channel("names"), &[EventInput::new("set", b"x")]);
    assert!(matches!(&plain, Err(AppendError::Empty { what }) if what.contains("key")), "{plain:?}");
    let erasable =
        store.create_channel(&channel("e"), &ChannelConfig::of_erasable(), &Placement::Log(name()));
    assert!(erasable.unwrap_err().to_string().contains("erasable"));
    assert!(matches!(store.create_keyed_log(&LogName::main()), Err(PlaceError::ConfigMismatch { .. })));
    store.create_keyed_log(&name()).unwrap();
    append(store.main(), "plain", "x");
    for (moved, to) in [("plain", name()), ("names", LogName::main())] {
        let refused = store.move_channel(&channel(moved), &Placement::Log(to)).unwrap_err();
        assert!(refused.to_string().contains("keyed log"), "{refused}");
    }

    let large = [b'x'; 1_000];
    let set = |key: &str, payload: &[u8]| {
        let event = EventInput::new("set", payload).with_key(key);
        log.append(&channel("names"), &[event]).unwrap().wait(Ack::Durable)
    };
    for number in 0..9 {
        assert!(matches!(set(&format!("{number}"), &large), Outcome::Appended { .. }), "{number}");
    }
    let refused = set("more", &large);
    assert!(matches!(&refused, Outcome::Rejected { reason: Rejection::KeysFull { .. }, .. }), "{refused:?}");
    assert!(matches!(set("3", b""), Outcome::Appended { .. }), "what deletes is always taken");
    assert!(matches!(set("more", &large), Outcome::Appended { .. }));
    // Overwriting takes no room but for the moment.
    assert!((0..30).all(|_| {
        set("5", b"");
        matches!(set("5", &large), Outcome::Appended { .. })
    }));
    settle(&world, &log);
    verify(&world);
}

#[test]
fn constant_overwriting_takes_a_bounded_space() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = make(&store);
    let mut most = 0;
    for round in 0..60 {
        for key in 0..20 {
            put(&log, "names", &format!("key-{key}"), &[round; 300]);
        }
        settle(&world, &log);
        most = most.max(bytes(&world));
    }
    // Two segments, what is filled ahead, and their indexes.
    assert!(most < 700 << 10, "{most} bytes");
    let view = log.reader().view();
    assert!(view.begins() > Position(1_000) && view.segments().len() <= 2, "{:?}", view.segments());
    assert_eq!(view.channel(&channel("names")).unwrap().unwrap().next_seq.0, 1_200, "numbers go on");
    assert_eq!(log.keyed().unwrap().len(), 20);
    verify(&world);
    store.close().unwrap();
    drop((log, view, store));
    assert!(bytes(&world) < 100 << 10, "{} bytes", bytes(&world));
    verify(&world);
}

#[test]
fn a_keyed_log_agrees_with_a_map_over_rolls_reopenings_and_crashes() {
    each_seed(0..10, |seed| {
        let dice = Dice::new(seed);
        let mut world = World::new();
        let mut store = world.open_with(&small());
        let mut log = make(&store);
        let mut twin = Twin::new();
        for step in 0..120 {
            match dice.below(20) {
                0..=11 => {
                    let count = 1 + dice.below(6);
                    let name = *dice.pick(&CHANNELS);
                    let puts: Vec<(String, Vec<u8>)> = (0..count)
                        .map(|_| {
                            let length = usize::try_from(dice.below(900)).unwrap();
                            (format!("k{}", dice.below(25)), vec![dice.byte(); length])
                        })
                        .collect();
                    let events: Vec<_> = puts
                        .iter()
                        .map(|(key, payload)| EventInput::new("set", payload).with_key(key))
                        .collect();
                    log.append(&channel(name), &events).unwrap().wait(Ack::Durable).into_result().unwrap();
                    for (key, payload) in puts {
                        let key = (name.to_owned(), key);
                        if payload.is_empty() {
                            twin.remove(&key);
                        } else {
                            twin.insert(key, payload);
                        }
                    }
                }
                12..=14 => {
                    let name = *dice.pick(&CHANNELS);
                    let key = format!("k{}", dice.below(25));
                    put(&log, name, &key, b"");
                    twin.remove(&(name.to_owned(), key));
                }
                15..=17 => settle(&world, &log),
                18 => {
                    drop((log, store));
                    store = world.open_with(&small());
                    log = store.log(&name()).unwrap();
                }
                _ => {
                    let image = CrashImage::Sectors { seed: seed * 1_000 + step };
                    let left = world.disk.snapshot().image(&image);
                    drop((log, store));
                    world = World::on(left, 7 + step);
                    store = world.open_with(&small());
                    log = store.log(&name()).unwrap();
                }
            }
            assert_eq!(held(&log.keyed().unwrap()), twin, "step {step}");
        }
        verify(&world);
        assert!(log.reader().view().begins() > Position::ZERO, "segments went");
    });
}

#[test]
fn a_crash_at_any_operation_of_a_roll_keeps_every_key() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = make(&store);
    for key in 0..30 {
        put(&log, "names", &format!("key-{key}"), &[1; 200]);
    }
    let moments = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&moments);
    let begins = log.reader().view().begins();
    world.disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    for key in 0..60 {
        put(&log, "names", &format!("key-{}", key % 30), &[2; 300]);
    }
    settle(&world, &log);
    world.disk.on_operation(None);
    assert!(log.reader().view().begins() > begins, "a segment went");
    let moments = std::mem::take(&mut *moments.lock().unwrap());
    for (moment, snapshot) in moments.iter().enumerate().step_by(3) {
        for image in [CrashImage::None, CrashImage::All, CrashImage::Sectors { seed: moment as u64 }] {
            let crashed = World::on(snapshot.image(&image), 7);
            let store = crashed.open_with(&small());
            let log = store.log(&name()).unwrap();
            let twin = held(&log.keyed().unwrap());
            assert_eq!(twin.len(), 30, "moment {moment} {image:?}");
            put(&log, "names", "key-0", b"goes on");
            assert_eq!(log.keyed().unwrap().get(&channel("names"), "key-0").unwrap().payload, b"goes on");
            verify(&crashed);
        }
    }
}

#[test]
fn what_a_state_frame_holds_is_compared_with_the_segment_before_it() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = make(&store);
    // Nothing goes while somebody holds it.
    let hold = log.hold("backup", Position::ZERO).unwrap();
    for key in 0..60 {
        put(&log, "names", &format!("key-{}", key % 20), &[7; 400]);
    }
    settle(&world, &log);
    assert!(log.reader().view().segments().len() > 1);
    verify(&world);
    drop(hold);
    settle(&world, &log);
    assert_eq!(log.reader().view().segments().len(), 1);
    verify(&world);
}
