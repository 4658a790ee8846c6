//! Which log a channel lives in, and what is refused.

use base::{Classify, ErrorKind};
use redex::{
    AppendError, AppendRequest, ChannelEvents, Compression, Condition, Expect, Idempotency, OpenError,
    Outcome, PlaceError, Rejection, Selection,
};

use super::*;

#[test]
fn channels_of_equal_configuration_share_a_log_and_a_count_has_its_own() {
    let world = World::new();
    let store = world.open();
    put(&store, "usual", "x");
    let bytes = keeping_bytes(1 << 20);
    assert!(!place(&store, "a", &bytes).already);
    place(&store, "b", &bytes);
    place(&store, "c", &keeping_bytes(2 << 20));
    place(&store, "d", &keeping_events(5));
    place(&store, "e", &keeping_events(5));
    place(&store, "plain", &Placement::With(LogConfig::default()));
    let homes = ["a", "b", "c", "d", "e"].map(|name| home(&store, name));
    assert_eq!(homes[0], homes[1]);
    let different: std::collections::BTreeSet<_> = homes.iter().collect();
    assert_eq!(different.len(), 4, "{homes:?}");
    assert_eq!((home(&store, "usual"), home(&store, "plain")), ("main".to_owned(), "main".to_owned()));
    assert_eq!(store.logs().len(), 5);
    assert!(place(&store, "a", &bytes).already, "the same again is as good");
    put(&store, "a", "1");
    store.close().unwrap();
    drop(store);

    let store = world.open();
    assert_eq!(["a", "b", "c", "d", "e"].map(|name| home(&store, name)), homes);
    assert_eq!(put(&store, "a", "2"), 1);
    assert_eq!(whole(&store, "a"), [(0, "1".to_owned()), (1, "2".to_owned())]);
    let config = store.config(&log_name(&homes[3])).unwrap();
    assert_eq!(config.retention, Retention::of_events(5));
    assert!(config.takes_one_channel());
    check(&world.doors);
}

#[test]
fn a_name_is_in_one_log_only_and_the_rejection_says_in_which() {
    let world = World::new();
    let store = world.open();
    put(&store, "here", "x");
    place(&store, "there", &keeping_bytes(9));
    let there = home(&store, "there");
    let refused = |error: PlaceError| match error {
        PlaceError::Append(AppendError::Rejected {
            reason: Rejection::Elsewhere { channel, log }, ..
        }) => (channel.to_string(), log.to_string()),
        other => panic!("{other}"),
    };
    let config = ChannelConfig::default();
    let error = store.create_channel(&channel("here"), &config, &keeping_bytes(9)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(refused(error), ("here".to_owned(), "main".to_owned()));
    let error = store.create_channel(&channel("there"), &config, &Placement::Main).unwrap_err();
    assert_eq!(refused(error), ("there".to_owned(), there.clone()));
    let error = store.create_channel(&channel("there"), &config, &keeping_bytes(10)).unwrap_err();
    assert_eq!(refused(error), ("there".to_owned(), there.clone()));
    assert_eq!(store.logs().len(), 2, "no log is made for nothing");

    // Past the store, in either log.
    let event = [EventInput::new("k", b"")];
    let in_main = store.main().append(&channel("there"), &event).unwrap().wait(Ack::Durable);
    assert!(
        matches!(in_main, Outcome::Rejected { reason: Rejection::Elsewhere { log, .. }, .. } if log.as_str() == there)
    );
    let other = store.log(&log_name(&there)).unwrap();
    for name in ["here", "new"] {
        let refused = other.append(&channel(name), &event).unwrap().wait(Ack::Durable);
        assert!(matches!(refused, Outcome::Rejected { reason: Rejection::Unplaced { .. }, .. }), "{name}");
        let created = other.create_channel(&channel(name), &config).unwrap().wait(Ack::Durable);
        assert!(matches!(created, Outcome::Rejected { reason: Rejection::Unplaced { .. }, .. }), "{name}");
    }
    let differing = ChannelConfig::with_content_type("text/plain");
    let error = store.create_channel(&channel("there"), &differing, &keeping_bytes(9)).unwrap_err();
    assert!(error.to_string().contains("another configuration"), "{error}");
}

#[test]
fn an_append_over_logs_is_refused_before_anything_is_staged() {
    let world = World::new();
    let store = world.open();
    place(&store, "a", &keeping_bytes(9));
    place(&store, "b", &keeping_bytes(9));
    put(&store, "m", "x");
    let (a, b, m) = (channel("a"), channel("b"), channel("m"));
    let events = [EventInput::new("k", b"1")];
    let part = |channel| ChannelEvents { channel, events: &events };
    let positions = || store.logs().iter().map(|log| log.sync().unwrap()).collect::<Vec<_>>();
    let before = positions();
    let parts = [part(&a), part(&m)];
    let error = store.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap_err();
    assert!(matches!(&error, AppendError::SeveralLogs { first, .. } if *first == a), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("one after the other"), "{error}");
    let conditions = [Condition { channel: m.clone(), expect: Expect::Any }];
    let parts = [part(&a)];
    let request = AppendRequest { parts: &parts, conditions: &conditions, ..AppendRequest::default() };
    assert!(matches!(store.submit(&request), Err(AppendError::SeveralLogs { .. })));
    assert_eq!(positions(), before);
    let parts = [part(&a), part(&b)];
    let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
    let appended = store.submit(&request).unwrap().wait(Ack::Durable).into_result().unwrap();
    assert_eq!(appended.at.ranges().len(), 2, "channels of one log are appended to as one");
}

#[test]
fn a_log_by_name_keeps_its_configuration_until_it_is_set_anew() {
    let world = World::new();
    let store = world.open();
    let name = log_name("audit");
    let config = LogConfig::keeping(Retention::of_bytes(1 << 20)).compressed(Compression::Zstd);
    store.create_log(&name, &config).unwrap();
    store.create_log(&name, &config).unwrap();
    assert!(matches!(store.create_log(&name, &LogConfig::default()), Err(PlaceError::ConfigMismatch { .. })));
    let missing = Placement::Log(log_name("missing"));
    let error = store.create_channel(&channel("x"), &ChannelConfig::default(), &missing).unwrap_err();
    assert_eq!((error.kind(), home(&store, "x")), (ErrorKind::NotFound, "main".to_owned()));
    place(&store, "x", &Placement::Log(name.clone()));
    put(&store, "x", &"0".repeat(5_000));
    let bytes = store.log(&name).unwrap().reader().view();
    let scan = bytes.scan(&Selection::channel(&channel("x"))).unwrap();
    drop(scan);
    place(&store, "y", &Placement::Log(name.clone()));
    let one = LogConfig::keeping(Retention::of_events(3));
    assert!(matches!(store.set_config(&name, &one), Err(PlaceError::OneChannel { .. })));
    let new = LogConfig::keeping(Retention::of_bytes(2 << 20));
    store.set_config(&name, &new).unwrap();
    assert_eq!(store.config(&name), Some(new.clone()));
    assert!(matches!(store.set_config(&log_name("no"), &new), Err(PlaceError::NoLog { .. })));
    store.close().unwrap();
    assert!(matches!(
        store.create_log(&log_name("late"), &new),
        Err(PlaceError::Append(AppendError::Closed))
    ));
    drop(store);
    let store = world.open();
    assert_eq!(store.config(&name), Some(new));
    let own = Placement::With(LogConfig::default().for_one_channel());
    place(&store, "alone", &own);
    let alone = Placement::Log(log_name(&home(&store, "alone")));
    let error = store.create_channel(&channel("z"), &ChannelConfig::default(), &alone).unwrap_err();
    assert!(matches!(&error, PlaceError::OneChannel { has, .. } if *has == channel("alone")), "{error}");
    check(&world.doors);
}

#[test]
fn a_moved_channel_goes_on_with_its_numbers_and_nobody_writes_to_the_old_log() {
    let world = World::new();
    let store = world.open();
    let config = ChannelConfig::with_content_type("text/plain");
    store.create_channel(&channel("c"), &config, &Placement::Main).unwrap();
    for number in 0..3 {
        put(&store, "c", &number.to_string());
    }
    store.move_channel(&channel("c"), &keeping_events(100)).unwrap();
    let own = home(&store, "c");
    assert_ne!(own, "main");
    assert_eq!(put(&store, "c", "3"), 3);
    store.move_channel(&channel("c"), &keeping_events(100)).unwrap();
    assert_eq!(home(&store, "c"), own, "moving it there again changes nothing");
    store.move_channel(&channel("c"), &keeping_bytes(1 << 20)).unwrap();
    assert_eq!(put(&store, "c", "4"), 4);
    let expected: Vec<_> = (0..5).map(|number| (number, number.to_string())).collect();
    assert_eq!(whole(&store, "c"), expected);

    let event = [EventInput::new("k", b"")];
    for log in store.logs().iter().filter(|log| log.reader().name() != home(&store, "c")) {
        let outcome = log.append(&channel("c"), &event).unwrap().wait(Ack::Durable);
        let Outcome::Rejected { reason: reason @ Rejection::Moved { .. }, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(reason.kind(), ErrorKind::Conflict);
    }
    let history = store.reader().view().channel(&channel("c")).unwrap().unwrap();
    let parts: Vec<_> =
        history.parts.iter().map(|part| (part.info.first_seq.0, part.info.next_seq.0)).collect();
    assert_eq!(parts, [(0, 3), (3, 4), (4, 5)]);
    assert!(history.parts.iter().all(|part| part.info.config == config), "its configuration goes with it");
    assert_eq!((history.first_seq().0, history.next_seq().0), (0, 5));
    assert_eq!(history.parts[0].info.moved_to.as_ref().unwrap().log.as_str(), own);
    let from = history.parts[1].info.arrived_from.as_ref().unwrap();
    assert_eq!((from.log.as_str(), from.first.0), ("main", 3));

    let back = store.move_channel(&channel("c"), &Placement::Main).unwrap_err();
    assert!(matches!(&back, PlaceError::WasThere { log, .. } if log.is_main()), "{back}");
    let missing = store.move_channel(&channel("nobody"), &keeping_bytes(9)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    check(&world.doors);
    store.close().unwrap();
    drop(store);
    let store = world.open();
    assert_eq!(whole(&store, "c"), expected);
    assert_eq!(put(&store, "c", "5"), 5);
    // A log of its own with the first configuration again is another log.
    store.move_channel(&channel("c"), &keeping_events(100)).unwrap();
    assert_ne!(home(&store, "c"), own);
    assert_eq!(put(&store, "c", "6"), 6);
    check(&world.doors);
}

#[test]
fn a_channel_comes_to_main_from_another_log() {
    let world = World::new();
    let store = world.open();
    place(&store, "c", &keeping_bytes(1 << 20));
    put(&store, "c", "0");
    store.move_channel(&channel("c"), &Placement::Main).unwrap();
    assert_eq!((put(&store, "c", "1"), home(&store, "c")), (1, "main".to_owned()));
    store.close().unwrap();
    drop(store);
    let store = world.open();
    assert_eq!((put(&store, "c", "2"), whole(&store, "c").len()), (2, 3));
    check(&world.doors);
}

#[test]
fn repetitions_are_recognised_after_a_move() {
    let world = World::new();
    let store = world.open();
    let name = channel("c");
    let submit = |idempotency| {
        let events = [EventInput::new("k", b"1")];
        let parts = [ChannelEvents { channel: &name, events: &events }];
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        store.submit(&request).unwrap().wait(Ack::Durable)
    };
    let producer = |number| Idempotency::Producer { id: "p", number, digest: None };
    let first = submit(Idempotency::Key("key"));
    let second = submit(producer(1));
    assert!(matches!((&first, &second), (Outcome::Appended { .. }, Outcome::Appended { .. })));
    for _ in 0..2 {
        store.move_channel(&name, &keeping_bytes(1 << 20)).unwrap();
        let again = submit(Idempotency::Key("key"));
        assert!(matches!(&again, Outcome::AlreadyAppended { at } if Some(at) == first.at()), "{again:?}");
        let again = submit(producer(1));
        assert!(matches!(&again, Outcome::AlreadyAppended { at } if Some(at) == second.at()), "{again:?}");
        store.move_channel(&name, &keeping_bytes(2 << 20)).unwrap();
    }
    assert_eq!(store.producer(&name, "p").unwrap().number, 1);
    assert!(matches!(submit(producer(2)), Outcome::Appended { .. }));
    assert_eq!(store.producer(&name, "p").unwrap().number, 2);
    let stale = submit(producer(1));
    assert!(matches!(stale, Outcome::Rejected { reason: Rejection::StaleProducer { .. }, .. }), "{stale:?}");
    assert_eq!(whole(&store, "c").len(), 3);
}

#[test]
fn writers_beside_a_move_lose_nothing_and_never_hear_of_it() {
    let place = crate::support::TemporaryDirectory::new();
    let doors = Doors::system();
    let store = Store::open(place.path(), &doors, &redex::LogOptions::default()).unwrap();
    let name = channel("busy");
    let numbers = std::sync::Mutex::new(Vec::new());
    put(&store, "busy", "first");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..60 {
                    let seq = put(&store, "busy", "x");
                    numbers.lock().unwrap().push(seq);
                }
            });
        }
        for bytes in 1..5 {
            store.move_channel(&name, &keeping_bytes(bytes << 20)).unwrap();
        }
    });
    let mut numbers = numbers.into_inner().unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..181).collect::<Vec<_>>());
    assert_eq!(
        whole(&store, "busy").iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        (0..181).collect::<Vec<_>>()
    );
    store.close().unwrap();
    let reports = redex::verify_all(place.path(), &doors, &VerifyOptions::default()).unwrap();
    assert!(reports.iter().all(|report| report.faults.is_empty()), "{reports:?}");
}

#[test]
fn a_copy_of_a_log_under_another_name_is_refused() {
    let world = World::new();
    let store = world.open();
    place(&store, "c", &keeping_bytes(9));
    let name = home(&store, "c");
    store.close().unwrap();
    drop(store);
    for (path, _) in world.disk.files() {
        if let Ok(rest) = path.strip_prefix(format!("{DIR}/logs/{name}")) {
            world.disk.write(Path::new(DIR).join("logs/copy").join(rest), &world.disk.read(&path).unwrap());
        }
    }
    let error = Store::open(Path::new(DIR), &world.doors, &options()).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt(_)) && error.to_string().contains("one directory"), "{error}");
    let faults: Vec<_> = verify_all(&world.doors).into_iter().flat_map(|report| report.faults).collect();
    assert!(faults.iter().any(|fault| fault.expected == "the log `copy`"), "{faults:?}");
}
