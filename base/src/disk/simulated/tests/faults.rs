//! Operations that fail, and disks that are full or off.

use super::*;

#[test]
fn an_injected_error_hits_its_operation_only_and_undoes_it() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"abc");
    let faulty: [(OperationKind, &dyn Fn() -> io::Result<()>); 8] = [
        (OperationKind::Create, &|| disk.open(Path::new("b"), OpenMode::OpenOrCreate).map(drop)),
        (OperationKind::Write, &|| file.write_at(b"x", 0).map(drop)),
        (OperationKind::SetLength, &|| file.set_length(1)),
        (OperationKind::Sync, &|| file.sync_data()),
        (OperationKind::Rename, &|| disk.rename(Path::new("a"), Path::new("b"))),
        (OperationKind::Remove, &|| disk.remove(Path::new("a"))),
        (OperationKind::SyncDirectory, &|| disk.sync_directory(Path::new(""))),
        (OperationKind::CreateDirectories, &|| disk.create_directories(Path::new("d"))),
    ];
    for (kind, operation) in faulty {
        disk.inject(disk.operation_count(), Fault::Error(28));
        assert_eq!(operation().unwrap_err().kind(), io::ErrorKind::StorageFull, "{kind}");
        assert_eq!(disk.operations().last().unwrap().kind, kind);
    }
    assert_eq!(names(&disk), ["a"]);
    assert_eq!(disk.read("a").unwrap(), b"abc");
    assert_eq!(disk.snapshot().pending_count(), 0);
    file.write_at(b"x", 0).unwrap();
}

#[test]
fn a_short_write_takes_what_the_fault_says() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"");
    disk.inject(0, Fault::Short { bytes: 2 });
    disk.inject(1, Fault::Short { bytes: 0 });
    disk.inject(2, Fault::Short { bytes: 100 });
    assert_eq!(file.write_at(b"abcd", 0).unwrap(), 2);
    assert_eq!(file.write_at(b"cd", 2).unwrap(), 0);
    assert_eq!(file.write_at(b"cd", 2).unwrap(), 2);
    file.sync_data().unwrap();
    assert_eq!(disk.snapshot().image(&CrashImage::None).read("a").unwrap(), b"abcd");
}

#[test]
fn what_a_failed_sync_lost_is_read_but_never_durable() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"old");
    file.write_at(b"new", 0).unwrap();
    disk.inject(disk.operation_count(), Fault::Error(5));
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(disk.read("a").unwrap(), b"new");
    for survivors in [CrashImage::None, CrashImage::All, sectors(1), reordered(1)] {
        assert_eq!(disk.snapshot().image(&survivors).read("a").unwrap(), b"old", "{survivors:?}");
    }

    // A gap that was lost does not come back with what is written behind it.
    file.write_at(&[1; 10], 3).unwrap();
    disk.inject(disk.operation_count(), Fault::Error(5));
    file.sync_data().unwrap_err();
    file.write_at(b"tail", 13).unwrap();
    file.sync_data().unwrap();
    let left = disk.snapshot().image(&CrashImage::All).read("a").unwrap();
    assert_eq!(left, b"old\0\0\0\0\0\0\0\0\0\0tail");
    assert_eq!(disk.read("a").unwrap(), b"new\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01tail");
}

#[test]
fn a_failed_sync_loses_nothing_of_other_files_or_of_names() {
    let disk = SimulatedDisk::new();
    let lost = open(&disk, "lost", OpenMode::Create);
    let kept = open(&disk, "kept", OpenMode::Create);
    lost.write_at(b"x", 0).unwrap();
    kept.write_at(b"x", 0).unwrap();
    disk.inject(disk.operation_count(), Fault::Error(5));
    lost.sync_data().unwrap_err();
    kept.sync_data().unwrap();
    sync_root(&disk);
    let left = disk.snapshot().image(&CrashImage::None);
    assert_eq!(left.files(), [("kept".into(), 1), ("lost".into(), 0)]);
}

#[test]
fn names_stay_pending_when_their_directory_fails_to_sync() {
    let disk = SimulatedDisk::new();
    open(&disk, "a", OpenMode::Create);
    disk.inject(disk.operation_count(), Fault::Error(5));
    disk.sync_directory(Path::new("")).unwrap_err();
    assert_eq!(names(&disk.snapshot().image(&CrashImage::None)), [""; 0]);
    assert_eq!(names(&disk.snapshot().image(&CrashImage::All)), ["a"]);
}

#[test]
fn without_power_everything_fails_until_the_restart() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"old");
    let _lock = disk.lock(Path::new("LOCK")).unwrap();
    sync_root(&disk);
    file.write_at(b"NEW", 0).unwrap();
    let ordinal = disk.operation_count();
    disk.inject(ordinal, Fault::PowerOff);
    file.write_at(b"newer", 0).unwrap_err();
    let path = Path::new("a");
    file.read_at(&mut [0], 0).unwrap_err();
    file.length().unwrap_err();
    file.sync_data().unwrap_err();
    disk.open(path, OpenMode::Read).unwrap_err();
    disk.open(path, OpenMode::OpenOrCreate).unwrap_err();
    disk.list(Path::new("")).unwrap_err();
    disk.exists(path).unwrap_err();
    disk.lock(path).unwrap_err();
    disk.is_locked(path).unwrap_err();
    disk.rename(path, Path::new("b")).unwrap_err();
    disk.create_directories(path).unwrap_err();
    assert_eq!(disk.operation_count(), ordinal + 1, "nothing is counted without power");
    assert_eq!(disk.snapshot().pending_count(), 1, "the operation that met the power failure is not done");

    disk.restart(&CrashImage::All);
    assert_eq!(disk.read("a").unwrap(), b"NEW");
    assert_eq!(disk.snapshot().pending_count(), 0);
    file.read_at(&mut [0], 0).unwrap_err();
    file.write_at(b"x", 0).unwrap_err();
    assert_eq!(open(&disk, "a", OpenMode::Write).write_at(b"x", 0).unwrap(), 1);
}

#[test]
fn faults_and_the_limit_on_space_outlast_a_restart() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", b"abcd");
    disk.fill_up(Some(1));
    disk.inject(1, Fault::Error(5));
    disk.restart(&CrashImage::None);
    let file = open(&disk, "a", OpenMode::Write);
    assert_eq!(file.write_at(b"xyz", 4).unwrap(), 1);
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    assert_eq!(disk.operation_count(), 2);
}

#[test]
fn a_restart_gives_locks_back_once() {
    let disk = SimulatedDisk::new();
    let path = Path::new("LOCK");
    let before = disk.lock(path).unwrap();
    sync_root(&disk);
    assert!(!disk.snapshot().image(&CrashImage::All).is_locked(path).unwrap());
    disk.restart(&CrashImage::None);
    let after = disk.lock(path).unwrap();
    drop(before);
    assert!(disk.is_locked(path).unwrap(), "the guard from before the restart holds nothing");
    drop(after);
    assert!(!disk.is_locked(path).unwrap());
}

#[test]
fn a_full_disk_takes_what_fits_and_then_refuses() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"abcd");
    disk.fill_up(Some(3));
    assert_eq!(file.write_at(b"EFGHIJ", 2).unwrap(), 5);
    assert_eq!(disk.read("a").unwrap(), b"abEFGHI");
    let full = |result: io::Result<usize>| result.unwrap_err().kind() == io::ErrorKind::StorageFull;
    assert!(full(file.write_at(b"x", 7)));
    assert!(full(file.write_at(b"x", 100)));
    assert!(full(file.set_length(8).map(|()| 0)));
    assert_eq!(disk.read("a").unwrap(), b"abEFGHI");
    assert_eq!(disk.snapshot().pending_count(), 1, "what was refused is not pending");
}

#[test]
fn a_full_disk_takes_overwrites_and_names() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"abcd");
    disk.fill_up(Some(0));
    assert_eq!(file.write_at(b"ABCD", 0).unwrap(), 4);
    assert_eq!(file.write_at(b"", 100).unwrap(), 0);
    open(&disk, "b", OpenMode::Create);
    rename(&disk, "b", "c");
    assert_eq!(names(&disk), ["a", "c"]);
}

#[test]
fn a_full_disk_gets_space_back() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"abcd");
    durable(&disk, "b", b"efgh");
    disk.fill_up(Some(0));
    file.set_length(1).unwrap();
    file.write_at(&[1; 3], 1).unwrap();
    file.write_at(&[1], 4).unwrap_err();
    disk.remove(Path::new("b")).unwrap();
    file.set_length(8).unwrap();
    file.write_at(&[1], 8).unwrap_err();
    disk.fill_up(None);
    file.write_at(&[1], 8).unwrap();
}

#[test]
fn a_misdirected_write_succeeds_and_lands_elsewhere() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"......");
    durable(&disk, "b", b"......");
    disk.inject(0, Fault::Misdirected { offset: 4 });
    disk.inject(1, Fault::Misfiled { file: 1 });
    disk.inject(2, Fault::Misfiled { file: 4 });
    assert_eq!(file.write_at(b"xy", 0).unwrap(), 2);
    assert_eq!(file.write_at(b"yz", 1).unwrap(), 2);
    assert_eq!(file.write_at(b"z", 1).unwrap(), 1);
    assert_eq!((disk.read("a").unwrap(), disk.read("b").unwrap()), (b".z..xy".to_vec(), b".yz...".to_vec()));
    assert_eq!(disk.operations()[0].offset, 0, "the call is recorded as it was made");
    file.sync_data().unwrap();
    let image = disk.snapshot().image(&CrashImage::None);
    assert_eq!(
        (image.read("a").unwrap(), image.read("b").unwrap()),
        (b".z..xy".to_vec(), b"......".to_vec())
    );
}

#[test]
fn sectors_of_one_write_change_places() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"");
    let bytes = [[b'1'; SECTOR], [b'2'; SECTOR], [b'3'; SECTOR], [b'4'; SECTOR]].concat();
    disk.inject(0, Fault::SwappedSectors { first: 0, second: 4 });
    disk.inject(1, Fault::SwappedSectors { first: 0, second: 1 });
    // The write begins and ends within a sector: it covers two whole ones.
    assert_eq!(file.write_at(&bytes[100..1900], 100).unwrap(), 1800);
    let read = disk.read("a").unwrap();
    let sectors: Vec<_> = read.chunks(SECTOR).map(|sector| sector[sector.len() - 1]).collect();
    assert_eq!(sectors, b"1234", "0 and 4 are the same sector");
    file.write_at(&bytes[100..1900], 100).unwrap();
    let read = disk.read("a").unwrap();
    let sectors: Vec<_> = read.chunks(SECTOR).map(|sector| sector[sector.len() - 1]).collect();
    assert_eq!(sectors, b"1324");
    disk.inject(2, Fault::SwappedSectors { first: 0, second: 1 });
    assert_eq!(file.write_at(b"short", 0).unwrap(), 5);
    assert_eq!(&disk.read("a").unwrap()[..5], b"short");
}

#[test]
fn sectors_at_rest_change_places_durably() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", &[[b'1'; SECTOR], [b'2'; SECTOR], [b'3'; SECTOR]].concat());
    disk.swap_sectors("a", 0, 2);
    let expected = [[b'3'; SECTOR], [b'2'; SECTOR], [b'1'; SECTOR]].concat();
    assert_eq!(disk.read("a").unwrap(), expected);
    assert_eq!(disk.snapshot().image(&CrashImage::None).read("a").unwrap(), expected);
    assert_eq!(disk.operation_count(), 0);
}

#[test]
fn a_slow_operation_is_done_and_takes_its_time() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(crate::ManualClock::new(crate::Timestamp::from_nanos(0)));
    disk.take_time_on(Some(Arc::clone(&clock)));
    let file = durable(&disk, "a", b"");
    let slow = Fault::Slow { time: std::time::Duration::from_millis(30) };
    disk.inject(0, slow);
    disk.inject(2, slow);
    let passed = || crate::Clock::monotonic(&*clock).as_millis();
    file.write_at(b"x", 0).unwrap();
    assert_eq!(passed(), 30);
    file.write_at(b"y", 1).unwrap();
    assert_eq!(passed(), 30);
    file.sync_data().unwrap();
    assert_eq!(passed(), 60);
    assert_eq!(disk.snapshot().image(&CrashImage::None).read("a").unwrap(), b"xy");
}
