//! What every disk does alike. Each fact is checked on the machine's file system, in memory and simulated.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::temporary::TemporaryDirectory;
use crate::{Random, SeededRandom};

macro_rules! conformance {
    ($($fact:ident)*) => {
        mod system {
            use super::*;
            $(#[test] fn $fact() {
                let directory = TemporaryDirectory::new();
                super::$fact(&SystemDisk, directory.path());
            })*
        }

        mod memory {
            use super::*;
            $(#[test] fn $fact() {
                let disk = MemoryDisk::new();
                disk.create_directories(Path::new("/data/test")).unwrap();
                super::$fact(&disk, Path::new("/data/test"));
            })*
        }

        mod simulated {
            use super::*;
            $(#[test] fn $fact() {
                let disk = SimulatedDisk::new();
                disk.create_directories(Path::new("data/test")).unwrap();
                super::$fact(&disk, Path::new("data/test"));
            })*
        }
    };
}

conformance! {
    a_created_file_is_empty_and_must_be_new
    open_or_create_keeps_what_is_there
    what_is_missing_is_not_found
    a_directory_is_not_opened_for_writing
    bytes_are_read_where_they_were_written
    a_write_behind_the_end_leaves_zeros_between
    reads_stop_at_the_end_of_the_file
    a_whole_file_is_read_in_place_of_what_was_read_before
    an_empty_write_leaves_the_length_alone
    cut_bytes_do_not_come_back
    a_length_costs_no_bytes
    impossible_lengths_are_refused
    a_file_open_for_reading_refuses_changes
    handles_of_one_file_share_its_content
    a_rename_replaces_its_target
    a_file_renamed_onto_itself_stays
    an_open_file_outlives_its_name
    a_name_can_be_used_again_after_a_removal
    directories_list_their_names_sorted
    directories_are_made_with_their_parents_and_more_than_once
    no_directory_is_made_through_a_file
    any_directory_can_be_synced
    a_lock_is_exclusive_until_dropped
    a_missing_lock_file_is_not_locked_and_stays_missing
    a_removed_lock_file_is_not_locked
    probes_keep_nobody_from_locking
    atomic_creation_is_whole_and_replaces_nothing
    atomic_creation_replaces_a_temporary_file_left_behind
    reading_to_the_end_is_bounded
    parallel_writes_to_disjoint_ranges_all_arrive
    random_operations_agree_with_a_plain_vector
}

fn create(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(path, OpenMode::Create).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file
}

fn content(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    read_to_end(&*disk.open(path, OpenMode::Read).unwrap(), usize::MAX).unwrap()
}

fn kind<T: fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

fn a_created_file_is_empty_and_must_be_new(disk: &dyn Disk, root: &Path) {
    for (name, mode) in [("open", OpenMode::Create), ("private", OpenMode::CreatePrivate)] {
        let path = root.join(name);
        assert!(!disk.exists(&path).unwrap());
        let file = disk.open(&path, mode).unwrap();
        assert_eq!(file.length().unwrap(), 0);
        assert!(disk.exists(&path).unwrap());
        assert_eq!(kind(disk.open(&path, mode)), io::ErrorKind::AlreadyExists);
    }
    assert_eq!(kind(disk.open(root, OpenMode::Create)), io::ErrorKind::AlreadyExists);
}

fn open_or_create_keeps_what_is_there(disk: &dyn Disk, root: &Path) {
    let path = root.join("file");
    let file = disk.open(&path, OpenMode::OpenOrCreate).unwrap();
    file.write_at(b"kept", 0).unwrap();
    let again = disk.open(&path, OpenMode::OpenOrCreate).unwrap();
    assert_eq!(read_to_end(&*again, 100).unwrap(), b"kept");
}

fn what_is_missing_is_not_found(disk: &dyn Disk, root: &Path) {
    use io::ErrorKind::NotFound;
    let missing = root.join("missing");
    assert_eq!(kind(disk.open(&missing, OpenMode::Read)), NotFound);
    assert_eq!(kind(disk.open(&missing, OpenMode::Write)), NotFound);
    assert_eq!(kind(disk.list(&missing)), NotFound);
    assert_eq!(kind(disk.remove(&missing)), NotFound);
    assert_eq!(kind(disk.sync_directory(&missing)), NotFound);
    assert_eq!(kind(disk.rename(&missing, &root.join("other"))), NotFound);
    for mode in [OpenMode::Create, OpenMode::CreatePrivate, OpenMode::OpenOrCreate] {
        assert_eq!(kind(disk.open(&missing.join("file"), mode)), NotFound);
    }
    create(disk, &root.join("file"), b"");
    assert_eq!(kind(disk.rename(&root.join("file"), &missing.join("file"))), NotFound);
    assert_eq!(disk.list(root).unwrap(), ["file"]);
}

fn a_directory_is_not_opened_for_writing(disk: &dyn Disk, root: &Path) {
    for mode in [OpenMode::Write, OpenMode::OpenOrCreate] {
        assert_eq!(kind(disk.open(root, mode)), io::ErrorKind::IsADirectory);
    }
}

fn bytes_are_read_where_they_were_written(disk: &dyn Disk, root: &Path) {
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let file = create(disk, &root.join("file"), b"");
    for (place, chunk) in bytes.chunks(7_777).enumerate() {
        write_all_at(&*file, chunk, place as u64 * 7_777).unwrap();
    }
    assert_eq!(content(disk, &root.join("file")), bytes);
    for (offset, length) in [(0, 1), (65_530, 12), (65_536, 65_536), (199_999, 1), (4_095, 130_000)] {
        let mut buffer = vec![0xff; length];
        read_exact_at(&*file, &mut buffer, offset as u64).unwrap();
        assert_eq!(buffer, bytes[offset..offset + length]);
    }
    write_all_at(&*file, b"over", 65_534).unwrap();
    let mut buffer = [0; 6];
    read_exact_at(&*file, &mut buffer, 65_533).unwrap();
    assert_eq!(buffer, [bytes[65_533], b'o', b'v', b'e', b'r', bytes[65_538]]);
}

fn a_write_behind_the_end_leaves_zeros_between(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), b"ab");
    file.write_at(b"z", 70_000).unwrap();
    let mut expected = b"ab".to_vec();
    expected.resize(70_000, 0);
    expected.push(b'z');
    assert_eq!(content(disk, &root.join("file")), expected);
}

fn a_whole_file_is_read_in_place_of_what_was_read_before(disk: &dyn Disk, dir: &Path) {
    let mut bytes = Vec::new();
    for content in [&b"a long content"[..], b"short", b"", b"longer again"] {
        let file = disk.open(&dir.join("file"), OpenMode::OpenOrCreate).unwrap();
        file.set_length(0).unwrap();
        write_all_at(&*file, content, 0).unwrap();
        read_to_end_into(&*file, &mut bytes, usize::MAX).unwrap();
        assert_eq!(bytes, content);
        read_to_end_into(&*file, &mut bytes, 3).unwrap();
        assert_eq!(bytes, content[..content.len().min(3)]);
    }
}

fn reads_stop_at_the_end_of_the_file(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), b"abc");
    let mut buffer = [9; 8];
    assert_eq!(file.read_at(&mut buffer, 1).unwrap(), 2);
    assert_eq!(buffer, *b"bc\x09\x09\x09\x09\x09\x09");
    assert_eq!(file.read_at(&mut buffer, 3).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, 1 << 40).unwrap(), 0);
    assert_eq!(kind(read_exact_at(&*file, &mut buffer, 0)), io::ErrorKind::UnexpectedEof);
}

fn an_empty_write_leaves_the_length_alone(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), b"abc");
    assert_eq!(file.write_at(b"", 100).unwrap(), 0);
    assert_eq!(file.length().unwrap(), 3);
}

fn cut_bytes_do_not_come_back(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), &[7; 150_000]);
    file.set_length(66_000).unwrap();
    assert_eq!(file.length().unwrap(), 66_000);
    file.set_length(140_000).unwrap();
    let mut expected = vec![7; 66_000];
    expected.resize(140_000, 0);
    assert_eq!(content(disk, &root.join("file")), expected);
    file.set_length(0).unwrap();
    file.write_at(&[1], 10).unwrap();
    assert_eq!(content(disk, &root.join("file")), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

fn a_length_costs_no_bytes(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), b"a");
    file.set_length(1 << 40).unwrap();
    let mut buffer = [9; 4];
    read_exact_at(&*file, &mut buffer, (1 << 40) - 4).unwrap();
    assert_eq!((file.length().unwrap(), buffer), (1 << 40, [0; 4]));
}

fn impossible_lengths_are_refused(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), b"a");
    file.write_at(b"b", u64::MAX).unwrap_err();
    file.write_at(b"b", i64::MAX as u64).unwrap_err();
    file.set_length(u64::MAX).unwrap_err();
    assert_eq!(file.length().unwrap(), 1);
}

fn a_file_open_for_reading_refuses_changes(disk: &dyn Disk, root: &Path) {
    let path = root.join("file");
    create(disk, &path, b"abc");
    let file = disk.open(&path, OpenMode::Read).unwrap();
    file.write_at(b"x", 0).unwrap_err();
    file.set_length(0).unwrap_err();
    assert_eq!(content(disk, &path), b"abc");
}

fn handles_of_one_file_share_its_content(disk: &dyn Disk, root: &Path) {
    let path = root.join("file");
    let first = create(disk, &path, b"abc");
    let second = disk.open(&path, OpenMode::Write).unwrap();
    second.write_at(b"X", 1).unwrap();
    assert_eq!(read_to_end(&*first, 100).unwrap(), b"aXc");
}

fn a_rename_replaces_its_target(disk: &dyn Disk, root: &Path) {
    let (from, to) = (root.join("from"), root.join("to"));
    create(disk, &from, b"new");
    create(disk, &to, b"old");
    disk.rename(&from, &to).unwrap();
    assert_eq!(content(disk, &to), b"new");
    assert_eq!(disk.list(root).unwrap(), ["to"]);
}

fn a_file_renamed_onto_itself_stays(disk: &dyn Disk, root: &Path) {
    let path = root.join("file");
    create(disk, &path, b"abc");
    disk.rename(&path, &path).unwrap();
    assert_eq!(content(disk, &path), b"abc");
}

fn an_open_file_outlives_its_name(disk: &dyn Disk, root: &Path) {
    let renamed = create(disk, &root.join("renamed"), b"renamed");
    let replaced = create(disk, &root.join("replaced"), b"replaced");
    disk.rename(&root.join("renamed"), &root.join("replaced")).unwrap();
    renamed.write_at(b"R", 0).unwrap();
    replaced.write_at(b"X", 0).unwrap();
    assert_eq!(read_to_end(&*replaced, 100).unwrap(), b"Xeplaced");
    assert_eq!(content(disk, &root.join("replaced")), b"Renamed");

    disk.remove(&root.join("replaced")).unwrap();
    disk.sync_directory(root).unwrap();
    renamed.write_at(b"!", 7).unwrap();
    renamed.sync_data().unwrap();
    assert_eq!(read_to_end(&*renamed, 100).unwrap(), b"Renamed!");
}

fn a_name_can_be_used_again_after_a_removal(disk: &dyn Disk, root: &Path) {
    let path = root.join("file");
    let old = create(disk, &path, b"old");
    disk.remove(&path).unwrap();
    assert!(!disk.exists(&path).unwrap());
    create(disk, &path, b"n");
    assert_eq!(content(disk, &path), b"n");
    assert_eq!(read_to_end(&*old, 100).unwrap(), b"old");
}

fn directories_list_their_names_sorted(disk: &dyn Disk, root: &Path) {
    assert!(disk.list(root).unwrap().is_empty());
    disk.create_directories(&root.join("b/inner")).unwrap();
    for name in ["c", "a", "B", "b-", "b/file", "b/inner/deep"] {
        create(disk, &root.join(name), b"");
    }
    assert_eq!(disk.list(root).unwrap(), ["B", "a", "b", "b-", "c"]);
    assert_eq!(disk.list(&root.join("b")).unwrap(), ["file", "inner"]);
    assert_eq!(disk.list(&root.join("./b/")).unwrap(), ["file", "inner"]);
    assert_eq!(kind(disk.list(&root.join("c"))), io::ErrorKind::NotADirectory);
}

fn directories_are_made_with_their_parents_and_more_than_once(disk: &dyn Disk, root: &Path) {
    for path in ["a/b/c", "a/b/c", "a", "a/d/"] {
        disk.create_directories(&root.join(path)).unwrap();
    }
    disk.create_directories(Path::new("")).unwrap();
    disk.create_directories(Path::new("/")).unwrap();
    assert!(disk.exists(&root.join("a/b/c")).unwrap());
    assert_eq!(disk.list(&root.join("a")).unwrap(), ["b", "d"]);
}

fn no_directory_is_made_through_a_file(disk: &dyn Disk, root: &Path) {
    create(disk, &root.join("file"), b"");
    assert_eq!(kind(disk.create_directories(&root.join("file"))), io::ErrorKind::AlreadyExists);
    disk.create_directories(&root.join("file/inner")).unwrap_err();
    assert_eq!(kind(disk.open(&root.join("file/inner"), OpenMode::Create)), io::ErrorKind::NotADirectory);
    assert_eq!(disk.list(root).unwrap(), ["file"]);
}

fn any_directory_can_be_synced(disk: &dyn Disk, root: &Path) {
    create(disk, &root.join("file"), b"");
    disk.sync_directory(root).unwrap();
    disk.sync_directory(Path::new("")).unwrap();
    disk.sync_directory(Path::new(".")).unwrap();
    assert!(disk.exists(Path::new("")).unwrap());
    disk.list(Path::new("")).unwrap();
}

fn a_lock_is_exclusive_until_dropped(disk: &dyn Disk, root: &Path) {
    let path = root.join("LOCK");
    let guard = disk.lock(&path).unwrap();
    assert!(disk.is_locked(&path).unwrap());
    assert_eq!(kind(disk.lock(&path)), io::ErrorKind::WouldBlock);
    disk.lock(&root.join("OTHER")).unwrap();
    drop(guard);
    assert!(!disk.is_locked(&path).unwrap());
    disk.lock(&path).unwrap();
    assert_eq!(disk.list(root).unwrap(), ["LOCK", "OTHER"]);
}

fn a_missing_lock_file_is_not_locked_and_stays_missing(disk: &dyn Disk, root: &Path) {
    assert!(!disk.is_locked(&root.join("LOCK")).unwrap());
    assert!(!disk.exists(&root.join("LOCK")).unwrap());
    assert_eq!(kind(disk.lock(&root.join("missing/LOCK"))), io::ErrorKind::NotFound);
}

fn a_removed_lock_file_is_not_locked(disk: &dyn Disk, root: &Path) {
    let path = root.join("LOCK");
    let _guard = disk.lock(&path).unwrap();
    disk.remove(&path).unwrap();
    assert!(!disk.is_locked(&path).unwrap());
}

fn probes_keep_nobody_from_locking(disk: &dyn Disk, root: &Path) {
    let path = root.join("LOCK");
    drop(disk.lock(&path).unwrap());
    let (probes, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                disk.is_locked(&path).unwrap();
                probes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut refused = 0;
        while probes.load(Ordering::Relaxed) < 2000 {
            refused += u32::from(disk.lock(&path).is_err());
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(refused, 0);
    });
}

fn atomic_creation_is_whole_and_replaces_nothing(disk: &dyn Disk, root: &Path) {
    let path = root.join("manifest");
    create_atomically(disk, &path, OpenMode::Create, b"first").unwrap();
    let second = create_atomically(disk, &path, OpenMode::Create, b"second");
    assert_eq!(kind(second), io::ErrorKind::AlreadyExists);
    assert_eq!(content(disk, &path), b"first");
    assert_eq!(disk.list(root).unwrap(), ["manifest"]);
}

fn atomic_creation_replaces_a_temporary_file_left_behind(disk: &dyn Disk, root: &Path) {
    create(disk, &root.join("key.tmp"), b"left behind by a crash");
    create_atomically(disk, &root.join("key"), OpenMode::CreatePrivate, b"key").unwrap();
    assert_eq!(content(disk, &root.join("key")), b"key");
    assert_eq!(disk.list(root).unwrap(), ["key"]);
}

fn reading_to_the_end_is_bounded(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), b"abcdef");
    assert_eq!(read_to_end(&*file, 4).unwrap(), b"abcd");
    assert_eq!(read_to_end(&*file, 6).unwrap(), b"abcdef");
}

fn parallel_writes_to_disjoint_ranges_all_arrive(disk: &dyn Disk, root: &Path) {
    let file = create(disk, &root.join("file"), b"");
    thread::scope(|scope| {
        for writer in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                for round in 0..50_u64 {
                    let offset = (round * 4 + u64::from(writer)) * 100;
                    write_all_at(&**file, &[writer + 1; 100], offset).unwrap();
                }
            });
        }
    });
    let bytes = content(disk, &root.join("file"));
    assert_eq!(bytes.len(), 20_000);
    let expected = |offset: usize| (offset / 100 % 4) as u8 + 1;
    assert!(bytes.iter().enumerate().all(|(offset, byte)| *byte == expected(offset)));
}

/// Writes, cuts and extensions at random, on the disk and on a vector of bytes.
fn random_operations_agree_with_a_plain_vector(disk: &dyn Disk, root: &Path) {
    const LENGTH_MAX: u64 = 200_000;
    for seed in 0..8 {
        println!("seed {seed}");
        let random = SeededRandom::new(seed);
        let path = root.join(seed.to_string());
        let file = create(disk, &path, b"");
        let mut model = Vec::new();
        for _ in 0..40 {
            let offset = random.below(LENGTH_MAX) as usize;
            if random.below(4) == 0 {
                file.set_length(offset as u64).unwrap();
                model.resize(offset, 0);
                continue;
            }
            let mut bytes = vec![0; random.below(30_000) as usize + 1];
            if random.below(3) > 0 {
                random.fill(&mut bytes);
            }
            write_all_at(&*file, &bytes, offset as u64).unwrap();
            model.resize(model.len().max(offset + bytes.len()), 0);
            model[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        assert!(content(disk, &path) == model, "seed {seed}");
    }
}
