//! A disk that fails: at every operation, an error, a full disk or a short write. Nothing is acknowledged that is
//! not there, nothing that is acknowledged is lost, and what is rejected stays out.
//!
//! `NETDB_FAULTS_ALL=1` takes all workloads of the crash tests instead of a few.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::{CrashImage, Fault, OperationKind, Seq, SimulatedDisk};
use redex::{Ack, AppendError, EventInput, LogOptions, Outcome, Rejection};

use crate::crash::check::{check, check_broken};
use crate::crash::workload::{Moment, Step, Trace, Workload};
use crate::crash::workloads;
use crate::ledger::{Fill, Moments, Part, Repeat};
use crate::support::{World, all, append, channel, options};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// How many moments behind a fault are looked at, beside the last.
const MOMENTS: usize = 5;

/// Workloads whose every sync fails once.
const SYNCED: [&str; 14] = [
    "durable",
    "mixed",
    "staged-then-sync",
    "flusher",
    "keys",
    "producers",
    "import-durable-at-times",
    "channels",
    "closed",
    "dropped",
    "reopened-with-memory",
    "roll-durable",
    "roll-and-reopen",
    "crashed-0",
];
/// Workloads in which the disk is full from any write on.
const FILLED: [&str; 12] = [
    "durable",
    "mixed",
    "written-then-durable",
    "flusher",
    "batch",
    "zeros-and-text",
    "keys",
    "producers",
    "channels",
    "roll-durable",
    "roll-with-memory",
    "small-behind-a-roll",
];
/// Workloads in which any write goes astray.
const ASTRAY: [&str; 7] =
    ["durable", "mixed", "batch", "two-sectors", "keys", "roll-durable", "small-behind-a-roll"];

fn faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("eio", Fault::Error(EIO)),
        ("enospc", Fault::Error(ENOSPC)),
        ("short-0", Fault::Short { bytes: 0 }),
        ("short-100", Fault::Short { bytes: 100 }),
        ("short-700", Fault::Short { bytes: 700 }),
    ]
}

/// Returns the workloads of these names, or all of them if the environment says so.
fn chosen(names: &[&str]) -> Vec<Workload> {
    let mut all = workloads::all();
    all.retain(|workload| !workload.faulty && !workload.name.starts_with("damaged"));
    if std::env::var_os("NETDB_FAULTS_ALL").is_some() {
        return all;
    }
    names.iter().map(|name| all.iter().find(|workload| workload.name == *name).unwrap().clone()).collect()
}

#[derive(Debug, Default)]
struct Results {
    /// For each fault and operation: runs, runs with a rejection, with an unknown outcome, without any error.
    table: BTreeMap<(&'static str, OperationKind), [usize; 4]>,
    images: usize,
    failures: Vec<String>,
}

#[test]
fn a_fault_at_any_operation_gives_no_wrong_acknowledgement() {
    let results = Mutex::new(Results::default());
    let chosen = chosen(&["over-channels", "reopened", "roll-with-memory", "signed-by-time"]);
    each(&chosen, |workload| run(workload, &faults(), |_| true, &results));
    report(results.into_inner().unwrap());
}

#[test]
fn a_failure_of_any_sync_loses_nothing_acknowledged() {
    let results = Mutex::new(Results::default());
    let chosen = chosen(&SYNCED);
    let syncs = |kind| matches!(kind, OperationKind::Sync | OperationKind::SyncDirectory);
    each(&chosen, |workload| run(workload, &[("eio", Fault::Error(EIO))], syncs, &results));
    report(results.into_inner().unwrap());
}

/// Runs something for each workload, on as many threads as there are processors.
fn each(workloads: &[Workload], act: impl Fn(&Workload) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(workload) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(workload);
                }
            });
        }
    });
}

fn report(results: Results) {
    println!(
        "{:<10} {:<20} {:>6} {:>9} {:>9} {:>9}",
        "fault", "operation", "runs", "rejected", "unknown", "unnoticed"
    );
    for ((name, kind), [runs, rejected, unknown, unnoticed]) in results.table {
        println!("{name:<10} {kind:<20} {runs:>6} {rejected:>9} {unknown:>9} {unnoticed:>9}");
    }
    println!("{} images", results.images);
    for failure in results.failures.iter().take(20) {
        println!("FAILED {failure}");
    }
    assert_eq!(results.failures.len(), 0, "see the lines above");
}

/// A short write is a write; only what takes space finds none.
fn applies(fault: Fault, kind: OperationKind) -> bool {
    use OperationKind::{Create, SetLength, Write};
    match fault {
        Fault::Short { .. } => kind == Write,
        Fault::Error(ENOSPC) => matches!(kind, Create | SetLength | Write),
        _ => true,
    }
}

/// Runs a workload once for each fault at each operation.
fn run(
    workload: &Workload,
    faults: &[(&'static str, Fault)],
    wanted: impl Fn(OperationKind) -> bool,
    results: &Mutex<Results>,
) {
    let disk = SimulatedDisk::new();
    workload.run_on(&disk, 1, true);
    for operation in disk.operations() {
        for (name, fault) in faults.iter().copied() {
            if !wanted(operation.kind) || !applies(fault, operation.kind) {
                continue;
            }
            let disk = SimulatedDisk::new();
            disk.inject(operation.ordinal, fault);
            let trace = workload.run_on(&disk, 1, true);
            let line = format!("{} {name} at {operation}", workload.name);
            let mut failures = trace.met.unserved.clone();
            let images = check_behind(workload, &trace, operation.ordinal, &line, &mut failures);
            let mut results = results.lock().unwrap();
            let row = results.table.entry((name, operation.kind)).or_default();
            row[0] += 1;
            row[1] += usize::from(!trace.met.rejected.is_empty());
            row[2] += usize::from(trace.met.unknown > 0);
            row[3] += usize::from(trace.met.errors.is_empty());
            results.images += images;
            results.failures.extend(failures);
        }
    }
}

/// Takes the power away at some moments behind a fault, and checks what is left.
fn check_behind(
    workload: &Workload,
    trace: &Trace,
    fault: u64,
    line: &str,
    failures: &mut Vec<String>,
) -> usize {
    let behind = trace.moments.iter().filter(|moment| moment.ordinal > fault).take(MOMENTS);
    let mut seen = BTreeMap::new();
    for moment in behind.chain(trace.moments.last()) {
        let torn = [1, 2].map(|seed| CrashImage::Sectors { seed });
        for survivors in [CrashImage::None, torn[0], torn[1]] {
            let digest = moment.snapshot.digest(&survivors);
            let known = seen.entry(digest).or_insert((moment, survivors, Moments::at(moment.ordinal)));
            known.2.last = moment.ordinal;
        }
    }
    for (moment, survivors, moments) in seen.values() {
        let image = moment.snapshot.image(survivors);
        if let Err(fault) = check(&image, &workload.options, &trace.ledger, *moments) {
            let met = &trace.met.errors;
            failures.push(format!(
                "{line}, crash before {}, {survivors:?}: {fault}; met {met:?}",
                moment.ordinal
            ));
        }
    }
    seen.len()
}

/// Operations that the disk is full for, when it is not full to the end.
const SHORTAGE: u64 = 6;

#[test]
fn a_disk_that_is_full_from_any_write_on_rejects_and_goes_on_without_a_restart() {
    let runs = AtomicUsize::new(0);
    let rejected = AtomicUsize::new(0);
    each(&chosen(&FILLED), |workload| {
        let mut workload = workload.clone();
        workload
            .steps
            .retain(|step| !matches!(step, Step::Reopen | Step::Drop | Step::Crash(_) | Step::Close));
        let event = Part { channel: "behind/the-shortage", events: 1, fill: Fill::Text(300) };
        let append =
            Step::Append { parts: vec![event], repeat: Repeat::Never, expect: None, ack: Ack::Durable };
        let dry = SimulatedDisk::new();
        workload.run_on(&dry, 1, true);
        workload.steps.extend([Step::Space(None), append]);
        let operations = dry.operations();
        let filled = |kind| applies(Fault::Error(ENOSPC), kind);
        for operation in operations.iter().filter(|operation| filled(operation.kind)) {
            for until in [operation.ordinal + SHORTAGE, u64::MAX] {
                let trace = run_filled(&workload, operation.ordinal, until);
                let line = format!("{} full from {operation} until {until}", workload.name);
                runs.fetch_add(1, Ordering::Relaxed);
                rejected.fetch_add(usize::from(!trace.met.rejected.is_empty()), Ordering::Relaxed);
                assert_eq!(trace.met.unknown, 0, "{line}: {:?}", trace.met.errors);
                let full = |reason: &Rejection| matches!(reason, Rejection::DiskFull);
                assert!(trace.met.rejected.iter().all(full), "{line}: {:?}", trace.met.rejected);
                assert!(trace.ledger.newest_is_durable(), "{line}: {:?}", trace.met.errors);
                let mut failures = trace.met.unserved.clone();
                check_behind(&workload, &trace, operation.ordinal, &line, &mut failures);
                assert_eq!(failures, [""; 0]);
            }
        }
    });
    let (runs, rejected) = (runs.into_inner(), rejected.into_inner());
    println!("{runs} runs, {rejected} with rejections");
    assert!(rejected > 50, "only {rejected} of {runs} runs met a full disk");
}

/// Runs a workload on a disk that is full from one operation to another.
fn run_filled(workload: &Workload, from: u64, until: u64) -> Trace {
    let disk = SimulatedDisk::new();
    let filled = disk.clone();
    let trace = workload.run_with(&disk, 1, true, move |operation| {
        if operation.ordinal == from {
            filled.fill_up(Some(0));
        } else if operation.ordinal == until {
            filled.fill_up(None);
        }
    });
    disk.fill_up(None);
    trace
}

#[test]
fn a_write_that_goes_astray_is_never_read_as_something_else() {
    let images = AtomicUsize::new(0);
    each(&chosen(&ASTRAY), |workload| {
        let mut workload = workload.clone();
        workload
            .steps
            .retain(|step| !matches!(step, Step::Reopen | Step::Drop | Step::Crash(_) | Step::Close));
        let honest = SimulatedDisk::new();
        workload.run_on(&honest, 1, true);
        // Until the log is there, a write that goes astray may leave none.
        let created = honest.operations().iter().position(|operation| operation.path.ends_with("visible"));
        let writes = honest.operations().into_iter().skip(created.unwrap());
        for operation in writes.filter(|operation| operation.kind == OperationKind::Write) {
            let misdirected =
                [0, 1_024, operation.offset + 8, operation.offset + 512, operation.offset + 8_192]
                    .into_iter()
                    .chain(operation.offset.checked_sub(512))
                    .map(|offset| Fault::Misdirected { offset });
            let misfiled = (0..honest.files().len()).map(|file| Fault::Misfiled { file });
            let swapped = [(0, 1), (1, 2)].map(|(first, second)| Fault::SwappedSectors { first, second });
            for fault in misdirected.chain(misfiled).chain(swapped) {
                let disk = SimulatedDisk::new();
                disk.inject(operation.ordinal, fault);
                let trace = workload.run_on(&disk, 1, true);
                let behind = trace.moments.iter().find(|moment| moment.ordinal > operation.ordinal);
                for moment in behind.into_iter().chain(trace.moments.last()) {
                    for survivors in [CrashImage::None, CrashImage::All] {
                        let image = moment.snapshot.image(&survivors);
                        let created = IDENTITY.iter().all(|path| image.read(path) == honest.read(path));
                        let checked =
                            check_broken(&image, &workload.options, &trace.ledger, moment.ordinal, created);
                        assert_eq!(
                            checked,
                            Ok(()),
                            "{} {operation}: {fault:?}, {survivors:?}",
                            workload.name
                        );
                        images.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    });
    println!("{} images", images.into_inner());
}

/// Files without which a log cannot be told from another one.
const IDENTITY: [&str; 2] = ["/node/identity", "/node/logs/main/superblock"];

fn event(payload: &[u8]) -> [EventInput<'_>; 1] {
    [EventInput::new("test.happened", payload)]
}

/// Returns the number of the next operation of a kind if `act` is done from here on.
fn next_operation(world: &World, kind: OperationKind, act: impl FnOnce(&World)) -> u64 {
    let twin = World::on(world.disk.snapshot().image(&CrashImage::All), 99);
    act(&twin);
    let operations = twin.disk.operations();
    let at = operations.iter().position(|operation| operation.kind == kind).expect("such an operation");
    world.disk.operation_count() + at as u64
}

#[test]
fn a_failed_sync_poisons_until_the_log_is_opened_again() {
    let world = World::new();
    let store = world.open();
    let log = store.main();
    append(log, "a", "acknowledged");
    assert_eq!(log.accepts(), Ok(()));
    let sync = world.disk.operation_count() + 1;
    world.disk.inject(sync, Fault::Error(EIO));
    let ticket = log.append(&channel("a"), &event(b"open")).unwrap();
    let outcome = ticket.wait(Ack::Durable);
    assert_eq!(world.disk.operations()[sync as usize].kind, OperationKind::Sync);
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert!(matches!(log.append(&channel("a"), &event(b"x")), Err(AppendError::Poisoned { .. })));
    assert!(matches!(log.sync(), Err(AppendError::Poisoned { .. })));
    assert!(matches!(log.accepts(), Err(AppendError::Poisoned { .. })));
    assert_eq!(all(log, "a"), ["acknowledged"], "reads go on");
    assert!(store.close().is_err());
    drop((store, ticket));

    // The page cache still shows what the failed sync has lost; opening writes it again.
    let store = world.open();
    assert_eq!(all(store.main(), "a"), ["acknowledged", "open"]);
    drop(store);
    let crashed = World::on(world.disk.snapshot().image(&CrashImage::None), 3);
    assert_eq!(crashed.verify().faults, []);
    assert_eq!(all(crashed.open().main(), "a"), ["acknowledged", "open"]);
}

#[test]
fn a_record_of_a_close_that_was_not_synced_is_written_again() {
    let world = World::new();
    append(world.open().main(), "a", "1");
    let store = world.open();
    // The sync behind the close record is the second: the first one finds everything durable.
    let sync = next_operation(&world, OperationKind::SetLength, |world| drop(world.open())) - 1;
    world.disk.inject(sync, Fault::Error(EIO));
    assert!(matches!(store.close(), Err(AppendError::Unknown { .. })));
    drop(store);
    append(world.open().main(), "a", "2");
    let crashed = World::on(world.disk.snapshot().image(&CrashImage::None), 3);
    assert_eq!(crashed.verify().faults, []);
    assert_eq!(all(crashed.open().main(), "a"), ["1", "2"]);
}

#[test]
fn a_rejected_append_stays_out_whatever_a_crash_leaves() {
    let world = World::new();
    let store = world.open();
    let log = store.main();
    append(log, "a", "before");
    // Two frames in one write, of which the first one fits before the disk is full.
    let large = vec![7; 1 << 20];
    let tickets = [
        log.append(&channel("a"), &event(b"rejected")).unwrap(),
        log.append(&channel("a"), &event(&large)).unwrap(),
    ];
    world.disk.fill_up(Some(0));
    for ticket in &tickets {
        let outcome = ticket.wait(Ack::Written);
        assert!(matches!(outcome, Outcome::Rejected { reason: Rejection::DiskFull, .. }), "{outcome:?}");
    }
    world.disk.fill_up(None);
    let images = (0..20).map(|seed| CrashImage::Sectors { seed }).chain([CrashImage::None, CrashImage::All]);
    for survivors in images {
        let crashed = World::on(world.disk.snapshot().image(&survivors), 3);
        assert_eq!(all(crashed.open().main(), "a"), ["before"], "{survivors:?}");
    }
    assert_eq!(append(log, "a", "behind").at.first_seq(), Some(Seq(1)));
}

/// Appends until the disk is full, makes room, and goes on.
fn fill_and_go_on(free_bytes: u64, event_bytes: usize, options: &LogOptions) {
    let world = World::new();
    let store = world.open_with(options);
    let log = store.main();
    append(log, "a", "first");
    world.disk.fill_up(Some(free_bytes));
    let payload = "x".repeat(event_bytes);
    let mut expected = vec!["first".to_owned()];
    let mut full = 0;
    for number in 0..1_000 {
        let text = format!("{number}{payload}");
        let ticket = log.append(&channel("a"), &event(text.as_bytes())).unwrap();
        // What was written before must become durable without further space.
        match ticket.wait(if number % 3 == 0 { Ack::Durable } else { Ack::Written }) {
            Outcome::Appended { .. } => expected.push(text),
            Outcome::Rejected { reason: Rejection::DiskFull, .. } => full += 1,
            other => panic!("{free_bytes} bytes: {other:?}"),
        }
        if full > 3 {
            break;
        }
    }
    assert_eq!(full, 4, "{free_bytes} bytes: the disk was not full");
    log.sync().unwrap();
    assert_eq!(all(log, "a"), expected, "{free_bytes} bytes: reads while the disk is full");
    let crashed = World::on(world.disk.snapshot().image(&CrashImage::None), 3);
    assert_eq!(crashed.verify().faults, [], "{free_bytes} bytes");
    assert_eq!(all(crashed.open().main(), "a"), expected, "{free_bytes} bytes: behind a crash");

    world.disk.fill_up(None);
    let seq = Seq(expected.len() as u64);
    assert_eq!(append(log, "a", "there is room").at.first_seq(), Some(seq), "{free_bytes} bytes");
    expected.push("there is room".to_owned());
    store.close().unwrap();
    drop(store);
    assert_eq!(world.verify().faults, [], "{free_bytes} bytes");
    assert_eq!(all(world.open().main(), "a"), expected, "{free_bytes} bytes");
}

#[test]
fn a_full_disk_rejects_appends_until_there_is_room() {
    for free_bytes in (0..9_000).step_by(97) {
        fill_and_go_on(free_bytes, 300, &options());
    }
    for free_bytes in (250_000..300_000).step_by(4_999) {
        fill_and_go_on(free_bytes, 20_000, &options());
    }
}

#[test]
fn a_disk_that_is_full_between_two_segments_rejects_appends_until_there_is_room() {
    let mut options = options();
    options.segment_bytes = 64 << 10;
    for free_bytes in (0..160_000).step_by(1_009) {
        fill_and_go_on(free_bytes, 9_000, &options);
    }
}

#[test]
fn a_log_closes_on_a_full_disk() {
    let world = World::new();
    append(world.open().main(), "a", "1");
    let store = world.open();
    world.disk.fill_up(Some(0));
    let refused = store.main().append(&channel("a"), &event(b"2")).unwrap().wait(Ack::Durable);
    assert!(matches!(refused, Outcome::Rejected { reason: Rejection::DiskFull, .. }), "{refused:?}");
    store.close().unwrap();
    drop(store);
    world.disk.fill_up(None);
    assert_eq!(world.verify().faults, []);
    assert_eq!(append(world.open().main(), "a", "2").at.first_seq(), Some(Seq(1)));
}

#[test]
fn a_clock_that_leapt_does_not_reach_the_log_by_a_signature() {
    let world = World::new();
    let store = world.open();
    for text in ["1", "2"] {
        store.main().append(&channel("a"), &event(text.as_bytes())).unwrap().wait(Ack::Written);
    }
    let wall = base::Clock::now(&*world.clock);
    world.clock.set_wall(wall.plus(Duration::from_secs(48 * 60 * 60)));
    store.main().sync().unwrap();
    assert_eq!(store.main().reader().view().last_recorded_at().unwrap(), wall);
    world.clock.set_wall(wall);
    drop(store);
    assert_eq!(all(world.open().main(), "a"), ["1", "2"]);
}

#[test]
fn a_crash_behind_a_short_write_of_any_length_is_no_damage() {
    let payload = [7; 300];
    let run = |bytes: u64| {
        let world = World::new();
        let store = world.open();
        append(store.main(), "a", "before");
        let write = world.disk.operation_count();
        world.disk.inject(write, Fault::Short { bytes });
        let moments = crate::crash::workload::record(&world.disk);
        store.main().append(&channel("a"), &event(&payload)).unwrap().wait(Ack::Written);
        world.disk.on_operation(None);
        let moments = std::mem::take(&mut *moments.lock().unwrap());
        assert_eq!(moments[0].next.as_ref().unwrap().kind, OperationKind::Write);
        (moments[0].next.clone().unwrap().bytes, moments)
    };
    // Header and trailer at every length, the body at some.
    let whole = run(u64::MAX).0;
    for bytes in (0..70).chain((70..whole - 10).step_by(61)).chain(whole - 10..whole) {
        let moments = run(bytes).1;
        let prefixes = |moment: &Moment| 0..=moment.snapshot.pending_count();
        let images =
            moments.iter().flat_map(|moment| prefixes(moment).map(move |operations| (moment, operations)));
        for (moment, operations) in images {
            let crashed = World::on(moment.snapshot.image(&CrashImage::Prefix { operations }), 3);
            assert_eq!(crashed.verify().faults, [], "{bytes} bytes, before {}", moment.ordinal);
            let store = crashed.open();
            assert_eq!(store.recovery().quarantined, [], "{bytes} bytes, before {}", moment.ordinal);
            assert_eq!(append(store.main(), "b", "behind").at.first_seq(), Some(Seq(0)));
        }
    }
}
