//! What events refer to: the sequencer asks for it, and what a log still refers to is visited.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CrashImage, Hash};
use redex::{
    Ack, BlobReference, ChannelConfig, EventInput, Log, LogName, LogOptions, LogReader, Placement, ReadError,
    Retention, Store, StoreReader,
};

use crate::support::{DIR, World, channel, options};

mod held;
mod model;
mod replica;

type Hashes = BTreeSet<Hash>;

fn small() -> LogOptions {
    let mut options = options();
    options.segment_bytes = 16 << 10;
    options
}

fn hash(number: u64) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn reference(number: u64) -> BlobReference {
    BlobReference { hash: hash(number), bytes: number }
}

fn hashes(numbers: impl IntoIterator<Item = u64>) -> Hashes {
    numbers.into_iter().map(hash).collect()
}

/// Appends one event that refers to one blob.
fn refer(log: &Log, name: &str, number: u64, payload_bytes: usize) {
    let (references, payload) = ([reference(number)], vec![b'x'; payload_bytes]);
    let event = EventInput::new("blob.used", &payload).with_blobs(&references);
    log.append(&channel(name), &[event]).unwrap().wait(Ack::Written).into_result().unwrap();
}

fn try_visit(log: &LogReader) -> Result<Hashes, ReadError> {
    let mut visited = Hashes::new();
    log.blob_references(&mut |hash| {
        visited.insert(*hash);
    })?;
    Ok(visited)
}

fn visit(log: &LogReader) -> Hashes {
    try_visit(log).unwrap()
}

fn visit_all(store: &StoreReader) -> Hashes {
    let mut visited = Hashes::new();
    store
        .blob_references(&mut |hash| {
            visited.insert(*hash);
        })
        .unwrap();
    visited
}

fn segments(world: &World) -> Vec<PathBuf> {
    let files = world.disk.files().into_iter().map(|(path, _)| path);
    let is_segment = |path: &PathBuf| {
        path.starts_with("/node/logs/main") && path.extension().is_some_and(|it| it == "seg")
    };
    files.filter(is_segment).collect()
}

/// Writes three events to each of several segments, the second one to another channel.
fn several_segments(store: &Store) {
    for number in 0..9 {
        let name = if number % 3 == 1 { "other" } else { "photos" };
        refer(store.main(), name, number, 6_000);
    }
}

/// Flips a bit of the payload of the event that refers to a blob.
fn damage(world: &World, number: u64) {
    for path in segments(world) {
        let bytes = world.disk.read(&path).unwrap();
        if let Some(at) = bytes.windows(32).position(|part| part == hash(number).as_bytes()) {
            return world.disk.flip_bit(&path, 8 * (at as u64 + 100));
        }
    }
    panic!("no event refers to {number}");
}

#[test]
fn what_is_written_counts_though_readers_do_not_see_it_yet() {
    let world = World::new();
    let store = world.open_with(&small());
    several_segments(&store);
    refer(store.main(), "photos", 100, 10);
    let reader = store.main().reader();
    assert!(reader.visible().0 < 10, "the newest event is not durable");
    assert_eq!(visit(reader), hashes((0..9).chain([100])));
    assert!(segments(&world).len() > 2);
}

#[test]
fn a_sealed_segment_tells_without_its_entries_being_read() {
    let world = World::new();
    let store = world.open_with(&small());
    several_segments(&store);
    store.close().unwrap();
    drop(store);
    damage(&world, 1);
    let store = world.open_with(&small());
    assert_eq!(visit(store.main().reader()), hashes(0..9));
    let beside = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    assert_eq!(visit_all(&beside), hashes(0..9));
}

#[test]
fn events_of_erasable_channels_are_read_and_damage_to_them_is_said() {
    let world = World::new();
    let store = world.open_with(&small());
    store.main().create_channel(&channel("other"), &ChannelConfig::of_erasable()).unwrap().wait(Ack::Durable);
    several_segments(&store);
    store.main().redact(&channel("other"), 1..2, "asked for").unwrap();
    let left = hashes((0..9).filter(|number| *number != 4));
    assert_eq!(visit(store.main().reader()), left, "one was redacted");
    store.close().unwrap();
    drop(store);
    let beside = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    assert_eq!(visit_all(&beside), left);
    drop(beside);
    damage(&world, 1);
    let store = world.open_with(&small());
    let failed = try_visit(store.main().reader());
    assert!(matches!(failed, Err(ReadError::Corrupt(_))), "{failed:?}");
    // Without its derived index, too.
    store.close().unwrap();
    drop(store);
    for path in segments(&world) {
        let index = path.with_extension("idx");
        if world.disk.read(&index).is_some() {
            world.disk.write(&index, b"");
        }
    }
    let store = world.open_with(&small());
    let failed = try_visit(store.main().reader());
    assert!(matches!(failed, Err(ReadError::Corrupt(_))), "{failed:?}");
}

#[test]
fn a_log_that_lost_entries_says_so_instead_of_giving_less() {
    let world = World::new();
    let store = world.open_with(&small());
    (0..3).for_each(|number| refer(store.main(), "photos", number, 200));
    store.close().unwrap();
    drop(store);
    damage(&world, 1);
    let store = world.open_with(&small());
    assert_eq!(store.recovery().quarantined.len(), 1);
    let failed = try_visit(store.main().reader());
    assert!(matches!(failed, Err(ReadError::Hole { .. })), "{failed:?}");
    let wanted = |numbers: std::ops::Range<u64>| hashes(numbers.filter(|number| *number != 1));
    let beside_holes = |reader: &LogReader| {
        let mut found = Hashes::new();
        let visited = reader.blob_references_beside_holes(&mut |hash| {
            found.insert(*hash);
        });
        visited.map(|()| found)
    };
    assert_eq!(beside_holes(store.main().reader()).unwrap(), wanted(0..3));
    // The segment with the hole does not pass for whole once it is sealed.
    (3..9).for_each(|number| refer(store.main(), "photos", number, 6_000));
    let failed = try_visit(store.main().reader());
    assert!(matches!(failed, Err(ReadError::Hole { .. })), "{failed:?}");
    assert_eq!(beside_holes(store.main().reader()).unwrap(), wanted(0..9));
    store.close().unwrap();
    drop(store);
    // What nobody set aside is not passed over.
    damage(&world, 4);
    let reader = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    let failed = beside_holes(reader.main());
    assert!(failed.is_err(), "{failed:?}");
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let world = World::new();
    let store = world.open_with(&small());
    several_segments(&store);
    store.close().unwrap();
    drop(store);
    let all = segments(&world);
    for gone in [&all[0], &all[1]] {
        let world = World::on(world.disk.snapshot().image(&CrashImage::All), 2);
        base::Disk::remove(&world.disk, gone).unwrap();
        let store = world.open_with(&small());
        let failed = try_visit(store.main().reader());
        assert!(matches!(failed, Err(ReadError::Hole { .. })), "{}: {failed:?}", gone.display());
    }
}

#[test]
fn what_retention_gave_up_does_not_count_any_more() {
    let world = World::new();
    let mut options = small();
    options.retention = Retention::of_bytes(40 << 10);
    let store = world.open_with(&options);
    for number in 0..30 {
        refer(store.main(), "photos", number, 6_000);
        world.clock.advance(Duration::from_millis(200));
        store.main().flush_step();
    }
    let view = store.main().reader().view();
    assert!(view.begins().0 > 3);
    let kept = view.read(&redex::Selection::default()).unwrap();
    let kept: Hashes = kept.flat_map(|event| event.unwrap().blobs).map(|reference| reference.hash).collect();
    assert_eq!(visit(store.main().reader()), kept);
}

#[test]
fn a_keyed_log_counts_the_newest_of_each_key_and_what_is_in_its_files() {
    let world = World::new();
    let store = world.open_with(&small());
    let name = LogName::new("names").unwrap();
    let log = store.create_keyed_log(&name).unwrap();
    let names = channel("names");
    store.create_channel(&names, &ChannelConfig::default(), &Placement::Log(name.clone())).unwrap();
    let put = |key: &str, number: u64, payload: &[u8]| {
        let references = [reference(number)];
        let event = EventInput::new("set", payload).with_key(key).with_blobs(&references);
        log.append(&names, &[event]).unwrap().wait(Ack::Durable).into_result().unwrap();
    };
    put("rare", 0, b"x");
    put("gone", 1, b"x");
    put("gone", 2, b"");
    for number in 10..40 {
        put("often", number, &[7; 5_000]);
        world.clock.advance(Duration::from_millis(200));
        log.flush_step();
    }
    let first = log.reader().view().segments()[0].first_index.0;
    assert!(first > 20, "older segments are gone");
    let check = |log: &LogReader| {
        let visited = visit(log);
        assert!(visited.is_superset(&hashes([0, 39])) && visited.is_disjoint(&hashes([1, 2, 10, 11])));
    };
    check(log.reader());
    assert_eq!(visit_all(&store.reader()), visit(log.reader()));
    let beside = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    check(&beside.log(&name).unwrap());
}

#[test]
fn references_are_visited_in_all_logs_of_a_node() {
    let world = World::new();
    let store = world.open_with(&small());
    refer(store.main(), "photos", 1, 10);
    let name = LogName::new("other").unwrap();
    let other = store.create_log(&name, &redex::LogConfig::default()).unwrap();
    store.create_channel(&channel("papers"), &ChannelConfig::default(), &Placement::Log(name)).unwrap();
    refer(&other, "papers", 2, 10);
    assert_eq!(visit_all(&store.reader()), hashes([1, 2]));
    store.main().sync().unwrap();
    other.sync().unwrap();
    let beside = StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap();
    assert_eq!(visit_all(&beside), hashes([1, 2]));
}

#[test]
fn visiting_goes_on_while_events_are_redacted_and_segments_are_given_up() {
    let world = World::new();
    let mut options = small();
    options.retention = Retention::of_bytes(60 << 10);
    let store = world.open_with(&options);
    let people = channel("people");
    store.main().create_channel(&people, &ChannelConfig::of_erasable()).unwrap().wait(Ack::Durable);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !over.load(Ordering::SeqCst) || rounds == 0 {
                visit(store.main().reader());
                rounds += 1;
            }
        });
        for number in 0..60 {
            refer(store.main(), if number % 2 == 0 { "people" } else { "photos" }, number, 5_000);
            store.main().sync().unwrap();
            if number % 2 == 0 {
                store.main().redact(&people, number / 2..number / 2 + 1, "").unwrap();
            }
            world.clock.advance(Duration::from_millis(200));
            store.main().flush_step();
        }
        over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    assert!(store.main().reader().view().begins().0 > 0);
    assert!(visit(store.main().reader()).is_disjoint(&hashes((0..60).step_by(2))));
}

#[test]
fn a_redaction_that_a_crash_interrupted_is_read_through() {
    let world = World::new();
    let store = world.open_with(&small());
    let people = channel("people");
    store.main().create_channel(&people, &ChannelConfig::of_erasable()).unwrap().wait(Ack::Durable);
    // In one entry, whose checksum stands apart from what is written over the one in the middle.
    let references = [0, 1, 2].map(|number| [reference(number)]);
    let events = references.each_ref().map(|of| EventInput::new("blob.used", &[b'x'; 600]).with_blobs(of));
    store.main().append(&people, &events).unwrap().wait(Ack::Durable).into_result().unwrap();
    let left = Arc::new(Mutex::new(Vec::new()));
    let leaves = Arc::clone(&left);
    let hook = move |_: &_, snapshot| leaves.lock().unwrap().push(snapshot);
    world.disk.on_operation(Some(Box::new(hook)));
    store.main().redact(&people, 1..2, "").unwrap();
    world.disk.on_operation(None);
    let left: Vec<base::Snapshot> = std::mem::take(&mut left.lock().unwrap());
    let visited = left.iter().map(|snapshot| {
        let world = World::on(snapshot.image(&CrashImage::All), 2);
        visit_all(&StoreReader::open(Path::new(DIR), &world.doors, &small()).unwrap())
    });
    let visited: Vec<_> = visited.collect();
    let gone = visited.iter().position(|visited| *visited == hashes([0, 2])).unwrap();
    assert!(gone > 0 && visited[..gone].iter().all(|visited| *visited == hashes(0..3)));
    assert!(visited[gone..].iter().all(|visited| *visited == hashes([0, 2])), "it does not come back");
}
