//! Bits that flip: nothing wrong is ever served, and what is damaged is found and named.

use base::{Hash, SimulatedDisk};
use blob::{BlobError, BlobStore, Chunking};

use crate::support::{noise, open, read, small_chunks};

fn filled() -> (SimulatedDisk, Vec<(Hash, Vec<u8>)>) {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let contents = [noise(1, 40), noise(2, 300), noise(3, 9_000), noise(4, 262_200)];
    let put = |content: Vec<u8>| (store.put(&content[..], small_or_fixed(&content)).unwrap().hash, content);
    let blobs = contents.into_iter().map(put).collect();
    store.close().unwrap();
    (disk, blobs)
}

fn small_or_fixed(content: &[u8]) -> Chunking {
    if content.len() == 9_000 { small_chunks() } else { Chunking::Fixed }
}

/// Reads everything; tells whether something is missing or damaged.
fn notices(store: &BlobStore, blobs: &[(Hash, Vec<u8>)], what: &str) -> bool {
    let mut noticed = false;
    for (hash, content) in blobs {
        let mut found = Vec::new();
        match store.get(hash, &mut found) {
            Ok(_) => assert!(found == *content, "{what}: wrong bytes"),
            Err(_) => noticed = true,
        }
        assert!(content.starts_with(&found), "{what}: wrong bytes before an error");
    }
    noticed
}

#[test]
fn any_flipped_bit_is_found_and_never_served() {
    let (disk, blobs) = filled();
    let whole = disk.snapshot();
    for (path, length) in disk.files() {
        if path.ends_with("lock") || path.ends_with("reserve") {
            continue;
        }
        // All of a pack; of a large file enough to meet content and end.
        let step = if length > 100_000 { 4_099 } else { 13 };
        let bits = (0..length * 8).step_by(step).chain((length * 8).saturating_sub(64 * 8)..length * 8);
        for bit in bits {
            let what = format!("{} bit {bit}", path.display());
            let disk = whole.image(&base::CrashImage::All);
            let before = disk.read(&path).unwrap();
            disk.flip_bit(&path, bit);
            let clock = base::ManualClock::new(base::Timestamp::from_nanos(1));
            let doors = base::Doors {
                clock: std::sync::Arc::new(clock),
                random: std::sync::Arc::new(base::SeededRandom::new(1)),
                disk: std::sync::Arc::new(disk.clone()),
            };
            let store = match BlobStore::open(std::path::Path::new(crate::support::DIR), &doors) {
                Ok(store) => store,
                Err(error) => {
                    let of_header =
                        matches!(error, BlobError::Decode { .. } | BlobError::UnsupportedVersion { .. });
                    assert!(of_header && bit < 32 * 8, "{what}: {error}");
                    continue;
                }
            };
            let noticed = notices(&store, &blobs, &what);
            let report = store.verify().unwrap();
            let found = !report.damaged.is_empty() || !report.stretches.is_empty();
            // What is left of a bit that nobody misses is padding, or the mark of an orderly end.
            let byte = (bit / 8) as usize;
            let is_padding = before[byte] == 0 || byte >= before.len() - 64 && length < 100_000;
            assert!(found || (!noticed && is_padding), "{what}: noticed {noticed}, not found by verify");
        }
    }
}

#[test]
fn a_damaged_object_is_whole_again_once_it_is_put_again() {
    let (disk, blobs) = filled();
    for (path, length) in disk.files() {
        if !path.ends_with("lock") && !path.ends_with("reserve") && length > 1_000 {
            disk.flip_bit(&path, (32 + 64 + 10) * 8);
        }
    }
    let store = open(&disk);
    assert!(notices(&store, &blobs, "before"));
    for (hash, content) in &blobs {
        assert_eq!(store.put(&content[..], small_or_fixed(content)).unwrap().hash, *hash);
        assert!(read(&store, hash) == *content);
    }
    let report = store.verify().unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    store.close().unwrap();
    drop(store);
    assert!(!notices(&open(&disk), &blobs, "after"));
}
