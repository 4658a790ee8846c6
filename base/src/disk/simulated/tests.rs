use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::{DiskFile, SeededRandom, write_all_at};

mod crashes;
mod faults;

const SECTOR: usize = 512;

fn open(disk: &SimulatedDisk, path: &str, mode: OpenMode) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), mode).unwrap()
}

/// Makes a file with these contents, all of it durable.
fn durable(disk: &SimulatedDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    disk.write(path, bytes);
    open(disk, path, OpenMode::Write)
}

fn sync_root(disk: &SimulatedDisk) {
    disk.sync_directory(Path::new("")).unwrap();
}

fn rename(disk: &SimulatedDisk, from: &str, to: &str) {
    disk.rename(Path::new(from), Path::new(to)).unwrap();
}

fn names(disk: &SimulatedDisk) -> Vec<String> {
    disk.list(Path::new("")).unwrap()
}

/// Returns what each of many crashes at this moment leaves of a file.
fn outcomes(
    disk: &SimulatedDisk,
    path: &str,
    survivors: impl Fn(u64) -> CrashImage,
) -> BTreeSet<Option<Vec<u8>>> {
    let snapshot = disk.snapshot();
    (0..200).map(|seed| snapshot.image(&survivors(seed)).read(path)).collect()
}

fn sectors(seed: u64) -> CrashImage {
    CrashImage::Sectors { seed }
}

fn reordered(seed: u64) -> CrashImage {
    CrashImage::Reordered { seed }
}

#[test]
fn every_change_and_sync_is_counted_with_its_arguments() {
    use OperationKind as Kind;
    let disk = SimulatedDisk::new();
    let directory = Path::new("d");
    disk.create_directories(directory).unwrap();
    let file = open(&disk, "d/a", OpenMode::Create);
    file.write_at(b"abc", 7).unwrap();
    file.set_length(4).unwrap();
    file.sync_data().unwrap();
    disk.rename(Path::new("d/a"), Path::new("d/b")).unwrap();
    disk.sync_directory(directory).unwrap();
    open(&disk, "d/b", OpenMode::OpenOrCreate);
    disk.remove(Path::new("d/b")).unwrap();

    let operation = |ordinal, kind, path: &str, offset, bytes| {
        let path = path.into();
        Operation { ordinal, kind, path, offset, bytes }
    };
    let expected = [
        operation(0, Kind::CreateDirectories, "d", 0, 0),
        operation(1, Kind::Create, "d/a", 0, 0),
        operation(2, Kind::Write, "d/a", 7, 3),
        operation(3, Kind::SetLength, "d/a", 0, 4),
        operation(4, Kind::Sync, "d/a", 0, 0),
        operation(5, Kind::Rename, "d/b", 0, 0),
        operation(6, Kind::SyncDirectory, "d", 0, 0),
        operation(7, Kind::Create, "d/b", 0, 0),
        operation(8, Kind::Remove, "d/b", 0, 0),
    ];
    assert_eq!(disk.operations(), expected);
    assert_eq!(disk.operation_count(), 9);
    assert_eq!(expected[2].to_string(), "2 write d/a at 7, 3 bytes");
    assert_eq!(expected[3].to_string(), "3 set-length d/a to 4 bytes");
}

#[test]
fn looking_is_not_counted_and_failing_is() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"abc");
    file.read_at(&mut [0; 3], 0).unwrap();
    file.length().unwrap();
    disk.exists(Path::new("a")).unwrap();
    disk.list(Path::new("")).unwrap();
    disk.lock(Path::new("a")).unwrap();
    assert_eq!(disk.operation_count(), 0);
    disk.remove(Path::new("missing")).unwrap_err();
    disk.open(Path::new("a"), OpenMode::Create).unwrap_err();
    assert_eq!(disk.operation_count(), 2);
}

#[test]
fn the_hook_sees_the_disk_as_it_was_before_each_operation() {
    let disk = SimulatedDisk::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let looked_at = disk.clone();
    disk.on_operation(Some(Box::new(move |operation, snapshot| {
        let image = snapshot.image(&CrashImage::All);
        sender.send((operation.kind, image.read("a"), looked_at.operation_count())).unwrap();
    })));
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(b"x", 0).unwrap();
    file.sync_data().unwrap();
    disk.on_operation(None);
    sync_root(&disk);
    let expected = [
        (OperationKind::Create, None, 1),
        (OperationKind::Write, Some(vec![]), 2),
        (OperationKind::Sync, Some(b"x".to_vec()), 3),
    ];
    assert_eq!(receiver.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn the_hook_can_let_the_operation_at_hand_fail() {
    let disk = SimulatedDisk::new();
    let injector = disk.clone();
    disk.on_operation(Some(Box::new(move |operation, _| {
        if operation.kind == OperationKind::Sync {
            injector.inject(operation.ordinal, Fault::Error(5));
        }
    })));
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(b"x", 0).unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
}

#[test]
fn a_snapshot_does_not_follow_the_disk() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"old");
    file.write_at(b"new", 0).unwrap();
    let snapshot = disk.snapshot();
    assert_eq!(snapshot.pending_count(), 1);
    file.sync_data().unwrap();
    disk.remove(Path::new("a")).unwrap();
    sync_root(&disk);
    assert_eq!(snapshot.image(&CrashImage::None).read("a").unwrap(), b"old");
    assert_eq!(snapshot.image(&CrashImage::All).read("a").unwrap(), b"new");
    assert_eq!(snapshot.pending_count(), 1);
}

#[test]
fn images_of_one_snapshot_do_not_share_what_is_written_to_them() {
    let disk = SimulatedDisk::new();
    durable(&disk, "a", &[1; 5000]);
    let snapshot = disk.snapshot();
    let (first, second) = (snapshot.image(&CrashImage::None), snapshot.image(&CrashImage::None));
    open(&first, "a", OpenMode::Write).write_at(&[2; 5000], 0).unwrap();
    assert_eq!(second.read("a").unwrap(), [1; 5000]);
    assert_eq!(disk.read("a").unwrap(), [1; 5000]);
}

#[test]
fn digests_are_equal_exactly_when_the_durable_content_is() {
    let disk = SimulatedDisk::new();
    let empty = disk.digest();
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(&[0; 9000], 0).unwrap();
    assert_eq!(disk.digest(), empty, "nothing is durable yet");
    file.sync_data().unwrap();
    assert_eq!(disk.digest(), empty, "the name is not durable yet");
    sync_root(&disk);

    // Written zeros and a hole are the same content.
    let other = SimulatedDisk::new();
    other.write("a", &[1; 20_000]);
    let file = open(&other, "a", OpenMode::Write);
    file.set_length(0).unwrap();
    file.set_length(9000).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.digest(), other.digest());

    let mut seen = BTreeSet::from([empty, disk.digest()]);
    let mut is_new = |disk: &SimulatedDisk| seen.insert(disk.digest());
    other.flip_bit("a", 9000 * 8 - 1);
    assert!(is_new(&other));
    other.write("a", &[0; 9001]);
    assert!(is_new(&other));
    other.write("b", b"");
    assert!(is_new(&other));
    let image = other.snapshot().image(&CrashImage::None);
    other.create_directories(Path::new("d")).unwrap();
    assert!(is_new(&other));
    image.create_directories(Path::new("e")).unwrap();
    assert!(is_new(&image));
    let snapshot = other.snapshot();
    assert_eq!(snapshot.digest(&CrashImage::All), snapshot.image(&CrashImage::All).digest());
}

#[test]
fn a_bit_flips_in_what_is_read_and_in_what_a_crash_leaves() {
    let disk = SimulatedDisk::new();
    let file = durable(&disk, "a", b"abc");
    file.write_at(b"d", 3).unwrap();
    disk.flip_bit("a", 8);
    disk.flip_bit("a", 3 * 8 + 1);
    assert_eq!(disk.read("a").unwrap(), b"acc\x66");
    assert_eq!(disk.snapshot().image(&CrashImage::None).read("a").unwrap(), b"acc");
}

#[test]
#[should_panic(expected = "a ends before bit 24")]
fn a_bit_behind_the_end_cannot_be_flipped() {
    let disk = SimulatedDisk::new();
    disk.write("a", b"abc");
    disk.flip_bit("a", 24);
}

#[test]
fn a_file_put_in_place_is_durable_and_past_what_was_pending() {
    let disk = SimulatedDisk::new();
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(b"pending", 0).unwrap();
    rename(&disk, "a", "b");
    disk.write("b", b"put");
    disk.write("deep/er/c", b"c");
    assert_eq!(disk.snapshot().pending_count(), 0);
    assert_eq!(disk.operation_count(), 3);
    let left = disk.snapshot().image(&CrashImage::None);
    assert_eq!(left.files(), [("b".into(), 3), ("deep/er/c".into(), 1)]);
    assert_eq!(left.read("b").unwrap(), b"put");
    assert_eq!(disk.read("b").unwrap(), b"put");
}

#[test]
fn removed_files_are_forgotten_once_nobody_can_reach_them() {
    let disk = SimulatedDisk::new();
    for round in 0..3 {
        let file = open(&disk, "a", OpenMode::Create);
        file.write_at(&[round; 100], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[9; 200], 0).unwrap();
        disk.remove(Path::new("a")).unwrap();
        sync_root(&disk);
        assert_eq!(file.length().unwrap(), 200, "still open");
        drop(file);
        sync_root(&disk);
        let state = disk.state();
        assert_eq!((state.open_count(), state.snapshot().pending_count()), (0, 0));
        assert_eq!(state.contents_count(), 0);
    }
}

#[test]
fn an_image_holds_only_what_has_a_name() {
    let disk = SimulatedDisk::new();
    let file = open(&disk, "a", OpenMode::Create);
    file.write_at(b"abc", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.state().contents_count(), 2);
    assert_eq!(disk.snapshot().image(&CrashImage::None).state().contents_count(), 0);
}
