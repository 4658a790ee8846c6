//! A directory that was written once: it is read, and what is written now is the same. The format is not frozen yet: who
//! changes it removes the files, and writes them anew with `NETDB_GOLDEN=write`.

#![allow(clippy::disallowed_methods, reason = "golden files are part of the tree, not of a store")]

use std::path::{Path, PathBuf};

use base::{Disk, Hash, SimulatedDisk};
use blob::Chunking;

use crate::support::{DIR, open, read, small_chunks};

mod notes;
mod structures;

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

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// Returns the golden files of a folder, by their names in it.
fn golden(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    fn visit(top: &Path, dir: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => visit(top, &path, files),
                false => {
                    files.push((path.strip_prefix(top).unwrap().to_owned(), std::fs::read(&path).unwrap()))
                }
            }
        }
    }
    let mut files = Vec::new();
    visit(&folder(name), &folder(name), &mut files);
    files.sort();
    files
}

/// Writes golden files into a folder that is not there, if whoever runs the test says so.
fn write_anew(name: &str, files: &[(PathBuf, Vec<u8>)]) {
    if std::env::var_os("NETDB_GOLDEN").is_some_and(|value| value == "write") && !folder(name).exists() {
        for (path, bytes) in files {
            let path = folder(name).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// Asserts that the golden files of a folder are those that were written once: `GOLDEN` is their hash.
fn assert_unchanged(files: &[(PathBuf, Vec<u8>)], hash: &str) {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in files {
        hasher.update(name.to_str().unwrap().as_bytes()).update(&[0]);
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    assert_eq!(hasher.finalize().to_hex().as_str(), hash, "the format changed: see the top of this file");
}

/// Returns the files of a store but for the lock and the reserve.
fn files_of(disk: &SimulatedDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    let files = files.filter(|path| !path.ends_with("lock") && !path.ends_with("reserve"));
    files.map(|path| (path.strip_prefix(DIR).unwrap().to_owned(), disk.read(&path).unwrap())).collect()
}

/// Returns a disk with the files of a store.
fn disk_of(files: &[(PathBuf, Vec<u8>)]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for (name, bytes) in files {
        let path = Path::new(DIR).join(name);
        disk.create_directories(path.parent().unwrap()).unwrap();
        disk.write(path, bytes);
    }
    disk
}

#[test]
fn what_is_written_is_what_was_written() {
    let (disk, _) = write();
    let written = files_of(&disk);
    write_anew("store", &written);
    // Chunks of one blob come into a pack in the order in which they happen to be ready.
    let sorted = |files: Vec<(PathBuf, Vec<u8>)>| {
        let words = |bytes: Vec<u8>| {
            let mut words: Vec<_> = bytes.chunks(8).map(<[u8]>::to_vec).collect();
            words.sort_unstable();
            words
        };
        files.into_iter().map(|(name, bytes)| (name, words(bytes))).collect::<Vec<_>>()
    };
    assert!(sorted(written) == sorted(golden("store")));
}

#[test]
fn golden_files_stay_as_they_are_and_are_read() {
    let files = golden("store");
    assert_unchanged(&files, GOLDEN);
    let store = open(&disk_of(&files));
    let (_, blobs) = write();
    for (hash, content) in &blobs {
        assert!(read(&store, hash) == *content);
    }
    assert_eq!(store.list().len(), blobs.len());
    let report = store.verify().unwrap();
    assert!(report.damaged.is_empty() && report.stretches.is_empty(), "{report:?}");
}

/// Lengths of inputs and their hashes, of the official test vectors of BLAKE3; an input counts from 0 to 250, again and again.
const VECTORS: [(u32, &str); 22] = [
    (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
    (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
    (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
    (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
    (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
    (2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"),
    (2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"),
    (3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"),
    (3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3"),
    (4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969"),
    (4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995"),
    (5120, "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833"),
    (5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"),
    (6144, "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205"),
    (6145, "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f"),
    (7168, "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a"),
    (7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817"),
    (8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63"),
    (8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"),
    (16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4"),
    (31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"),
    (102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"),
];

#[test]
fn a_blob_of_one_chunk_has_the_name_that_the_official_vectors_give_it() {
    let store = open(&SimulatedDisk::new());
    for (bytes, hash) in VECTORS {
        let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        assert_eq!(store.put(&content[..], Chunking::Fixed).unwrap().hash.to_string(), hash, "{bytes}");
        assert_eq!(read(&store, &Hash::of(&content)), content);
    }
}
