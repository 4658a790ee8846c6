use std::path::Path;
use std::sync::Arc;

use base::{Doors, ManualClock, SeededRandom, SimulatedDisk, Timestamp};
use blob::{BlobStore, Chunking, ContentSizes};

/// Where the store is.
pub const DIR: &str = "node/blobs";

/// A clock that is moved by hand.
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_nanos(1_700_000_000_000_000_000)))
}

/// Opens the store on a disk.
pub fn open(disk: &SimulatedDisk) -> BlobStore {
    open_at(disk, &clock())
}

/// Opens the store on a disk, with a clock.
pub fn open_at(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> BlobStore {
    let (random, disk) = (Arc::new(SeededRandom::new(1)), Arc::new(disk.clone()));
    let doors = Doors { clock: Arc::clone(clock) as _, random, disk };
    BlobStore::open(Path::new(DIR), &doors).unwrap()
}

/// Bytes that nothing compresses or repeats, different for each seed.
pub fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}

/// Small chunks that end where the content says.
pub fn small_chunks() -> Chunking {
    Chunking::Content(ContentSizes::new(1 << 10, 4 << 10, 16 << 10).unwrap())
}

pub fn read(store: &BlobStore, hash: &base::Hash) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = store.get(hash, &mut bytes).unwrap();
    assert!(store.read(hash, length).unwrap() == bytes);
    bytes
}
