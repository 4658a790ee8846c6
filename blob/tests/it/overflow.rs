//! Chunks that go elsewhere and come back, beside naive twins, crashes, and places that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{Classify, ErrorKind, Hash, ManualClock, SeededRandom, SimulatedDisk, Snapshot};
use blob::adapter::{AdapterName, BlobAdapter, ObjectName, ObjectStat, VerifiedAdapter};
use blob::{
    BlobError, BlobStore, Chunking, CollectOptions, Collection, DiskUse, MemoryJournal, NoRoots, ObjectPlace,
    Overflow, OverflowConfig, OverflowSettings, PinMode, Pins,
};

use crate::crash::images;
use crate::support::{clock, noise, open_at, read, small_chunks};

const FULL: DiskUse = DiskUse { used: 99, capacity: 100 };
const ROOMY: DiskUse = DiskUse { used: 1, capacity: 100 };

type Objects = BTreeMap<Hash, Vec<u8>>;

/// A place elsewhere, which can be looked into, and fails when it is told to.
#[derive(Debug, Clone)]
struct Elsewhere {
    name: Arc<AdapterName>,
    objects: Arc<Mutex<Objects>>,
    trouble: Arc<Mutex<Trouble>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// Nothing can be had from it.
    Unreachable,
    /// It says that it stored something, and did not.
    Forgets,
    /// What it stores is not what it was given.
    Damages,
}

impl Elsewhere {
    fn new() -> Self {
        let name = Arc::new(AdapterName::new("elsewhere", "elsewhere"));
        Self { name, objects: Arc::default(), trouble: Arc::default() }
    }

    fn has(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn objects(&self) -> Objects {
        self.objects.lock().unwrap().clone()
    }

    fn reach(&self) -> Result<Trouble, BlobError> {
        let trouble = *self.trouble.lock().unwrap();
        let source = "nobody answers".into();
        match trouble {
            Trouble::Unreachable => Err(BlobError::Backend {
                adapter: "elsewhere".into(),
                operation: "answer",
                can_repeat: true,
                source,
            }),
            trouble => Ok(trouble),
        }
    }
}

impl BlobAdapter for Elsewhere {
    fn adapter_id(&self) -> &str {
        &self.name.id
    }

    fn accepted_schemes(&self) -> &[String] {
        &self.name.schemes
    }

    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        let mut content = content.to_vec();
        match self.reach()? {
            Trouble::Forgets => return Ok(()),
            Trouble::Damages => content.push(0),
            _ => {}
        }
        self.objects.lock().unwrap().insert(name.hash, content);
        Ok(())
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        self.reach()?;
        let objects = self.objects.lock().unwrap();
        objects.get(&name.hash).cloned().ok_or(BlobError::NotFound { hash: name.hash })
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        self.reach()?;
        let bytes = self.objects.lock().unwrap().get(&name.hash).map(|content| content.len() as u64);
        Ok(bytes.map(|bytes| ObjectStat { bytes, stored_at: None }))
    }

    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        self.reach()?;
        Ok(self.objects.lock().unwrap().remove(&name.hash).is_some())
    }
}

struct World {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    journal: Arc<MemoryJournal>,
    elsewhere: Elsewhere,
    pins: Pins,
    overflow: Overflow,
}

impl World {
    fn new() -> Self {
        Self::on(SimulatedDisk::new(), clock(), Arc::default(), Elsewhere::new())
    }

    fn on(
        disk: SimulatedDisk,
        clock: Arc<ManualClock>,
        journal: Arc<MemoryJournal>,
        elsewhere: Elsewhere,
    ) -> Self {
        let store = open_at(&disk, &clock);
        let pins = Pins::open(store, Arc::clone(&journal) as _, Arc::clone(&clock) as _).unwrap();
        let place = VerifiedAdapter::new(Arc::new(elsewhere.clone()));
        pins.store().objects().set_away(Some(place));
        let overflow = Overflow::new(pins.clone(), few(4)).unwrap();
        Self { disk, clock, journal, elsewhere, pins, overflow }
    }

    fn reopen(self) -> Self {
        let Self { disk, clock, journal, elsewhere, pins, overflow } = self;
        drop((pins, overflow));
        Self::on(disk, clock, journal, elsewhere)
    }

    fn store(&self) -> &BlobStore {
        self.pins.store()
    }

    fn place(&self, hash: &Hash) -> Option<ObjectPlace> {
        self.store().objects().info(hash).unwrap().map(|info| info.place)
    }

    fn collect_all(&self) -> blob::Collected {
        self.collect().unwrap()
    }

    fn collect(&self) -> Result<blob::Collected, BlobError> {
        let options =
            CollectOptions { floor: Duration::ZERO, garbage_share: 0.0, ..CollectOptions::default() };
        Collection::begin(&self.pins, &NoRoots, &*self.clock, options)?.run()
    }

    /// Has nobody need anything, and asserts that nothing is left here or elsewhere.
    fn end_empty(&self, what: &str) {
        self.clock.advance(Duration::from_secs(1));
        for (hash, _) in self.pins.list(None, usize::MAX) {
            self.pins.unpin(&hash).unwrap();
        }
        self.collect_all();
        while self.overflow.tick(ROOMY).unwrap().tidied > 0 {}
        assert_eq!(self.elsewhere.objects().len(), 0, "{what}: what nobody needs stays elsewhere");
        assert_eq!(self.store().verify().unwrap().objects, 0, "{what}");
        assert_eq!(self.store().objects().away_use(), blob::AwayUse::default(), "{what}");
        self.collect_all();
        assert_eq!(
            self.store().objects().stored_bytes().unwrap() / 200,
            0,
            "{what}: but for what says that a pack is one"
        );
    }
}

fn few(pushes_per_tick: usize) -> OverflowConfig {
    OverflowConfig { enabled: true, pushes_per_tick, ..OverflowConfig::default() }
}

#[test]
fn a_full_disk_gets_room_until_the_low_watermark_and_every_read_is_answered() {
    let world = World::new();
    let contents: Vec<_> = (0..20).map(|seed| noise(seed, 300_000)).collect();
    let hashes: Vec<_> = contents
        .iter()
        .map(|content| {
            world.clock.advance(Duration::from_secs(1));
            world.store().put(&content[..], Chunking::Fixed).unwrap().hash
        })
        .collect();
    let pinned = hashes[0];
    world.pins.pin(&pinned, PinMode::Recursive, None).unwrap();
    read(world.store(), &hashes[1]);
    let disk = || DiskUse { used: world.store().objects().stored_bytes().unwrap(), capacity: 6_500_000 };
    assert!(disk().ratio() > 0.9);
    let mut ticks = 0;
    while world.overflow.tick(disk()).unwrap().active {
        ticks += 1;
        assert!(ticks < 10, "{:?}", world.overflow.metrics());
    }
    assert!((0.5..0.7).contains(&disk().ratio()), "{}", disk().ratio());
    // What is pinned stays, what was read stays longer, and what is oldest goes first.
    let away: Vec<bool> = hashes.iter().map(|hash| world.place(hash) == Some(ObjectPlace::Away)).collect();
    let gone = away.iter().filter(|away| **away).count();
    assert!(!away[0] && !away[1] && away[2..2 + gone].iter().all(|away| *away), "{away:?}");
    for (hash, content) in hashes.iter().zip(&contents) {
        assert!(read(world.store(), hash) == *content);
        assert_eq!(world.store().missing_part(hash).unwrap(), None);
    }
    let metrics = world.overflow.metrics();
    assert_eq!(metrics.pushes_admitted, gone as u64);
    assert_eq!(metrics.pushed_bytes, gone as u64 * 300_000);
    assert_eq!((metrics.high_water_triggered, metrics.low_water_cleared, metrics.active), (1, 1, false));
    // Between the watermarks nothing happens, until the high one is passed again.
    let between = DiskUse { used: 80, capacity: 100 };
    assert_eq!(world.overflow.tick(between).unwrap(), blob::Ticked::default());
    // What is pinned comes back.
    world.pins.pin(&hashes[2], PinMode::Recursive, None).unwrap();
    assert_eq!(world.overflow.tick(between).unwrap().taken_back, 1);
    assert_eq!(world.place(&hashes[2]), Some(ObjectPlace::Loose));
    world.overflow.set_config(OverflowConfig { enabled: false, ..few(4) }).unwrap();
    assert!(!world.overflow.tick(FULL).unwrap().active);
    let world = world.reopen();
    assert!(hashes.iter().zip(&contents).all(|(hash, content)| read(world.store(), hash) == *content));
    world.end_empty("at the end");
}

#[test]
fn puts_gets_pins_collections_and_overflow_in_random_order_lose_nothing_beside_a_naive_twin() {
    for seed in 0..10 {
        let random = SeededRandom::new(seed);
        let mut world = World::new();
        let mut twin = BTreeMap::<Hash, Vec<u8>>::new();
        let mut pinned = BTreeSet::new();
        let (mut pushed, mut back, mut tidied) = (0, 0, 0);
        for _ in 0..150 {
            let nth = random.below(twin.len().max(1) as u64) as usize;
            let some = twin.keys().nth(nth).copied();
            world.clock.advance(Duration::from_secs(60));
            match (random.below(16), some) {
                (0..5, _) | (_, None) => {
                    let bytes = [30, 3_000, 40_000, 300_000][random.below(4) as usize];
                    let content = noise(random.below(5), bytes + random.below(3) as usize);
                    let chunking = if random.below(2) == 0 { Chunking::Fixed } else { small_chunks() };
                    let hash = world.store().put(&content[..], chunking).unwrap().hash;
                    twin.insert(hash, content);
                }
                (5 | 6, Some(hash)) => assert!(read(world.store(), &hash) == twin[&hash]),
                (7, Some(hash)) => {
                    world.pins.pin(&hash, PinMode::Recursive, None).unwrap();
                    pinned.insert(hash);
                }
                (8, Some(hash)) => assert_eq!(world.pins.unpin(&hash).unwrap(), pinned.remove(&hash)),
                (9, Some(hash)) => drop(world.overflow.take_back(&hash).unwrap()),
                (10, _) => {
                    world.collect_all();
                    twin.retain(|hash, _| pinned.contains(hash));
                }
                (11, _) => world = world.reopen(),
                (12, _) => {
                    use Trouble::{Damages, Forgets, Unreachable};
                    world.elsewhere.has([Unreachable, Forgets, Damages][random.below(3) as usize]);
                    world.overflow.tick(FULL).unwrap();
                    world.elsewhere.has(Trouble::None);
                }
                _ => {
                    let ticked =
                        world.overflow.tick(if random.below(4) == 0 { ROOMY } else { FULL }).unwrap();
                    (pushed, back) = (pushed + ticked.pushed, back + ticked.taken_back);
                    tidied += ticked.tidied;
                }
            }
        }
        for (hash, content) in &twin {
            assert!(read(world.store(), hash) == *content, "seed {seed}");
        }
        world.overflow.tick(ROOMY).unwrap();
        for hash in &pinned {
            for part in world.store().chunks(hash).unwrap() {
                let place = world.place(&part.unwrap().hash);
                while place == Some(ObjectPlace::Away) && world.overflow.tick(ROOMY).unwrap().taken_back > 0 {
                }
            }
        }
        assert!(pushed > 10 && tidied > 0, "seed {seed}: {pushed} pushed, {back} back, {tidied} tidied");
        world.end_empty("at the end");
    }
}

#[test]
fn a_crash_at_any_operation_of_overflow_loses_nothing_and_leaves_nothing_for_ever() {
    let world = World::new();
    let contents: Vec<_> = vec![
        (noise(1, 100), Chunking::Fixed),
        (noise(2, 300_000), Chunking::Fixed),
        (noise(3, 40_000), small_chunks()),
        (noise(4, 5_000), Chunking::Fixed),
        (noise(5, 270_000), Chunking::Fixed),
    ];
    let put = |world: &World| -> Vec<Hash> {
        contents.iter().map(|(content, cut)| world.store().put(&content[..], *cut).unwrap().hash).collect()
    };
    let hashes = put(&world);
    for hash in &hashes {
        world.pins.pin(hash, PinMode::Direct, None).unwrap();
    }
    let moments = Arc::new(Mutex::new(Vec::<(Snapshot, Objects, usize)>::new()));
    // How many of the blobs nobody has given up.
    let needed = Arc::new(Mutex::new(hashes.len()));
    let (taken, of, count) = (Arc::clone(&moments), world.elsewhere.clone(), Arc::clone(&needed));
    world.disk.on_operation(Some(Box::new(move |_, snapshot| {
        taken.lock().unwrap().push((snapshot, of.objects(), *count.lock().unwrap()));
    })));
    // In place of pins, which would keep them here.
    for hash in &hashes {
        world.pins.unpin(hash).unwrap();
    }
    for _ in 0..6 {
        world.overflow.tick(FULL).unwrap();
    }
    assert!(hashes.iter().all(|hash| world.store().objects().get(hash).is_ok()));
    world.overflow.take_back(&hashes[1]).unwrap();
    world.overflow.take_back(&hashes[2]).unwrap();
    world.overflow.tick(FULL).unwrap();
    put(&world);
    *needed.lock().unwrap() = 3;
    for hash in &hashes[..3] {
        world.pins.pin(hash, PinMode::Recursive, None).unwrap();
    }
    world.clock.advance(Duration::from_secs(1));
    world.collect_all();
    world.overflow.tick(FULL).unwrap();
    world.overflow.take_all_back().unwrap();
    world.disk.on_operation(None);
    let moments = std::mem::take(&mut *moments.lock().unwrap());
    assert!(moments.len() > 60, "{}", moments.len());
    for (moment, (snapshot, objects, needed)) in moments.iter().enumerate() {
        for image in images(moment as u64) {
            let what = format!("moment {moment} of {}, {image:?}", moments.len());
            let elsewhere = Elsewhere::new();
            *elsewhere.objects.lock().unwrap() = objects.clone();
            let world = World::on(snapshot.image(&image), clock(), Arc::default(), elsewhere);
            for (hash, (content, _)) in hashes.iter().zip(&contents).take(*needed) {
                let mut found = Vec::new();
                world.store().get(hash, &mut found).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(found == *content, "{what}");
            }
            world.store().verify().unwrap();
            world.clock.advance(Duration::from_secs(3_600));
            world.end_empty(&what);
        }
    }
}

#[test]
fn that_a_chunk_is_away_is_durable_before_it_goes_from_here() {
    // Files of their own, which go without anything being written to a pack.
    let world = World::new();
    let contents: Vec<_> = (0..3).map(|seed| noise(seed, 300_000)).collect();
    let hashes: Vec<_> = contents
        .iter()
        .map(|content| world.store().put(&content[..], Chunking::Fixed).unwrap().hash)
        .collect();
    let moments = Arc::new(Mutex::new(Vec::<(Snapshot, Objects)>::new()));
    let (taken, of) = (Arc::clone(&moments), world.elsewhere.clone());
    world.disk.on_operation(Some(Box::new(move |_, snapshot| {
        taken.lock().unwrap().push((snapshot, of.objects()));
    })));
    assert_eq!(world.overflow.tick(FULL).unwrap().pushed, 3);
    world.disk.on_operation(None);
    let mut moments = std::mem::take(&mut *moments.lock().unwrap());
    moments.push((world.disk.snapshot(), world.elsewhere.objects()));
    for (moment, (snapshot, objects)) in moments.iter().enumerate() {
        for image in images(moment as u64) {
            let elsewhere = Elsewhere::new();
            *elsewhere.objects.lock().unwrap() = objects.clone();
            let world = World::on(snapshot.image(&image), clock(), Arc::default(), elsewhere);
            for (hash, content) in hashes.iter().zip(&contents) {
                let what = format!("moment {moment} of {}, {image:?}", moments.len());
                let mut found = Vec::new();
                world.store().get(hash, &mut found).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(found == *content, "{what}");
            }
        }
    }
}

#[test]
fn a_place_that_fails_forgets_or_damages_costs_no_chunk() {
    for trouble in [Trouble::Unreachable, Trouble::Forgets, Trouble::Damages] {
        let world = World::new();
        let content = noise(1, 300_000);
        let hash = world.store().put(&content[..], Chunking::Fixed).unwrap().hash;
        world.elsewhere.has(trouble);
        let ticked = world.overflow.tick(FULL).unwrap();
        assert_eq!((ticked.pushed, ticked.failed), (0, 1), "{trouble:?}");
        assert_eq!(world.place(&hash), Some(ObjectPlace::Loose));
        assert_eq!(world.overflow.metrics().push_errors, 1);
        world.elsewhere.has(Trouble::None);
        let ticked = world.overflow.tick(FULL).unwrap();
        assert_eq!((ticked.pushed, ticked.tidied), (1, 1), "{trouble:?}");
        assert!(read(world.store(), &hash) == content);

        world.elsewhere.has(Trouble::Unreachable);
        let error = world.store().get(&hash, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(world.overflow.take_all_back().is_err());
        world.elsewhere.has(Trouble::None);
        world.elsewhere.objects.lock().unwrap().clear();
        let error = world.store().get(&hash, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(world.store().objects().verify_away().unwrap().damaged[0].hash, hash);
        // Whoever has it still puts it again, and it can go again.
        world.store().put(&content[..], Chunking::Fixed).unwrap();
        assert_eq!(world.overflow.tick(FULL).unwrap().failed, 1);
        assert_eq!(world.overflow.tick(FULL).unwrap().pushed, 1);
        assert!(read(world.store(), &hash) == content);
        assert!(world.store().objects().verify_away().unwrap().damaged.is_empty());
        world.end_empty("at the end");
    }
}

#[test]
fn a_damaged_chunk_is_given_out_of_its_copy_elsewhere() {
    let world = World::new();
    let content = noise(1, 300_000);
    let hash = world.store().put(&content[..], Chunking::Fixed).unwrap().hash;
    world.overflow.tick(FULL).unwrap();
    world.overflow.take_back(&hash).unwrap();
    let path = format!("{}/chunks/{hash}", crate::support::DIR);
    world.disk.flip_bit(&path, 8_000);
    assert_eq!(world.store().verify().unwrap().damaged[0].hash, hash);
    assert!(read(world.store(), &hash) == content);
    // In what says how long it is, too.
    world.disk.flip_bit(&path, (300_000 + 10) * 8);
    assert!(read(world.store(), &hash) == content);
    let other = world.store().put(&noise(2, 300_000)[..], Chunking::Fixed).unwrap().hash;
    world.disk.flip_bit(format!("{}/chunks/{other}", crate::support::DIR), 8_000);
    let (report, mended) = world.store().objects().repair().unwrap();
    assert_eq!((mended, report.damaged.len(), report.damaged[0].hash), (1, 1, other));
    world.store().objects().set_away(None);
    assert!(read(world.store(), &hash) == content);
}

/// The checksum is right of a note that says something wrong.
#[test]
fn a_chunk_whose_note_says_a_wrong_length_is_mended_by_putting_it() {
    let world = World::new();
    let content = noise(1, 500);
    let hash = world.store().put(&content[..], Chunking::Fixed).unwrap().hash;
    assert_eq!(world.overflow.tick(FULL).unwrap().pushed, 1);
    world.store().close().unwrap();
    let path = format!("{}/packs/0000000001.pack", crate::support::DIR);
    let mut bytes = world.disk.read(&path).unwrap();
    let is_away = |at: &usize| bytes[*at..].starts_with(b"ObjR\x08");
    let at = (32..bytes.len()).step_by(8).find(is_away).unwrap();
    bytes[at + 57] ^= 0x80;
    let crc = crc32fast::hash(&bytes[at..at + 60]).to_le_bytes();
    bytes[at + 60..at + 64].copy_from_slice(&crc);
    world.disk.write(&path, &bytes);
    let world = world.reopen();
    let error = world.store().get(&hash, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, BlobError::ShortChunk { found: 500, .. }), "{error}");
    world.store().put(&content[..], Chunking::Fixed).unwrap();
    assert!(read(world.store(), &hash) == content);
    assert_eq!(world.overflow.tick(FULL).unwrap().pushed, 1);
    assert_eq!(world.place(&hash), Some(ObjectPlace::Away));
    assert!(read(world.reopen().store(), &hash) == content);
}

#[test]
fn everything_comes_back_before_another_place_is_used() {
    let world = World::new();
    let contents: Vec<_> = (0..8).map(|seed| noise(seed, 270_000 + seed as usize)).collect();
    let hashes: Vec<_> = contents
        .iter()
        .map(|content| world.store().put(&content[..], Chunking::Fixed).unwrap().hash)
        .collect();
    for _ in 0..3 {
        world.overflow.tick(FULL).unwrap();
    }
    assert_eq!(world.store().objects().away_use().chunks, 8);
    assert_eq!(world.overflow.take_all_back().unwrap(), 8);
    assert!(world.elsewhere.objects().is_empty());
    let world = world.reopen();
    assert!(hashes.iter().all(|hash| world.place(hash) == Some(ObjectPlace::Loose)));
    world.store().objects().set_away(None);
    assert!(hashes.iter().zip(&contents).all(|(hash, content)| read(world.store(), hash) == *content));
}

#[test]
fn without_a_place_reading_says_what_to_do() {
    let world = World::new();
    let hash = world.store().put(&noise(1, 300_000)[..], Chunking::Fixed).unwrap().hash;
    world.overflow.tick(FULL).unwrap();
    world.store().objects().set_away(None);
    let error = world.store().get(&hash, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, BlobError::NoAway { .. }), "{error}");
    for config in [
        OverflowConfig { low: 0.9, ..few(1) },
        OverflowConfig { high: 1.5, ..few(1) },
        OverflowConfig { low: 0.0, ..few(1) },
        OverflowConfig { high: f64::NAN, ..few(1) },
        OverflowConfig { tick: Duration::ZERO, ..few(1) },
        few(0),
    ] {
        assert!(matches!(world.overflow.set_config(config), Err(BlobError::Overflow { .. })), "{config:?}");
    }
}

#[test]
fn settings_are_kept_with_the_store_and_the_place_does_not_change_while_chunks_lie_there() {
    let world = World::new();
    assert_eq!(world.store().overflow_settings().unwrap(), None);
    let settings = OverflowSettings { place: "file:///a".into(), config: few(7), quota: Some(1 << 40) };
    world.store().set_overflow_settings(&settings).unwrap();
    let other = OverflowSettings { place: "file:///b".into(), quota: None, ..settings.clone() };
    world.store().set_overflow_settings(&other).unwrap();
    world.store().set_overflow_settings(&settings).unwrap();
    world.store().put(&noise(1, 300_000)[..], Chunking::Fixed).unwrap();
    world.overflow.tick(FULL).unwrap();
    let error = world.store().set_overflow_settings(&other).unwrap_err();
    assert!(error.to_string().contains("take them back"), "{error}");
    let disk = world.store().disk_use(settings.quota).unwrap();
    assert_eq!(disk.capacity, 1 << 40);
    assert!(disk.used > 0 && disk.used < 1_000, "{disk:?}");
    let world = world.reopen();
    assert_eq!(world.store().overflow_settings().unwrap(), Some(settings.clone()));
    let path = format!("{}/overflow", crate::support::DIR);
    for bit in [3, 8 * 10, 8 * 50] {
        world.disk.flip_bit(&path, bit);
        assert_eq!(world.store().overflow_settings().unwrap_err().kind(), ErrorKind::Corrupt);
        world.disk.flip_bit(&path, bit);
    }
    world.overflow.take_all_back().unwrap();
    world.store().set_overflow_settings(&other).unwrap();
}

#[test]
fn writers_readers_a_collector_and_overflow_at_once_lose_nothing() {
    for seed in 0..2 {
        let world = World::new();
        let pinned = Mutex::new(BTreeMap::<Hash, Vec<u8>>::new());
        let working = AtomicUsize::new(3);
        let is_on = || working.load(Ordering::Acquire) > 0;
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (world, pinned, working) = (&world, &pinned, &working);
                scope.spawn(move || {
                    let random = SeededRandom::new(10 * seed + writer);
                    for _ in 0..25 {
                        let bytes = [30, 3_000, 40_000, 270_000][random.below(4) as usize];
                        // Few different ones, so that writers put the same now and then.
                        let content = noise(random.below(8), bytes + random.below(2) as usize);
                        let chunking = if random.below(2) == 0 { Chunking::Fixed } else { small_chunks() };
                        let (info, held) = world.store().put_held(&content[..], chunking).unwrap();
                        assert!(read(world.store(), &info.hash) == content);
                        // Whoever looks at the list reads what is on it.
                        let mut pinned = pinned.lock().unwrap();
                        world.pins.pin(&info.hash, PinMode::Recursive, None).unwrap();
                        pinned.insert(info.hash, content);
                        drop(held);
                        if random.below(2) == 0 {
                            let nth = random.below(pinned.len() as u64) as usize;
                            let hash = *pinned.keys().nth(nth).unwrap();
                            pinned.remove(&hash);
                            world.pins.unpin(&hash).unwrap();
                        }
                        drop(pinned);
                        world.clock.advance(Duration::from_millis(10));
                    }
                    working.fetch_sub(1, Ordering::AcqRel);
                });
            }
            scope.spawn(|| {
                while is_on() {
                    match world.collect() {
                        // Overflow gives room in packs back, which is for one at a time.
                        Ok(_) | Err(BlobError::Collecting) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            scope.spawn(|| {
                while is_on() {
                    for disk in [FULL, FULL, ROOMY] {
                        world.overflow.tick(disk).unwrap();
                    }
                }
            });
            scope.spawn(|| {
                while is_on() {
                    let pinned = pinned.lock().unwrap();
                    for (hash, content) in pinned.iter() {
                        assert!(read(world.store(), hash) == *content);
                    }
                }
            });
        });
        let pinned = pinned.into_inner().unwrap();
        assert!(!pinned.is_empty());
        let world = world.reopen();
        for (hash, content) in &pinned {
            assert!(read(world.store(), hash) == *content, "seed {seed}");
        }
        world.end_empty("at the end");
    }
}
