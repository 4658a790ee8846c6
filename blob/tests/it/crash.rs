//! What a power failure or a fault at any operation leaves.

use std::sync::{Arc, Mutex};

use base::{CrashImage, Fault, Hash, SimulatedDisk, Snapshot};
use blob::{BlobStore, Chunking, ContentSizes};

use crate::support::{noise, open, read, small_chunks};

/// Contents of blobs that are packed, large, of several chunks, and there already.
fn contents() -> Vec<(Vec<u8>, Chunking)> {
    vec![
        (noise(1, 100), Chunking::Fixed),
        (noise(2, 300_000), Chunking::Fixed),
        (noise(3, 40_000), small_chunks()),
        (noise(1, 100), Chunking::Fixed),
        (noise(4, 5_000), Chunking::Fixed),
        // Several large chunks.
        (noise(5, 900_000), Chunking::Content(ContentSizes::new(1 << 18, 300_000, 400_000).unwrap())),
    ]
}

pub fn images(seed: u64) -> [CrashImage; 8] {
    [
        CrashImage::None,
        CrashImage::All,
        CrashImage::Sectors { seed },
        CrashImage::Sectors { seed: seed + 1_000 },
        CrashImage::Prefix { operations: usize::try_from(seed % 8).unwrap() },
        CrashImage::Reordered { seed },
        CrashImage::SizeBeforeData { writes: 1 },
        CrashImage::LostRenames,
    ]
}

/// What is there must be good, and what was acknowledged must be there; and it goes on.
fn check(store: &BlobStore, acknowledged: &[(Hash, Vec<u8>)], what: &str) {
    for (hash, content) in acknowledged {
        let mut found = Vec::new();
        store.get(hash, &mut found).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(found == *content, "{what}");
        assert!(store.list().contains(hash), "{what}");
    }
    for hash in store.list() {
        assert!(store.get(&hash, &mut std::io::sink()).is_ok(), "{what}: {hash} is listed");
    }
    let report = store.verify().unwrap();
    assert!(report.damaged.is_empty() && report.stretches.is_empty(), "{what}: {report:?}");
    for (content, chunking) in contents() {
        let hash = store.put(&content[..], chunking).unwrap().hash;
        assert!(read(store, &hash) == content, "{what}");
    }
    store.close().unwrap();
}

#[test]
fn a_crash_at_any_operation_keeps_what_was_acknowledged_and_nothing_that_is_damaged() {
    let disk = SimulatedDisk::new();
    let moments = Arc::new(Mutex::new(Vec::<(Snapshot, usize)>::new()));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (taken, told) = (Arc::clone(&moments), Arc::clone(&acknowledged));
    disk.on_operation(Some(Box::new(move |_, snapshot| {
        taken.lock().unwrap().push((snapshot, told.lock().unwrap().len()));
    })));
    let store = open(&disk);
    for (content, chunking) in contents() {
        let hash = store.put(&content[..], chunking).unwrap().hash;
        acknowledged.lock().unwrap().push((hash, content));
    }
    store.close().unwrap();
    disk.on_operation(None);
    let acknowledged = acknowledged.lock().unwrap();
    let mut moments = std::mem::take(&mut *moments.lock().unwrap());
    moments.push((disk.snapshot(), acknowledged.len()));
    for (moment, (snapshot, count)) in moments.iter().enumerate() {
        for image in images(moment as u64) {
            let crashed = snapshot.image(&image);
            let what = format!("moment {moment} of {}, {image:?}", moments.len());
            check(&open(&crashed), &acknowledged[..*count], &what);
            // And once more, after an orderly end.
            check(&open(&crashed), &acknowledged[..*count], &what);
        }
    }
    assert!(moments.len() > 30, "{}", moments.len());
}

#[test]
fn a_fault_at_any_operation_is_told_and_nothing_acknowledged_is_lost() {
    let run = |fault: Option<(u64, Fault)>| {
        let disk = SimulatedDisk::new();
        let store = open(&disk);
        let first = disk.operation_count();
        if let Some((nth, fault)) = fault {
            disk.inject(first + nth, fault);
        }
        let mut acknowledged = Vec::new();
        for (content, chunking) in contents() {
            if let Ok(info) = store.put(&content[..], chunking) {
                acknowledged.push((info.hash, content));
            }
        }
        (disk.operation_count() - first, acknowledged, disk, store)
    };
    let (operations, all, ..) = run(None);
    assert_eq!(all.len(), contents().len());
    for nth in 0..operations {
        for fault in [Fault::Error(5), Fault::Error(28), Fault::Short { bytes: 70 }] {
            let what = format!("{fault:?} at {nth} of {operations}");
            let (_, acknowledged, disk, store) = run(Some((nth, fault)));
            drop(store);
            for image in [CrashImage::None, CrashImage::All, CrashImage::Sectors { seed: nth }] {
                let crashed = disk.snapshot().image(&image);
                check(&open(&crashed), &acknowledged, &format!("{what}, {image:?}"));
            }
        }
    }
}
