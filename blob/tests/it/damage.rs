//! Bits that flip: nothing wrong is ever served, and what is damaged is found and named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Hash, SimulatedDisk};
use blob::adapter::{MemoryAdapter, VerifiedAdapter};
use blob::{
    BlobError, BlobStore, Chunking, DiskUse, MemoryJournal, ObjectKind, ObjectPlace, Overflow,
    OverflowConfig, Pins,
};

use crate::support::{DIR, clock, noise, open, open_at, read, small_chunks};

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
        match (store.get(hash, &mut found), store.read(hash, u64::MAX)) {
            (Ok(_), Ok(read)) => assert!(found == *content && read == *content, "{what}: wrong bytes"),
            (Err(got), Err(read)) => {
                // What is wrong is named in the same way; of several chunks another may be met first.
                let kinds = [&got, &read].map(std::mem::discriminant);
                assert!(kinds[0] == kinds[1], "{what}: {got} or {read}");
                noticed = true;
            }
            (got, read) => panic!("{what}: {got:?} or {:?}", read.map(|read| read.len())),
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
fn what_is_read_whole_has_the_length_that_was_allowed() {
    let (disk, blobs) = filled();
    let store = open(&disk);
    for (hash, content) in &blobs {
        let bytes = content.len() as u64;
        assert!(store.read(hash, bytes).unwrap() == *content);
        if bytes > 0 {
            let refused = store.read(hash, bytes - 1).unwrap_err();
            assert!(matches!(refused, BlobError::TooLarge { max } if max == bytes - 1), "{refused}");
        }
    }
    let missing = store.read(&Hash::of(b"nothing"), u64::MAX).unwrap_err();
    assert!(matches!(missing, BlobError::NotFound { .. }), "{missing}");
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

/// Objects of every kind, packed and in files of their own, and a chunk that went elsewhere.
struct Everything {
    disk: SimulatedDisk,
    place: VerifiedAdapter,
    objects: BTreeMap<Hash, (ObjectKind, Vec<u8>)>,
    away: Hash,
}

impl Everything {
    fn new() -> Self {
        let (disk, clock) = (SimulatedDisk::new(), clock());
        let store = open_at(&disk, &clock);
        let place = VerifiedAdapter::new(Arc::new(MemoryAdapter::new()));
        store.objects().set_away(Some(place.clone()));
        let pins =
            Pins::open(store.clone(), Arc::<MemoryJournal>::default(), Arc::clone(&clock) as _).unwrap();
        let config = OverflowConfig { enabled: true, pushes_per_tick: 1, ..OverflowConfig::default() };
        let overflow = Overflow::new(pins, config).unwrap();
        // The oldest goes.
        let away = store.put(&noise(5, 200)[..], Chunking::Fixed).unwrap().hash;
        clock.advance(std::time::Duration::from_secs(1));
        for content in [noise(1, 40), noise(3, 9_000), noise(4, 262_200)] {
            store.put(&content[..], small_or_fixed(&content)).unwrap();
        }
        for links in [2, 27_000] {
            store.objects().put(ObjectKind::Directory, &directory(links)).unwrap();
        }
        assert_eq!(overflow.tick(DiskUse { used: 99, capacity: 100 }).unwrap().pushed, 1);
        store.close().unwrap();
        let mut all = Self { disk, place, objects: BTreeMap::new(), away };
        for part in all.parts() {
            all.objects.extend(part.name.map(|name| (name, store.objects().get(&name).unwrap())));
        }
        assert_eq!(store.objects().info(&away).unwrap().unwrap().place, ObjectPlace::Away);
        let kinds = |kind| all.objects.values().filter(|object| object.0 == kind).count();
        assert!(
            kinds(ObjectKind::Chunk) > 4 && kinds(ObjectKind::Node) == 1 && kinds(ObjectKind::Directory) == 2
        );
        all
    }

    /// Tells what stands where, from the bytes alone.
    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for (path, length) in self.disk.files() {
            let bytes = self.disk.read(&path).unwrap();
            let hash_at = |at: usize| Some(Hash::from_bytes(*bytes[at + 8..].first_chunk().unwrap()));
            let part = |from: usize, to: usize, what, name| Part { file: path.clone(), from, to, what, name };
            if path.starts_with(Path::new(DIR).join("chunks")) {
                let end = length as usize - 64;
                parts.push(part(0, end, "content", hash_at(end)));
                parts.push(part(end, end + 64, "end", hash_at(end)));
            } else if path.starts_with(Path::new(DIR).join("packs")) {
                parts.push(part(0, 32, "header", None));
                let mut at = 32;
                while at < bytes.len() {
                    let content = u32::from_le_bytes(*bytes[at + 40..].first_chunk().unwrap()) as usize;
                    let what = match bytes[at + 4] {
                        1 | 2 | 11 => "record",
                        4 => "closed",
                        7..=10 => "note of what is away",
                        _ => "note",
                    };
                    parts.push(part(at, at + 64, what, hash_at(at).filter(|_| what != "closed")));
                    if content > 0 {
                        parts.push(part(at + 64, at + 64 + content, "content", hash_at(at)));
                    }
                    at = (at + 64 + content).next_multiple_of(8);
                }
            }
        }
        parts
    }
}

#[derive(Debug)]
struct Part {
    file: PathBuf,
    from: usize,
    to: usize,
    what: &'static str,
    /// The object that it is of.
    name: Option<Hash>,
}

/// Returns the bytes of a directory of so many links.
fn directory(links: u32) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend(links.to_le_bytes());
    bytes.extend([0; 8]);
    for link in 0..links {
        bytes.extend([3, 0, 0, 0, 5, 0]);
        bytes.extend(format!("{link:05}").bytes());
        bytes.extend([1, 0, b'x']);
    }
    bytes
}

/// Tells which object an error names.
fn named(error: &BlobError) -> Option<Hash> {
    match error {
        BlobError::HashMismatch { hash, .. } | BlobError::NotFound { hash } => Some(*hash),
        _ => None,
    }
}

#[test]
fn reading_and_verifying_name_what_a_flipped_bit_hit() {
    let all = Everything::new();
    let whole = all.disk.snapshot();
    let mut met = BTreeMap::<&str, u32>::new();
    for Part { file, from, to, what, name } in all.parts() {
        // The copy here of what went is not needed.
        let is_freed = name == Some(all.away);
        if is_freed && what == "content" {
            continue;
        }
        let bits = (to - from) as u64 * 8;
        let step = if bits > 100_000 { 70_001 } else { (bits / 12).max(1) };
        for bit in (0..bits).step_by(step as usize) {
            let disk = whole.image(&base::CrashImage::All);
            disk.flip_bit(&file, from as u64 * 8 + bit);
            let at = from as u64 + bit / 8;
            let told = format!("{what} of {name:?} in {} at {at}", file.display());
            let doors = base::Doors {
                clock: clock(),
                random: Arc::new(base::SeededRandom::new(1)),
                disk: Arc::new(disk.clone()),
            };
            *met.entry(what).or_default() += 1;
            let store = match BlobStore::open(Path::new(DIR), &doors) {
                Ok(store) => store,
                Err(error) => {
                    let names = error.to_string().contains(file.to_str().unwrap());
                    let is_version = matches!(error, BlobError::UnsupportedVersion { .. });
                    assert!(what == "header" && (names || is_version), "{told}: {error}");
                    continue;
                }
            };
            store.objects().set_away(Some(all.place.clone()));
            for (hash, object) in &all.objects {
                match store.objects().get(hash) {
                    Ok(found) => assert!(found == *object, "{told}"),
                    Err(error) => {
                        assert_eq!(name, Some(*hash), "{told}: {error}");
                        let names = named(&error) == name || error.to_string().contains(&hash.to_string());
                        assert!(names, "{told}: {error}");
                        if let BlobError::HashMismatch { file: found, offset, .. } = &error {
                            assert_eq!((found, *offset), (&file, from as u64), "{told}: {error}");
                        }
                    }
                }
            }
            let read = name.map(|name| store.objects().get(&name));
            let is_missed = read.as_ref().is_some_and(Result::is_err);
            assert!(is_missed || is_freed || !matches!(what, "content" | "record" | "end"), "{told}");
            let report = store.verify().unwrap();
            let in_stretch =
                report.stretches.iter().any(|found| found.file == file && found.bytes.contains(&at));
            let in_object = report.damaged.iter().any(|damaged| {
                let error = damaged.error.to_string();
                Some(damaged.hash) == name && error.contains(file.to_str().unwrap())
            });
            // That a store was closed in order is known from what stands behind everything else.
            assert!(in_stretch || in_object || what == "closed", "{told}: {report:?}");
        }
    }
    let met: Vec<_> = met.into_keys().collect();
    assert_eq!(met, ["closed", "content", "end", "header", "note", "note of what is away", "record"]);
}

#[test]
fn what_was_noted_as_away_and_is_not_any_more_is_named() {
    let all = Everything::new();
    let parts = all.parts();
    let note = parts.iter().rfind(|part| part.name == Some(all.away) && part.what == "note of what is away");
    let is_away = |part: &&Part| all.disk.read(&part.file).unwrap()[part.from + 4] == 8;
    let away = parts.iter().filter(|part| part.what == "note of what is away").find(is_away).unwrap();
    assert!(note.is_some_and(|last| last.from > away.from), "what is freed is noted behind it");
    all.disk.flip_bit(&away.file, (away.from as u64 + 10) * 8);
    let store = open(&all.disk);
    store.objects().set_away(Some(all.place.clone()));
    let error = store.objects().get(&all.away).unwrap_err();
    assert!(matches!(error, BlobError::NotFound { hash } if hash == all.away), "{error}");
    let report = store.verify().unwrap();
    assert_eq!(report.stretches.len(), 1);
    assert!(report.stretches[0].bytes.contains(&(away.from as u64 + 10)), "{report:?}");
}
