//! A log that gives up its beginning: what goes, what stays, and what readers are told.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{CrashImage, Doors, Position, Seq};
use redex::{
    Ack, EventInput, Idempotency, Log, LogOptions, Outcome, ReadError, Retention, Selection, Store,
    StoreReader,
};

use crate::support::{DIR, TemporaryDirectory, World, all, append, channel, options};

/// Bytes of a segment, and of an event of which some 60 fill one.
const SEGMENT_BYTES: u64 = 64 << 10;
const PAYLOAD_BYTES: usize = 1_000;

fn keeping(retention: Retention) -> LogOptions {
    let mut options = options();
    options.segment_bytes = SEGMENT_BYTES;
    options.retention = retention;
    options
}

fn write(log: &Log, name: &str, count: usize) {
    let payload = "x".repeat(PAYLOAD_BYTES);
    for _ in 0..count {
        append(log, name, &payload);
    }
}

/// Lets the flusher do what it wants to do by now.
fn settle(world: &World, log: &Log) {
    for _ in 0..4 {
        world.clock.advance(Duration::from_millis(200));
        log.flush_step();
    }
}

fn files(world: &World) -> usize {
    world.disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "seg")).count()
}

fn seqs(log: &Log, name: &str) -> (u64, u64) {
    let info = log.reader().view().channel(&channel(name)).unwrap().unwrap();
    (info.first_seq.0, info.next_seq.0)
}

fn numbers(log: &Log, name: &str) -> Vec<u64> {
    let read = log.reader().view().read(&Selection::channel(&channel(name))).unwrap();
    read.map(|event| event.unwrap().seq.0).collect()
}

#[test]
fn a_log_keeps_so_many_bytes_and_all_of_it_verifies_and_opens_again() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::of_bytes(4 * SEGMENT_BYTES)));
    let log = store.main().clone();
    append(&log, "rare", "early");
    write(&log, "a", 1_000);
    append(&log, "rare", "late");
    settle(&world, &log);
    assert!((3..=6).contains(&files(&world)), "{} segments", files(&world));
    let (first, next) = seqs(&log, "a");
    assert!((600..950).contains(&first) && next == 1_000, "{first}..{next}");
    assert_eq!(numbers(&log, "a"), (first..next).collect::<Vec<_>>());
    assert_eq!(seqs(&log, "rare"), (1, 2));
    assert_eq!(all(&log, "rare"), ["late"]);
    let begins = log.reader().view().begins();
    assert_eq!(log.reader().view().segments()[0].first_index.0, begins.0);
    let report = world.verify();
    assert_eq!((report.faults, report.begins), (vec![], begins));
    store.close().unwrap();
    drop((store, log));
    let report = world.verify();
    assert_eq!((report.faults, report.begins, report.unsigned), (vec![], begins, 0));

    let store = world.open_with(&keeping(Retention::default()));
    let log = store.main();
    assert_eq!((seqs(log, "a"), seqs(log, "rare")), ((first, next), (1, 2)));
    assert_eq!(append(log, "a", "x").at.first_seq(), Some(Seq(next)), "numbers go on");
    assert_eq!(log.reader().view().begins(), begins);
}

#[test]
fn a_channel_that_was_given_up_whole_goes_on_with_its_numbers() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::of_events(10)));
    for _ in 0..5 {
        append(store.main(), "old", "x");
    }
    write(store.main(), "a", 200);
    settle(&world, store.main());
    assert_eq!(seqs(store.main(), "old"), (5, 5));
    assert!(numbers(store.main(), "old").is_empty());
    store.close().unwrap();
    drop(store);
    let store = world.open_with(&keeping(Retention::of_events(10)));
    assert_eq!(append(store.main(), "old", "new").at.first_seq(), Some(Seq(5)));
    assert_eq!(all(store.main(), "old"), ["new"]);
    assert_eq!(world.verify().faults, []);
}

#[test]
fn so_many_of_the_newest_events_stay() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::of_events(100)));
    for _ in 0..20 {
        write(store.main(), "a", 37);
        settle(&world, store.main());
        let (first, next) = seqs(store.main(), "a");
        assert!(next - first >= 100.min(next), "{first}..{next}");
        assert!(next - first <= 100 + 3 * 64, "{first}..{next}");
    }
    assert!(seqs(store.main(), "a").0 > 0);
}

#[test]
fn what_is_older_goes_also_while_nobody_writes() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::of_age(Duration::from_secs(3_600))));
    write(store.main(), "a", 200);
    world.clock.advance(Duration::from_secs(1_800));
    write(store.main(), "a", 200);
    settle(&world, store.main());
    assert_eq!(seqs(store.main(), "a").0, 0);
    let act = store.main().flush_step().expect("the flusher wants to look again");
    world.clock.advance(Duration::from_secs(1_800));
    assert!(act <= base::Clock::monotonic(&*world.clock), "when the first segment is old enough");
    settle(&world, store.main());
    let (first, _) = seqs(store.main(), "a");
    assert!((100..=200).contains(&first), "{first}");
    world.clock.advance(Duration::from_secs(7_200));
    settle(&world, store.main());
    assert_eq!(files(&world), 1, "the newest segment stays");
}

#[test]
fn nothing_is_given_up_that_somebody_holds() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::of_bytes(SEGMENT_BYTES)));
    let log = store.main();
    let first = log.hold("models", Position::ZERO).unwrap();
    let second = log.hold("backup", Position(150)).unwrap();
    write(log, "a", 300);
    settle(&world, log);
    assert_eq!((seqs(log, "a").0, log.holds().len()), (0, 2));
    first.advance(Position(200));
    settle(&world, log);
    let (begins, _) = seqs(log, "a");
    assert!(begins > 0 && begins <= 150, "{begins}");
    drop((first, second));
    settle(&world, log);
    assert!(seqs(log, "a").0 > 200);
    let late = log.hold("late", Position(10)).unwrap_err();
    assert!(matches!(late, ReadError::Trimmed { .. }));
    assert!(late.to_string().contains("read from there on"), "{late}");
}

#[test]
fn a_reader_that_is_passed_is_told_so() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::of_bytes(SEGMENT_BYTES)));
    let log = store.main();
    write(log, "a", 10);
    let whole = Selection::channel(&channel("a"));
    let mut slow = log.reader().tail(whole.clone());
    assert_eq!(slow.next_batch().unwrap().len(), 10);
    let mut lenient = log.reader().tail(Selection { skip_holes: true, ..whole.clone() });
    assert_eq!(lenient.next_batch().unwrap().len(), 10);
    let view = log.reader().view();
    let mut scan = view.scan(&whole).unwrap();
    write(log, "a", 500);
    settle(&world, log);
    let (first, next) = seqs(log, "a");
    assert!(first > 100);

    assert!(matches!(slow.next_batch().unwrap_err(), ReadError::Trimmed { .. }));
    let rest = lenient.next_batch().unwrap();
    assert_eq!(
        (rest[0].seq.0, rest.len() as u64),
        (first, next - first),
        "who skips goes on with what is there"
    );
    assert!(matches!(scan.next_chunk(), Err(ReadError::Trimmed { .. })), "a scan that begins too late");
    assert!(matches!(view.scan(&whole), Err(ReadError::Trimmed { .. })), "a view of what was");
    assert!(matches!(log.reader().view_at(Position(5)).channels(), Err(ReadError::Trimmed { .. })));

    let mut fresh = log.reader().tail(whole.clone());
    assert_eq!(fresh.next_batch().unwrap()[0].seq.0, first, "who asks for no beginning has the one there is");
    let mut from = whole.clone();
    from.seqs.from = Some(3);
    assert!(matches!(log.reader().tail(from.clone()).next_batch(), Err(ReadError::Trimmed { .. })));
    assert_eq!(
        log.reader().view().read(&from).unwrap().count() as u64,
        next - first,
        "a query has what is there"
    );
    from.seqs.from = Some(first);
    assert_eq!(log.reader().tail(from).next_batch().unwrap()[0].seq.0, first);
}

#[test]
fn repeats_are_known_beyond_what_is_kept() {
    let world = World::new();
    let submit = |store: &Store| {
        let name = channel("once");
        let events = [EventInput::new("k", b"1")];
        let parts = [redex::ChannelEvents { channel: &name, events: &events }];
        let idempotency = Idempotency::Key("key");
        let request = redex::AppendRequest { parts: &parts, idempotency, ..redex::AppendRequest::default() };
        store.main().submit(&request).unwrap().wait(Ack::Durable)
    };
    let store = world.open_with(&keeping(Retention::of_events(1)));
    let Outcome::Appended { at } = submit(&store) else { panic!() };
    write(store.main(), "a", 300);
    settle(&world, store.main());
    assert!(store.main().reader().view().begins() > at.position());
    assert!(matches!(submit(&store), Outcome::AlreadyAppended { at: again } if again == at));
    store.close().unwrap();
    drop(store);
    let store = world.open_with(&keeping(Retention::of_events(1)));
    assert!(matches!(submit(&store), Outcome::AlreadyAppended { at: again } if again.index == at.index));
}

#[test]
fn a_crash_at_any_operation_leaves_a_log_that_begins_before_or_behind_the_trim() {
    let world = World::new();
    let retention = keeping(Retention::of_bytes(2 * SEGMENT_BYTES));
    let snapshots = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let store = world.open_with(&retention);
    write(store.main(), "a", 250);
    let taken = std::sync::Arc::clone(&snapshots);
    world.disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    write(store.main(), "a", 10);
    let acknowledged = seqs(store.main(), "a").1;
    settle(&world, store.main());
    world.disk.on_operation(None);
    assert!(seqs(store.main(), "a").0 > 0);
    let snapshots = std::mem::take(&mut *snapshots.lock().unwrap());
    assert!(snapshots.len() > 20, "{} moments", snapshots.len());
    let mut begins = std::collections::BTreeSet::new();
    for (moment, snapshot) in snapshots.iter().enumerate() {
        for image in [CrashImage::None, CrashImage::All, CrashImage::Sectors { seed: moment as u64 }] {
            let crashed = World::on(snapshot.image(&image), 7);
            let store = crashed.open_with(&retention);
            let (first, next) = seqs(store.main(), "a");
            assert_eq!(
                numbers(store.main(), "a"),
                (first..next).collect::<Vec<_>>(),
                "moment {moment} {image:?}"
            );
            assert!(next >= 250 && next <= acknowledged);
            assert!(append(store.main(), "a", "x").at.first_seq() == Some(Seq(next)));
            store.close().unwrap();
            drop(store);
            let report = crashed.verify();
            assert_eq!(report.faults, [], "moment {moment} {image:?}");
            begins.insert(report.begins);
        }
    }
    assert!(begins.len() > 1, "{begins:?}");
}

#[test]
fn a_log_whose_first_segments_are_missing_without_a_trim_does_not_verify() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::default()));
    write(store.main(), "a", 200);
    store.close().unwrap();
    drop(store);
    let (first, _) = world
        .disk
        .files()
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    base::Disk::remove(&world.disk, &first).unwrap();
    let report = world.verify();
    assert_eq!(report.faults.len(), 1);
    assert_eq!(report.faults[0].expected, "a segment that begins at entry 0");
}

#[test]
fn the_log_gives_up_by_itself_under_constant_write_and_readers_of_other_processes_follow() {
    let place = TemporaryDirectory::new();
    let doors = Doors::system();
    let mut options = LogOptions::default();
    options.segment_bytes = SEGMENT_BYTES;
    options.retention = Retention::of_bytes(8 * SEGMENT_BYTES);
    options.sync_within = Duration::from_millis(1);
    let store = Store::open(place.path(), &doors, &options).unwrap();
    append(store.main(), "a", "first");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            write(store.main(), "a", 3_000);
            ended.store(true, Ordering::Relaxed);
        });
        // A reader as another process has it: with files of its own.
        let reader = StoreReader::open(place.path(), &doors, &options).unwrap();
        let whole = Selection::channel(&channel("a"));
        let (mut read, mut passed) = (0, 0);
        while !ended.load(Ordering::Relaxed) {
            reader.main().refresh().unwrap();
            let view = reader.main().view();
            match view.read(&whole).and_then(|events| events.map(|event| event.map(|it| it.seq.0)).collect())
            {
                Ok(seqs) => {
                    let seqs: Vec<u64> = seqs;
                    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "numbers without a gap");
                    read += 1;
                }
                // The next look begins where the log does.
                Err(ReadError::Trimmed { .. }) => passed += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(read > 0, "{read} read, {passed} passed");
    });
    store.main().sync().unwrap();
    append(store.main(), "a", "last");
    let segments = || {
        let names = doors.disk.list(&place.path().join("logs/main")).unwrap();
        names.iter().filter(|name| name.ends_with(".seg")).count()
    };
    let begun = doors.clock.monotonic();
    while segments() > 10 {
        assert!(doors.clock.monotonic() - begun < Duration::from_secs(10), "{} segments stay", segments());
        std::thread::yield_now();
    }
    store.close().unwrap();
    let report = redex::verify(Path::new(place.path()), &doors, &redex::VerifyOptions::default()).unwrap();
    assert_eq!(report.faults, []);
}

#[test]
fn a_reader_of_another_process_that_was_left_behind_goes_on_where_the_log_does() {
    let world = World::new();
    let options = keeping(Retention::of_bytes(2 * SEGMENT_BYTES));
    let store = world.open_with(&options);
    write(store.main(), "a", 10);
    let reader = StoreReader::open(Path::new(DIR), &world.doors, &options).unwrap();
    assert_eq!(reader.main().refresh().unwrap(), store.main().reader().visible());
    write(store.main(), "a", 500);
    settle(&world, store.main());
    assert!(seqs(store.main(), "a").0 > 100, "nothing is left of what the reader has seen");
    assert_eq!(reader.main().refresh().unwrap(), store.main().reader().visible());
    let read = |view: redex::LogView| -> Vec<u64> {
        view.read(&Selection::channel(&channel("a"))).unwrap().map(|event| event.unwrap().seq.0).collect()
    };
    assert_eq!(read(reader.main().view()), read(store.main().reader().view()));
}

#[test]
fn space_tells_what_is_filled_ahead_and_what_was_given_up() {
    let world = World::new();
    let store = world.open_with(&keeping(Retention::default()));
    write(store.main(), "a", 200);
    let space = || redex::space(Path::new(crate::support::DIR), &world.doors).unwrap();
    let open = space();
    assert!(open.ahead > 0 && open.garbage() == 0, "{open:?}");
    let files: u64 = world
        .disk
        .files()
        .iter()
        .filter(|(path, _)| path.starts_with("/node/logs/main"))
        .map(|(_, bytes)| bytes)
        .sum();
    assert_eq!(open.total(), files);
    store.close().unwrap();
    drop(store);
    assert_eq!(space().ahead, 0, "a clean close gives back what was filled ahead");

    // A crash between the record of a trim and the removal of its segments.
    let before = world.disk.snapshot().image(&CrashImage::All);
    let store = world.open_with(&keeping(Retention::of_bytes(SEGMENT_BYTES)));
    settle(&world, store.main());
    assert!(store.main().reader().view().begins() > Position::ZERO);
    store.close().unwrap();
    drop(store);
    for (path, _) in before.files() {
        if !world.disk.files().iter().any(|(there, _)| *there == path) {
            world.disk.write(&path, &before.read(&path).unwrap());
        }
    }
    let left = space();
    assert!(left.given_up > SEGMENT_BYTES && left.reclaimable() == left.given_up, "{left:?}");
    drop(world.open_with(&keeping(Retention::default())));
    assert_eq!(space().given_up, 0, "opening removes what was given up");
}

#[test]
fn a_strict_opening_refuses_what_it_would_set_aside() {
    let world = World::new();
    let store = world.open();
    append(store.main(), "a", "first");
    append(store.main(), "a", "second");
    store.close().unwrap();
    drop(store);
    let (path, _) = world
        .disk
        .files()
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let at = world.disk.read(&path).unwrap().windows(5).position(|bytes| bytes == b"first").unwrap();
    world.disk.flip_bit(&path, 8 * at as u64);
    let mut strict = options();
    strict.strict = true;
    let before = world.disk.read(&path);
    let refused = Store::open(Path::new(crate::support::DIR), &world.doors, &strict).unwrap_err();
    assert!(refused.to_string().contains("without `strict` would set aside"), "{refused}");
    assert_eq!(base::Classify::kind(&refused), base::ErrorKind::Corrupt);
    assert!(world.disk.read(&path) == before, "the segment was changed");
    let store = world.open();
    assert_eq!(store.recovery().quarantined.len(), 1);
    let holes = store.main().reader().view().holes();
    assert_eq!((holes.len(), holes[0].next.0 - holes[0].first.0), (1, 1));
}
