//! Putting and getting, beside a naive twin.

use std::collections::BTreeMap;
use std::io::{self, Read};

use base::{Classify, ErrorKind, Hash, SeededRandom, SimulatedDisk};
use blob::limits::FIXED_CHUNK_BYTES;
use blob::{BlobError, BlobForm, Chunking};

use crate::support::{noise, open, read, small_chunks};

#[test]
fn a_store_agrees_with_a_map_over_puts_reads_and_reopenings() {
    for seed in 0..12 {
        let (disk, random) = (SimulatedDisk::new(), SeededRandom::new(seed));
        let (mut store, mut twin) = (open(&disk), BTreeMap::<Hash, Vec<u8>>::new());
        for step in 0..60 {
            match random.below(10) {
                0..6 => {
                    let bytes = match random.below(8) {
                        0 => 0,
                        1..5 => random.below(3_000),
                        5..7 => random.below(400_000),
                        _ => 200_000 + random.below(1_500_000),
                    };
                    let chunking = if random.below(2) == 0 { Chunking::Fixed } else { small_chunks() };
                    // Some are put again.
                    let content = noise(random.below(step + 1), bytes as usize);
                    let info = store.put(&content[..], chunking).unwrap();
                    assert_eq!(info.bytes, content.len() as u64);
                    assert!(matches!(info.form, BlobForm::Small) == (info.hash == Hash::of(&content)));
                    twin.insert(info.hash, content);
                }
                6..9 => {
                    for (hash, content) in &twin {
                        let from = random.below(content.len() as u64 + 1);
                        let to = from + random.below(content.len() as u64 - from + 1);
                        let mut part = Vec::new();
                        store.get_range(hash, from..to, &mut part).unwrap();
                        assert_eq!(part, content[from as usize..to as usize]);
                    }
                }
                _ => {
                    if random.below(2) == 0 {
                        store.close().unwrap();
                    }
                    drop(store);
                    store = open(&disk);
                }
            }
        }
        assert_eq!(store.list(), twin.keys().copied().collect::<Vec<_>>(), "seed {seed}");
        for (hash, content) in &twin {
            assert!(read(&store, hash) == *content, "seed {seed}");
        }
        let report = store.verify().unwrap();
        assert!(report.damaged.is_empty() && report.stretches.is_empty(), "{report:?}");
    }
}

#[test]
fn a_blob_of_one_chunk_has_the_hash_of_its_content_and_equal_ones_are_stored_once() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    for content in [&b""[..], b"one", &noise(1, 300_000)] {
        let info = store.put(content, Chunking::Fixed).unwrap();
        assert_eq!((info.hash, info.form), (Hash::of(content), BlobForm::Small));
        let files = disk.files();
        assert_eq!(store.put(content, Chunking::Fixed).unwrap(), info);
        assert_eq!(disk.files(), files, "nothing was written");
    }
}

#[test]
fn large_blobs_are_lists_and_share_the_chunks_that_they_have_in_common() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let mut content = noise(7, 2 * FIXED_CHUNK_BYTES + 5);
    let first = store.put(&content[..], Chunking::Fixed).unwrap();
    assert_eq!(first.form, BlobForm::Manifest { chunks: 3, chunking: Chunking::Fixed });
    *content.last_mut().unwrap() ^= 1;
    let second = store.put(&content[..], Chunking::Fixed).unwrap();
    let chunks = |hash| store.chunks(hash).unwrap().map(|chunk| chunk.unwrap().hash).collect::<Vec<_>>();
    let (one, other) = (chunks(&first.hash), chunks(&second.hash));
    assert_eq!((&one[..2], one[2] == other[2]), (&other[..2], false));
    assert_eq!(store.list().len(), 2, "their chunks are no blobs by themselves");
}

#[test]
fn one_at_a_time_has_a_store_open() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let doors = base::Doors::with_disk(std::sync::Arc::new(disk.clone()));
    let refused = blob::BlobStore::open(std::path::Path::new(crate::support::DIR), &doors).unwrap_err();
    assert!(matches!(refused, BlobError::Locked { .. }), "{refused}");
    drop(store);
    open(&disk);
}

#[test]
fn what_is_not_there_or_not_in_a_blob_is_refused() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let hash = store.put(&b"0123456789"[..], Chunking::Fixed).unwrap().hash;
    let missing = store.get(&Hash::of(b"other"), &mut Vec::new()).unwrap_err();
    assert_eq!((missing.kind(), store.exists(&Hash::of(b"other")).unwrap()), (ErrorKind::NotFound, false));
    for range in [0..11, 11..11, std::ops::Range { start: 5, end: 4 }] {
        let error = store.get_range(&hash, range, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, BlobError::Range { bytes: 10, .. }), "{error}");
    }
    let mut nothing = Vec::new();
    store.get_range(&hash, 10..10, &mut nothing).unwrap();
    assert!(nothing.is_empty());
}

/// Reads so much, and then fails.
struct Failing(usize);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.0);
        self.0 -= count;
        match count {
            0 => Err(io::Error::other("the source is gone")),
            _ => Ok(count),
        }
    }
}

#[test]
fn a_source_that_fails_leaves_no_blob() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    for bytes in [0, 10, FIXED_CHUNK_BYTES, 3 * FIXED_CHUNK_BYTES + 1] {
        for chunking in [Chunking::Fixed, small_chunks()] {
            let error = store.put(Failing(bytes), chunking).unwrap_err();
            assert!(
                matches!(&error, BlobError::Stream(cause) if cause.to_string().contains("gone")),
                "{error}"
            );
        }
    }
    assert_eq!(store.list(), []);
}

#[test]
fn puts_at_the_same_time_are_all_there() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let blobs: Vec<Vec<u8>> =
        (0..24).map(|seed| noise(seed % 16, 1_000 + seed as usize % 16 * 40_000)).collect();
    std::thread::scope(|scope| {
        for blob in &blobs {
            scope.spawn(|| store.put(&blob[..], small_chunks()).unwrap());
        }
    });
    assert_eq!(store.list().len(), 16);
    drop(store);
    disk.power_off();
    disk.restart(&base::CrashImage::None);
    let store = open(&disk);
    for blob in &blobs {
        let hash = store.put(&blob[..], small_chunks()).unwrap().hash;
        assert!(read(&store, &hash) == *blob);
    }
}

#[test]
fn who_was_interrupted_goes_on_behind_whole_chunks_that_are_good() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let content = noise(9, 60_000);
    let hash = store.put(&content[..], small_chunks()).unwrap().hash;
    let ends: Vec<_> =
        store.chunks(&hash).unwrap().map(Result::unwrap).map(|at| at.offset + at.bytes).collect();
    let prefix = |bytes: &[u8]| store.verified_prefix(&hash, &mut &bytes[..]).unwrap();
    for length in (0..content.len()).step_by(700) {
        let whole = ends.iter().copied().filter(|end| *end <= length as u64).max().unwrap_or(0);
        assert_eq!(prefix(&content[..length]), whole, "{length}");
    }
    assert_eq!(prefix(&content), 60_000);
    let mut damaged = content.clone();
    damaged[ends[1] as usize + 3] ^= 1;
    assert_eq!(prefix(&damaged), ends[1]);
    assert_eq!(prefix(&[&content[..], b"more"].concat()), 60_000);
    assert_eq!(prefix(b"something else"), 0);
}
