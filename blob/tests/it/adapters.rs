//! Adapters keep to what every adapter must do, on a simulated disk also after a crash.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CrashImage, Disk, Fault, SimulatedDisk, Snapshot};
use blob::adapter::conformance::{self, Damage};
use blob::adapter::{
    BlobAdapter, FileSystemAdapter, ListQuery, MemoryAdapter, ObjectName, OwnAdapter, VerifiedAdapter,
};
use blob::{BlobError, CollectOptions, Collection, MemoryJournal, NoRoots, ObjectKind, PinMode, Pins};

use crate::support::{clock, noise, open, open_at};

const FILES: &str = "mounted/objects";

fn open_files(disk: &SimulatedDisk) -> FileSystemAdapter {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    FileSystemAdapter::open(Path::new(FILES), &disk).unwrap()
}

fn chunk(seed: u64, bytes: usize) -> (ObjectName, Vec<u8>) {
    let content = noise(seed, bytes);
    (ObjectName::of(ObjectKind::Chunk, &content), content)
}

fn conforms(adapter: impl BlobAdapter + 'static, damage: Option<Damage<'_>>) {
    let faults = conformance::faults(Arc::new(adapter), damage);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_adapter_in_memory_conforms() {
    conforms(MemoryAdapter::new(), None);
}

#[test]
fn the_adapter_of_files_conforms_and_finds_each_kind_of_damage() {
    for how in 0..3 {
        let disk = SimulatedDisk::new();
        let damage = |name: &ObjectName| {
            let path = Path::new(FILES).join(name.path().join("/"));
            let mut bytes = disk.read(&path).ok_or(io::ErrorKind::NotFound)?;
            let middle = bytes.len() / 2;
            match (how, bytes.get_mut(middle)) {
                (0, Some(byte)) => *byte ^= 4,
                (1, Some(_)) => bytes.truncate(middle),
                _ => bytes.push(0),
            }
            disk.write(&path, &bytes);
            Ok(())
        };
        conforms(open_files(&disk), Some(&damage));
    }
}

#[test]
fn the_adapter_of_our_own_store_conforms() {
    let disk = SimulatedDisk::new();
    conforms(OwnAdapter::new(open(&disk)), None);
}

/// What the adapter refuses is the store's: it lists the blobs, and removes what nobody needs of them.
#[test]
fn what_came_through_the_adapter_of_our_own_store_is_listed_and_removed_by_the_store() {
    let (disk, clock) = (SimulatedDisk::new(), clock());
    let store = open_at(&disk, &clock);
    let adapter: Arc<dyn BlobAdapter> = Arc::new(OwnAdapter::new(store.clone()));
    let verified = VerifiedAdapter::new(Arc::clone(&adapter));
    let contents = [noise(1, 20_000), noise(2, 300), noise(3, 300_000)];
    let references: Vec<_> = contents
        .iter()
        .map(|content| verified.put(&mut &content[..], crate::support::small_chunks()).unwrap())
        .collect();
    let mut hashes: Vec<_> = references.iter().map(blob::BlobRef::hash).collect();
    hashes.sort_unstable();
    assert_eq!(store.list(), hashes);
    let refused = [
        verified.delete(&references[0], &|_| false).unwrap_err(),
        adapter.list_objects(&ListQuery::new(9)).unwrap_err(),
    ];
    assert!(!adapter.supports_delete() && !adapter.supports_list());
    for error in refused {
        assert!(matches!(error, BlobError::Backend { can_repeat: false, .. }), "{error}");
    }
    let pins = Pins::open(store.clone(), Arc::<MemoryJournal>::default(), Arc::clone(&clock) as _).unwrap();
    pins.pin(&references[1].hash(), PinMode::Recursive, None).unwrap();
    clock.advance(Duration::from_secs(1));
    let options = CollectOptions { floor: Duration::ZERO, ..CollectOptions::default() };
    Collection::begin(&pins, &NoRoots, &*clock, options).unwrap().run().unwrap();
    assert_eq!(store.list(), [references[1].hash()]);
    for (reference, content) in references.iter().zip(&contents) {
        let is_pinned = reference.hash() == references[1].hash();
        assert_eq!(verified.exists(reference).unwrap(), is_pinned);
        match verified.fetch(reference) {
            Ok(found) => assert!(is_pinned && found == *content),
            Err(error) => assert!(!is_pinned && matches!(error, BlobError::NotFound { .. }), "{error}"),
        }
    }
}

#[test]
fn one_at_a_time_has_a_directory_of_objects_open() {
    let disk = SimulatedDisk::new();
    let first = open_files(&disk);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let second = FileSystemAdapter::open(Path::new(FILES), &shared);
    assert!(matches!(second, Err(BlobError::Locked { .. })));
    drop(first);
    open_files(&disk);
}

#[test]
fn what_is_no_object_is_not_listed() {
    let disk = SimulatedDisk::new();
    let files = open_files(&disk);
    let (name, content) = chunk(1, 10);
    files.store_object(&name, &content).unwrap();
    let [first, rest] = name.path();
    disk.create_directories(&Path::new(FILES).join("zz")).unwrap();
    let [directory, file] = chunk(2, 10).0.path();
    disk.create_directories(&Path::new(FILES).join(&directory)).unwrap();
    let capitals = format!("{directory}/{}", file.to_uppercase());
    for other in [capitals, format!("{first}/note"), format!("{first}/{}x", &rest[1..]), format!("zz/{rest}")]
    {
        disk.write(Path::new(FILES).join(other), b"x");
    }
    let all = blob::adapter::ListQuery::new(usize::MAX);
    assert_eq!(files.list_objects(&all).unwrap(), [name.hash]);
}

/// What an object was at the end of what was acknowledged, and what it may be instead since more was asked for.
fn check(files: &FileSystemAdapter, objects: &[(ObjectName, Vec<u8>)], done: usize, what: &str) {
    for (at, (name, content)) in objects.iter().enumerate() {
        match files.fetch_object(name) {
            Ok(found) => assert!(found == *content, "{what}: object {at} is half there"),
            Err(BlobError::NotFound { .. }) => assert!(at >= done, "{what}: object {at} is lost"),
            Err(error) => panic!("{what}: object {at}: {error}"),
        }
    }
    for (name, content) in objects {
        files.store_object(name, content).unwrap();
        assert!(files.fetch_object(name).unwrap() == *content, "{what}");
    }
}

fn objects() -> Vec<(ObjectName, Vec<u8>)> {
    // Two of them have the same two digits in front, so that one finds the directory of the other.
    let first = chunk(1, 5_000);
    let same = (2..).map(|seed| chunk(seed, 700)).find(|(name, _)| name.path()[0] == first.0.path()[0]);
    vec![first, chunk(9_999, 20_000), same.unwrap(), chunk(9_998, 0)]
}

#[test]
fn a_crash_at_any_operation_leaves_objects_whole_or_not_at_all() {
    let (disk, objects) = (SimulatedDisk::new(), objects());
    let moments = Arc::new(Mutex::new(Vec::<(Snapshot, usize)>::new()));
    let done = Arc::new(Mutex::new(0));
    let (taken, told) = (Arc::clone(&moments), Arc::clone(&done));
    disk.on_operation(Some(Box::new(move |_, snapshot| {
        taken.lock().unwrap().push((snapshot, *told.lock().unwrap()));
    })));
    let files = open_files(&disk);
    for (name, content) in &objects {
        files.store_object(name, content).unwrap();
        *done.lock().unwrap() += 1;
    }
    disk.on_operation(None);
    let mut moments = std::mem::take(&mut *moments.lock().unwrap());
    moments.push((disk.snapshot(), objects.len()));
    for (moment, (snapshot, done)) in moments.iter().enumerate() {
        let seed = moment as u64;
        for image in [
            CrashImage::None,
            CrashImage::All,
            CrashImage::Sectors { seed },
            CrashImage::Reordered { seed },
            CrashImage::SizeBeforeData { writes: 1 },
            CrashImage::LostRenames,
        ] {
            let files = open_files(&snapshot.image(&image));
            check(&files, &objects, *done, &format!("moment {moment} of {}, {image:?}", moments.len()));
        }
    }
    assert!(moments.len() > 12, "{}", moments.len());
}

#[test]
fn what_was_removed_stays_away_after_a_crash() {
    let disk = SimulatedDisk::new();
    let files = open_files(&disk);
    let (name, content) = chunk(1, 100);
    files.store_object(&name, &content).unwrap();
    assert!(files.delete_object(&name).unwrap());
    let files = open_files(&disk.snapshot().image(&CrashImage::None));
    assert!(files.stat_object(&name).unwrap().is_none());
}

#[test]
fn a_fault_at_any_operation_is_told_and_nothing_stored_is_lost() {
    let objects = objects();
    let run = |fault: Option<(u64, Fault)>| {
        let disk = SimulatedDisk::new();
        let files = open_files(&disk);
        let first = disk.operation_count();
        if let Some((nth, fault)) = fault {
            disk.inject(first + nth, fault);
        }
        let stored = objects.iter().map(|(name, content)| files.store_object(name, content).is_ok());
        let stored: Vec<bool> = stored.collect();
        (disk.operation_count() - first, stored, disk)
    };
    let (operations, all, _) = run(None);
    assert!(all.iter().all(|stored| *stored));
    for nth in 0..operations {
        for fault in [Fault::Error(5), Fault::Error(28), Fault::Short { bytes: 70 }] {
            let (_, stored, disk) = run(Some((nth, fault)));
            for image in [CrashImage::None, CrashImage::All] {
                let files = open_files(&disk.snapshot().image(&image));
                let what = format!("{fault:?} at {nth} of {operations}, {image:?}");
                for ((name, content), stored) in objects.iter().zip(&stored) {
                    match files.fetch_object(name) {
                        Ok(found) => assert!(found == *content, "{what}"),
                        Err(error) => assert!(!stored, "{what}: {error}"),
                    }
                }
                check(&files, &objects, 0, &what);
            }
        }
    }
}
