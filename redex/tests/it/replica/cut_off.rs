//! What is cut off of a replica is kept aside, for people to look at.

use std::path::PathBuf;

use base::{Disk, ErrorKind, OpenMode};
use redex::{CutOff, CutOffError, cut_off_files};

use super::*;

fn files(disk: &dyn Disk) -> Vec<PathBuf> {
    cut_off_files(Path::new(DIR), disk).unwrap()
}

/// Returns the number and payload of each event in a file.
fn events(cut_off: &CutOff) -> Vec<(u64, String)> {
    let payload = |payload: &[u8]| String::from_utf8(payload.to_vec()).unwrap();
    cut_off.events().map(|event| (event.seq.0, payload(event.payload))).collect()
}

/// A log of a blank entry and events, the first `committed` of which are committed.
fn log_with(world: &World, events: u64, committed: u64) -> ReplicaLog {
    let log = open(&world.doors);
    append(&log, &[blank(1, 0)]);
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    for number in 0..events {
        append(&log, &[sealed(&mut proposer, "orders", &format!("{number}"))]);
    }
    log.save_committed(Some(slot(1, committed))).unwrap();
    log
}

#[test]
fn what_is_cut_off_is_kept_with_its_events_and_numbers() {
    let world = World::new();
    let log = log_with(&world, 5, 2);
    append(&log, &[blank(1, 6)]);
    log.truncate_after(Some(Index(2))).unwrap();
    let [path] = &files(&world.disk)[..] else { panic!("one file") };
    let kept = CutOff::read(path, &world.disk).unwrap();
    assert_eq!((kept.log(), kept.indexes()), (identity().log, Index(3)..Index(7)));
    assert_eq!(
        kept.slots().collect::<Vec<_>>(),
        [slot(1, 3), slot(1, 4), slot(1, 5)],
        "the blank one is not"
    );
    assert_eq!(events(&kept), [(2, "2".to_owned()), (3, "3".to_owned()), (4, "4".to_owned())]);
    // It outlasts a power failure, and nobody takes it for a part of the log.
    drop(log);
    world.disk.power_off();
    world.disk.restart(&CrashImage::None);
    let log = open(&world.doors);
    assert_eq!(last(&log), Some(slot(1, 2)));
    assert_eq!(events(&CutOff::read(path, &world.disk).unwrap()).len(), 3);
    log.close().unwrap();
    assert_eq!(faults(&world), []);
}

#[test]
fn a_file_has_the_bytes_that_the_format_says() {
    let world = World::new();
    let log = log_with(&world, 3, 1);
    log.truncate_after(Some(Index(1))).unwrap();
    let written = world.disk.read(&files(&world.disk)[0]).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/entries.cut");
    assert_eq!(
        written,
        base::read_to_end(&*base::SystemDisk.open(&golden, OpenMode::Read).unwrap(), 9_999).unwrap()
    );
}

#[test]
fn entries_of_consensus_alone_leave_nothing() {
    let world = World::new();
    let log = log_with(&world, 2, 2);
    append(&log, &blanks(1, 3..9));
    log.truncate_after(Some(Index(4))).unwrap();
    assert_eq!(files(&world.disk).len(), 0);
}

#[test]
fn of_many_the_newest_are_kept_and_numbers_go_on_after_reopening() {
    let world = World::new();
    let mut log = log_with(&world, 1, 1);
    for term in 2..22 {
        let mut proposer = log.proposer(Term(term), NodeId(1), leader(term));
        append(&log, &[sealed(&mut proposer, "orders", &format!("of term {term}"))]);
        log.truncate_after(Some(Index(1))).unwrap();
        drop(log);
        log = open(&world.doors);
    }
    let kept = files(&world.disk);
    let kept = kept.iter().map(|path| events(&CutOff::read(path, &world.disk).unwrap()).remove(0).1);
    assert_eq!(kept.collect::<Vec<_>>(), (6..22).map(|term| format!("of term {term}")).collect::<Vec<_>>());
}

#[test]
fn whatever_fails_in_keeping_it_what_is_to_be_cut_off_goes() {
    let run = |fault: Option<u64>| {
        let world = World::new();
        let log = log_with(&world, 5, 2);
        if let Some(ordinal) = fault {
            world.disk.inject(ordinal, Fault::Error(5));
        }
        let before = world.disk.operation_count();
        log.truncate_after(Some(Index(2))).unwrap();
        append(&log, &[blank(2, 3)]);
        assert_eq!(last(&log), Some(slot(2, 3)), "{fault:?}");
        let operations = world.disk.operations().into_iter().skip(before as usize);
        let beside = operations.filter(|operation| operation.path.iter().any(|part| part == "cut-off"));
        (files(&world.disk).len(), beside.map(|operation| operation.ordinal).collect::<Vec<_>>())
    };
    let (kept, operations) = run(None);
    assert!(kept == 1 && operations.len() > 4, "{operations:?}");
    let outcomes: Vec<_> = operations.iter().map(|ordinal| run(Some(*ordinal)).0).collect();
    assert!(outcomes.contains(&0), "{outcomes:?}");
}

#[test]
fn a_crash_leaves_a_whole_file_or_none_and_none_is_lost_that_was_cut_off() {
    let moments = at_every_crash_of(
        |log| {
            append(log, &[blank(1, 0)]);
            let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
            let entries: Vec<_> = (0..30).map(|n| sealed(&mut proposer, "orders", &format!("{n}"))).collect();
            append(log, &entries);
            log.flush_step();
        },
        |log| log.truncate_after(Some(Index(10))).unwrap(),
        |world, _, state, what| {
            let read = |path: &PathBuf| CutOff::read(path, &world.disk).unwrap().slots().len();
            let kept: Vec<_> = files(&world.disk).iter().map(read).collect();
            match state.last.unwrap().index {
                Index(10) => assert_eq!(kept, [20], "{what}"),
                _ => assert!(matches!(kept[..], [] | [20]), "{kept:?} {what}"),
            }
        },
    );
    assert!(moments > 8, "{moments} moments");
}

#[test]
fn damaged_files_and_others_are_refused() {
    let world = World::new();
    let log = log_with(&world, 3, 1);
    log.truncate_after(Some(Index(1))).unwrap();
    let path = files(&world.disk).remove(0);
    let file = world.disk.open(&path, OpenMode::Read).unwrap();
    let whole = base::read_to_end(&*file, usize::MAX).unwrap();
    let disk = base::MemoryDisk::new();
    let read = |bytes: &[u8]| {
        let path = Path::new("file");
        if disk.exists(path).unwrap() {
            disk.remove(path).unwrap();
        }
        let file = disk.open(path, OpenMode::Create).unwrap();
        base::write_all_at(&*file, bytes, 0).unwrap();
        CutOff::read(path, &disk)
    };
    assert_eq!(read(&whole).unwrap().slots().len(), 2);
    for length in 0..whole.len() {
        assert!(matches!(read(&whole[..length]), Err(CutOffError::Malformed { .. })), "{length}");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = read(&flipped).unwrap_err();
        let as_wanted = match bit / 8 {
            8 | 9 => matches!(refused, CutOffError::Version { found, .. } if found != 1),
            _ => matches!(refused, CutOffError::Malformed { .. }),
        };
        assert!(as_wanted, "bit {bit}: {refused}");
    }
    let missing = CutOff::read(Path::new("nothing"), &disk).unwrap_err();
    assert_eq!(base::Classify::kind(&missing), ErrorKind::NotFound);
}
