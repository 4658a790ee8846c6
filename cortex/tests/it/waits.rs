//! Tokens and waits: what comes true, and every way in which it does not.

use std::time::Duration;

use base::{CrashImage, IncarnationId, LogId, Position};
use cortex::{Applied, ErrorPolicy, FoldStopped, RunMode, WaitError, WriteError, WriteToken};
use redex::Ack;

use crate::counter::World;

const NOW: Option<Duration> = Some(Duration::ZERO);

#[test]
fn a_writer_reads_its_own_write_without_a_thread_that_folds() {
    let world = World::new(ErrorPolicy::Stop);
    for number in 1..=10 {
        let written = world.write("number", "3");
        assert_eq!(written.applied().unwrap(), Applied::Changed);
        assert_eq!(world.sum.snapshot().unwrap().state, 3 * number);
    }
    assert_eq!(world.sum.lag(), 0);
}

#[test]
fn a_fold_on_a_thread_reaches_what_is_waited_for_by_a_future() {
    let disk = base::SimulatedDisk::new();
    let world = World::on(disk, 1, ErrorPolicy::Stop, RunMode::Thread);
    let written = world.write("number", "7");
    let token = written.token().unwrap();
    let reached = world.sum.reached(&token).unwrap();
    written.durable().unwrap();
    block_on(reached).unwrap();
    assert_eq!(world.sum.snapshot().unwrap().state, 7);
}

#[test]
fn many_writers_read_their_own_writes_while_others_watch() {
    const WRITERS: i64 = 8;
    const WRITES: i64 = 200;
    // With a clock on which waiting takes time.
    let doors = base::Doors::memory();
    let store = redex::Store::open("/node".as_ref(), &doors, &redex::LogOptions::default()).unwrap();
    let runner = cortex::Runner::new(store.main().reader(), doors.clock.clone(), Default::default());
    let writer = std::sync::Arc::new(store.main().clone());
    let sum = runner.add(crate::counter::Sum, ErrorPolicy::Stop, Some(writer)).unwrap();
    runner.start();
    let (_, mut subscription) = sum.subscribe().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for written in 1..=WRITES {
                    assert_eq!(
                        crate::counter::write(&sum, "number", "1").applied().unwrap(),
                        Applied::Changed
                    );
                    assert!(sum.snapshot().unwrap().state >= written);
                }
            });
        }
        scope.spawn(|| {
            let mut seen = 0;
            while seen < WRITERS * WRITES {
                let news = subscription.next_blocking(&*doors.clock).unwrap();
                seen += news.changes.unwrap().iter().sum::<i64>();
                assert_eq!(news.snapshot.state, seen);
            }
        });
    });
    assert_eq!(sum.snapshot().unwrap().state, WRITERS * WRITES);
}

#[test]
fn what_comes_beside_those_who_fold_their_own_writes_is_folded_too() {
    const WRITES: i64 = 500;
    let doors = base::Doors::memory();
    let store = redex::Store::open("/node".as_ref(), &doors, &redex::LogOptions::default()).unwrap();
    let runner = cortex::Runner::new(store.main().reader(), doors.clock.clone(), Default::default());
    let writer = std::sync::Arc::new(store.main().clone());
    let sum = runner.add(crate::counter::Sum, ErrorPolicy::Stop, Some(writer)).unwrap();
    runner.start();
    for _ in 0..WRITES {
        // Folds itself, so that the thread sleeps on.
        crate::counter::write(&sum, "number", "1").applied().unwrap();
        // Does not fold: only the thread can.
        let written = crate::counter::write(&sum, "number", "1");
        let position = written.durable().unwrap().at.position();
        let begun = doors.clock.monotonic();
        while sum.folded_through() < position {
            assert!(doors.clock.monotonic() - begun < Duration::from_secs(10), "nobody folds");
            std::thread::yield_now();
        }
    }
    assert_eq!(sum.snapshot().unwrap().state, 2 * WRITES);
}

#[test]
fn a_thread_that_sleeps_is_woken_by_every_write_that_nobody_folds() {
    const WRITES: i64 = 20;
    let doors = base::Doors::memory();
    let store = redex::Store::open("/node".as_ref(), &doors, &redex::LogOptions::default()).unwrap();
    let runner = cortex::Runner::new(store.main().reader(), doors.clock.clone(), Default::default());
    let writer = std::sync::Arc::new(store.main().clone());
    let sum = runner.add(crate::counter::Sum, ErrorPolicy::Stop, Some(writer)).unwrap();
    runner.start();
    for _ in 0..WRITES {
        let position = crate::counter::write(&sum, "number", "1").durable().unwrap().at.position();
        let begun = doors.clock.monotonic();
        while sum.folded_through() < position {
            assert!(doors.clock.monotonic() - begun < Duration::from_secs(10), "nobody folds");
            std::thread::yield_now();
        }
    }
    assert_eq!(sum.snapshot().unwrap().state, WRITES);
}

#[test]
fn writers_help_a_fold_that_is_far_behind() {
    let world = World::new(ErrorPolicy::Stop);
    let mut most = 0;
    for _ in 0..3 * cortex::limits::LAG_MAX {
        // One entry each, which nobody folds.
        world.write("number", "1").durable().unwrap();
        most = most.max(world.sum.lag());
    }
    assert_eq!(
        most,
        cortex::limits::LAG_MAX + 1,
        "the one that comes behind the limit is helped before it writes"
    );
}

#[test]
fn a_fold_that_begins_behind_what_the_log_still_has_says_so() {
    let disk = base::SimulatedDisk::new();
    let open = || {
        let doors = base::Doors::with_disk(std::sync::Arc::new(disk.clone()));
        let mut options = redex::LogOptions::default();
        options.segment_bytes = 64 << 10;
        redex::Store::open("/node".as_ref(), &doors, &options).unwrap()
    };
    let add = |store: &redex::Store, position: Position| {
        let clock = base::Doors::memory().clock;
        let runner = cortex::Runner::new(store.main().reader(), clock, Default::default());
        let from = cortex::Snapshot { state: 0, position };
        runner.add_from(crate::counter::Sum, ErrorPolicy::Stop, None, from).map(drop)
    };
    let append = |store: &redex::Store, channel: &str, payload: &[u8]| {
        let channel = crate::counter::channel(channel);
        let ticket = store.main().append(&channel, &[redex::EventInput::new("number", payload)]).unwrap();
        ticket.wait(Ack::Durable).into_result().unwrap().at.position()
    };
    let store = open();
    append(&store, "numbers", b"1");
    let mut padding = 0;
    while store.main().reader().view().segments().len() < 3 {
        append(&store, "padding", &[0; 1_000]);
        padding += 1;
    }
    append(&store, "numbers", b"2");
    store.close().unwrap();
    let segments = store.main().reader().view().segments();
    drop(store);
    let (first, _) =
        disk.files().into_iter().find(|(path, _)| path.extension().is_some_and(|e| e == "seg")).unwrap();
    base::Disk::remove(&disk, &first).unwrap();
    let store = open();
    let refused = add(&store, Position::ZERO).unwrap_err();
    let begins = segments[1].first_index.0;
    assert_eq!(
        refused.to_string(),
        format!(
            "model `sum` needs the log from position 0 on, which begins at {begins} by now: \
             open it from a snapshot or a checkpoint that includes what is gone"
        )
    );
    add(&store, Position(begins)).unwrap();
    assert!(padding > 0);
}

#[test]
fn an_outcome_says_what_the_event_did() {
    let world = World::new(ErrorPolicy::SkipAndRecord);
    assert_eq!(world.write("number", "0").applied().unwrap(), Applied::Unchanged);
    assert_eq!(world.write("from.the.future", "1").applied().unwrap(), Applied::Ignored);
    let skipped = world.write("poison", "").applied();
    assert!(matches!(skipped, Err(WriteError::Wait(WaitError::Skipped { .. }))), "{skipped:?}");
    assert_eq!(world.write("number", "5").applied().unwrap(), Applied::Changed);
    let metrics = world.sum.metrics();
    assert_eq!((metrics.events_total, metrics.skipped_total, metrics.ignored_total), (4, 1, 1));
}

#[test]
fn the_newest_unusual_outcomes_are_remembered() {
    let world = World::new(ErrorPolicy::SkipAndRecord);
    let most = cortex::limits::OUTCOMES_MAX as u64;
    for _ in 0..most {
        drop(world.write("number", "0"));
    }
    drop(world.write("poison", ""));
    world.write("number", "1").applied().unwrap();
    let outcome = |seq| world.sum.outcome(&crate::counter::channel("numbers"), base::Seq(seq));
    assert_eq!(outcome(0), Ok(Applied::Changed), "the oldest is forgotten");
    assert_eq!(outcome(1), Ok(Applied::Unchanged));
    assert_eq!(outcome(most - 1), Ok(Applied::Unchanged));
    assert!(matches!(outcome(most), Err(WaitError::Skipped { .. })));
    assert_eq!(outcome(most + 1), Ok(Applied::Changed));
}

#[test]
fn a_writer_that_awaits_its_own_write_takes_nobodys_place() {
    let world = World::new(ErrorPolicy::Stop);
    world.sum.set_waits_max(1);
    let written = world.write("number", "1");
    let token = written.token().unwrap();
    written.durable().unwrap();
    let mut own = std::pin::pin!(written.applied_async());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(own.as_mut().poll(&mut context).is_pending(), "nobody has folded it yet");
    let other = world.sum.reached(&token).unwrap();
    world.runner.step();
    block_on(other).unwrap();
    assert_eq!(block_on(own).unwrap(), Applied::Changed);
}

#[test]
fn neither_watermark_freezes_at_a_skipped_event() {
    let world = World::new(ErrorPolicy::SkipAndRecord);
    world.write("number", "1").applied().unwrap();
    world.write("poison", "").applied().unwrap_err();
    let skipped = world.sum.skipped();
    assert_eq!((skipped.len(), &*skipped[0].reason, skipped[0].position), (1, "poisoned", Position(2)));
    assert_eq!((world.sum.folded_through(), world.sum.applied_through()), (Position(2), Position(1)));
    world.write("number", "1").applied().unwrap();
    assert_eq!((world.sum.folded_through(), world.sum.applied_through()), (Position(3), Position(3)));
    assert_eq!(world.sum.snapshot().unwrap().state, 2);
}

#[test]
fn a_poisoned_event_stops_a_fold_that_is_to_stop_and_tells_every_waiter() {
    let world = World::new(ErrorPolicy::Stop);
    world.write("number", "1").applied().unwrap();
    let stopped = world.write("poison", "").applied().unwrap_err();
    assert_eq!(
        stopped.to_string(),
        "model `sum` stopped at event 1 of channel `numbers`: poisoned; open it with a fold that accepts the \
         event, or with the policy that skips and records"
    );
    let later = world.write("number", "1").applied().unwrap_err();
    assert!(later.to_string().contains("event 1 of channel"), "{later}");
    assert!(matches!(world.sum.snapshot(), Err(FoldStopped::Event { .. })));
    assert_eq!(world.sum.folded_through(), Position(1));
}

#[test]
fn a_panic_poisons_the_fold_and_wakes_who_waits() {
    let disk = base::SimulatedDisk::new();
    let world = World::on(disk, 1, ErrorPolicy::SkipAndRecord, RunMode::Thread);
    let written = world.write("panic", "");
    let reached = world.sum.reached(&written.token().unwrap()).unwrap();
    written.durable().unwrap();
    let error = block_on(reached).unwrap_err();
    assert!(error.to_string().contains("panicked at event 0 of channel `numbers`: on demand"), "{error}");
    assert!(world.sum.snapshot().unwrap_err().to_string().contains("the log is whole"));
}

#[test]
fn a_token_of_another_log_is_refused() {
    let world = World::new(ErrorPolicy::Stop);
    let token = world.write("number", "1").token().unwrap();
    let foreign = WriteToken { log: LogId::from_bytes([7; 16]), ..token };
    assert!(matches!(world.sum.wait_for(&foreign, None), Err(WaitError::WrongLog { .. })));
    assert!(matches!(world.sum.poll_for(&foreign), Err(WaitError::WrongLog { .. })));
    assert_eq!(world.sum.metrics().wrong_log_total, 2);
}

#[test]
fn a_token_of_a_lost_position_is_told_so() {
    let disk = base::SimulatedDisk::new();
    let world = World::on(disk.clone(), 1, ErrorPolicy::Stop, RunMode::Manual);
    let kept = world.write("number", "1");
    kept.durable().unwrap();
    let (kept, lost) = (kept.token().unwrap(), world.write("number", "2").token().unwrap());
    disk.power_off();
    drop(world);
    disk.restart(&CrashImage::None);

    let world = World::on(disk, 2, ErrorPolicy::Stop, RunMode::Manual);
    world.write("number", "10").applied().unwrap();
    world.sum.wait_for(&kept, NOW).unwrap();
    assert!(matches!(world.sum.wait_for(&lost, None), Err(WaitError::Lost { .. })));
    let unknown = WriteToken { incarnation: IncarnationId::from_bytes([9; 16]), ..lost };
    assert!(matches!(world.sum.wait_for(&unknown, None), Err(WaitError::Lost { .. })));
    assert_eq!(world.sum.snapshot().unwrap().state, 11);
}

#[test]
fn a_wait_without_time_asks_and_a_deadline_ends_it() {
    let world = World::new(ErrorPolicy::Stop);
    let written = world.write("number", "1");
    let token = written.token().unwrap();
    assert!(matches!(world.sum.wait_for(&token, NOW), Err(WaitError::Timeout { .. })));
    assert!(!world.sum.poll_for(&token).unwrap());
    written.durable().unwrap();
    assert!(!world.sum.poll_for(&token).unwrap(), "asking does not fold");
    world.sum.wait_for(&token, NOW).unwrap();
    assert!(world.sum.poll_for(&token).unwrap());

    let never = WriteToken { position: Position(99), ..token };
    let clock = world.clock.clone();
    let sum = world.sum.clone();
    let waiting = std::thread::spawn(move || sum.wait_for(&never, Some(Duration::from_secs(5))));
    while !waiting.is_finished() {
        clock.advance(Duration::from_secs(1));
        std::thread::yield_now();
    }
    let error = waiting.join().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("not folded in time: at 1, wanted 99"), "{error}");
    assert_eq!(world.sum.metrics().timeouts_total, 2);
}

#[test]
fn only_so_many_wait_at_a_time() {
    let world = World::new(ErrorPolicy::Stop);
    let token = world.write("number", "1").token().unwrap();
    world.sum.set_waits_max(2);
    let first = world.sum.reached(&token).unwrap();
    let _second = world.sum.reached(&token).unwrap();
    assert!(matches!(world.sum.reached(&token), Err(WaitError::QueueFull { max: 2 })));
    assert!(matches!(world.sum.wait_for(&token, NOW), Err(WaitError::QueueFull { max: 2 })));
    assert!(!world.sum.poll_for(&token).unwrap(), "asking needs no place");
    drop(first);
    drop(world.sum.reached(&token).unwrap());
    world.sum.set_waits_max(0);
    let many: Vec<_> = (0..3000).map(|_| world.sum.reached(&token).unwrap()).collect();
    drop(many);
    assert_eq!(world.sum.metrics().queue_full_total, 2);
}

#[test]
fn closing_the_log_ends_the_fold_and_keeps_its_last_state() {
    let disk = base::SimulatedDisk::new();
    let world = World::on(disk, 1, ErrorPolicy::Stop, RunMode::Thread);
    let token = world.write("number", "4").token().unwrap();
    let never = WriteToken { position: Position(99), ..token };
    let reached = world.sum.reached(&never).unwrap();
    world.store.close().unwrap();
    let error = block_on(reached).unwrap_err();
    assert!(matches!(error, WaitError::Stopped { stopped: FoldStopped::Closed { .. }, .. }), "{error}");
    assert_eq!(world.sum.snapshot().unwrap().state, 4);
    assert!(world.sum.submit(&redex::AppendRequest::default()).is_err());
}

#[test]
fn subscribers_get_each_change_once_with_the_state_that_has_it() {
    let world = World::new(ErrorPolicy::Stop);
    world.write("number", "1").applied().unwrap();
    let (snapshot, mut subscription) = world.sum.subscribe().unwrap();
    assert_eq!(snapshot.state, 1);
    assert!(subscription.try_next().unwrap().is_none());
    world.write("number", "2").applied().unwrap();
    world.write("number", "3").applied().unwrap();
    let news = subscription.try_next().unwrap().unwrap();
    assert_eq!((news.snapshot.state, news.changes.unwrap()), (6, vec![2, 3]));
    assert!(subscription.try_next().unwrap().is_none());
    world.store.main().sync().unwrap();
    assert!(subscription.try_next().unwrap().is_none());
}

#[test]
fn who_subscribes_while_a_fold_moves_misses_no_change_and_gets_none_twice() {
    const WRITERS: i64 = 3;
    const WRITES: i64 = 2_000;
    let doors = base::Doors::memory();
    let store = redex::Store::open("/node".as_ref(), &doors, &redex::LogOptions::default()).unwrap();
    let runner = cortex::Runner::new(store.main().reader(), doors.clock.clone(), Default::default());
    let writer = std::sync::Arc::new(store.main().clone());
    let sum = runner.add(crate::counter::Sum, ErrorPolicy::Stop, Some(writer)).unwrap();
    runner.start();
    let writing = std::sync::atomic::AtomicI64::new(WRITERS);
    // Changes are kept for those who watch; with one who always does, every subscriber finds some.
    let (_, _always) = sum.subscribe().unwrap();
    std::thread::scope(|scope| {
        // Several, so that one of them always waits for a look at the fold, and gets it as soon as it can.
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..WRITES {
                    crate::counter::write(&sum, "number", "1").applied().unwrap();
                }
                writing.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            let mut over = false;
            for round in 0.. {
                if over {
                    break;
                }
                // Not always just behind a change, which is what the round before waited for.
                (0..round % 97).for_each(|_| std::thread::yield_now());
                let (snapshot, mut subscription) = sum.subscribe().unwrap();
                loop {
                    over = writing.load(std::sync::atomic::Ordering::SeqCst) == 0;
                    match subscription.try_next().unwrap() {
                        Some(news) => {
                            let changes: i64 = news.changes.unwrap().iter().sum();
                            assert_eq!(snapshot.state + changes, news.snapshot.state);
                            break;
                        }
                        None if over => break,
                        None => std::thread::yield_now(),
                    }
                }
            }
        });
    });
    assert_eq!(sum.snapshot().unwrap().state, WRITERS * WRITES);
}

#[test]
fn a_snapshot_has_exactly_what_its_position_includes() {
    const WRITES: i64 = 2_000;
    let doors = base::Doors::memory();
    let store = redex::Store::open("/node".as_ref(), &doors, &redex::LogOptions::default()).unwrap();
    let runner = cortex::Runner::new(store.main().reader(), doors.clock.clone(), Default::default());
    let writer = std::sync::Arc::new(store.main().clone());
    let sum = runner.add(crate::counter::Sum, ErrorPolicy::Stop, Some(writer)).unwrap();
    runner.start();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..WRITES {
                // One entry each.
                crate::counter::write(&sum, "number", "1").durable().unwrap();
            }
        });
        let mut state = 0;
        while state < WRITES {
            let snapshot = sum.snapshot().unwrap();
            state = snapshot.state;
            assert_eq!(Position(u64::try_from(state).unwrap()), snapshot.position);
        }
    });
}

#[test]
fn a_subscriber_who_is_far_behind_begins_again_with_the_state() {
    let world = World::new(ErrorPolicy::Stop);
    let (_, mut subscription) = world.sum.subscribe().unwrap();
    let numbers = i64::try_from(cortex::limits::CHANGES_MAX).unwrap() + 1;
    let mut last = None;
    for _ in 0..numbers {
        last = Some(world.write("number", "1"));
    }
    last.unwrap().applied().unwrap();
    let news = subscription.try_next().unwrap().unwrap();
    assert_eq!((news.snapshot.state, news.changes), (numbers, None));
    world.write("number", "1").applied().unwrap();
    assert_eq!(subscription.try_next().unwrap().unwrap().changes, Some(vec![1]));
}

#[test]
fn a_model_added_too_late_or_twice_is_refused() {
    let world = World::new(ErrorPolicy::Stop);
    let late = world.runner.add(crate::counter::Sum, ErrorPolicy::Stop, None).unwrap_err();
    assert!(late.to_string().contains("before the runner is started"), "{late}");
    assert_eq!(world.write("number", "1").durable().unwrap().at.position(), Position(1));
    let ticket = world.store.main().append(&crate::counter::channel("other"), &[]).unwrap();
    ticket.wait(Ack::Durable).into_result().unwrap();
    world.runner.step();
    assert_eq!(world.sum.snapshot().unwrap().state, 1);
}

/// Runs a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}
