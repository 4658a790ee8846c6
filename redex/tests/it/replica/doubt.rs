//! Replicas of which something was damaged or removed while they were closed: they open with what is good, know that they
//! lost something, and are whole again once the others gave it back.

use base::{Disk, SimulatedDisk};

use super::*;

/// Entries of all sorts, and the disk that holds them, as a crash leaves it.
struct Whole {
    entries: Vec<ReplicaEntry>,
    disk: SimulatedDisk,
}

const VOTE: Vote = Vote { term: Term(2), node: NodeId(2), committed: true };

/// How a replica ended before it was damaged.
#[derive(Clone, Copy)]
enum Ended {
    Closed,
    /// The process was; the system goes on, and writes what it was given.
    Killed,
    PowerFailed,
}

/// Makes a log of several segments, everything of which others were told.
fn whole(ended: Ended) -> Whole {
    let world = World::new();
    let log = open(&world.doors);
    let mut entries = vec![blank(1, 0)];
    append(&log, &entries);
    let mut proposer = log.proposer(Term(1), NodeId(1), leader(1));
    for number in 0..60 {
        let payload = format!("{number} {}", "x".repeat(700));
        entries.push(sealed(&mut proposer, "orders", &payload));
        append(&log, &entries[entries.len() - 1..]);
        if number == 20 {
            log.save_vote(vote(1)).unwrap();
        }
        log.flush_step();
    }
    log.save_committed(Some(slot(1, 30))).unwrap();
    log.save_vote(VOTE).unwrap();
    assert!(log.reader().view().segments().len() > 2);
    match ended {
        Ended::Closed => log.close().unwrap(),
        Ended::Killed | Ended::PowerFailed => {
            world.disk.power_off();
            drop(log);
            let killed = matches!(ended, Ended::Killed);
            world.disk.restart(if killed { &CrashImage::All } else { &CrashImage::None });
        }
    }
    Whole { entries, disk: world.disk }
}

impl Whole {
    fn files(&self, ending: &str) -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> = self.disk.files().into_iter().map(|(path, _)| path).collect();
        files.retain(|path| path.to_string_lossy().ends_with(ending));
        files.sort();
        files
    }

    /// Returns a copy of the disk, to be damaged.
    fn copy(&self) -> SimulatedDisk {
        self.disk.snapshot().image(&CrashImage::All)
    }
}

fn doors(disk: &SimulatedDisk) -> Doors {
    World::on(disk.clone(), 5).doors
}

/// What a damaged replica must be: a beginning of what it was, which knows that it is no more than that; and whole again
/// once it has the rest. Returns whether it was in doubt.
fn check(entries: &[ReplicaEntry], disk: &SimulatedDisk, what: &str) -> bool {
    let log = open(&doors(disk));
    let found = all(&log);
    assert!(found.len() <= entries.len() && found == entries[..found.len()], "{what}: other entries");
    let seen = log.reader().visible().0;
    assert!(seen <= found.len() as u64, "{what}: readers see {seen} of {}", found.len());
    let doubt = log.doubt();
    let lost = found.len() < entries.len() || log.vote() != Some(VOTE);
    assert!(!lost || doubt.is_some(), "{what}: {} of {} entries, and no doubt", found.len(), entries.len());
    drop(log);
    if doubt.is_none() {
        let faults = World::on(disk.clone(), 6).verify().faults;
        assert_eq!(faults, [], "{what}");
        return false;
    }
    let log = open(&doors(disk));
    assert!(log.doubt().is_some(), "{what}: a doubt outlasts reopening");
    let rest: Vec<_> = entries[found.len()..].iter().map(sent).collect();
    append(&log, &rest);
    log.save_vote(VOTE).unwrap();
    log.settle_doubt().unwrap();
    assert_eq!(log.doubt(), None);
    log.close().unwrap();
    drop(log);
    let log = open(&doors(disk));
    assert_eq!((log.doubt(), log.vote()), (None, Some(VOTE)), "{what}");
    assert_eq!(all(&log), entries, "{what}");
    log.close().unwrap();
    let faults = World::on(disk.clone(), 6).verify().faults;
    assert_eq!(faults, [], "{what}");
    true
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_before_anybody_relies_on_the_log() {
    let whole = whole(Ended::PowerFailed);
    let mut in_doubt = 0;
    for path in whole.files(".seg") {
        let bytes = whole.disk.read(&path).unwrap().len() as u64;
        // Any byte, and now and then any bit of it.
        for (at, byte) in (0..bytes).step_by(41).enumerate() {
            let disk = whole.copy();
            disk.flip_bit(&path, byte * 8 + at as u64 % 8);
            in_doubt += u64::from(check(&whole.entries, &disk, &format!("{} byte {byte}", path.display())));
        }
    }
    assert!(in_doubt > 500, "only {in_doubt}");
}

#[test]
fn a_segment_that_was_cut_short_is_noticed() {
    for ended in [Ended::Closed, Ended::Killed] {
        let whole = whole(ended);
        for path in whole.files(".seg") {
            let bytes = whole.disk.read(&path).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            for length in (0..used).step_by(199) {
                let disk = whole.copy();
                let file = disk.open(&path, base::OpenMode::Write).unwrap();
                file.set_length(length as u64).unwrap();
                file.sync_data().unwrap();
                let what = format!("{} cut to {length} bytes", path.display());
                assert!(check(&whole.entries, &disk, &what) || length + 600 > used, "{what}");
            }
        }
    }
}

#[test]
fn a_file_that_was_removed_is_noticed() {
    for ended in [Ended::Closed, Ended::Killed] {
        let whole = whole(ended);
        let all = ["seg", "idx", "visible", "promised", "superblock"];
        for path in all.iter().flat_map(|ending| whole.files(ending)) {
            let disk = whole.copy();
            disk.remove(&path).unwrap();
            disk.sync_directory(path.parent().unwrap()).unwrap();
            let noticed = check(&whole.entries, &disk, &path.display().to_string());
            let counts = path.ends_with("promised") || path.extension().is_some_and(|end| end == "seg");
            assert_eq!(noticed, counts, "{}", path.display());
        }
        let disk = whole.copy();
        for (path, _) in disk.files() {
            if path.starts_with(Path::new(DIR).join("logs")) {
                disk.remove(&path).unwrap();
                disk.sync_directory(path.parent().unwrap()).unwrap();
            }
        }
        assert!(check(&whole.entries, &disk, "everything"));
    }
}

#[test]
fn a_superblock_whose_copies_are_damaged_is_made_anew() {
    let whole = whole(Ended::Closed);
    let path = whole.files("superblock").remove(0);
    let disk = whole.copy();
    disk.flip_bit(&path, 100);
    disk.flip_bit(&path, 5_000);
    assert!(check(&whole.entries, &disk, "superblock"));
}

#[test]
fn a_crash_while_damage_is_set_aside_leaves_the_doubt_and_every_good_byte() {
    let whole = whole(Ended::Killed);
    let path = whole.files(".seg").remove(1);
    let disk = whole.copy();
    disk.flip_bit(&path, 6_000 * 8);
    let crashes = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&crashes);
    disk.on_operation(Some(Box::new(move |_, snapshot| taken.lock().unwrap().push(snapshot))));
    drop(open(&doors(&disk)));
    disk.on_operation(None);
    let crashes = std::mem::take(&mut *crashes.lock().unwrap());
    assert!(crashes.len() > 10, "{}", crashes.len());
    for (at, crash) in crashes.iter().enumerate() {
        for image in [CrashImage::None, CrashImage::All] {
            let disk = crash.image(&image);
            assert!(check(&whole.entries, &disk, &format!("crash at operation {at}")));
        }
    }
}

#[test]
fn what_was_set_aside_is_kept() {
    let whole = whole(Ended::Closed);
    let path = whole.files(".seg").remove(1);
    let before = whole.disk.read(&path).unwrap();
    let disk = whole.copy();
    disk.flip_bit(&path, 6_000 * 8);
    assert!(check(&whole.entries, &disk, "a bit"));
    let kept: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|(file, _)| file.parent().is_some_and(|dir| dir.ends_with("quarantine")))
        .collect();
    assert_eq!(kept.len(), whole.files(".seg").len() - 1);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let copy = kept.iter().find(|(file, _)| file.to_string_lossy().contains(&name)).unwrap();
    let copy = disk.read(&copy.0).unwrap();
    let differing = copy.iter().zip(&before).filter(|(a, b)| a != b).count();
    assert_eq!((copy.len(), differing), (before.len(), 1));
}

#[test]
fn a_replica_whose_disk_failed_promises_nobody_what_is_not_durable() {
    let mut poisoned = 0;
    for failing in 0..4 {
        let world = World::new();
        let log = open(&world.doors);
        append(&log, &blanks(1, 0..10));
        log.flush_step();
        assert_eq!(log.last_to_give().unwrap(), Some(slot(1, 9)));
        append(&log, &blanks(1, 10..12));
        assert_eq!(log.last_to_give().unwrap(), Some(slot(1, 11)), "it may be durable soon");
        world.disk.inject(world.disk.operation_count() + failing, Fault::Error(5));
        for index in 12..20 {
            let _ = log.append(&blanks(1, index..index + 1), Completion::ignored());
            log.flush_step();
        }
        let durable = log.state().durable;
        let given = log.last_to_give().unwrap().unwrap();
        if let Err(ReplicaError::Poisoned { .. }) = log.append(&blanks(1, 20..21), Completion::ignored()) {
            poisoned += 1;
            assert_eq!(given.index.position_after(), durable, "operation {failing}");
            assert!(log.state().last.unwrap().index > given.index, "operation {failing}");
            let entries = log.entries(Index::ZERO..given.index.next(), u64::MAX).unwrap();
            assert_eq!(entries.last().map(|entry| entry.slot), Some(given));
        }
    }
    assert!(poisoned > 0, "a sync failed");
}
