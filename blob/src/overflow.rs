//! Overflow: when the disk fills, chunks that are read least flow to another place, an object store, and are fetched from there
//! whenever they are read.
//!
//! Above the high watermark each tick moves some chunks, the coldest first, until the use is below the low one. A chunk goes from here
//! only after it was read back from there, and it stays known here; what is pinned stays, and comes back if it went before it was
//! pinned. Lists of chunks never go, so that a collection needs nothing from elsewhere.
//!
//! # Examples
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use blob::adapter::{MemoryAdapter, VerifiedAdapter};
//! use blob::{BlobStore, Chunking, DiskUse, MemoryJournal, Overflow, OverflowConfig, Pins};
//!
//! let doors = base::Doors::memory();
//! let store = BlobStore::open(Path::new("blobs"), &doors)?;
//! let pins = Pins::open(store.clone(), Arc::new(MemoryJournal::default()), Arc::clone(&doors.clock))?;
//! let blob = store.put(&[1; 300_000][..], Chunking::Fixed)?;
//!
//! let config = OverflowConfig { enabled: true, ..OverflowConfig::default() };
//! store.objects().set_away(Some(VerifiedAdapter::new(Arc::new(MemoryAdapter::new()))));
//! let overflow = Overflow::new(pins, config)?;
//! let ticked = overflow.tick(DiskUse { used: 90, capacity: 100 })?;
//! assert_eq!((ticked.pushed, store.objects().away_use().bytes), (1, 300_000));
//! assert_eq!(store.get(&blob.hash, &mut std::io::sink())?, 300_000);
//! # Ok::<(), blob::BlobError>(())
//! ```

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Hash, Timestamp};
use rustc_hash::FxHashSet;

use crate::adapter::VerifiedAdapter;
use crate::pins::PinMode;
use crate::store::{LocalChunk, ObjectStore, chunk};
use crate::{BlobError, BlobStore, ObjectKind, Pins};

pub(crate) mod heat;
mod metrics;
mod settings;

use self::metrics::Counters;
pub use self::metrics::OverflowMetrics;
pub use self::settings::OverflowSettings;

/// Chunks that are looked out at once, to be moved tick by tick.
const QUEUE_MAX: usize = 4_096;
/// Chunks of which something is left elsewhere that one tick removes there, at most.
const TIDIED_MAX: usize = 256;
/// The share of garbage at which a pack is written anew after chunks went from it.
const GARBAGE_SHARE: f64 = 0.25;

/// When chunks go elsewhere. Can be changed while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverflowConfig {
    /// Whether any go; what lies elsewhere is fetched in either case. Default: no.
    pub enabled: bool,
    /// The share of the disk in use above which chunks begin to go. Default 0.85. Higher keeps more here, and leaves less room for
    /// what is put between two ticks.
    pub high: f64,
    /// The share below which no more go. Default 0.70. Lower makes room for longer at once.
    pub low: f64,
    /// Chunks that one tick moves at most. Default 16. More makes room quicker, and takes more of the connection.
    pub pushes_per_tick: usize,
    /// How often whoever runs it calls [`tick`](Overflow::tick). Default 30 s.
    pub tick: Duration,
}

impl Default for OverflowConfig {
    fn default() -> Self {
        Self { enabled: false, high: 0.85, low: 0.70, pushes_per_tick: 16, tick: Duration::from_secs(30) }
    }
}

impl OverflowConfig {
    /// Tells what is wrong with it.
    ///
    /// # Errors
    ///
    /// [`BlobError::Overflow`].
    pub fn check(&self) -> Result<(), BlobError> {
        let wrong = |why| Err(BlobError::Overflow { why });
        match self {
            Self { low, high, .. } if !(0.0 < *low && low < high && *high <= 1.0) => {
                wrong("0 < low < high <= 1 must hold of the watermarks")
            }
            Self { pushes_per_tick: 0, .. } => wrong("at least one chunk must go at a tick"),
            Self { tick, .. } if *tick < Duration::from_secs(1) => wrong("a tick takes a second at least"),
            _ => Ok(()),
        }
    }
}

/// How full the disk is, or what a store may take of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that there are.
    pub capacity: u64,
}

impl DiskUse {
    /// Returns the share that is in use.
    pub fn ratio(self) -> f64 {
        match self.capacity {
            0 => 1.0,
            capacity => self.used as f64 / capacity as f64,
        }
    }
}

/// What a tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Whether it is above the watermarks.
    pub active: bool,
    /// Chunks that went from here.
    pub pushed: u64,
    /// Their bytes.
    pub pushed_bytes: u64,
    /// Bytes of files that went from here.
    pub freed_bytes: u64,
    /// Chunks that came back since they were pinned.
    pub taken_back: u64,
    /// Chunks of which nothing is left elsewhere any more.
    pub tidied: u64,
    /// Chunks with which something failed; they stay as they are, and are tried again.
    pub failed: u64,
}

/// Moves chunks of a store elsewhere. Cloning shares it. One at a time is used with a store.
#[derive(Debug, Clone)]
pub struct Overflow {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: BlobStore,
    pins: Pins,
    target: VerifiedAdapter,
    config: Mutex<OverflowConfig>,
    /// Held while chunks are moved.
    moving: Mutex<Moving>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Moving {
    active: bool,
    /// Chunks to be moved, the coldest last.
    queue: Vec<Ranked>,
    pinned: Pinned,
}

/// The chunks that are pinned, and of which state of the pins.
#[derive(Debug, Default)]
struct Pinned {
    changes: Option<u64>,
    chunks: FxHashSet<Hash>,
}

/// A chunk, which is the greater the warmer or younger it is.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    heat: f32,
    chunk: LocalChunk,
}

impl Ranked {
    fn key(&self) -> (Timestamp, Hash) {
        (self.chunk.put_at, self.chunk.name)
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.heat.total_cmp(&other.heat).then_with(|| self.key().cmp(&other.key()))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

impl Overflow {
    /// Has a store's chunks go to the place that was [set](ObjectStore::set_away), which no other store uses.
    ///
    /// # Errors
    ///
    /// [`BlobError::Overflow`] for a config that does not do, where no place is set, and for one from which nothing can be removed.
    pub fn new(pins: Pins, config: OverflowConfig) -> Result<Self, BlobError> {
        config.check()?;
        let store = pins.store().clone();
        let target = store.objects().away_target().ok_or(BlobError::Overflow { why: "no place is set" })?;
        if !target.supports_delete() {
            return Err(BlobError::Overflow { why: "nothing can be removed from that place" });
        }
        let (config, moving, counters) = (Mutex::new(config), Mutex::default(), Counters::default());
        Ok(Self { shared: Arc::new(Shared { store, pins, target, config, moving, counters }) })
    }

    /// Returns the config.
    pub fn config(&self) -> OverflowConfig {
        *self.shared.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with another config, from the next tick on.
    ///
    /// # Errors
    ///
    /// [`BlobError::Overflow`].
    pub fn set_config(&self, config: OverflowConfig) -> Result<(), BlobError> {
        config.check()?;
        *self.shared.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Returns what it did since it was made.
    pub fn metrics(&self) -> OverflowMetrics {
        self.shared.counters.read()
    }

    /// Moves some chunks, if the disk is that full; takes those back that were pinned; removes from there what nobody needs.
    ///
    /// *Durability*: a crash at any moment leaves each chunk here or, read back before, there.
    ///
    /// # Errors
    ///
    /// What this store's own disk says. A place that cannot be reached is no error but counted: chunks stay here.
    pub fn tick(&self, disk: DiskUse) -> Result<Ticked, BlobError> {
        let Shared { store, pins, counters, .. } = &*self.shared;
        let (config, mut moving) = (self.config(), self.moving());
        let mut ticked = Ticked::default();
        moving.switch(config, disk.ratio(), counters);
        ticked.active = moving.active;
        moving.pinned.refresh(store, pins)?;
        self.tidy(&mut ticked)?;
        self.take_back_pinned(&moving.pinned, config.pushes_per_tick, &mut ticked)?;
        if moving.active {
            let chunks = self.coldest(&mut moving, config.pushes_per_tick)?;
            self.push(&chunks, &mut ticked)?;
        }
        Ok(ticked)
    }

    /// Takes back everything that lies elsewhere, and has nothing stay there: before another place is used, or none. Returns how many
    /// chunks came back.
    ///
    /// # Errors
    ///
    /// [`BlobError::Away`] where one cannot be had; what this store's own disk says. What came back by then stays.
    pub fn take_all_back(&self) -> Result<u64, BlobError> {
        let _moving = self.moving();
        let objects = self.shared.store.objects();
        let mut count = 0;
        for name in objects.chunks_away()? {
            count += u64::from(take_back(objects, &name)?);
        }
        objects.sync()?;
        objects.doubt_all_away()?;
        let mut ticked = Ticked::default();
        while self.tidy(&mut ticked)? {}
        match ticked.failed {
            0 => Ok(count),
            _ => Err(BlobError::Overflow {
                why: "all is here again, but not all could be removed from there: try again",
            }),
        }
    }

    /// Takes back what lies elsewhere of one blob, and returns how many chunks that were.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::Away`] where one cannot be had; as [`BlobStore::stat`].
    pub fn take_back(&self, hash: &Hash) -> Result<u64, BlobError> {
        let store = &self.shared.store;
        let _held = store.objects().hold(hash)?;
        let mut count = 0;
        for part in store.chunks(hash)? {
            count += u64::from(take_back(store.objects(), &part?.hash)?);
        }
        store.objects().sync()?;
        Ok(count)
    }

    fn moving(&self) -> MutexGuard<'_, Moving> {
        self.shared.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes from there what nobody relies on; tells whether there is more of it that can be removed.
    fn tidy(&self, ticked: &mut Ticked) -> Result<bool, BlobError> {
        let Shared { store, target, counters, .. } = &*self.shared;
        let left = store.objects().chunks_left();
        let before = ticked.tidied;
        for name in left.iter().take(TIDIED_MAX) {
            match target.delete_object(&chunk(*name)) {
                Ok(_) => {
                    store.objects().note_not_sent(*name)?;
                    ticked.tidied += 1;
                }
                Err(error) => {
                    failed(ticked, counters, name, &error);
                    break;
                }
            }
        }
        Ok(left.len() > TIDIED_MAX && ticked.tidied > before)
    }

    fn take_back_pinned(&self, pinned: &Pinned, max: usize, ticked: &mut Ticked) -> Result<(), BlobError> {
        let Shared { store, counters, .. } = &*self.shared;
        if pinned.chunks.is_empty() {
            return Ok(());
        }
        let away = store.objects().chunks_away()?;
        for name in away.iter().filter(|name| pinned.chunks.contains(*name)).take(max) {
            match take_back(store.objects(), name) {
                Ok(came) => ticked.taken_back += u64::from(came),
                Err(error @ (BlobError::Away { .. } | BlobError::NotFound { .. })) => {
                    failed(ticked, counters, name, &error);
                }
                Err(error) => return Err(error),
            }
        }
        match ticked.taken_back {
            0 => Ok(()),
            _ => store.objects().sync(),
        }
    }

    /// Returns some of the coldest chunks that are not pinned.
    fn coldest(&self, moving: &mut Moving, count: usize) -> Result<Vec<LocalChunk>, BlobError> {
        let objects = self.shared.store.objects();
        let mut coldest = Vec::new();
        let mut has_looked = false;
        while coldest.len() < count {
            match moving.queue.pop() {
                // What was read since is looked at another time.
                Some(Ranked { heat, chunk })
                    if objects.heat_of(&chunk.name) <= heat
                        && !moving.pinned.chunks.contains(&chunk.name) =>
                {
                    coldest.push(chunk);
                }
                Some(_) => {}
                None if has_looked => break,
                None => {
                    has_looked = true;
                    let taken: FxHashSet<Hash> =
                        coldest.iter().map(|chunk: &LocalChunk| chunk.name).collect();
                    moving.queue =
                        self.look_out(|name| moving.pinned.chunks.contains(name) || taken.contains(name))?;
                }
            }
        }
        Ok(coldest)
    }

    /// Returns the coldest chunks that are here, the coldest last, but for some.
    fn look_out(&self, is_left: impl Fn(&Hash) -> bool) -> Result<Vec<Ranked>, BlobError> {
        let objects = self.shared.store.objects();
        let mut coldest = BinaryHeap::new();
        objects.visit_local_chunks(|chunk| {
            if is_left(&chunk.name) {
                return;
            }
            coldest.push(Ranked { heat: objects.heat_of(&chunk.name), chunk });
            if coldest.len() > QUEUE_MAX {
                coldest.pop();
            }
        })?;
        let mut coldest = coldest.into_sorted_vec();
        coldest.reverse();
        Ok(coldest)
    }

    /// Moves chunks: notes that they are sent, sends them, reads each back, notes that they are there, and then frees them here.
    fn push(&self, chunks: &[LocalChunk], ticked: &mut Ticked) -> Result<(), BlobError> {
        let Shared { store, counters, .. } = &*self.shared;
        let objects = store.objects();
        let to_send = objects.begin_sending(chunks)?;
        let (mut there, mut sent) =
            (Vec::new(), to_send.iter().map(|chunk| chunk.name).collect::<FxHashSet<_>>());
        for chunk in chunks {
            let is_sent = sent.remove(&chunk.name);
            match self.push_one(chunk, is_sent) {
                Ok(()) => {
                    if is_sent {
                        objects.note_away(chunk)?;
                    }
                    there.push(*chunk);
                }
                // It was collected meanwhile.
                Err(BlobError::NotFound { .. }) => {}
                Err(error) => {
                    failed(ticked, counters, &chunk.name, &error);
                    if !error.is_of_object() {
                        break;
                    }
                    // It was there once, and is not any more: it is sent anew.
                    objects.doubt_away(&chunk.name)?;
                }
            }
        }
        objects.sync()?;
        let mut was_packed = false;
        for chunk in there {
            let (freed, packed) = objects.free(chunk.name)?;
            was_packed |= packed;
            ticked.freed_bytes += freed;
            ticked.pushed += 1;
            ticked.pushed_bytes += chunk.bytes;
            counters.count_push(chunk.bytes);
        }
        if was_packed {
            ticked.freed_bytes += compact(objects)?;
        }
        objects.sync()
    }

    /// Sends a chunk, unless it lies there, and reads it back.
    fn push_one(&self, here: &LocalChunk, is_sent: bool) -> Result<(), BlobError> {
        let Shared { store, target, .. } = &*self.shared;
        if is_sent {
            target.store_object(&chunk(here.name), &store.objects().get_local(&here.name)?)?;
        }
        let back = target.fetch_object(&chunk(here.name));
        back.map(drop).map_err(|source| BlobError::Away { hash: here.name, source: Box::new(source) })
    }
}

impl Moving {
    /// Begins and ends to move chunks by the watermarks.
    fn switch(&mut self, config: OverflowConfig, ratio: f64, counters: &Counters) {
        if !config.enabled {
            self.active = false;
        } else if !self.active && ratio > config.high {
            self.active = true;
            counters.count_high_water();
            tracing::info!(ratio, "the disk is above the high watermark: cold chunks go elsewhere");
        } else if self.active && ratio < config.low {
            self.active = false;
            counters.count_low_water();
            tracing::info!(ratio, "the disk is below the low watermark: no more chunks go");
        }
        if !self.active {
            self.queue.clear();
        }
        counters.note(self.active, ratio);
    }
}

impl Pinned {
    /// Finds out which chunks are pinned, if pins have changed.
    fn refresh(&mut self, store: &BlobStore, pins: &Pins) -> Result<(), BlobError> {
        let changes = pins.changes();
        if self.changes == Some(changes) {
            return Ok(());
        }
        let mut chunks = FxHashSet::default();
        let (mut open, mut met) = (Vec::new(), FxHashSet::default());
        for (hash, mode) in pins.pinned() {
            match store.objects().kind_of(&hash)? {
                Some(ObjectKind::Chunk) => drop(chunks.insert(hash)),
                Some(_) if mode == PinMode::Recursive => open.push(hash),
                _ => {}
            }
        }
        while let Some(list) = open.pop() {
            if !met.insert(list) {
                continue;
            }
            let Some(kind) = store.objects().kind_of(&list)? else { continue };
            if kind == ObjectKind::Chunk {
                chunks.insert(list);
                continue;
            }
            let all = match store.below(&list, kind) {
                Err(
                    error @ (BlobError::NotFound { .. }
                    | BlobError::HashMismatch { .. }
                    | BlobError::Decode { .. }),
                ) => {
                    tracing::error!(%list, %error, "a list of a pinned blob cannot be read");
                    continue;
                }
                all => all?,
            };
            for below in all {
                match below.is_chunk {
                    true => drop(chunks.insert(below.hash)),
                    false => open.push(below.hash),
                }
            }
        }
        *self = Self { changes: Some(changes), chunks };
        Ok(())
    }
}

/// Takes one chunk back; tells whether it was not here.
fn take_back(objects: &ObjectStore, name: &Hash) -> Result<bool, BlobError> {
    objects.take_back(name).map(|bytes| bytes.is_some())
}

/// Gives back the room of what went from packs, unless a collection is about to.
fn compact(objects: &ObjectStore) -> Result<u64, BlobError> {
    let Some((sweep, _)) = objects.begin_sweep() else { return Ok(0) };
    let mut freed = 0;
    for pack in sweep.wasteful_packs(GARBAGE_SHARE)? {
        if let Some(compacted) = sweep.compact(pack)? {
            freed += compacted.freed.saturating_sub(compacted.moved);
        }
    }
    Ok(freed)
}

fn failed(ticked: &mut Ticked, counters: &Counters, name: &Hash, error: &BlobError) {
    ticked.failed += 1;
    counters.count_error();
    tracing::warn!(chunk = %name, %error, "a chunk could not be moved; it is tried again");
}
