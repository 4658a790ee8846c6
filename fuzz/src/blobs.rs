//! A store of blobs in memory whose files are altered.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{Disk, Doors, Hash, ManualClock, OpenMode, SeededRandom, Timestamp, read_to_end, write_all_at};
use blob::adapter::{BlobAdapter, MemoryAdapter, ObjectName, VerifiedAdapter};
use blob::fuzzing::{Choices, Structure, repair_large_object};
use blob::{
    BlobStore, Chunking, CollectOptions, Collection, ContentSizes, DiskUse, MemoryJournal, NoRoots,
    ObjectKind, Overflow, OverflowConfig, OverflowSettings, PinMode, Pins,
};

use crate::damage::{Files, Outcome, doors};
use crate::meter::largest_request;

const DIR: &str = "/blobs";
const FULL: DiskUse = DiskUse { used: 99, capacity: 100 };

/// The files of a store, and what it holds.
#[derive(Debug, Clone)]
pub struct Sound {
    /// Its files.
    pub files: Files,
    /// The blobs that are in it, by their names.
    pub blobs: BTreeMap<Hash, Vec<u8>>,
    /// The objects of directories.
    directories: Vec<Vec<u8>>,
    /// What lies in the place that it overflows to.
    away: Vec<Vec<u8>>,
}

/// Bytes that nothing repeats, different for each seed.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    base::Random::fill(&SeededRandom::new(seed), &mut noise);
    noise
}

/// Chunks of some hundred bytes.
pub fn tiny() -> Chunking {
    Chunking::Content(ContentSizes::new(64, 256, 1_024).expect("the sizes are allowed"))
}

fn chunking(content: &[u8]) -> Chunking {
    if (2_000..100_000).contains(&content.len()) { tiny() } else { Chunking::Fixed }
}

fn place(away: &[Vec<u8>]) -> VerifiedAdapter {
    let place = MemoryAdapter::new();
    for content in away {
        let stored = place.store_object(&ObjectName::of(ObjectKind::Chunk, content), content);
        stored.expect("memory has room");
    }
    VerifiedAdapter::new(Arc::new(place))
}

fn config() -> OverflowConfig {
    OverflowConfig { enabled: true, pushes_per_tick: 2, ..OverflowConfig::default() }
}

fn settings() -> OverflowSettings {
    OverflowSettings { place: "memory:".to_owned(), config: config(), quota: Some(1 << 30) }
}

/// Returns the bytes of a directory of directories, whose names are in order.
pub fn directory(levels: u16, entries: &[(&[u8], Hash)]) -> Vec<u8> {
    let mut out = vec![1, 0];
    out.extend(levels.to_le_bytes());
    out.extend((entries.len() as u32).to_le_bytes());
    out.extend([0; 8]);
    for (name, hash) in entries {
        out.extend([2, 0, 0xED, 1]);
        out.extend((name.len() as u16).to_le_bytes());
        out.extend(*name);
        out.extend(hash.as_bytes());
        out.extend([0; 8]);
    }
    out
}

/// Returns the bytes of a directory with a file and a link, and of one with it and a file.
fn directories() -> [Vec<u8>; 2] {
    let directory = |levels: u8, entries: u8, bytes: u64| {
        let mut out = vec![1, 0, levels, 0, entries, 0, 0, 0];
        out.extend(bytes.to_le_bytes());
        out
    };
    let entry = |out: &mut Vec<u8>, kind: u8, mode: u8, name: u8, hash: &Hash, bytes: u64| {
        out.extend([kind, 0, mode, 1, 1, 0, name]);
        out.extend(hash.as_bytes());
        out.extend(bytes.to_le_bytes());
    };
    let (file, mut below, mut top) = (noise(2, 300), directory(0, 2, 300), directory(1, 2, 600));
    entry(&mut below, 1, 0o244, b'a', &Hash::of(&file), 300);
    below.extend(b"\x03\x00\x00\x00\x01\x00b\x01\x00a");
    entry(&mut top, 2, 0o355, b'c', &ObjectKind::Directory.name_of(&below), 300);
    entry(&mut top, 1, 0o244, b'd', &Hash::of(&file), 300);
    [below, top]
}

fn open(doors: &Doors) -> Result<BlobStore, blob::BlobError> {
    BlobStore::open(Path::new(DIR), doors)
}

fn pins(store: &BlobStore, doors: &Doors) -> Pins {
    let journal = Arc::<MemoryJournal>::default();
    Pins::open(store.clone(), journal, Arc::clone(&doors.clock)).expect("an empty journal is read")
}

fn files(disk: &dyn Disk) -> Files {
    let mut files = Files::new();
    for dir in ["", "packs", "chunks"] {
        let dir = Path::new(DIR).join(dir);
        for name in disk.list(&dir).expect("it is there") {
            let path = dir.join(name);
            let Ok(file) = disk.open(&path, OpenMode::Read) else { continue };
            let bytes = read_to_end(&*file, usize::MAX).expect("memory is readable");
            if !bytes.is_empty() {
                files.push((path, bytes));
            }
        }
    }
    files
}

fn clocked(files: &Files) -> (Doors, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)));
    (Doors { clock: Arc::clone(&clock) as _, ..doors(files) }, clock)
}

fn collect(pins: &Pins, clock: &ManualClock) -> Result<blob::Collected, blob::BlobError> {
    clock.advance(Duration::from_secs(1));
    let options = CollectOptions { floor: Duration::ZERO, garbage_share: 0.0, ..CollectOptions::default() };
    Collection::begin(pins, &NoRoots, clock, options)?.run()
}

/// Makes a store of two packs with something of everything, with large objects or without, closed cleanly or not.
///
/// # Panics
///
/// When a sound store cannot be written.
pub fn sound(large: bool, closed: bool) -> Sound {
    let (doors, _) = clocked(&Files::new());
    let (mut blobs, directories, mut away) = (BTreeMap::new(), directories(), Vec::new());
    let sizes: &[usize] = if large { &[262_144] } else { &[] };
    write(&doors, &mut blobs, &[&[40, 300, 3_000], sizes].concat(), 1);
    {
        let store = open(&doors).expect("it was closed");
        for directory in &directories {
            let hash = store.objects().put(ObjectKind::Directory, directory).expect("memory has room");
            store.objects().note_blob(hash).expect("memory has room");
        }
        store.set_overflow_settings(&settings()).expect("memory has room");
        let pins = pins(&store, &doors);
        for hash in store.list() {
            pins.pin(&hash, PinMode::Recursive, None).expect("all of it is here");
        }
        store.objects().set_away(Some(place(&[])));
        let overflow = Overflow::new(pins, config()).expect("the config is allowed");
        for bytes in [200, if large { 262_200 } else { 500 }, 100] {
            away.push(noise(bytes as u64, bytes));
            let put = |content: &Vec<u8>| store.put(&content[..], Chunking::Fixed).expect("memory has room");
            let hash = put(&away[away.len() - 1]).hash;
            assert_eq!(overflow.tick(FULL).expect("memory has room").pushed, 1);
            if bytes == 100 {
                // It is here as well, and what lies elsewhere is removed.
                assert_eq!(overflow.take_back(&hash).expect("it is there"), 1);
            }
            blobs.insert(hash, away[away.len() - 1].clone());
        }
        assert!(store.remove(&Hash::of(&away[0])).expect("memory has room"));
        store.close().expect("memory has room");
    }
    // What is full has an index.
    let next = Path::new(DIR).join("packs/0000000007.pack");
    let file = doors.disk.open(&next, OpenMode::Create).expect("it is new");
    write_all_at(&*file, &Structure::PackHeader.make(&mut Choices(&[])), 0).expect("memory has room");
    write(&doors, &mut blobs, &[50, 350, 2_500], 100);
    let store = open(&doors).expect("it was closed");
    for bytes in [60, 70] {
        let info = store.put(&noise(bytes as u64, bytes)[..], Chunking::Fixed).expect("memory has room");
        blobs.insert(info.hash, noise(bytes as u64, bytes));
    }
    if closed {
        store.close().expect("memory has room");
    }
    let (files, directories) = (files(&*doors.disk), directories.into());
    Sound { files, blobs, directories, away }
}

fn write(doors: &Doors, blobs: &mut BTreeMap<Hash, Vec<u8>>, sizes: &[usize], seed: u64) {
    let store = open(doors).expect("an empty disk takes a store");
    for (nth, bytes) in sizes.iter().enumerate() {
        let content = noise(seed + nth as u64, *bytes);
        let info = store.put(&content[..], chunking(&content)).expect("memory has room");
        blobs.insert(info.hash, content);
    }
    store.close().expect("memory has room");
}

/// Puts the checksums right of a file of a store.
pub fn repair(path: &Path, bytes: &mut [u8]) {
    match path.to_string_lossy() {
        name if name.ends_with(".pack") => Structure::Pack.repair(bytes),
        name if name.ends_with(".idx") => Structure::PackIndex.repair(bytes),
        name if name.ends_with("overflow") => Structure::Settings.repair(bytes),
        _ => repair_large_object(bytes),
    }
}

/// Reads and verifies everything, writes everything anew, collects, moves and opens again. Nothing of it may panic, take much
/// memory, or give out wrong bytes; what is put into what was opened must be there when it is opened again.
///
/// # Panics
///
/// When a store that was opened does not go on.
pub fn use_files(sound: &Sound, files: &Files) -> Outcome {
    let (doors, clock) = clocked(files);
    let (opened, most) = largest_request(|| open(&doors));
    check_memory(files, most);
    let Ok(store) = opened else { return Outcome::Refused };
    let place = place(&sound.away);
    store.objects().set_away(Some(place.clone()));
    let ((), most) = largest_request(|| look(&store, &sound.blobs));
    check_memory(files, most);
    let settled = store.overflow_settings();
    assert!(
        settled.is_err() || files != &sound.files || settled.is_ok_and(|found| found == Some(settings()))
    );
    for (hash, content) in &sound.blobs {
        let put = store.put(&content[..], chunking(content)).expect("what is damaged is written anew");
        assert_eq!(put.hash, *hash);
        assert!(store.missing_part(hash).expect("lists are written anew").is_none());
    }
    for directory in &sound.directories {
        store.objects().put(ObjectKind::Directory, directory).expect("memory has room");
    }
    whole(&store, &sound.blobs);
    let pins = pins(&store, &doors);
    for hash in sound.blobs.keys() {
        pins.pin(hash, PinMode::Recursive, None).expect("all of it is here");
    }
    let overflow = Overflow::new(pins.clone(), config()).expect("the config is allowed");
    // What cannot be read may have to stay; nothing that is needed goes.
    let _ = collect(&pins, &clock);
    whole(&store, &sound.blobs);
    for hash in sound.blobs.keys() {
        pins.unpin(hash).expect("memory has room");
        store.objects().hold_for(hash, Duration::from_secs(3_600)).expect("it is here");
    }
    for _ in 0..3 {
        let _ = overflow.tick(FULL);
    }
    let _ = collect(&pins, &clock);
    whole(&store, &sound.blobs);
    store.close().expect("memory has room");
    drop((pins, overflow, store));
    let store = open(&doors).expect("what was written and closed opens");
    store.objects().set_away(Some(place));
    whole(&store, &sound.blobs);
    Outcome::GoesOn
}

fn check_memory(files: &Files, most: usize) {
    let all: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let justified = (512 << 10) + 4 * all;
    assert!(most <= justified, "{most} bytes at once for {all} bytes of files, {justified} at most");
}

/// Reads everything that is known, and everything that is listed: right, or not at all.
fn look(store: &BlobStore, blobs: &BTreeMap<Hash, Vec<u8>>) {
    for (hash, content) in blobs {
        let mut found = Vec::new();
        match store.get(hash, &mut found) {
            Ok(bytes) => assert!(found == *content && bytes == content.len() as u64, "wrong bytes"),
            Err(_) => assert!(content.starts_with(&found), "wrong bytes before an error"),
        }
        let (mut slice, range) = (Vec::new(), 10..content.len() as u64 / 2);
        if store.slice(hash, range.clone(), &mut slice).is_ok() {
            let mut found = Vec::new();
            let read = blob::read_slice(hash, range.clone(), &mut &slice[..], &mut found);
            assert!(read.is_ok() && found == content[10..range.end as usize], "a wrong slice");
        }
    }
    for hash in store.list() {
        let _ = store.stat(&hash);
        let _ = store.objects().info(&hash);
        let _ = store.missing_part(&hash);
        let _ = store.get(&hash, &mut io::sink());
        let _ = store.visit_tree(&hash, &mut |_| Ok(()));
        if let Ok(chunks) = store.chunks(&hash) {
            chunks.take(1_000).for_each(drop);
        }
    }
    let _ = store.verify();
    let _ = store.objects().verify_away();
    let _ = store.objects().repair();
    let _ = store.objects().away_use();
    let _ = store.objects().stored_bytes();
    let _ = store.overflow_settings();
}

fn whole(store: &BlobStore, blobs: &BTreeMap<Hash, Vec<u8>>) {
    for (hash, content) in blobs {
        let mut found = Vec::new();
        store.get(hash, &mut found).expect("what was put is read");
        assert!(found == *content, "wrong bytes of what was put");
    }
}
