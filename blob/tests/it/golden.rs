//! A directory that was written once: it is read, and what is written now is the same. The format is not frozen yet: who
//! changes it removes the files, and writes them anew with `NETDB_GOLDEN=write`.

#![allow(clippy::disallowed_methods, reason = "golden files are part of the tree, not of a store")]

use std::path::{Path, PathBuf};

use base::{Disk, Hash, SimulatedDisk};
use blob::Chunking;

use crate::support::{DIR, open, read, small_chunks};

/// The BLAKE3 hash of the names and bytes of all golden files.
const GOLDEN: &str = "9fefe5e1ec6dfebe4a5f632fd9d70be8bb49fa84de3cc0df7ef8d841a577891c";

/// A blob of one small chunk, one of several, and one of a large chunk; a part that was put by itself later, and one put twice.
fn write() -> (SimulatedDisk, Vec<(Hash, Vec<u8>)>) {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let pattern = |bytes: usize| (0..bytes).map(|at| (at / 256 * 31 + at % 7) as u8).collect::<Vec<_>>();
    let contents = [
        (b"one".to_vec(), Chunking::Fixed),
        (pattern(40_000), small_chunks()),
        (pattern(262_144), Chunking::Fixed),
    ];
    let mut blobs = Vec::new();
    for (content, chunking) in contents {
        blobs.push((store.put(&content[..], chunking).unwrap().hash, content));
    }
    let part = store.chunks(&blobs[1].0).unwrap().next().unwrap().unwrap();
    let content = blobs[1].1[..part.bytes as usize].to_vec();
    blobs.push((store.put(&content[..], Chunking::Fixed).unwrap().hash, content));
    store.put(&b"one"[..], Chunking::Fixed).unwrap();
    store.close().unwrap();
    (disk, blobs)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/store")
}

/// Returns the golden files, by their names in the store.
fn golden() -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for dir in ["chunks", "packs"] {
        for entry in std::fs::read_dir(folder().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            files.push((path.strip_prefix(folder()).unwrap().to_owned(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn what_is_written_is_what_was_written() {
    let (disk, _) = write();
    let files = disk.files().into_iter().map(|(path, _)| path).filter(|path| !path.ends_with("lock"));
    let written: Vec<_> =
        files.map(|path| (path.strip_prefix(DIR).unwrap().to_owned(), disk.read(&path).unwrap())).collect();
    if std::env::var_os("NETDB_GOLDEN").is_some_and(|value| value == "write") && !folder().exists() {
        for (name, bytes) in &written {
            let path = folder().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    // Chunks of one blob come into a pack in the order in which they happen to be ready.
    let sorted = |files: Vec<(PathBuf, Vec<u8>)>| {
        let words = |bytes: Vec<u8>| {
            let mut words: Vec<_> = bytes.chunks(8).map(<[u8]>::to_vec).collect();
            words.sort_unstable();
            words
        };
        files.into_iter().map(|(name, bytes)| (name, words(bytes))).collect::<Vec<_>>()
    };
    assert!(sorted(written) == sorted(golden()));
}

#[test]
fn golden_files_stay_as_they_are_and_are_read() {
    let (disk, mut hasher) = (SimulatedDisk::new(), blake3::Hasher::new());
    for (name, bytes) in golden() {
        hasher.update(name.to_str().unwrap().as_bytes()).update(&[0]);
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        let path = Path::new(DIR).join(name);
        disk.create_directories(path.parent().unwrap()).unwrap();
        disk.write(path, &bytes);
    }
    assert_eq!(hasher.finalize().to_hex().as_str(), GOLDEN, "the format changed: see the top of this file");
    let store = open(&disk);
    let (_, blobs) = write();
    for (hash, content) in &blobs {
        assert!(read(&store, hash) == *content);
    }
    assert_eq!(store.list().len(), blobs.len());
    let report = store.verify().unwrap();
    assert!(report.damaged.is_empty() && report.stretches.is_empty(), "{report:?}");
}
