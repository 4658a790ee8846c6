//! Events that are taken out of a log: what goes, what stays, and what a crash leaves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::{ChannelName, Classify, CrashImage, Disk, ErrorKind, Seq};
use redex::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, Compression, EventInput, Idempotency, Log, LogOptions,
    Outcome, RedactError, Retention, Selection, Store, StoreReader,
};

use crate::support::{DIR, Dice, World, append, channel, each_seed, options};

const SECRET: &str = "the-secret-of-nobody";

fn people() -> ChannelName {
    channel("people")
}

fn create(log: &Log) {
    let created = log.create_channel(&people(), &ChannelConfig::of_erasable()).unwrap().wait(Ack::Durable);
    created.into_result().unwrap();
}

/// Appends an event with the secret, and its number, in each of its parts.
fn confide(log: &Log, number: u64) {
    let (kind, key, payload) = (
        format!("kind-{SECRET}-{number}"),
        format!("key-{SECRET}-{number}"),
        format!("{SECRET}-{number} ").repeat(9),
    );
    let headers: &[(&str, &[u8])] = &[("who", SECRET.as_bytes())];
    let event = EventInput::new(&kind, payload.as_bytes()).with_key(&key).with_headers(headers);
    let ticket = log.append(&people(), &[event]).unwrap();
    ticket.wait(Ack::Durable).into_result().unwrap();
}

/// Reads which events have content, and checks those that have.
fn content(log: &Log) -> Vec<bool> {
    let read = log.reader().view().read(&Selection::channel(&people())).unwrap();
    let mut next = 0;
    read.map(|event| {
        let event = event.unwrap();
        assert_eq!(event.seq, Seq(next));
        if event.is_redacted() {
            let empty = (event.kind.len(), event.key, event.headers.len(), event.payload.len(), event.time);
            assert_eq!(empty, (0, None, 0, 0, None));
        } else {
            assert_eq!(event.kind, format!("kind-{SECRET}-{next}"));
            assert!(event.payload.starts_with(format!("{SECRET}-{next} ").as_bytes()));
        }
        next += 1;
        !event.redacted
    })
    .collect()
}

/// Returns the files that hold a text.
fn files_with(world: &World, text: &str) -> Vec<PathBuf> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let files = world.disk.files().into_iter();
    files.filter(|(path, _)| has(&world.disk.read(path).unwrap())).map(|(path, _)| path).collect()
}

fn small() -> LogOptions {
    let mut options = options();
    options.segment_bytes = 16 << 10;
    options
}

#[test]
fn what_is_redacted_is_gone_and_everything_else_reads_and_verifies_as_before() {
    for compression in [Compression::None, Compression::Zstd] {
        let world = World::new();
        let mut options = small();
        options.compression = compression;
        let store = world.open_with(&options);
        let log = store.main();
        create(log);
        for number in 0..40 {
            confide(log, number);
            append(log, "plain", &format!("plain {number} ").repeat(20));
        }
        let root = world.verify().root;
        let position = log.reader().visible();
        assert!(log.reader().view().segments().len() > 2);

        let done = log.redact(&people(), [3, 4, 5, 17, 39], "asked for").unwrap();
        assert_eq!(done.events, 5);
        let again = log.redact(&people(), 4..6, "again").unwrap();
        assert_eq!((again.index, again.events), (None, 0));
        let expected: Vec<bool> = (0..40).map(|number| ![3, 4, 5, 17, 39].contains(&number)).collect();
        assert_eq!(content(log), expected);
        for gone in [3, 4, 5, 17, 39] {
            assert_eq!(
                files_with(&world, &format!("{SECRET}-{gone} ")),
                [""; 0].map(PathBuf::from),
                "{gone}"
            );
        }
        assert_eq!(files_with(&world, &format!("{SECRET}-6 ")).len(), 1);
        assert_eq!(crate::support::all(log, "plain").len(), 40);
        let report = world.verify();
        assert_eq!((report.faults, report.redacted), (vec![], 5));
        store.close().unwrap();
        drop(store);
        let report = world.verify();
        assert_eq!((report.faults, report.redacted, report.unsigned), (vec![], 5, 0));

        let store = world.open_with(&options);
        assert_eq!(content(store.main()), expected);
        assert_eq!(store.recovery().finished_redactions, 0);
        // The root over what was there before is what it was.
        let view = store.main().reader().view_at(position);
        assert_eq!(view.position(), position);
        assert_ne!(report.root, root, "the record has joined it");
    }
}

#[test]
fn what_cannot_be_redacted_is_refused_and_says_why() {
    let world = World::new();
    let store = world.open();
    let log = store.main();
    create(log);
    (0..3).for_each(|number| confide(log, number));
    append(log, "plain", "x");
    let before = log.reader().visible();
    let refused = |name: &str, seqs: &[u64], reason: &str| {
        let error = log.redact(&channel(name), seqs.iter().copied(), reason).unwrap_err();
        (error.to_string(), error.kind())
    };
    assert_eq!(refused("none", &[0], "").1, ErrorKind::NotFound);
    let (text, kind) = refused("plain", &[0], "");
    assert!(text.contains("not erasable") && kind == ErrorKind::Invalid, "{text}");
    assert_eq!(refused("people", &[], "").1, ErrorKind::Invalid);
    let (text, kind) = refused("people", &[2, 3], "");
    assert_eq!(
        (text.as_str(), kind),
        ("event 3 is not in channel `people`, which has 0 to below 3", ErrorKind::NotFound)
    );
    assert_eq!(refused("people", &[u64::MAX], "").1, ErrorKind::NotFound);
    assert_eq!(refused("people", &[1], &"x".repeat(2_000)).1, ErrorKind::Invalid);
    let endless = log.redact(&people(), 0.., "").unwrap_err();
    assert!(matches!(endless, RedactError::TooLarge { .. }), "{endless}");
    assert_eq!((content(log), log.reader().visible()), (vec![true; 3], before));
    store.close().unwrap();
    assert!(matches!(log.redact(&people(), 0..1, ""), Err(RedactError::Append(_))));
    assert_eq!(world.verify().faults, []);
}

#[test]
fn a_channel_is_erasable_from_its_creation_or_never() {
    let world = World::new();
    let store = world.open();
    create(store.main());
    let plain = store.main().create_channel(&people(), &ChannelConfig::default()).unwrap().wait(Ack::Durable);
    assert!(matches!(plain, Outcome::Rejected { .. }));
    let view = store.main().reader().view();
    assert!(view.channel(&people()).unwrap().unwrap().config.erasable);
    drop((view, store));
    assert!(world.open().main().reader().view().channel(&people()).unwrap().unwrap().config.erasable);
}

#[test]
fn a_reader_that_began_before_sees_nothing_redacted_afterwards() {
    let world = World::new();
    let store = world.open_with(&small());
    let log = store.main();
    create(log);
    (0..30).for_each(|number| confide(log, number));
    assert_eq!(content(log), [true; 30], "which fills the caches");
    let view = log.reader().view();
    let whole = Selection::channel(&people());
    let mut events = view.read(&whole).unwrap();
    assert!(!events.next().unwrap().unwrap().is_redacted());
    let mut scan = view.scan(&whole).unwrap();
    scan.next_chunk().unwrap();
    let mut backward = view.scan(&Selection { reverse: true, ..whole.clone() }).unwrap();
    backward.next_chunk().unwrap();
    let mut last = view.scan(&Selection { last: Some(25), ..whole.clone() }).unwrap();
    let mut by_kind =
        view.scan(&Selection { kinds: Some(vec![format!("kind-{SECRET}-7")]), ..whole.clone() }).unwrap();
    let mut tail = log.reader().tail(whole);
    tail.next_chunk().unwrap();
    let other = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    let mut elsewhere = other.main().view().read(&Selection::channel(&people())).unwrap();
    assert!(!elsewhere.next().unwrap().unwrap().is_redacted());

    log.redact(&people(), 1..29, "").unwrap();
    assert!(events.take(28).all(|event| event.unwrap().is_redacted()));
    for scan in [&mut scan, &mut backward, &mut last] {
        while let Some(chunk) = scan.next_chunk().unwrap() {
            assert!(chunk.events().all(|event| event.is_redacted() || [0, 29].contains(&event.seq.0)));
        }
    }
    assert!(by_kind.next_chunk().unwrap().is_none());
    let rest = tail.next_batch().unwrap();
    assert!(rest[..28].iter().all(redex::Event::is_redacted) && !rest[28].is_redacted());
    other.main().refresh().unwrap();
    assert!(elsewhere.take(28).all(|event| event.unwrap().is_redacted()));
}

#[test]
fn events_of_one_entry_are_redacted_one_by_one_and_neighbours_stay() {
    let world = World::new();
    let store = world.open();
    let log = store.main();
    create(log);
    let plain = channel("plain");
    for batch in 0..3 {
        let payloads: Vec<_> = (0..10).map(|nth| format!("{SECRET}-{batch}-{nth}!")).collect();
        let mut zeros = vec![0; 3_000];
        zeros[1_500] = 1;
        let events: Vec<_> = payloads.iter().map(|it| EventInput::new("k", it.as_bytes())).collect();
        let other = [EventInput::new("zeros", &zeros)];
        let parts = [
            ChannelEvents { channel: &people(), events: &events[..5] },
            ChannelEvents { channel: &plain, events: &other },
            ChannelEvents { channel: &people(), events: &events[5..] },
        ];
        let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
        log.submit(&request).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    log.redact(&people(), [1, 7, 8, 25], "").unwrap();
    log.redact(&people(), [2, 8, 26], "").unwrap();
    // Escaping may stand within a text of the frames with zeros.
    for seq in [1, 2, 7, 8, 25, 26] {
        let text = format!("{SECRET}-{}-{}!", seq / 10, seq % 10);
        assert_eq!(files_with(&world, &text), [""; 0].map(PathBuf::from), "{seq}");
    }
    for event in log.reader().view().read(&Selection::channel(&people())).unwrap() {
        let event = event.unwrap();
        let seq = event.seq.0;
        let text = format!("{SECRET}-{}-{}!", seq / 10, seq % 10);
        assert_eq!(event.redacted, [1, 2, 7, 8, 25, 26].contains(&seq), "{seq}");
        assert!(event.redacted || event.payload == text.as_bytes());
    }
    let read = log.reader().view().read(&Selection::default()).unwrap();
    let ordinals: Vec<_> = read.map(|event| event.unwrap().ordinal).collect();
    assert_eq!(ordinals, [(0..11).collect::<Vec<_>>(), (0..11).collect(), (0..11).collect()].concat());
    assert_eq!(world.verify().faults, []);
}

#[test]
fn a_repeated_append_is_known_and_leaves_no_hash_of_its_content() {
    let world = World::new();
    let store = world.open();
    create(store.main());
    let name = people();
    let submit = |payloads: &[&str]| {
        let events: Vec<_> = payloads.iter().map(|it| EventInput::new("k", it.as_bytes())).collect();
        let parts = [ChannelEvents { channel: &name, events: &events }];
        let idempotency = Idempotency::Key("once");
        let request = AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() };
        store.main().submit(&request).unwrap().wait(Ack::Durable)
    };
    assert!(matches!(submit(&["a"]), Outcome::Appended { .. }));
    store.main().redact(&name, 0..1, "").unwrap();
    assert!(matches!(submit(&["a"]), Outcome::AlreadyAppended { .. }));
    assert!(
        matches!(submit(&["another"]), Outcome::AlreadyAppended { .. }),
        "which nothing can tell any more"
    );
    assert!(matches!(submit(&["a", "b"]), Outcome::Rejected { .. }));
}

#[test]
fn each_flipped_bit_of_an_erasable_log_is_found() {
    let world = World::new();
    let store = world.open();
    create(store.main());
    (0..4).for_each(|number| confide(store.main(), number));
    store.main().redact(&people(), 1..3, "").unwrap();
    store.close().unwrap();
    drop(store);
    let (path, bytes) = segment(&world);
    for bit in (0..bytes * 8).step_by(7) {
        world.disk.flip_bit(&path, bit);
        assert!(!world.verify().faults.is_empty(), "bit {bit}");
        world.disk.flip_bit(&path, bit);
    }
    assert_eq!(world.verify().faults, []);
}

fn segment(world: &World) -> (PathBuf, u64) {
    let files = world.disk.files();
    files.into_iter().find(|(path, _)| path.extension().is_some_and(|end| end == "seg")).unwrap()
}

#[test]
fn a_crash_at_any_operation_leaves_nothing_of_a_redaction_or_all_of_it() {
    let world = World::new();
    let store = world.open_with(&small());
    create(store.main());
    (0..30).for_each(|number| {
        confide(store.main(), number);
        append(store.main(), "plain", "x");
    });
    let moments = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&moments);
    world.disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    store.main().redact(&people(), [2, 3, 14, 28, 29], "asked for").unwrap();
    world.disk.on_operation(None);
    let moments = std::mem::take(&mut *moments.lock().unwrap());
    assert!(moments.len() > 10, "{} moments", moments.len());
    let whole = vec![true; 30];
    let redacted: Vec<bool> = (0..30).map(|number| ![2, 3, 14, 28, 29].contains(&number)).collect();
    let (mut with, mut without, mut finished) = (0, 0, 0);
    for (moment, snapshot) in moments.iter().enumerate() {
        let torn = (0..4).map(|seed| CrashImage::Sectors { seed: 100 * moment as u64 + seed });
        for image in [CrashImage::None, CrashImage::All].into_iter().chain(torn) {
            let what = format!("moment {moment} {image:?}");
            let left = snapshot.image(&image);
            let crashed = World::on(left.clone(), 7);
            assert_eq!(crashed.verify().faults, [], "before opening: {what}");
            let reader = StoreReader::open(Path::new(DIR), &crashed.doors, &small()).unwrap();
            let seen: Vec<bool> = reader
                .main()
                .view()
                .read(&Selection::channel(&people()))
                .unwrap()
                .map(|event| !event.unwrap().is_redacted())
                .collect();
            assert!(seen == whole || seen == redacted, "{what}: {seen:?}");
            drop(reader);
            // Within the recovery, too.
            let again = Arc::new(Mutex::new(Vec::new()));
            let taken = Arc::clone(&again);
            crashed
                .disk
                .on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
            let store = crashed.open_with(&small());
            crashed.disk.on_operation(None);
            let found = content(store.main());
            finished += store.recovery().finished_redactions;
            assert_eq!(found, seen, "{what}: opening changes nothing that readers saw");
            if found == redacted {
                for gone in [2, 3, 14, 28, 29] {
                    let text = format!("{SECRET}-{gone} ");
                    assert_eq!(files_with(&crashed, &text), [""; 0].map(PathBuf::from), "{what}: {gone}");
                }
                with += 1;
            } else {
                without += 1;
            }
            let names = crashed.disk.list(Path::new("/node/logs/main")).unwrap();
            assert!(!names.iter().any(|name| name.starts_with("redaction")), "{what}: {names:?}");
            assert_eq!(store.recovery().quarantined, []);
            assert_eq!(crashed.verify().faults, [], "{what}");
            let again = std::mem::take(&mut *again.lock().unwrap());
            for (nth, snapshot) in again.iter().enumerate() {
                let image = CrashImage::Sectors { seed: moment as u64 * 31 + nth as u64 };
                let crashed = World::on(snapshot.image(&image), 8);
                let store = crashed.open_with(&small());
                assert_eq!(content(store.main()), found, "{what}, then {nth}");
                assert_eq!(crashed.verify().faults, [], "{what}, then {nth}");
            }
            append(store.main(), "people", "goes on");
        }
    }
    assert!(with > 20 && without > 20 && finished > 20, "{with} {without} {finished}");
}

#[test]
fn a_disk_that_fails_midway_leaves_a_redaction_that_the_next_opening_finishes() {
    let operations = |fail: Option<u64>| {
        let world = World::new();
        let store = world.open();
        create(store.main());
        (0..6).for_each(|number| confide(store.main(), number));
        let before = world.disk.operation_count();
        if let Some(ahead) = fail {
            world.disk.inject(before + ahead, base::Fault::Error(5));
        }
        let done = store.main().redact(&people(), 1..3, "");
        (world, store, done, before)
    };
    let (world, _, done, before) = operations(None);
    done.unwrap();
    let count = world.disk.operation_count() - before;
    assert!(count > 8, "{count}");
    for ahead in 0..count {
        let (world, store, done, _) = operations(Some(ahead));
        let seen = content(store.main());
        match done {
            Err(RedactError::Unfinished { .. }) | Ok(_) => assert_eq!(&seen[..4], [true, false, false, true]),
            Err(_) => assert!(seen.iter().all(|whole| *whole) || seen[1..3] == [false, false], "{ahead}"),
        }
        drop(store);
        let store = world.open();
        let seen = content(store.main());
        let gone = files_with(&world, &format!("{SECRET}-2 ")).is_empty();
        assert_eq!(gone, !seen[2], "{ahead}");
        store.main().redact(&people(), 1..3, "").unwrap();
        assert_eq!(&content(store.main())[..4], [true, false, false, true], "{ahead}");
        assert_eq!(files_with(&world, &format!("{SECRET}-1 ")), [""; 0].map(PathBuf::from));
        assert_eq!(world.verify().faults, [], "{ahead}");
    }
}

#[test]
fn what_was_taken_out_without_a_record_or_put_back_behind_one_does_not_verify() {
    let world = World::new();
    let store = world.open();
    create(store.main());
    (0..6).for_each(|number| confide(store.main(), number));
    let (path, _) = segment(&world);
    let before = world.disk.read(&path).unwrap();
    store.main().redact(&people(), 1..3, "").unwrap();
    store.close().unwrap();
    drop(store);
    let after = world.disk.read(&path).unwrap();
    assert_eq!(world.verify().faults, []);
    // The frames of the events as they were, with the record behind them.
    let begin = before.iter().zip(&after).position(|(old, new)| old != new).unwrap();
    let end = before.windows(SECRET.len()).rposition(|bytes| bytes == SECRET.as_bytes()).unwrap();
    let mut back = after.clone();
    back[begin..end].copy_from_slice(&before[begin..end]);
    world.disk.write(&path, &back);
    let faults = world.verify().faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].expected, "event 1 of channel people taken out, as this entry says");
    // Content gone, and no record of it.
    let mut gone = before.clone();
    gone[begin..end].copy_from_slice(&after[begin..end]);
    world.disk.write(&path, &gone);
    let faults = world.verify().faults;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].expected.contains("or a record that it was redacted"), "{faults:?}");
}

#[test]
fn redactions_stand_behind_a_trim_and_over_many_openings() {
    let world = World::new();
    let mut options = small();
    options.retention = Retention::of_bytes(48 << 10);
    let mut next = 0;
    for round in 0..6 {
        let store: Store = world.open_with(&options);
        let log = store.main();
        if round == 0 {
            create(log);
        }
        for _ in 0..30 {
            confide(log, next);
            next += 1;
        }
        log.redact(&people(), [next - 1, next - 7], "").unwrap();
        for _ in 0..3 {
            world.clock.advance(std::time::Duration::from_millis(200));
            log.flush_step();
        }
        assert_eq!(world.verify().faults, [], "{round}");
        store.close().unwrap();
        drop(store);
        let report = world.verify();
        assert_eq!(report.faults, [], "{round}");
        assert!(report.redacted >= 2);
    }
    let store = world.open_with(&options);
    let info = store.main().reader().view().channel(&people()).unwrap().unwrap();
    assert!(info.first_seq.0 > 0);
    let given_up = store.main().redact(&people(), 0..1, "").unwrap_err();
    assert!(matches!(given_up, RedactError::NotThere { seq: Seq(0), .. }), "{given_up}");
}

#[test]
fn random_redactions_agree_with_a_set_of_numbers() {
    each_seed(0..12, |seed| {
        let dice = Dice::new(seed);
        let world = World::new();
        let mut options = small();
        options.compression = *dice.pick(&[Compression::None, Compression::Lz4]);
        let mut store = world.open_with(&options);
        create(store.main());
        let mut content_of: Vec<bool> = Vec::new();
        for _ in 0..40 {
            match dice.below(10) {
                0..=5 => {
                    let numbers: Vec<u64> =
                        (0..1 + dice.below(4)).map(|nth| content_of.len() as u64 + nth).collect();
                    for number in numbers {
                        confide(store.main(), number);
                        content_of.push(true);
                    }
                }
                6..=8 if !content_of.is_empty() => {
                    let seqs: Vec<u64> =
                        (0..1 + dice.below(5)).map(|_| dice.below(content_of.len() as u64)).collect();
                    store.main().redact(&people(), seqs.iter().copied(), "").unwrap();
                    seqs.iter().for_each(|seq| content_of[usize::try_from(*seq).unwrap()] = false);
                }
                _ => {
                    drop(store);
                    store = world.open_with(&options);
                }
            }
            assert_eq!(content(store.main()), content_of);
        }
        for (number, whole) in content_of.iter().enumerate() {
            assert_eq!(!files_with(&world, &format!("{SECRET}-{number} ")).is_empty(), *whole, "{number}");
        }
        assert_eq!(world.verify().faults, []);
    });
}
