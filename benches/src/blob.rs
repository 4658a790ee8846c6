//! Blobs: large ones and many small ones, put and got; pins; and marking what is to stay.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use base::{Doors, Hash};
use blob::{BlobStore, Chunking, CollectOptions, ContentSizes, PinMode};
use netdb::NetDb;

use crate::harness::{Latency, Sample};
use crate::scratch::{Scratch, settle};
use crate::session::Setting;
use crate::{Failure, Result};

/// Bytes of a large blob.
pub const LARGE_BYTES: usize = 256 << 20;
/// Small blobs at most.
const SMALL_MAX: u64 = 100_000;
/// Bytes of a small blob.
pub const SMALL_BYTES: usize = 4 << 10;
/// Pins that there are when one is added or taken away, and chunks that are marked, at most.
const MANY_MAX: u64 = 1_000_000;
/// Pins that are timed.
const TIMED_PINS: u64 = 500;
/// Threads that prepare what is timed then.
const THREADS: u64 = 64;

/// Returns bytes that nothing compresses or repeats, always the same.
pub fn large() -> &'static [u8] {
    static LARGE: OnceLock<Vec<u8>> = OnceLock::new();
    LARGE.get_or_init(|| noise(b"large", LARGE_BYTES))
}

/// Returns how many small blobs there are: as many as there are events in a log, but at most 100,000.
pub fn small_count(setting: &Setting) -> u64 {
    setting.events.min(SMALL_MAX)
}

/// Returns the content of a small blob, different for each number.
pub fn small(number: u64) -> Vec<u8> {
    noise(&number.to_le_bytes(), SMALL_BYTES)
}

fn noise(seed: &[u8], bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().update(seed).finalize_xof().fill(&mut noise);
    noise
}

fn open(dir: &Path) -> Result<BlobStore> {
    Ok(BlobStore::open(dir, &Doors::system())?)
}

/// Fails unless what was got is what was put.
///
/// # Errors
///
/// When it is not.
pub fn expect_equal(got: &[u8], put: &[u8]) -> Result<()> {
    if got == put { Ok(()) } else { Err(Failure::from("what was got is not what was put")) }
}

/// Returns a speed in MB/s, since then.
pub fn megabytes_per_second(bytes: usize, begun: Instant) -> Sample {
    Sample::of(bytes as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// Puts a large blob, durable; gives MB/s.
///
/// # Errors
///
/// What the store said.
pub fn put_large(setting: &Setting) -> Result<Sample> {
    let (scratch, content) = (Scratch::new(&setting.dir)?, large());
    let store = open(scratch.path())?;
    settle(&setting.dir)?;
    let begun = Instant::now();
    let put = store.put(content, Chunking::Fixed)?;
    let sample = megabytes_per_second(content.len(), begun);
    let mut target = Vec::with_capacity(content.len());
    store.get(&put.hash, &mut target)?;
    expect_equal(&target, content)?;
    Ok(sample)
}

/// Gets a large blob that was read before, verified, into new memory; gives MB/s.
///
/// # Errors
///
/// What the store said.
pub fn get_large(setting: &Setting) -> Result<Sample> {
    let content = large();
    let dir = setting
        .prepared
        .other(setting, "large blob", |dir| Ok(open(dir)?.put(content, Chunking::Fixed).map(drop)?))?;
    let store = open(&dir)?;
    let hash = *store.list().first().ok_or("no blob was prepared")?;
    store.get(&hash, &mut std::io::sink())?;
    let begun = Instant::now();
    let target = store.read(&hash, u64::MAX)?;
    let sample = megabytes_per_second(target.len(), begun);
    expect_equal(&target, content)?;
    Ok(sample)
}

/// Puts many small blobs, which are durable at the end; gives blobs per second. Their content is made before.
///
/// # Errors
///
/// What the store said.
pub fn put_small(setting: &Setting) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let contents: Vec<_> = (0..small_count(setting)).map(small).collect();
    let store = open(scratch.path())?;
    settle(&setting.dir)?;
    let begun = Instant::now();
    for content in &contents {
        store.put_unsynced(&content[..], Chunking::Fixed)?;
    }
    store.objects().sync()?;
    let sample = Sample::of(contents.len() as f64 / begun.elapsed().as_secs_f64());
    expect_all(&store, &contents)?;
    Ok(sample)
}

/// Fails unless a store has these blobs and no others.
fn expect_all(store: &BlobStore, contents: &[Vec<u8>]) -> Result<()> {
    let listed = store.list().len();
    if listed != contents.len() {
        return Err(Failure::from(format!("{listed} blobs are there instead of {}", contents.len())));
    }
    let mut target = Vec::with_capacity(SMALL_BYTES);
    for content in contents {
        target.clear();
        store.get(&Hash::of(content), &mut target)?;
        expect_equal(&target, content)?;
    }
    Ok(())
}

/// Puts many small blobs from so many threads, each durable when its put returns; gives blobs per second.
///
/// # Errors
///
/// What the store said.
pub fn put_small_durable(setting: &Setting, threads: u64) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let contents: Vec<_> = (0..small_count(setting) / 4).map(small).collect();
    let store = open(scratch.path())?;
    settle(&setting.dir)?;
    let begun = Instant::now();
    on_threads(threads, |thread| {
        for content in contents.iter().skip(thread as usize).step_by(threads as usize) {
            store.put(&content[..], Chunking::Fixed)?;
        }
        Ok(())
    })?;
    let sample = Sample::of(contents.len() as f64 / begun.elapsed().as_secs_f64());
    expect_all(&store, &contents)?;
    Ok(sample)
}

/// Gets many small blobs, verified, in another order than they were put in; gives blobs per second.
///
/// # Errors
///
/// What the store said.
pub fn get_small(setting: &Setting) -> Result<Sample> {
    let store = open(&small_blobs(setting)?)?;
    expect_all(&store, &(0..small_count(setting)).map(small).collect::<Vec<_>>())?;
    // By hash, which is no order of theirs.
    let hashes = store.list();
    let mut target = Vec::with_capacity(SMALL_BYTES);
    let begun = Instant::now();
    for hash in &hashes {
        target.clear();
        store.get(hash, &mut target)?;
    }
    Ok(Sample::of(hashes.len() as f64 / begun.elapsed().as_secs_f64()))
}

/// Gives the bytes on disk of many small blobs, in MB; the content of 100,000 has 409.6.
///
/// # Errors
///
/// What the store said.
pub fn small_on_disk(setting: &Setting) -> Result<Sample> {
    Ok(Sample::of(bytes_on_disk(&small_blobs(setting)?)? as f64 / 1e6))
}

/// Returns what a directory takes on the disk with all below it: its blocks, without inodes.
///
/// # Errors
///
/// What the operating system said.
pub fn bytes_on_disk(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = dir.metadata()?.blocks() * 512;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_on_disk(&entry.path())?,
            false => entry.metadata()?.blocks() * 512,
        };
    }
    Ok(bytes)
}

fn small_blobs(setting: &Setting) -> Result<PathBuf> {
    setting.prepared.other(setting, "small blobs", |dir| {
        let store = open(dir)?;
        for number in 0..small_count(setting) {
            store.put_unsynced(&small(number)[..], Chunking::Fixed)?;
        }
        Ok(store.close()?)
    })
}

fn many(setting: &Setting) -> u64 {
    setting.events.min(MANY_MAX)
}

/// Pins and unpins blobs beside a million pins, durably; gives the microseconds that half of those that are added, or taken
/// away, took no longer than.
///
/// # Errors
///
/// What the database said.
pub fn pin(setting: &Setting, add: bool) -> Result<Sample> {
    let many = many(setting);
    let dir = setting.prepared.other(setting, "pins", |dir| pin_many(dir, many))?;
    let db = NetDb::open(&dir)?;
    let blobs = db.blobs()?;
    let hashes: Vec<Hash> = (0..TIMED_PINS).map(|nth| Hash::of(&tiny(many + nth))).collect();
    let mut nanos = Vec::new();
    for hash in &hashes {
        let begun = Instant::now();
        blobs.pin(hash, PinMode::Recursive, None)?;
        if add {
            nanos.push(begun.elapsed().as_nanos() as u64);
        }
    }
    for hash in &hashes {
        let begun = Instant::now();
        blobs.unpin(hash)?;
        if !add {
            nanos.push(begun.elapsed().as_nanos() as u64);
        }
    }
    db.close()?;
    let latency = Latency::of(&mut nanos).ok_or("nothing was pinned")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}

fn pin_many(dir: &Path, many: u64) -> Result<()> {
    let db = NetDb::open(dir)?;
    let blobs = db.blobs()?;
    for number in 0..many + TIMED_PINS {
        blobs.store().put_unsynced(&tiny(number)[..], Chunking::Fixed)?;
    }
    on_threads(THREADS, |thread| {
        for number in (thread..many).step_by(THREADS as usize) {
            blobs.pin(&Hash::of(&tiny(number)), PinMode::Recursive, None)?;
        }
        Ok(())
    })?;
    drop(blobs);
    Ok(db.close()?)
}

/// The content of one of a million blobs.
fn tiny(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// Marks a million chunks of pinned blobs, and looks for others; gives milliseconds.
///
/// # Errors
///
/// What the store said.
pub fn mark(setting: &Setting) -> Result<Sample> {
    let many = many(setting);
    let dir = setting.prepared.other(setting, "chunks", |dir| {
        let db = NetDb::open(dir)?;
        let blobs = db.blobs()?;
        let sizes = Chunking::Content(ContentSizes::new(64, 256, 1_024)?);
        let mut part: u64 = 0;
        let mut chunks = 0;
        while chunks < many {
            let content = noise(&[b"part", &part.to_le_bytes()[..]].concat(), 1 << 20);
            let (info, _held) = blobs.store().put_unsynced(&content[..], sizes)?;
            blobs.pin(&info.hash, PinMode::Recursive, None)?;
            chunks += blobs.store().chunks(&info.hash)?.count() as u64;
            part += 1;
        }
        drop(blobs);
        Ok(db.close()?)
    })?;
    let db = NetDb::open(&dir)?;
    let blobs = db.blobs()?;
    let options = CollectOptions { floor: Duration::ZERO, dry_run: true, ..CollectOptions::default() };
    let begun = Instant::now();
    let collected = blobs.collect(options)?;
    let sample = Sample::of(begun.elapsed().as_secs_f64() * 1e3);
    if collected.reached < many || collected.removed > 0 {
        return Err(Failure::from(format!("not everything was marked: {collected:?}")));
    }
    drop(blobs);
    db.close()?;
    Ok(sample)
}

/// Does something on so many threads at once.
fn on_threads(threads: u64, work: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let work = &work;
    let ended: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a thread panicked")).collect()
    });
    ended.into_iter().collect()
}
