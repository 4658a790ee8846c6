//! What verification says of several logs, and of what they say about each other.

use base::{CrashImage, Disk};
use redex::{ReadError, space_of_all};

use super::*;

/// A node with a channel that moved; returns the name of its new log.
fn node() -> (World, String) {
    let world = World::new();
    let store = world.open();
    put(&store, "c", "0");
    store.move_channel(&channel("c"), &keeping_bytes(1 << 20)).unwrap();
    put(&store, "c", "1");
    put(&store, "stays", "x");
    let name = home(&store, "c");
    store.close().unwrap();
    (world, name)
}

fn faults(world: &World) -> Vec<String> {
    let reports = verify_all(&world.doors);
    reports
        .iter()
        .flat_map(|report| &report.faults)
        .map(|fault| format!("{}: {}", fault.expected, fault.found))
        .collect()
}

#[test]
fn all_logs_are_verified_and_counted_apart() {
    let (world, name) = node();
    let reports = verify_all(&world.doors);
    let of: Vec<_> =
        reports.iter().map(|report| (report.name.as_str(), report.events, report.faults.len())).collect();
    assert_eq!(of, [("main", 2, 0), (name.as_str(), 1, 0)]);
    let space = space_of_all(Path::new(DIR), &world.doors).unwrap();
    let files: u64 = world
        .disk
        .files()
        .iter()
        .filter(|(path, _)| path.starts_with("/node/logs"))
        .map(|(_, bytes)| bytes)
        .sum();
    assert_eq!(space.iter().map(|(_, report)| report.total()).sum::<u64>(), files);
}

#[test]
fn any_flipped_bit_of_a_configuration_is_found_and_mended_at_opening() {
    let (world, name) = node();
    let path = Path::new(DIR).join("logs").join(&name).join("config");
    let whole = world.disk.read(&path).unwrap();
    for bit in (0..8 * whole.len() as u64).step_by(37) {
        world.disk.flip_bit(&path, bit);
        assert_eq!(faults(&world).len(), 1, "bit {bit}");
        if bit % 5 == 0 {
            let store = world.open();
            assert_eq!(store.recoveries().iter().map(|(_, report)| report.repaired.len()).sum::<usize>(), 1);
            store.close().unwrap();
            assert_eq!(world.disk.read(&path).unwrap(), whole);
        } else {
            world.disk.flip_bit(&path, bit);
        }
    }
    assert_eq!(faults(&world), [] as [String; 0]);
    world.disk.flip_bit(&path, 200);
    world.disk.flip_bit(&path, 8 * 512 + 200);
    assert!(faults(&world)[0].contains("both copies"), "{:?}", faults(&world));
    let error = Store::open(Path::new(DIR), &world.doors, &options()).unwrap_err();
    assert!(error.to_string().contains("without the file everything is kept"), "{error}");
    world.disk.remove(&path).unwrap();
    assert!(faults(&world)[0].contains("no file"));
    let store = world.open();
    assert_eq!(store.config(&log_name(&name)), Some(LogConfig::default()));
    assert_eq!(whole_numbers(&store), [0, 1]);
}

fn whole_numbers(store: &Store) -> Vec<u64> {
    super::whole(store, "c").into_iter().map(|(seq, _)| seq).collect()
}

#[test]
fn a_log_that_is_gone_is_missed_and_its_channel_does_not_begin_anew() {
    let (world, name) = node();
    for (path, _) in world.disk.files() {
        if path.starts_with(Path::new(DIR).join("logs").join(&name)) {
            world.disk.remove(&path).unwrap();
        }
    }
    let found = faults(&world);
    assert!(found.len() == 1 && found[0].contains("which has events of channel `c`"), "{found:?}");
    let store = world.open();
    let outcome = store.append(&channel("c"), &[EventInput::new("k", b"")]).unwrap().wait(Ack::Durable);
    assert!(outcome.at().is_none(), "{outcome:?}");
    assert_eq!(whole_numbers(&store), [0], "what is there can be read");
    put(&store, "stays", "y");
}

#[test]
fn a_log_of_which_an_older_copy_came_back_does_not_agree_with_the_others() {
    let world = World::new();
    let store = world.open();
    put(&store, "c", "0");
    store.close().unwrap();
    drop(store);
    let before = world.disk.snapshot().image(&CrashImage::All);
    let store = world.open();
    put(&store, "c", "1");
    store.move_channel(&channel("c"), &keeping_bytes(1 << 20)).unwrap();
    put(&store, "c", "2");
    store.close().unwrap();
    drop(store);
    for (path, _) in world.disk.files() {
        if path.starts_with("/node/logs/main")
            && let Some(old) = before.read(&path)
        {
            world.disk.write(&path, &old);
        }
    }
    let found = faults(&world);
    assert!(found.iter().any(|fault| fault.contains("channel `c` in one log")), "{found:?}");
    // Nobody gets a number twice: the channel goes on where it went.
    let store = world.open();
    assert_eq!(put(&store, "c", "3"), 3);
    assert_ne!(home(&store, "c"), "main");
}

#[test]
fn damage_to_one_log_leaves_the_others_alone() {
    let (world, name) = node();
    let dir = Path::new(DIR).join("logs").join(&name);
    let (path, _) = world
        .disk
        .files()
        .into_iter()
        .find(|(path, _)| path.starts_with(&dir) && path.extension().is_some_and(|end| end == "seg"))
        .unwrap();
    let at = world.disk.read(&path).unwrap().windows(13).position(|bytes| bytes == b"test.happened").unwrap();
    world.disk.flip_bit(&path, 8 * at as u64);
    let reports = verify_all(&world.doors);
    assert!(reports[0].faults.is_empty() && !reports[1].faults.is_empty());
    let store = world.open();
    let set_aside: Vec<_> =
        store.recoveries().into_iter().map(|(name, report)| (name, report.quarantined.len())).collect();
    assert_eq!(set_aside, [("main".to_owned(), 0), (name, 1)]);
    let view = store.reader().view();
    assert_eq!(read(&view, &Selection::channel(&channel("stays"))).len(), 1);
    let all = Selection::channel(&channel("c"));
    let events: Vec<_> = view.read(&all).unwrap().collect();
    assert!(matches!(events.as_slice(), [Ok(first), Err(ReadError::Hole { .. })] if first.seq.0 == 0));
    let skipping = Selection { skip_holes: true, ..all };
    assert_eq!(read(&view, &skipping).len(), 1);
    assert!(put(&store, "c", "2") >= 2, "numbers that were lost are not given out again");
}

#[test]
fn a_move_whose_first_entry_was_lost_is_said_again_and_no_number_comes_twice() {
    let world = World::new();
    let store = world.open();
    put(&store, "c", "0");
    put(&store, "c", "1");
    store.move_channel(&channel("c"), &keeping_bytes(1 << 20)).unwrap();
    put(&store, "c", "2");
    put(&store, "stays", "x");
    store.close().unwrap();
    drop(store);
    let path = Path::new(DIR).join("logs/main/0000000000-00000000000000000000.seg");
    let target = verify_all(&world.doors)[1].name.clone();
    let bytes = world.disk.read(&path).unwrap();
    let at = bytes.windows(target.len()).position(|window| window == target.as_bytes()).unwrap();
    world.disk.flip_bit(&path, 8 * at as u64);
    let store = world.open();
    assert_eq!(store.recovery().quarantined.len(), 1);
    assert_eq!(home(&store, "c"), target);
    let skipping = Selection { skip_holes: true, ..Selection::channel(&channel("c")) };
    let numbers = |store: &Store| {
        read(&store.reader().view(), &skipping).into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
    };
    assert_eq!(put(&store, "c", "3"), 3);
    assert_eq!(numbers(&store), [0, 1, 2, 3]);
    let event = [EventInput::new("k", b"")];
    let outcome = store.main().append(&channel("c"), &event).unwrap().wait(Ack::Durable);
    assert!(outcome.at().is_none(), "{outcome:?}");
    store.close().unwrap();
    drop(store);
    let store = world.open();
    assert_eq!((put(&store, "c", "4"), numbers(&store)), (4, vec![0, 1, 2, 3, 4]));
    for report in verify_all(&world.doors) {
        assert!(report.faults.iter().all(|fault| fault.found.contains("lost")), "{:?}", report.faults);
    }
}
