//! Following and waiting: nothing is missed, nobody is held up, and no runtime is needed.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use base::{Clock, Doors, OperationKind, Position, Seq, SimulatedDisk};
use redex::{
    Ack, Acknowledged, AppendError, EventInput, Log, LogOptions, Outcome, Rejection, Selection, Store, Tail,
};

use crate::support::{DIR, World, all, append, channel, each_seed, options};

/// A log over a simulated disk with the machine's clock and a flusher thread.
fn threaded(disk: &SimulatedDisk) -> Store {
    let doors = Doors::with_disk(Arc::new(disk.clone()));
    let mut options = LogOptions::default();
    options.segment_bytes = 64 << 10;
    Store::open(DIR.as_ref(), &doors, &options).unwrap()
}

fn event(payload: &[u8]) -> EventInput<'_> {
    EventInput::new("test.happened", payload)
}

/// Wakes a thread that is parked.
struct Unpark(std::thread::Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::Release);
        self.0.unpark();
    }
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    let unpark = Arc::new(Unpark(std::thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !unpark.1.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

/// Polls a future once, with a waker that does nothing.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Follows to the end of the log; the numbers that were given out.
fn follow(mut tail: Tail, mut wait: impl FnMut(&Tail)) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let ended = tail.is_ended();
        let batch = tail.next_batch().unwrap();
        if batch.is_empty() {
            if ended {
                return seqs;
            }
            wait(&tail);
        }
        seqs.extend(batch.iter().map(|event| event.seq.0));
    }
}

#[test]
fn tails_join_history_and_what_comes_at_every_backlog() {
    const EVENTS: u64 = 600;
    let disk = SimulatedDisk::new();
    let store = threaded(&disk);
    let reader = store.main().reader();
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..EVENTS {
                let payload = vec![7; if number % 50 == 0 { 20_000 } else { 100 }];
                let name = if number % 3 == 0 { "other" } else { "a" };
                let ticket = store.main().append(&channel(name), &[event(&payload)]).unwrap();
                if number % 5 == 0 {
                    ticket.wait(Ack::Durable).into_result().unwrap();
                }
                written.store(number + 1, Ordering::Release);
            }
            store.close().unwrap();
        });
        // Each begins when so many events were written, at a number before, at or behind the end of then.
        let tails: Vec<_> = (0..12u64)
            .map(|nth| {
                let written = &written;
                scope.spawn(move || {
                    while written.load(Ordering::Acquire) < nth * EVENTS / 14 {
                        std::thread::yield_now();
                    }
                    let from = [0, nth * 20, nth * 33 + 40][(nth % 3) as usize];
                    let mut selection = Selection::channel(&channel("a"));
                    selection.seqs.from = Some(from);
                    let tail = reader.tail(selection);
                    let seqs = match nth % 2 {
                        0 => follow(tail, |tail| {
                            tail.wait(None);
                        }),
                        _ => follow(tail, |tail| block_on(tail.changed())),
                    };
                    assert_eq!(seqs, (from..400).collect::<Vec<_>>(), "from {from}");
                })
            })
            .collect();
        tails.into_iter().for_each(|tail| tail.join().unwrap());
    });
}

#[test]
fn a_tail_from_every_position_gives_everything_behind_it() {
    let world = World::new();
    let mut small = options();
    small.segment_bytes = 64 << 10;
    let store = world.open_with(&small);
    let mut tails = Vec::new();
    for number in 0..60u64 {
        let mut selection = Selection::default();
        selection.indexes.from = Some(number);
        tails.push((number, store.main().reader().tail(selection), Vec::new()));
        append(store.main(), "a", &"x".repeat(if number % 4 == 0 { 9000 } else { 50 }));
        for (_, tail, given) in tails.iter_mut().skip((number % 3) as usize).step_by(3) {
            given.extend(tail.next_batch().unwrap().iter().map(|event| event.seq.0));
        }
    }
    for (from, tail, given) in &mut tails {
        given.extend(tail.next_batch().unwrap().iter().map(|event| event.seq.0));
        assert_eq!(*given, (*from..60).collect::<Vec<_>>());
        assert!(tail.next_batch().unwrap().is_empty());
        assert_eq!(tail.position(), store.main().reader().visible());
    }
}

#[test]
fn a_tail_waits_for_a_channel_and_a_number_that_are_not_there_yet() {
    let world = World::new();
    let store = world.open();
    let mut selection = Selection::channel(&channel("later"));
    selection.seqs.from = Some(2);
    let mut tail = store.main().reader().tail(selection);
    assert!(tail.next_batch().unwrap().is_empty());
    append(store.main(), "a", "1");
    assert!(tail.next_batch().unwrap().is_empty());
    for payload in ["0", "1", "2", "3"] {
        append(store.main(), "later", payload);
        tail.next_batch().unwrap().iter().for_each(|event| assert!(event.seq >= Seq(2)));
    }
    append(store.main(), "later", "4");
    assert_eq!(tail.next_batch().unwrap()[0].seq, Seq(4));
}

#[test]
fn a_tail_costs_what_is_new_however_long_the_log_is() {
    let world = World::new();
    let store = world.open();
    let mut selection = Selection::channel(&channel("a"));
    selection.seqs.from = Some(0);
    let mut tail = store.main().reader().tail(selection.clone());
    for _ in 0..500 {
        append(store.main(), "a", &"x".repeat(1000));
        assert_eq!(tail.next_batch().unwrap().len(), 1);
    }
    // What a batch reads is what a scan from its index on reads.
    selection.indexes.from = Some(tail.position().0);
    append(store.main(), "a", "1");
    let mut scan = store.main().reader().view().scan(&selection).unwrap();
    while scan.next_chunk().unwrap().is_some() {}
    assert!(scan.statistics().entries <= 20, "{:?}", scan.statistics());
}

#[test]
fn batches_are_bounded_whatever_the_events_are_made_of() {
    let world = World::new();
    let store = world.open();
    let key = "k".repeat(60_000);
    for _ in 0..50 {
        let events = [EventInput::new("test.happened", b"").with_key(&key); 2];
        store.main().append(&channel("a"), &events).unwrap().wait(Ack::Durable).into_result().unwrap();
    }
    let mut tail = store.main().reader().tail(Selection::default());
    let mut counts = Vec::new();
    while let Some(count) = Some(tail.next_batch().unwrap().len()).filter(|count| *count > 0) {
        counts.push(count);
    }
    assert_eq!(counts.iter().sum::<usize>(), 100);
    assert!(counts.iter().all(|count| *count <= 20), "{counts:?}");
}

#[test]
fn tails_are_independent_and_a_slow_one_holds_nobody_up() {
    let world = World::new();
    let store = world.open();
    let mut slow = store.main().reader().tail(Selection::default());
    append(store.main(), "a", "0");
    assert_eq!(slow.next_batch().unwrap().len(), 1);
    let mut fast = store.main().reader().tail(Selection::default());
    for number in 1..2000 {
        append(store.main(), "a", &number.to_string());
        assert_eq!(fast.next_batch().unwrap().len(), if number == 1 { 2 } else { 1 });
    }
    assert_eq!(slow.position(), Position(1));
    let given = follow_available(&mut slow);
    assert_eq!(given, (1..2000).collect::<Vec<_>>());
}

fn follow_available(tail: &mut Tail) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let batch = tail.next_batch().unwrap();
        if batch.is_empty() {
            return seqs;
        }
        seqs.extend(batch.iter().map(|event| event.seq.0));
    }
}

#[test]
fn a_tail_of_a_closed_log_ends_and_whoever_waits_is_told() {
    let disk = SimulatedDisk::new();
    let store = threaded(&disk);
    append(store.main(), "a", "1");
    let reader = store.main().reader();
    std::thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| {
                follow(reader.tail(Selection::default()), |tail| {
                    tail.wait(None);
                })
            }),
            scope.spawn(|| follow(reader.tail(Selection::default()), |tail| block_on(tail.changed()))),
        ];
        let visible = reader.visible();
        let timed_out = !reader.wait_beyond(visible, Some(Duration::from_millis(5)));
        assert!(timed_out);
        store.close().unwrap();
        for waiting in waiting {
            assert_eq!(waiting.join().unwrap(), [0]);
        }
    });
    let mut tail = reader.tail(Selection::default());
    assert!(!tail.is_ended());
    assert_eq!(tail.next_batch().unwrap().len(), 1);
    assert!(tail.is_ended());
    assert!(!tail.wait(None));
    block_on(tail.changed());
}

#[test]
fn whoever_waits_at_a_log_that_broke_is_told_when_it_is_closed() {
    let world = World::new();
    let store = world.open();
    append(store.main(), "a", "1");
    let sync = world.disk.operation_count() + 1;
    world.disk.on_operation(Some(Box::new({
        let disk = world.disk.clone();
        move |operation, _| {
            if operation.ordinal >= sync && operation.kind == OperationKind::Sync {
                disk.inject(operation.ordinal, base::Fault::Error(5));
            }
        }
    })));
    let outcome = store.main().append(&channel("a"), &[event(b"2")]).unwrap().wait(Ack::Durable);
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let tail = store.main().reader().tail(Selection::default());
    assert!(store.close().is_err());
    assert_eq!(follow(tail, |tail| assert!(!tail.wait(None))), [0]);
    let Err(AppendError::Poisoned { .. } | AppendError::Closed) = store.main().append(&channel("a"), &[])
    else {
        panic!()
    };
}

#[test]
fn thousands_of_futures_are_completed_without_a_runtime() {
    let disk = SimulatedDisk::new();
    let store = threaded(&disk);
    let log = store.main();
    let before = syncs(&disk);
    let mut waiting: Vec<Acknowledged> = (0..5000u64)
        .map(|number| {
            let ticket = log.append(&channel("a"), &[event(&number.to_le_bytes())]).unwrap();
            ticket.acknowledged(if number % 3 == 0 { Ack::Written } else { Ack::Durable })
        })
        .collect();
    let unpark = Arc::new(Unpark(std::thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut seqs = BTreeSet::new();
    while !waiting.is_empty() {
        waiting.retain_mut(|future| {
            match std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    seqs.insert(outcome.into_result().unwrap().at.first_seq().unwrap().0);
                    false
                }
            }
        });
        while !waiting.is_empty() && !unpark.1.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
    assert_eq!(seqs, (0..5000).collect());
    let syncs = syncs(&disk) - before;
    assert!(syncs < 500, "{syncs} syncs for 5,000 appends");
}

#[test]
fn each_of_many_threads_may_await_by_itself() {
    let disk = SimulatedDisk::new();
    let store = threaded(&disk);
    let log = store.main();
    std::thread::scope(|scope| {
        for thread in 0..16u64 {
            scope.spawn(move || {
                for number in 0..40 {
                    let ticket = log.append(&channel("a"), &[event(&[1])]).unwrap();
                    let ack = [Ack::Staged, Ack::Written, Ack::Durable][((thread + number) % 3) as usize];
                    let at = block_on(ticket.acknowledged(ack)).into_result().unwrap().at;
                    if ack == Ack::Durable {
                        assert!(log.reader().visible() >= at.position(), "what is durable is visible");
                    }
                }
            });
        }
    });
    log.sync().unwrap();
    assert_eq!(all(log, "a").len(), 16 * 40);
}

fn syncs(disk: &SimulatedDisk) -> usize {
    disk.operations().iter().filter(|operation| operation.kind == OperationKind::Sync).count()
}

#[test]
fn sixty_four_threads_get_dense_numbers_and_share_their_syncs() {
    const EACH: u64 = 25;
    let disk = SimulatedDisk::new();
    // A sync that takes a moment, as real ones do.
    disk.on_operation(Some(Box::new(|operation, _| {
        if operation.kind == OperationKind::Sync {
            std::thread::yield_now();
        }
    })));
    let store = threaded(&disk);
    let log = store.main();
    let before = syncs(&disk);
    let mut ranges: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..64u64)
            .map(|thread| {
                scope.spawn(move || {
                    let count = 1 + thread % 3;
                    let payload = thread.to_le_bytes();
                    let events = vec![event(&payload); usize::try_from(count).unwrap()];
                    (0..EACH)
                        .map(|_| {
                            let ticket = log.append(&channel("a"), &events).unwrap();
                            let at = ticket.wait(Ack::Durable).into_result().unwrap().at;
                            assert!(log.reader().visible() >= at.position());
                            (at.first_seq().unwrap().0, count)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    ranges.sort_unstable();
    let mut next = 0;
    for (first, count) in &ranges {
        assert_eq!(*first, next);
        next += count;
    }
    let syncs = syncs(&disk) - before;
    assert!(syncs * 2 < ranges.len(), "{syncs} syncs for {} appends", ranges.len());
    let view = log.reader().view();
    let events: Vec<_> = view.read(&Selection::default()).unwrap().map(Result::unwrap).collect();
    assert_eq!(events.len() as u64, next);
    // Events of one append stand together.
    for (first, count) in ranges {
        let of_append = &events[first as usize..(first + count) as usize];
        assert!(of_append.iter().all(|event| event.payload == of_append[0].payload));
    }
}

#[test]
fn what_is_dropped_becomes_durable_in_time() {
    let drops: [fn(&Log); 6] = [
        |log| drop(log.append(&channel("a"), &[event(b"1")]).unwrap()),
        |log| drop(log.append(&channel("a"), &[event(b"1")]).unwrap().acknowledged(Ack::Durable)),
        |log| drop(log.append(&channel("a"), &[event(b"1")]).unwrap().wait(Ack::Staged)),
        |log| drop(log.append(&channel("a"), &[event(b"1")]).unwrap().wait(Ack::Written)),
        |log| {
            let mut future = log.append(&channel("a"), &[event(b"1")]).unwrap().acknowledged(Ack::Durable);
            assert!(poll_once(&mut future).is_pending());
        },
        |log| {
            let mut future = log.append(&channel("a"), &[event(b"1")]).unwrap().acknowledged(Ack::Written);
            assert!(poll_once(&mut future).is_pending());
        },
    ];
    for (nth, drop_append) in drops.iter().enumerate() {
        let world = World::new();
        let store = world.open();
        let (log, within) = (store.main(), options().sync_within);
        // What the flusher did before must not matter.
        for round in 1..4usize {
            drop_append(log);
            let due = log.flush_step().unwrap_or_else(|| panic!("{nth}: nothing is due"));
            assert!(due <= world.clock.monotonic() + within, "{nth}");
            world.clock.advance(within);
            assert_eq!(log.flush_step(), None, "{nth}");
            assert_eq!(all(log, "a").len(), round, "{nth}");
        }
    }
}

/// Random appends, waits and drops: after each, whatever is not durable has a deadline.
#[test]
fn nothing_is_ever_left_without_a_deadline() {
    each_seed(0..60, |seed| {
        let world = World::on(SimulatedDisk::new(), seed);
        let mut small = options();
        small.segment_bytes = 64 << 10;
        let store = world.open_with(&small);
        let log = store.main();
        let dice = crate::support::Dice::new(seed);
        let mut waiting = Vec::new();
        let mut appended = 0;
        for _ in 0..40 {
            let payload = vec![1; dice.below(20_000) as usize];
            match dice.below(6) {
                0 | 1 => {
                    waiting.push(log.append(&channel("a"), &[event(&payload)]).unwrap());
                    appended += 1;
                }
                2 if !waiting.is_empty() => {
                    waiting.swap_remove(dice.below(waiting.len() as u64) as usize).wait(Ack::Written);
                }
                3 if !waiting.is_empty() => {
                    drop(waiting.swap_remove(dice.below(waiting.len() as u64) as usize));
                }
                4 => {
                    log.sync().unwrap();
                }
                _ => {
                    world.clock.advance(Duration::from_millis(dice.below(120)));
                    log.flush_step();
                }
            }
        }
        waiting.clear();
        world.clock.advance(small.sync_within);
        log.flush_step();
        assert_eq!(all(log, "a").len(), appended);
        assert_eq!(log.flush_step(), None);
    });
}

#[test]
fn the_flusher_thread_syncs_what_nobody_waits_for() {
    for ack in [Ack::Staged, Ack::Written] {
        let disk = SimulatedDisk::new();
        let store = threaded(&disk);
        let reader = store.main().reader();
        for round in 0..3u64 {
            let ticket = store.main().append(&channel("a"), &[event(b"1")]).unwrap();
            ticket.wait(ack).into_result().unwrap();
            let before = reader.visible();
            drop(ticket);
            assert!(reader.wait_beyond(before, Some(Duration::from_secs(20))), "{ack} {round}");
        }
    }
}

/// Handles, tickets and futures go away in any order on several threads, and the log is always closed by then.
#[test]
fn the_last_handle_closes_wherever_it_is_dropped() {
    for round in 0..40u64 {
        let disk = SimulatedDisk::new();
        let store = threaded(&disk);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = store.main().clone();
                scope.spawn(move || {
                    let ticket = log.append(&channel("a"), &[event(b"1")]).unwrap();
                    match (round + thread) % 4 {
                        0 => drop(log),
                        1 => drop(block_on(ticket.acknowledged(Ack::Durable))),
                        2 => {
                            let _ = poll_once(&mut ticket.acknowledged(Ack::Durable));
                        }
                        _ => {
                            ticket.wait(Ack::Written);
                        }
                    }
                });
            }
        });
        drop(store);
        let store = threaded(&disk);
        assert!(!store.recovery().unclean, "{round}");
        assert_eq!(all(store.main(), "a").len(), 4);
        store.close().unwrap();
    }
}

#[test]
fn closing_amid_appends_and_waits_settles_every_one_of_them() {
    for round in 0..12u64 {
        let disk = SimulatedDisk::new();
        let store = threaded(&disk);
        let log = store.main();
        let kept: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6u64)
                .map(|thread| {
                    scope.spawn(move || {
                        let mut kept = 0;
                        loop {
                            match log.append(&channel("a"), &[event(b"1")]) {
                                Err(AppendError::Closed) => return kept,
                                Err(error) => panic!("{error}"),
                                Ok(ticket) => {
                                    kept += 1;
                                    let outcome = match thread % 3 {
                                        0 => ticket.wait(Ack::Durable),
                                        1 => block_on(ticket.acknowledged(Ack::Durable)),
                                        _ if kept % 64 == 0 => ticket.wait(Ack::Written),
                                        _ => continue,
                                    };
                                    outcome.into_result().unwrap();
                                }
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..round * 4 {
                std::thread::yield_now();
            }
            log.close().unwrap();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all(log, "a").len() as u64, kept);
        drop(store);
        let store = threaded(&disk);
        assert!(!store.recovery().unclean);
        assert_eq!(all(store.main(), "a").len() as u64, kept);
    }
}

/// While a sync takes long, as it does here until nothing moves any more, appends wait once there is no room.
#[test]
fn staged_bytes_are_bounded_while_a_sync_takes_long() {
    let disk = SimulatedDisk::new();
    let doors = Doors::with_disk(Arc::new(disk.clone()));
    let mut options = LogOptions::default();
    options.staged_bytes_max = 64 << 10;
    let store = Store::open(DIR.as_ref(), &doors, &options).unwrap();
    let log = store.main();
    append(log, "a", "before");
    let (appended, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    disk.on_operation(Some(Box::new({
        let (appended, most) = (Arc::clone(&appended), Arc::clone(&most));
        move |operation, _| {
            if operation.kind == OperationKind::Sync && most.load(Ordering::Acquire) == 0 {
                let mut last = 0;
                let mut unchanged = 0;
                while unchanged < 3000 || last == 0 {
                    std::thread::yield_now();
                    let now = appended.load(Ordering::Acquire);
                    unchanged = if now == last { unchanged + 1 } else { 0 };
                    last = now;
                }
                most.store(last, Ordering::Release);
            }
        }
    })));
    std::thread::scope(|scope| {
        let first = log.append(&channel("a"), &[event(b"first")]).unwrap();
        scope.spawn(move || first.wait(Ack::Durable));
        for _ in 0..4 {
            let appended = Arc::clone(&appended);
            scope.spawn(move || {
                for _ in 0..100 {
                    drop(log.append(&channel("a"), &[event(&[1; 4000])]).unwrap());
                    appended.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
    });
    disk.on_operation(None);
    let most = most.load(Ordering::Acquire);
    assert!(most > 0 && most * 4000 <= (128 << 10) + 16_000, "{most} appends were in memory");
    log.sync().unwrap();
    assert_eq!(all(log, "a").len(), 402);
}

#[test]
fn a_panic_while_committing_lets_everybody_go() {
    let disk = SimulatedDisk::new();
    let store = threaded(&disk);
    let log = store.main();
    append(log, "a", "1");
    let tail = log.reader().tail(Selection::default());
    disk.on_operation(Some(Box::new(|operation, _| {
        assert_ne!(operation.kind, OperationKind::Sync, "the test breaks the disk");
    })));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8u64)
            .map(|thread| {
                scope.spawn(move || match log.append(&channel("a"), &[event(b"2")]) {
                    Ok(ticket) if thread % 2 == 0 => Some(ticket.wait(Ack::Durable)),
                    Ok(ticket) => Some(block_on(ticket.acknowledged(Ack::Durable))),
                    Err(AppendError::Poisoned { .. }) => None,
                    Err(error) => panic!("{error}"),
                })
            })
            .collect();
        for thread in threads {
            // The one that committed panicked itself.
            if let Ok(Some(outcome)) = thread.join() {
                assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
            }
        }
    });
    disk.on_operation(None);
    assert!(log.close().is_err());
    assert_eq!(follow(tail, |tail| assert!(!tail.wait(None))), [0]);
}

#[test]
fn whoever_closes_second_waits_for_the_first() {
    for _ in 0..50 {
        let disk = SimulatedDisk::new();
        let store = threaded(&disk);
        drop(store.main().append(&channel("a"), &[event(&[1; 10_000])]).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    store.close().unwrap();
                    // The record of the close is there, and so another process may write.
                    assert!(disk.operations().last().unwrap().path.ends_with("visible"));
                });
            }
        });
    }
}

#[test]
fn a_rejected_write_tells_everybody_and_nobody_hangs() {
    let disk = SimulatedDisk::new();
    let store = threaded(&disk);
    let log = store.main();
    append(log, "a", "first");
    disk.fill_up(Some(0));
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12u64)
            .map(|thread| {
                scope.spawn(move || {
                    let ticket = log.append(&channel("a"), &[event(&[1; 100_000])]).unwrap();
                    match thread % 2 {
                        0 => ticket.wait(Ack::Durable),
                        _ => block_on(ticket.acknowledged(Ack::Durable)),
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::Rejected { reason: Rejection::DiskFull, .. }), "{outcome:?}");
    }
    disk.fill_up(None);
    assert_eq!(append(log, "a", "second").at.first_seq(), Some(Seq(1)));
    assert_eq!(all(log, "a"), ["first", "second"]);
}
