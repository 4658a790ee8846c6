//! A store that overflowed, with directories, and with something of every kind of record.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::{Hash, ManualClock, SimulatedDisk};
use blob::adapter::{AdapterName, BlobAdapter, MemoryAdapter, ObjectName, VerifiedAdapter};
use blob::{
    AwayUse, BlobStore, Chunking, CollectOptions, Collection, DiskUse, MemoryJournal, NoRoots, ObjectKind,
    ObjectPlace, Overflow, OverflowConfig, OverflowSettings, PinMode, Pins, TreeContent,
};

use super::structures::{RECORD_MAGIC, directory, record};
use super::{assert_unchanged, disk_of, files_of, golden, write_anew};
use crate::support::{DIR, clock, open, open_at, read};

/// The BLAKE3 hash of the names and bytes of the golden files.
const GOLDEN: &str = "b21d0fc06612c3c5ce0484db159e80fcac070278aa0547adad71e68700f7b08d";
const FULL: DiskUse = DiskUse { used: 99, capacity: 100 };
const ROOMY: DiskUse = DiskUse { used: 1, capacity: 100 };

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 256 * 31 + at % 7) as u8).collect()
}

/// What stays here, what goes, what goes with a file of its own, what goes and is collected, and what is removed here.
fn contents() -> [Vec<u8>; 5] {
    [pattern(9_000), b"goes".to_vec(), pattern(262_144), b"is collected".to_vec(), b"no blob".to_vec()]
}

fn settings() -> OverflowSettings {
    let config = OverflowConfig {
        enabled: true,
        high: 0.75,
        low: 0.5,
        pushes_per_tick: 3,
        tick: Duration::from_millis(1_500),
    };
    OverflowSettings { place: "s3://bucket/prefix".into(), config, quota: Some(5 << 30) }
}

/// Opens the place that the store overflows to.
fn place(with: &[&[u8]]) -> VerifiedAdapter {
    let place = MemoryAdapter::new().with_name(AdapterName::new("place", "place"));
    for content in with {
        place.store_object(&ObjectName::of(ObjectKind::Chunk, content), content).unwrap();
    }
    VerifiedAdapter::new(Arc::new(place))
}

fn collect(pins: &Pins, clock: &ManualClock) {
    clock.advance(Duration::from_secs(1));
    let options = CollectOptions { floor: Duration::ZERO, garbage_share: 1.0, ..CollectOptions::default() };
    Collection::begin(pins, &NoRoots, clock, options).unwrap().run().unwrap();
}

fn write() -> SimulatedDisk {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let store = open_at(&disk, &clock);
    store.set_overflow_settings(&settings()).unwrap();
    let pins = Pins::open(store.clone(), Arc::<MemoryJournal>::default(), Arc::clone(&clock) as _).unwrap();
    store.objects().set_away(Some(place(&[])));
    let overflow = Overflow::new(pins.clone(), settings().config).unwrap();
    let put = |content: &[u8]| {
        clock.advance(Duration::from_secs(1));
        store.put(content, Chunking::Fixed).unwrap().hash
    };
    let [stays, goes, large, collected, no_blob] = contents();
    pins.pin(&put(&stays), PinMode::Recursive, None).unwrap();
    let directory = store.objects().put(ObjectKind::Directory, &directory()).unwrap();
    store.objects().note_blob(directory).unwrap();
    let [goes, large, collected] = [&goes, &large, &collected].map(|content| put(content));
    assert_eq!(overflow.tick(FULL).unwrap().pushed, 3);
    let no_blob = put(&no_blob);
    for hash in [goes, large, no_blob] {
        pins.pin(&hash, PinMode::Direct, None).unwrap();
    }
    pins.pin(&directory, PinMode::Direct, None).unwrap();
    assert!(store.remove(&no_blob).unwrap());
    // Its note goes, and then what lies elsewhere.
    collect(&pins, &clock);
    assert_eq!(store.objects().info(&collected).unwrap(), None);
    for hash in [goes, large, no_blob] {
        pins.unpin(&hash).unwrap();
    }
    assert_eq!(overflow.tick(ROOMY).unwrap().tidied, 1);
    store.close().unwrap();
    disk
}

/// Asserts that a store is what was written.
fn assert_is_read(store: &BlobStore) {
    let [stays, goes, large, _, no_blob] = contents();
    store.objects().set_away(Some(place(&[&goes, &large])));
    for (content, place) in [
        (&stays, ObjectPlace::Packed),
        (&goes, ObjectPlace::Away),
        (&large, ObjectPlace::Away),
        (&no_blob, ObjectPlace::Packed),
    ] {
        let hash = Hash::of(content);
        assert!(read(store, &hash) == *content);
        let info = store.objects().info(&hash).unwrap().unwrap();
        assert_eq!((info.place, info.bytes), (place, content.len() as u64));
        assert_eq!(store.objects().is_blob(&hash), *content != no_blob);
    }
    let bytes = (goes.len() + large.len()) as u64;
    assert_eq!(store.objects().away_use(), AwayUse { chunks: 2, bytes, left: 0 });
    assert_eq!(store.overflow_settings().unwrap(), Some(settings()));
    let mut paths = Vec::new();
    let directory = ObjectKind::Directory.name_of(&directory());
    let error = store.visit_tree(&directory, &mut |entry| {
        paths.push((entry.path, entry.mode, matches!(entry.what, TreeContent::File { .. })));
        Ok(())
    });
    // The directory below was never put.
    assert!(error.is_err());
    let path = PathBuf::from;
    assert_eq!(paths, [(path("a"), 0o755, false), (path("b"), 0o644, true), (path("c"), 0, false)]);
    assert!(store.objects().is_blob(&directory));
    assert_eq!(store.list().len(), 4);
    let report = store.verify().unwrap();
    assert_eq!((report.objects, report.damaged.len(), &report.stretches[..]), (5, 0, &[][..]), "{report:?}");
    assert!(store.objects().verify_away().unwrap().damaged.is_empty());
}

#[test]
fn notes_are_written_as_they_were() {
    let disk = write();
    let written = files_of(&disk);
    write_anew("overflow", &written);
    assert!(written == golden("overflow"));
    assert!(disk.read(format!("{DIR}/reserve")).unwrap() == vec![0; 64 << 10], "the reserve");
}

#[test]
fn golden_notes_stay_as_they_are_and_are_read() {
    let files = golden("overflow");
    assert_unchanged(&files, GOLDEN);
    let [(settings, _), (pack, bytes)] = &files[..] else { panic!("{} files", files.len()) };
    assert_eq!((settings.to_str(), pack.to_str()), (Some("overflow"), Some("packs/0000000000.pack")));
    // One of each, all that there are.
    let mut kinds: Vec<u8> =
        bytes.chunks(8).filter(|word| word.starts_with(RECORD_MAGIC)).map(|word| word[4]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, [1, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert_is_read(&open(&disk_of(&files)));
}

/// The index of a pack that is not the newest any more, written when it is missing.
#[test]
fn the_index_of_a_pack_is_written_as_it_was_and_is_read_in_place_of_the_pack() {
    let mut files = golden("overflow");
    let mut next = b"NetDbPak\x01\x00\x00\x00\x01\x00\x00\x00".to_vec();
    next.resize(28, 0);
    next.extend(crc32fast::hash(&next).to_le_bytes());
    files.push((PathBuf::from("packs/0000000001.pack"), next));
    let disk = disk_of(&files);
    assert_is_read(&open(&disk));
    let name = PathBuf::from("0000000000.idx");
    let index = [(name.clone(), disk.read(Path::new(DIR).join("packs").join(&name)).unwrap())];
    write_anew("index", &index);
    assert!(index[..] == golden("index")[..]);
    assert_unchanged(&index, GOLDEN_INDEX);

    let disk = disk_of(&files);
    disk.write(Path::new(DIR).join("packs").join(&name), &golden("index")[0].1);
    let pack = Path::new(DIR).join("packs/0000000000.pack");
    let bytes = disk.read(&pack).unwrap();
    for at in (32..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(RECORD_MAGIC)) {
        disk.flip_bit(&pack, at as u64 * 8);
    }
    let store = open(&disk);
    let [stays, ..] = contents();
    assert!(read(&store, &Hash::of(&stays)) == stays);
    assert_eq!((store.list().len(), store.objects().away_use().chunks), (4, 2));
}

/// The BLAKE3 hash of the name and bytes of the golden index.
const GOLDEN_INDEX: &str = "e7375e1bfd44fcb01afd2d807f1b912ac0931b46a83c6c1a89d83dbd41fc4d87";

/// Lists and directories of 262,144 bytes or more are files of their own, as chunks are.
#[test]
fn a_large_directory_is_a_file_with_a_record_behind_it() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let store = open_at(&disk, &clock);
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(20_000_u32.to_le_bytes());
    bytes.extend([0; 8]);
    for at in 0..20_000 {
        bytes.extend([3, 0, 0, 0, 5, 0]);
        bytes.extend(format!("{at:05}").bytes());
        bytes.extend([1, 0, b'x']);
    }
    let hash = store.objects().put(ObjectKind::Directory, &bytes).unwrap();
    store.close().unwrap();
    drop(store);
    let now = 1_700_000_000_000_000_000;
    let expected =
        [&bytes[..], &record(11, &hash, (bytes.len() as u32, crc32fast::hash(&bytes)), 0, now)].concat();
    assert!(disk.read(format!("{DIR}/chunks/{hash}")).unwrap() == expected);
    let store = open(&disk_of(&[(Path::new("chunks").join(hash.to_string()), expected)]));
    assert!(store.objects().get(&hash).unwrap() == (ObjectKind::Directory, bytes));
}
