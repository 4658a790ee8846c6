//! Collecting beside a naive twin: what is referred to, pinned, named, leased, held or young stays; everything else goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Hash, ManualClock, SeededRandom, SimulatedDisk};
use blob::{
    BlobError, BlobStore, Change, Chunking, CollectOptions, Collection, Held, Journal, MemoryJournal,
    NoRoots, PinMode, Pins, Roots, Table, WiringError,
};

use crate::crash::images;
use crate::support::{clock, noise, open_at, read, small_chunks};

const HOUR: Duration = Duration::from_secs(3_600);

/// References from outside, as events have them.
#[derive(Debug, Default)]
struct References(Mutex<BTreeSet<Hash>>);

impl Roots for References {
    fn visit(&self, visit: &mut dyn FnMut(Hash)) -> Result<(), WiringError> {
        self.0.lock().unwrap().iter().copied().for_each(visit);
        Ok(())
    }
}

/// A store with its journal, on a clock that is moved by hand.
struct World {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    journal: Arc<MemoryJournal>,
    references: References,
    pins: Pins,
}

impl World {
    fn new() -> Self {
        let (disk, clock, journal) = (SimulatedDisk::new(), clock(), Arc::<MemoryJournal>::default());
        let pins = open_pins(&disk, &clock, &journal);
        Self { disk, clock, journal, references: References::default(), pins }
    }

    fn store(&self) -> &BlobStore {
        self.pins.store()
    }

    fn reopen(self) -> Self {
        let Self { disk, clock, journal, references, pins } = self;
        drop(pins);
        let pins = open_pins(&disk, &clock, &journal);
        Self { disk, clock, journal, references, pins }
    }

    fn begin(&self, options: CollectOptions) -> Collection {
        Collection::begin(&self.pins, &self.references, &*self.clock, options).unwrap()
    }
}

fn open_pins(disk: &SimulatedDisk, clock: &Arc<ManualClock>, journal: &Arc<MemoryJournal>) -> Pins {
    let store = open_at(disk, clock);
    Pins::open(store, Arc::clone(journal) as _, Arc::clone(clock) as _).unwrap()
}

fn floor(floor: Duration) -> CollectOptions {
    CollectOptions { floor, ..CollectOptions::default() }
}

/// What a naive twin knows of a blob.
#[derive(Debug, Clone)]
struct Known {
    content: Vec<u8>,
    put_at: Duration,
}

fn content_of(random: &SeededRandom) -> (Vec<u8>, Chunking) {
    let bytes = match random.below(16) {
        0 => 270_000 + random.below(50_000),
        1..4 => random.below(100),
        _ => random.below(20_000),
    };
    let chunking = if random.below(3) == 0 { Chunking::Fixed } else { small_chunks() };
    // Few different ones, which share their beginnings.
    (noise(random.below(6), bytes as usize), chunking)
}

#[test]
fn whatever_is_kept_stays_and_everything_else_goes_beside_a_naive_twin() {
    for seed in 0..12 {
        let random = SeededRandom::new(seed);
        let mut world = World::new();
        let mut twin = BTreeMap::<Hash, Known>::new();
        let (mut pinned, mut named, mut leased) =
            (BTreeSet::new(), BTreeMap::<u64, Hash>::new(), BTreeMap::<Hash, Duration>::new());
        let mut held = BTreeMap::<Hash, Held>::new();
        let mut now = Duration::ZERO;
        for step in 0..100 {
            let some = || {
                let nth = random.below(twin.len().max(1) as u64) as usize;
                twin.keys().nth(nth).copied()
            };
            match random.below(20) {
                0..7 => {
                    let (content, chunking) = content_of(&random);
                    let info = world.store().put(&content[..], chunking).unwrap();
                    twin.insert(info.hash, Known { content, put_at: now });
                }
                7 | 8 => {
                    if let Some(hash) = some() {
                        world.pins.pin(&hash, PinMode::Recursive, None).unwrap();
                        pinned.insert(hash);
                    }
                }
                9 => {
                    if let Some(hash) = some() {
                        assert_eq!(world.pins.unpin(&hash).unwrap(), pinned.remove(&hash));
                    }
                }
                10 => {
                    if let (Some(old), Some(new)) = (pinned.first().copied(), some()) {
                        world.pins.update(&old, &new, false).unwrap();
                        pinned.remove(&old);
                        pinned.insert(new);
                    }
                }
                11 => {
                    let name = random.below(4);
                    match some() {
                        Some(hash) if random.below(3) > 0 => {
                            let before = world.pins.set_name(&name.to_string(), &hash).unwrap();
                            assert_eq!(before.map(|named| named.hash), named.insert(name, hash));
                        }
                        _ => {
                            let before = world.pins.remove_name(&name.to_string()).unwrap();
                            assert_eq!(before.map(|named| named.hash), named.remove(&name));
                        }
                    }
                }
                12 => {
                    if let Some(hash) = some() {
                        let until = now + HOUR * random.below(40) as u32;
                        world.pins.lease(&hash, until - now).unwrap();
                        let end = leased.entry(hash).or_default();
                        *end = until.max(*end);
                    }
                }
                13 => {
                    if let Some(hash) = some() {
                        let mut references = world.references.0.lock().unwrap();
                        if !references.remove(&hash) {
                            references.insert(hash);
                        }
                    }
                }
                14 => match some() {
                    Some(hash) if random.below(2) == 0 => {
                        held.insert(hash, world.store().objects().hold(&hash).unwrap());
                    }
                    _ => drop(held.pop_first()),
                },
                15 => {
                    let time = HOUR * random.below(20) as u32;
                    now += time;
                    world.clock.advance(time);
                }
                16 => {
                    held.clear();
                    if random.below(2) == 0 {
                        world.store().close().unwrap();
                    }
                    world = world.reopen();
                }
                _ => {
                    let span = HOUR * random.below(30) as u32;
                    let share = [0.0, 0.25, 0.9][random.below(3) as usize];
                    let size = 1 + random.below(9) as usize;
                    let options = CollectOptions { garbage_share: share, step: size, ..floor(span) };
                    let dry = CollectOptions { dry_run: true, ..options };
                    let dry = world.begin(dry).run().unwrap();
                    let mut collection = world.begin(options);
                    // What comes up meanwhile stays.
                    let mut meanwhile = Vec::new();
                    let mut steps = 0;
                    while collection.step().unwrap() {
                        steps += 1;
                        if random.below(12) == 0 {
                            let (content, chunking) = content_of(&random);
                            let info = world.store().put(&content[..], chunking).unwrap();
                            meanwhile.push((info.hash, Known { content, put_at: now }));
                        }
                        if random.below(20) == 0
                            && let Some(hash) = some()
                            && world.pins.pin(&hash, PinMode::Recursive, None).is_ok()
                        {
                            pinned.insert(hash);
                        }
                        assert!(steps < 10_000, "it ends");
                    }
                    let collected = collection.collected().clone();
                    drop(collection);
                    assert!(collected.missing.is_empty(), "seed {seed}, step {step}: {collected:?}");
                    if meanwhile.is_empty() && pinned.len() == world.pins.len() {
                        assert!(dry.removed >= collected.removed, "{dry:?} {collected:?}");
                    }
                    let references = world.references.0.lock().unwrap().clone();
                    leased.retain(|_, until| *until > now);
                    twin.retain(|hash, known| {
                        pinned.contains(hash)
                            || named.values().any(|named| named == hash)
                            || leased.contains_key(hash)
                            || references.contains(hash)
                            || held.contains_key(hash)
                            || known.put_at + span > now
                    });
                    twin.extend(meanwhile);
                    check(&world, &twin, &format!("seed {seed}, step {step}"));
                    check_ended(&world, options);
                }
            }
        }
        held.clear();
        for hash in pinned {
            world.pins.unpin(&hash).unwrap();
        }
        for (name, _) in named {
            world.pins.remove_name(&name.to_string()).unwrap();
        }
        world.references.0.lock().unwrap().clear();
        world.clock.advance(HOUR * 1_000);
        let all = CollectOptions { garbage_share: 0.0, ..floor(HOUR) };
        world.begin(all).run().unwrap();
        assert_eq!(world.store().verify().unwrap().objects, 0, "nothing unreferenced stays: seed {seed}");
        let files = world.disk.files().into_iter().filter(|(path, _)| !path.ends_with("reserve"));
        let left: u64 = files.map(|(_, bytes)| bytes).sum();
        assert!(left < 2_000, "seed {seed}: {left} bytes of nothing");
    }
}

/// Everything that is to stay is there and good, and is listed.
fn check(world: &World, twin: &BTreeMap<Hash, Known>, what: &str) {
    for (hash, known) in twin {
        assert!(read(world.store(), hash) == known.content, "{what}: {hash}");
    }
    let report = world.store().verify().unwrap();
    assert!(report.damaged.is_empty() && report.stretches.is_empty(), "{what}: {report:?}");
    assert_eq!(world.store().list(), twin.keys().copied().collect::<Vec<_>>(), "{what}");
}

/// Nothing more is to go, unless what was put meanwhile is old at once.
fn check_ended(world: &World, options: CollectOptions) {
    if options.floor > Duration::ZERO {
        let again = world.begin(CollectOptions { dry_run: true, ..options }).run().unwrap();
        assert_eq!(again.removed, 0, "{again:?}");
    }
}

/// What is to be there at some moment of a run.
#[derive(Debug, Clone, Default)]
struct Moment {
    /// Blobs that are pinned or young, with their content.
    kept: BTreeMap<Hash, Vec<u8>>,
    pinned: BTreeSet<Hash>,
}

#[test]
fn a_crash_at_any_operation_of_a_collection_loses_nothing_that_is_kept_and_leaves_nothing_for_ever() {
    let large = Chunking::Content(blob::ContentSizes::new(1 << 18, 300_000, 400_000).unwrap());
    let contents = [
        (noise(1, 30_000), small_chunks()),
        // Shares its beginning with the one before.
        ([noise(1, 20_000), noise(2, 9_000)].concat(), small_chunks()),
        (noise(3, 700_000), large),
        (noise(4, 600_000), large),
        (noise(5, 900), Chunking::Fixed),
        (noise(6, 5_000), Chunking::Fixed),
    ];
    let world = World::new();
    let put = |nth: usize| {
        let (content, chunking) = &contents[nth];
        (world.store().put(&content[..], *chunking).unwrap().hash, content.clone())
    };
    let blobs: Vec<_> = (0..contents.len()).map(put).collect();
    let mut moment = Moment::default();
    for (hash, content) in [&blobs[1], &blobs[3], &blobs[5]] {
        world.pins.pin(hash, PinMode::Recursive, None).unwrap();
        moment.kept.insert(*hash, content.clone());
        moment.pinned.insert(*hash);
    }
    world.clock.advance(30 * HOUR);
    let now = Arc::new(Mutex::new(moment));
    let moments = Arc::new(Mutex::new(Vec::new()));
    let (taken, told) = (Arc::clone(&moments), Arc::clone(&now));
    world.disk.on_operation(Some(Box::new(move |_, snapshot| {
        taken.lock().unwrap().push((snapshot, told.lock().unwrap().clone()));
    })));
    let options = CollectOptions { garbage_share: 0.0, step: 3, ..CollectOptions::default() };
    world.begin(options).run().unwrap();
    // And once more, of what is put again and what was pinned.
    for nth in [0, 2] {
        let (hash, content) = put(nth);
        now.lock().unwrap().kept.insert(hash, content);
    }
    world.pins.unpin(&blobs[3].0).unwrap();
    now.lock().unwrap().kept.remove(&blobs[3].0);
    now.lock().unwrap().pinned.remove(&blobs[3].0);
    world.begin(options).run().unwrap();
    world.disk.on_operation(None);
    let moments = std::mem::take(&mut *moments.lock().unwrap());
    assert!(moments.len() > 40, "{}", moments.len());
    for (nth, (snapshot, moment)) in moments.iter().enumerate() {
        for image in images(nth as u64) {
            let what = format!("moment {nth} of {}, {image:?}", moments.len());
            check_crashed(snapshot.image(&image), moment, &world.clock, &what);
        }
    }
}

fn check_crashed(disk: SimulatedDisk, moment: &Moment, clock: &Arc<ManualClock>, what: &str) {
    let journal = Arc::<MemoryJournal>::default();
    for hash in &moment.pinned {
        let value = [&[1, 2][..], &[0; 8]].concat();
        let change = Change { table: Table::Pins, key: &hash.to_string(), value: Some(&value) };
        journal.write(&[change]).unwrap();
    }
    let pins = open_pins(&disk, clock, &journal);
    let references = References::default();
    let world = World { disk, clock: Arc::clone(clock), journal, references, pins };
    for (hash, content) in &moment.kept {
        assert!(read(world.store(), hash) == *content, "{what}: {hash}");
    }
    for hash in world.store().list() {
        assert!(world.store().get(&hash, &mut std::io::sink()).is_ok(), "{what}: {hash} is listed");
    }
    let report = world.store().verify().unwrap();
    assert!(report.damaged.is_empty() && report.stretches.is_empty(), "{what}: {report:?}");
    let options = CollectOptions { garbage_share: 0.0, ..floor(Duration::ZERO) };
    world.begin(options).run().unwrap();
    let world = world.reopen();
    assert_eq!(world.store().list(), moment.pinned.iter().copied().collect::<Vec<_>>(), "{what}");
    for hash in &moment.pinned {
        assert!(read(world.store(), hash) == moment.kept[hash], "{what}: {hash}");
        world.pins.unpin(hash).unwrap();
    }
    world.begin(options).run().unwrap();
    assert_eq!(world.store().verify().unwrap().objects, 0, "{what}: nothing unreferenced stays");
}

#[test]
fn only_the_list_of_what_is_pinned_directly_stays() {
    let world = World::new();
    let content = noise(1, 200_000);
    let hash = world.store().put(&content[..], small_chunks()).unwrap().hash;
    world.pins.pin(&hash, PinMode::Direct, None).unwrap();
    let collected = world.begin(floor(Duration::ZERO)).run().unwrap();
    assert!(collected.removed > 5 && collected.missing.is_empty());
    assert!(world.store().stat(&hash).is_ok());
    assert!(matches!(world.store().get(&hash, &mut Vec::new()), Err(BlobError::NotFound { .. })));
    let refused = world.pins.pin(&hash, PinMode::Recursive, None).unwrap_err();
    assert!(matches!(refused, BlobError::NotFound { .. }), "not all of it is here: {refused}");
    world.store().put(&content[..], small_chunks()).unwrap();
    world.pins.pin(&hash, PinMode::Recursive, None).unwrap();
    let refused = world.pins.pin(&hash, PinMode::Direct, None).unwrap_err();
    assert!(matches!(refused, BlobError::Pinned { .. }), "{refused}");
}

/// The index told of something that the pack, once the index was lost, does not tell of any more.
#[test]
fn a_pack_that_does_not_read_any_more_as_it_did_is_kept() {
    let world = World::new();
    let [stays, goes] =
        [1, 2].map(|seed| world.store().put(&noise(seed, 1_000)[..], Chunking::Fixed).unwrap().hash);
    world.pins.pin(&stays, PinMode::Direct, None).unwrap();
    world.store().close().unwrap();
    let mut next = world.disk.read(format!("{}/packs/0000000000.pack", crate::support::DIR)).unwrap();
    next.truncate(28);
    next[12] = 1;
    next.extend(crc32fast::hash(&next).to_le_bytes());
    world.disk.write(format!("{}/packs/0000000001.pack", crate::support::DIR), &next);
    let world = world.reopen();
    world.clock.advance(HOUR);
    let pack = |ending: &str| format!("{}/packs/0000000000.{ending}", crate::support::DIR);
    world.disk.flip_bit(pack("idx"), 0);
    world.disk.flip_bit(pack("pack"), (32 + 10) * 8);
    let options = CollectOptions { floor: Duration::ZERO, garbage_share: 0.0, ..CollectOptions::default() };
    let collected = world.begin(options).run().unwrap();
    assert_eq!((collected.removed, collected.compacted, collected.damaged_packs), (1, 0, 1));
    assert!(read(world.store(), &stays) == noise(1, 1_000));
    assert!(!world.store().exists(&goes).unwrap());
    assert_eq!(world.store().verify().unwrap().stretches.len(), 1);
}

#[test]
fn names_that_no_pack_has_are_left_alone() {
    let world = World::new();
    let hash = world.store().put(&b"x"[..], Chunking::Fixed).unwrap().hash;
    for name in ["1.pack", "+000000000.pack", "00000000000.pack", "0000000000.pack.bak", "x.pack"] {
        world.disk.write(format!("{}/packs/{name}", crate::support::DIR), b"x");
    }
    assert_eq!(read(world.reopen().store(), &hash), b"x");
}

#[test]
fn a_damaged_list_that_is_needed_stops_a_collection_before_anything_goes() {
    let world = World::new();
    let hash = world.store().put(&noise(1, 100_000)[..], small_chunks()).unwrap().hash;
    world.store().put(&b"garbage"[..], Chunking::Fixed).unwrap();
    world.pins.pin(&hash, PinMode::Recursive, None).unwrap();
    let path = "node/blobs/packs/0000000000.pack";
    let file = world.disk.read(path).unwrap();
    let list = find(&file, &[1, 0, 1, 0]);
    world.disk.flip_bit(path, (list as u64 + 40) * 8);
    let refused = world.begin(floor(Duration::ZERO)).run().unwrap_err();
    assert!(matches!(refused, BlobError::HashMismatch { .. }), "{refused}");
    assert!(world.store().exists(&Hash::of(b"garbage")).unwrap());
}

/// Returns where bytes first stand behind the name of a list.
fn find(file: &[u8], bytes: &[u8]) -> usize {
    (96..file.len()).step_by(8).find(|at| file[*at..].starts_with(bytes)).unwrap()
}

#[test]
fn a_collection_ends_beside_readers_that_never_stop() {
    let world = World::new();
    let kept = world.store().put(&noise(1, 5_000)[..], Chunking::Fixed).unwrap().hash;
    world.pins.pin(&kept, PinMode::Recursive, None).unwrap();
    for nth in 0..400 {
        world.store().put(&noise(10 + nth, 50)[..], Chunking::Fixed).unwrap();
    }
    let ended = std::sync::atomic::AtomicBool::new(false);
    let collected = std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(read(world.store(), &kept).len(), 5_000);
                }
            });
        }
        let mut collection = world.begin(CollectOptions { step: 2, ..floor(Duration::ZERO) });
        // Many more than it takes, and far fewer than it would where every reader was waited for.
        let steps = (0..2_000).take_while(|_| collection.step().unwrap()).count();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(steps < 2_000);
        collection.collected().clone()
    });
    assert_eq!((collected.removed, collected.missing.len()), (400, 0));
}

#[test]
fn nothing_is_collected_where_references_cannot_be_read_or_somebody_else_collects() {
    #[derive(Debug)]
    struct Unreadable;
    impl Roots for Unreadable {
        fn visit(&self, _: &mut dyn FnMut(Hash)) -> Result<(), WiringError> {
            Err(WiringError::new(base::ErrorKind::Corrupt, "a damaged log"))
        }
    }
    let world = World::new();
    world.store().put(&b"garbage"[..], Chunking::Fixed).unwrap();
    let options = floor(Duration::ZERO);
    let refused = Collection::begin(&world.pins, &Unreadable, &*world.clock, options).unwrap_err();
    assert!(refused.to_string().contains("a damaged log"), "{refused}");
    let first = world.begin(options);
    let second = Collection::begin(&world.pins, &NoRoots, &*world.clock, options).unwrap_err();
    assert!(matches!(second, BlobError::Collecting), "{second}");
    drop(first);
    assert_eq!(world.begin(options).run().unwrap().removed, 1);
}

/// Gives most of a content, does something, and gives the rest.
struct Interrupted<'a>(&'a [u8], Option<Box<dyn FnOnce() + Send + 'a>>);

impl std::io::Read for Interrupted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.len() < 1_500_000
            && let Some(interrupt) = self.1.take()
        {
            interrupt();
        }
        let count = buffer.len().min(self.0.len()).min(50_000);
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn what_is_being_put_stays_although_its_parts_were_old_garbage() {
    // More chunks than are worked on at the same time, so that the first are put by then.
    let content = noise(3, 6_000_000);
    let chunking = Chunking::Content(blob::ContentSizes::new(1 << 18, 300_000, 400_000).unwrap());
    for begins_before in [false, true] {
        let world = World::new();
        world.store().put(&content[..], chunking).unwrap();
        world.clock.advance(100 * HOUR);
        let begun = begins_before.then(|| world.begin(floor(HOUR)));
        let collect = || drop(begun.unwrap_or_else(|| world.begin(floor(HOUR))).run().unwrap());
        let source = Interrupted(&content, Some(Box::new(collect)));
        let hash = world.store().put(source, chunking).unwrap().hash;
        assert!(read(world.store(), &hash) == content, "begun before: {begins_before}");
        assert_eq!(world.begin(floor(HOUR)).run().unwrap().removed, 0);
    }
}

#[test]
fn what_is_put_again_at_any_step_of_a_collection_is_there() {
    let large = Chunking::Content(blob::ContentSizes::new(1 << 18, 300_000, 400_000).unwrap());
    let contents =
        [(noise(1, 30_000), small_chunks()), (noise(2, 700_000), large), (noise(3, 90), Chunking::Fixed)];
    let mut steps = 0;
    loop {
        let world = World::new();
        let put = |(content, chunking): &(Vec<u8>, Chunking)| {
            world.store().put(&content[..], *chunking).unwrap().hash
        };
        contents.iter().for_each(|content| {
            put(content);
        });
        world.clock.advance(100 * HOUR);
        let mut collection = world.begin(CollectOptions { step: 1, ..floor(HOUR) });
        let goes_on = (0..steps).all(|_| collection.step().unwrap());
        let hashes: Vec<_> = contents.iter().map(put).collect();
        while collection.step().unwrap() {}
        for (hash, (content, _)) in hashes.iter().zip(&contents) {
            assert!(read(world.store(), hash) == *content, "put behind step {steps}");
        }
        if !goes_on {
            break;
        }
        // Most steps look at a part of the index that holds nothing.
        steps += if steps < 60 { 1 } else { 17 };
    }
    assert!(steps > 200, "{steps}");
}

#[test]
fn what_was_removed_stays_away_when_the_pack_that_says_so_goes_and_that_with_it_stays() {
    let world = World::new();
    let put =
        |seed: u64, bytes: usize| world.store().put(&noise(seed, bytes)[..], Chunking::Fixed).unwrap().hash;
    let (kept, removed) = (put(1, 100_000), put(2, 1_000));
    for hash in [kept, removed] {
        world.pins.pin(&hash, PinMode::Recursive, None).unwrap();
    }
    put(3, 60_000);
    let has = |pack: u32| world.disk.read(format!("node/blobs/packs/{pack:010}.pack")).is_some();
    let mut collection = world.begin(CollectOptions { garbage_share: 0.3, ..floor(Duration::ZERO) });
    while !has(1) {
        assert!(collection.step().unwrap(), "another pack is begun before the first one goes");
    }
    drop(collection);
    world.pins.unpin(&removed).unwrap();
    put(4, 10_000);
    let collected =
        world.begin(CollectOptions { garbage_share: 0.5, ..floor(Duration::ZERO) }).run().unwrap();
    assert_eq!((collected.removed, collected.compacted), (2, 1), "{collected:?}");
    assert_eq!((has(0), has(1), has(2)), (true, false, true));
    let world = world.reopen();
    assert!(!world.store().exists(&removed).unwrap() && world.store().exists(&kept).unwrap());
    assert_eq!(world.store().list(), [kept]);
}

#[test]
fn what_was_removed_is_listed_no_more_and_its_name_is_free() {
    let world = World::new();
    let hash = world.store().put(&b"content"[..], Chunking::Fixed).unwrap().hash;
    assert!(world.store().remove(&hash).unwrap() && !world.store().remove(&hash).unwrap());
    assert!(world.store().list().is_empty() && world.store().exists(&hash).unwrap());
    let world = world.reopen();
    assert!(world.store().list().is_empty());
    world.clock.advance(25 * HOUR);
    assert_eq!(world.begin(CollectOptions::default()).run().unwrap().removed, 1);
    assert!(!world.store().exists(&hash).unwrap());
}

#[test]
fn on_a_full_disk_blobs_are_removed_and_there_is_room_again() {
    let world = World::new();
    let put = |seed, bytes| world.store().put(&noise(seed, bytes)[..], Chunking::Fixed).map(|info| info.hash);
    let garbage: Vec<_> = (0..4).map(|seed| put(seed, 400_000).unwrap()).collect();
    let small: Vec<_> = (10..40).map(|seed| put(seed, 5_000).unwrap()).collect();
    let kept = put(50, 5_000).unwrap();
    world.pins.pin(&kept, PinMode::Recursive, None).unwrap();
    world.clock.advance(HOUR);
    world.disk.fill_up(Some(0));
    assert!(put(60, 5_000).is_err());
    assert!(world.store().remove(&small[0]).unwrap());
    let collected = world.begin(floor(Duration::ZERO)).run().unwrap();
    assert_eq!(collected.removed, 34);
    assert!(garbage.iter().chain(&small).all(|hash| !world.store().exists(hash).unwrap()));
    assert!(read(world.store(), &kept) == noise(50, 5_000));
    put(60, 500_000).unwrap();
    // And once more: room is kept again.
    world.clock.advance(HOUR);
    world.disk.fill_up(Some(0));
    assert_eq!(world.begin(floor(Duration::ZERO)).run().unwrap().removed, 1);
    let world = world.reopen();
    assert!(read(world.store(), &kept) == noise(50, 5_000));
}
