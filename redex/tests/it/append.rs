//! Appending, and what becomes of it.

use base::{CrashImage, Position, Seq};
use redex::{
    Ack, AppendRequest, ChannelEvents, Condition, EventInput, Expect, Idempotency, KEY_WINDOW, Outcome,
    Rejection,
};

use crate::support::{World, all, append, channel};

#[test]
fn events_are_numbered_from_zero_and_read_back_after_reopen() {
    let world = World::new();
    let store = world.open();
    for number in 0..10 {
        let appended = append(store.main(), "a", &number.to_string());
        assert_eq!(appended.at.first_seq(), Some(Seq(number)));
    }
    let expected: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(all(store.main(), "a"), expected);
    store.close().unwrap();
    drop(store);
    assert_eq!(world.verify().faults, []);
    let store = world.open();
    assert_eq!(all(store.main(), "a"), expected);
    assert_eq!(append(store.main(), "a", "x").at.first_seq(), Some(Seq(10)));
}

#[test]
fn a_staged_append_is_not_visible_before_it_is_durable() {
    let world = World::new();
    let store = world.open();
    let ticket = store.main().append(&channel("a"), &[EventInput::new("k", b"1")]).unwrap();
    assert!(matches!(ticket.wait(Ack::Staged), Outcome::Appended { .. }));
    assert_eq!(store.main().reader().visible(), Position(0));
    assert!(matches!(ticket.wait(Ack::Written), Outcome::Appended { .. }));
    assert_eq!(store.main().reader().visible(), Position(0));
    assert!(matches!(ticket.wait(Ack::Durable), Outcome::Appended { .. }));
    assert!(store.main().reader().visible() >= Position(1));
    assert_eq!(all(store.main(), "a"), ["1"]);
}

#[test]
fn an_append_over_channels_is_one_entry() {
    let world = World::new();
    let store = world.open();
    let (a, b) = (channel("a"), channel("b"));
    let first = [EventInput::new("k", b"1"), EventInput::new("k", b"2")];
    let second = [EventInput::new("k", b"3")];
    let parts = [
        ChannelEvents { channel: &a, events: &first },
        ChannelEvents { channel: &b, events: &second },
        ChannelEvents { channel: &a, events: &second },
    ];
    let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
    let appended = store.main().submit(&request).unwrap().wait(Ack::Durable).into_result().unwrap();
    let ranges: Vec<_> = appended
        .at
        .ranges()
        .iter()
        .map(|range| (range.channel.as_str(), range.first.0, range.count))
        .collect();
    assert_eq!(ranges, [("a", 0, 2), ("b", 0, 1), ("a", 2, 1)]);
    let view = store.main().reader().view();
    let events: Vec<_> = view.read(&redex::Selection::default()).unwrap().map(Result::unwrap).collect();
    let found: Vec<_> = events.iter().map(|e| (e.channel.as_str(), e.seq.0, e.ordinal, e.index.0)).collect();
    assert_eq!(found, [("a", 0, 0, 0), ("a", 1, 1, 0), ("b", 0, 2, 0), ("a", 2, 3, 0)]);
}

#[test]
fn conditions_are_checked_against_staged_appends_too() {
    let world = World::new();
    let store = world.open();
    let a = channel("a");
    let events = [EventInput::new("k", b"1")];
    let submit = |expect| {
        let conditions = [Condition { channel: a.clone(), expect }];
        let parts = [ChannelEvents { channel: &a, events: &events }];
        let request = AppendRequest { parts: &parts, conditions: &conditions, ..AppendRequest::default() };
        store.main().submit(&request).unwrap()
    };
    let exists = submit(Expect::Exists);
    let first = submit(Expect::NoChannel);
    let second = submit(Expect::NoChannel);
    let third = submit(Expect::Exact(Seq(1)));
    let refused = |outcome: Outcome| match outcome {
        Outcome::Rejected { reason: Rejection::ConditionFailed { actual, .. }, .. } => actual,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(exists.wait(Ack::Durable)), None);
    assert_eq!(refused(second.wait(Ack::Durable)), Some(Seq(1)));
    assert!(matches!(first.wait(Ack::Durable), Outcome::Appended { .. }));
    assert!(matches!(third.wait(Ack::Durable), Outcome::Appended { .. }));
    assert_eq!(all(store.main(), "a"), ["1", "1"]);
}

#[test]
fn a_repeated_key_gives_the_first_append_also_after_reopen() {
    let world = World::new();
    let submit = |store: &redex::Store, payload: &[u8]| {
        let a = channel("a");
        let events = [EventInput::new("k", payload)];
        let parts = [ChannelEvents { channel: &a, events: &events }];
        let request = AppendRequest {
            parts: &parts,
            idempotency: Idempotency::Key("once"),
            ..AppendRequest::default()
        };
        store.main().submit(&request).unwrap().wait(Ack::Durable)
    };
    let store = world.open();
    let Outcome::Appended { at } = submit(&store, b"1") else { panic!() };
    assert_eq!(submit(&store, b"1"), Outcome::AlreadyAppended { at: at.clone() });
    store.close().unwrap();
    drop(store);
    let store = world.open();
    let Outcome::AlreadyAppended { at: again } = submit(&store, b"1") else { panic!() };
    assert_eq!((again.index, again.ranges()), (at.index, at.ranges()));
    let outcome = submit(&store, b"2");
    assert!(matches!(outcome, Outcome::Rejected { reason: Rejection::KeyReused { .. }, .. }), "{outcome:?}");
    assert_eq!(all(store.main(), "a"), ["1"]);
}

#[test]
fn a_channel_keeps_the_configuration_that_it_was_created_with() {
    let world = World::new();
    let store = world.open();
    let json = redex::ChannelConfig::with_content_type("application/json");
    let create = |config: &redex::ChannelConfig| {
        store.main().create_channel(&channel("a"), config).unwrap().wait(Ack::Durable)
    };
    assert!(matches!(create(&json), Outcome::Appended { .. }));
    assert!(matches!(create(&json), Outcome::AlreadyAppended { .. }));
    let refused = create(&redex::ChannelConfig::default());
    assert!(
        matches!(refused, Outcome::Rejected { reason: Rejection::ConfigMismatch { .. }, .. }),
        "{refused:?}"
    );
    assert_eq!(store.main().reader().view().channel(&channel("a")).unwrap().unwrap().config, json);
}

#[test]
fn as_many_keys_are_remembered_as_the_window_has_and_no_more() {
    let world = World::new();
    let store = world.open();
    let a = channel("a");
    let submit = |number: usize| {
        let (key, events) = (number.to_string(), [EventInput::new("k", b"1")]);
        let parts = [ChannelEvents { channel: &a, events: &events }];
        let idempotency = Idempotency::Key(&key);
        store
            .main()
            .submit(&AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() })
            .unwrap()
    };
    let first = submit(0);
    for number in 1..KEY_WINDOW {
        let _ = submit(number);
    }
    let at = first.wait(Ack::Durable).into_result().unwrap().at;
    assert_eq!(submit(0).wait(Ack::Durable), Outcome::AlreadyAppended { at }, "the oldest of a full window");
    // One key more takes the place of the oldest, and of no other.
    let _ = submit(KEY_WINDOW);
    assert!(matches!(submit(1).wait(Ack::Durable), Outcome::AlreadyAppended { .. }));
    assert!(
        matches!(submit(0).wait(Ack::Durable), Outcome::Appended { .. }),
        "forgotten, and so appended again"
    );
}

#[test]
fn an_entry_over_an_end_that_was_kept_unsigned_is_signed_at_once() {
    let world = World::new();
    let store = world.open();
    append(store.main(), "a", "1");
    let written = |store: &redex::Store, payload: &[u8]| {
        let events = [EventInput::new("k", payload)];
        store.main().append(&channel("a"), &events).unwrap().wait(Ack::Written).into_result().unwrap();
    };
    written(&store, b"2");
    let crashed = World::on(world.disk.snapshot().image(&CrashImage::All), 2);
    assert_eq!(crashed.verify().unsigned, 1, "what is only written is not signed");
    let store = crashed.open();
    // Its frame testifies to what opening has synced, on which others may rely from now on.
    written(&store, b"3");
    let crashed = World::on(crashed.disk.snapshot().image(&CrashImage::All), 3);
    let report = crashed.verify();
    assert_eq!((report.faults, report.entries, report.unsigned), (Vec::new(), 3, 0));
}
