//! Opening a node's directory: key, lock, clock and settings.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{
    Classify, Disk, DiskFile, DiskLock, Doors, ErrorKind, Identity, OpenMode, SimulatedDisk, Timestamp,
};
use redex::{Ack, EventInput, LogOptions, OpenError, Outcome, Rejection, Store, StoreReader};

use crate::support::{DIR, World, all, append, channel, options};

fn open(world: &World) -> Result<Store, OpenError> {
    Store::open(Path::new(DIR), &world.doors, &options())
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds_the_lock() {
    let world = World::new();
    let store = world.open();
    let Err(OpenError::Locked { owner: Some(owner), .. }) = open(&world) else { panic!() };
    assert_eq!(owner.pid, std::process::id());
    store.close().unwrap();
    open(&world).unwrap();
}

#[test]
fn the_lock_outlives_the_store_while_a_log_is_in_use() {
    let world = World::new();
    let log = world.open().main().clone();
    append(&log, "a", "1");
    assert!(matches!(open(&world), Err(OpenError::Locked { .. })));
    drop(log);
    assert_eq!(all(open(&world).unwrap().main(), "a"), ["1"]);
}

#[test]
fn dropping_the_last_handle_closes_cleanly() {
    let world = World::new();
    let ticket = {
        let store = world.open();
        store.main().append(&channel("a"), &[EventInput::new("k", b"1")]).unwrap()
    };
    drop(ticket);
    let store = world.open();
    assert!(!store.recovery().unclean);
    assert_eq!(all(store.main(), "a"), ["1"]);
}

#[test]
fn a_closed_log_refuses_appends() {
    let world = World::new();
    let store = world.open();
    store.close().unwrap();
    store.close().unwrap();
    let refused = store.main().append(&channel("a"), &[EventInput::new("k", b"1")]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
}

/// A disk on which somebody else makes a node just before the lock is taken.
#[derive(Debug)]
struct Overtaken(SimulatedDisk);

impl Disk for Overtaken {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(path, mode)
    }
    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.0.create_directories(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.0.list(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.0.sync_directory(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        World::on(self.0.clone(), 2).open().close().unwrap();
        self.0.lock(path)
    }
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.0.is_locked(path)
    }
}

#[test]
fn of_two_who_create_a_node_at_once_one_is_told_that_it_exists() {
    let mut world = World::new();
    world.doors.disk = Arc::new(Overtaken(world.disk.clone()));
    let created = Store::create(Path::new(DIR), &world.doors, &options());
    assert!(matches!(created, Err(OpenError::Exists { .. })), "{created:?}");
}

#[test]
fn creating_over_an_existing_node_is_a_conflict() {
    let world = World::new();
    Store::create(Path::new(DIR), &world.doors, &options()).unwrap().close().unwrap();
    let error = Store::create(Path::new(DIR), &world.doors, &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}

#[test]
fn a_key_that_does_not_belong_is_refused_and_a_missing_one_is_not_replaced() {
    let world = World::new();
    world.open().close().unwrap();
    let path = Path::new(DIR).join("identity");
    let own = world.disk.read(&path).unwrap();

    world.disk.write(&path, &[7; 32]);
    let Err(OpenError::IdentityMismatch { expected, found, .. }) = open(&world) else { panic!() };
    assert_eq!(found, Identity::from_seed(&[7; 32]).origin());
    assert_ne!(expected, found);

    world.disk.write(&path, &own[..31]);
    assert_eq!(open(&world).unwrap_err().kind(), ErrorKind::Corrupt);

    world.disk.remove(&path).unwrap();
    assert!(matches!(open(&world), Err(OpenError::IdentityMissing { .. })));
    assert!(!world.disk.exists(&path).unwrap());

    world.disk.write(&path, &own);
    open(&world).unwrap();
}

#[test]
fn reading_needs_a_node_and_writes_nothing() {
    let world = World::new();
    let read = || StoreReader::open(Path::new(DIR), &world.doors, &options());
    assert!(matches!(read(), Err(OpenError::NotInitialised { .. })));
    append(world.open().main(), "a", "1");
    let operations = world.disk.operation_count();
    let view = read().unwrap().main().view();
    assert_eq!(view.channels().unwrap()[0].next_seq, base::Seq(1));
    assert_eq!(world.disk.operation_count(), operations);
}

#[test]
fn settings_out_of_range_are_all_named() {
    let mut bad = options();
    bad.segment_bytes = 1;
    bad.sync_within = Duration::ZERO;
    let world = World::new();
    let Err(OpenError::Options { faults }) = Store::open(Path::new(DIR), &world.doors, &bad) else {
        panic!()
    };
    assert_eq!(faults.len(), 2);
}

#[test]
fn a_leaping_clock_is_refused_and_accepted_by_reopening() {
    let world = World::new();
    let store = world.open();
    append(store.main(), "a", "1");
    let wall = base::Clock::now(&*world.clock);
    world.clock.set_wall(wall.plus(Duration::from_secs(25 * 60 * 60)));
    let ticket = store.main().append(&channel("a"), &[EventInput::new("k", b"2")]).unwrap();
    let outcome = ticket.wait(Ack::Durable);
    assert!(matches!(outcome, Outcome::Rejected { reason: Rejection::ClockLeap { .. }, .. }), "{outcome:?}");
    store.close().unwrap();
    drop((store, ticket));
    let store = world.open();
    append(store.main(), "a", "3");
    assert_eq!(all(store.main(), "a"), ["1", "3"]);
}

#[test]
fn a_clock_far_behind_the_log_is_refused_at_opening() {
    let world = World::new();
    append(world.open().main(), "a", "1");
    world.clock.set_wall(Timestamp::from_nanos(5));
    assert!(matches!(open(&world), Err(OpenError::ClockBehind { .. })));
}

#[test]
fn recording_times_never_decrease_when_the_clock_steps_back() {
    let world = World::new();
    let store = world.open();
    append(store.main(), "a", "1");
    let wall = base::Clock::now(&*world.clock);
    world.clock.set_wall(Timestamp::from_nanos(wall.as_nanos() - 1_000_000_000));
    append(store.main(), "a", "2");
    let events: Vec<_> = store.main().reader().view().read(&redex::Selection::default()).unwrap().collect();
    let times: Vec<_> = events.into_iter().map(|event| event.unwrap().recorded_at).collect();
    assert_eq!(times, [wall, wall]);
}

#[test]
fn the_flusher_syncs_what_nobody_waits_for_in_time() {
    for is_held in [false, true] {
        let world = World::new();
        let store = world.open();
        let ticket = store.main().append(&channel("a"), &[EventInput::new("k", b"1")]).unwrap();
        let held = is_held.then_some(ticket);
        let due = store.main().flush_step().unwrap();
        assert_eq!(due, LogOptions::default().sync_within);
        assert!(all(store.main(), "a").is_empty());
        world.clock.advance(due);
        assert_eq!(store.main().flush_step(), None);
        assert_eq!(all(store.main(), "a"), ["1"]);
        drop(held);
    }
}

#[test]
fn the_flushers_thread_wakes_for_each_append_that_nobody_waits_for() {
    let store = Store::open(Path::new(DIR), &Doors::memory(), &LogOptions::default()).unwrap();
    let reader = store.main().reader();
    for _ in 0..5 {
        let before = reader.visible();
        let held = store.main().append(&channel("a"), &[EventInput::new("k", b"1")]).unwrap();
        assert!(reader.wait_beyond(before, Some(Duration::from_secs(20))), "behind {before}");
        drop(held);
        // One that is waited for takes the deadline away; the next one sets it again.
        append(store.main(), "a", "2");
    }
}

#[test]
fn a_copy_of_a_directory_branches_instead_of_forking() {
    let world = World::new();
    append(world.open().main(), "a", "1");
    let copy = SimulatedDisk::new();
    copy.create_directories(&Path::new(DIR).join("logs/main")).unwrap();
    for (path, _) in world.disk.files() {
        copy.write(&path, &world.disk.read(&path).unwrap());
    }
    let copy = World::on(copy, 2);
    for world in [&world, &copy] {
        append(world.open().main(), "a", "2");
    }
    let incarnations = |world: &World| world.open().main().reader().view().incarnations();
    let (own, other) = (incarnations(&world), incarnations(&copy));
    assert_eq!(own[0], other[0]);
    assert_ne!(own[1].id, other[1].id);
    assert_eq!(own[1].parent_hash, other[1].parent_hash);
}
