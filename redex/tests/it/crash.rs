//! Every crash: a log is stopped before each operation of its disk, opened again from what a power failure may
//! have left there, and compared with what it had acknowledged.
//!
//! - `NETDB_CRASH_IMAGES=n` goes on with further seeds until so many distinct images were checked.
//! - `NETDB_CRASH_SEEDS=a..b` takes the torn and reordered images of these seeds.
//! - `NETDB_CRASH_REPLAY=line` checks one image again; a failure prints the line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{CrashImage, Hash};

use crate::ledger::Moments;

pub mod check;
mod groups;
pub mod workload;
pub mod workloads;

use workload::{Moment, Trace, Workload, record};

/// Seeds of torn and reordered images at each moment, unless told otherwise.
const SEEDS: Range<u64> = 0..4;
/// Distinct images below which the enumeration has lost its teeth.
const IMAGES_MIN: usize = 2_000;
/// One image of so many is opened with a crash before each operation of the recovery.
const NESTED_EVERY: usize = 40;

/// A column of the table: which crash, and whether it hit a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell(&'static str);

/// What was enumerated in one cell.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    images: usize,
    distinct: usize,
}

/// One image: a moment and what survives of it.
#[derive(Debug, Clone, Copy)]
struct Shot {
    moment: usize,
    survivors: CrashImage,
}

/// A distinct image, and every moment that it stands for.
#[derive(Debug, Clone, Copy)]
struct Distinct {
    shot: Shot,
    moments: Moments,
}

#[derive(Debug, Default)]
struct Results {
    counts: BTreeMap<Cell, Count>,
    failures: Vec<String>,
}

impl Results {
    fn add(&mut self, other: Self) {
        for (cell, count) in other.counts {
            let sum = self.counts.entry(cell).or_default();
            sum.images += count.images;
            sum.distinct += count.distinct;
        }
        self.failures.extend(other.failures);
    }

    fn distinct(&self) -> usize {
        self.counts.values().map(|count| count.distinct).sum()
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22} {:>9} {:>9}", "crash", "images", "distinct")?;
        for (Cell(name), count) in &self.counts {
            writeln!(f, "{name:<22} {:>9} {:>9}", count.images, count.distinct)?;
        }
        let images: usize = self.counts.values().map(|count| count.images).sum();
        write!(f, "{:<22} {images:>9} {:>9}", "total", self.distinct())
    }
}

#[test]
fn whatever_a_crash_leaves_opens_with_everything_acknowledged_and_nothing_else() {
    let workloads = workloads::all();
    if let Ok(line) = std::env::var("NETDB_CRASH_REPLAY") {
        return replay(&workloads, &line);
    }
    let mut seeds = seeds();
    let mut results = run_all(&workloads, seeds.clone(), true);
    let wanted = number("NETDB_CRASH_IMAGES").unwrap_or(IMAGES_MIN);
    while results.failures.is_empty() && results.distinct() < wanted {
        // Whole, prefix and empty images are the same for every seed.
        seeds = seeds.end..seeds.end + (seeds.end - seeds.start);
        results.add(run_all(&workloads, seeds.clone(), false));
    }
    println!("{} workloads, seeds up to {}", workloads.len(), seeds.end);
    println!("{results}");
    let failures = results.failures.len();
    for failure in results.failures.iter().take(20) {
        println!("FAILED {failure}");
    }
    assert_eq!(failures, 0, "see the lines above; NETDB_CRASH_REPLAY=<line> checks one image again");
    assert!(results.distinct() >= IMAGES_MIN, "only {} images", results.distinct());
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("NETDB_CRASH_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("NETDB_CRASH_SEEDS is a range such as 4..100");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs all workloads on as many threads as there are processors.
fn run_all(workloads: &[Workload], seeds: Range<u64>, whole: bool) -> Results {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Results::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(workload) = workloads.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = run(workload, seeds.clone(), whole);
                    results.lock().unwrap().add(found);
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn run(workload: &Workload, seeds: Range<u64>, whole: bool) -> Results {
    let mut results = Results::default();
    let trace = workload.run(seed_of(workload));
    let distinct =
        enumerate(&trace.moments, &mut results, |survivors| survivors.name(), seeds.clone(), whole);
    for (place, image) in distinct.iter().enumerate() {
        let Moment { snapshot, ordinal, next } = &trace.moments[image.shot.moment];
        let disk = snapshot.image(&image.shot.survivors);
        let line = format!("{} {ordinal} {}", workload.name, Line(image.shot.survivors));
        if let Err(fault) = check::check(&disk, &workload.options, &trace.ledger, image.moments) {
            let next = next.as_ref().map_or("the end".to_owned(), ToString::to_string);
            results.failures.push(format!("{line}: before {next}: {fault}"));
        } else if place % NESTED_EVERY == 0 {
            nested(workload, &trace, image, &line, &seeds, &mut results);
        }
    }
    results
}

/// Different for every workload, so that no two of them leave equal images.
fn seed_of(workload: &Workload) -> u64 {
    u64::from_le_bytes(Hash::of(workload.name.as_bytes()).as_bytes()[..8].try_into().unwrap())
}

/// Takes all images of all moments; returns each distinct one once.
fn enumerate(
    moments: &[Moment],
    results: &mut Results,
    name: impl Fn(&CrashImage) -> &'static str,
    seeds: Range<u64>,
    whole: bool,
) -> Vec<Distinct> {
    let mut seen: BTreeMap<Hash, usize> = BTreeMap::new();
    let mut distinct: Vec<Distinct> = Vec::new();
    for (moment, Moment { ordinal, snapshot, .. }) in moments.iter().enumerate() {
        for survivors in survivors(snapshot.pending_count(), seeds.clone(), whole) {
            let count = results.counts.entry(Cell(name(&survivors))).or_default();
            count.images += 1;
            let shot = Shot { moment, survivors };
            match seen.entry(snapshot.digest(&survivors)) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    count.distinct += 1;
                    entry.insert(distinct.len());
                    distinct.push(Distinct { shot, moments: Moments::at(*ordinal) });
                }
                std::collections::btree_map::Entry::Occupied(entry) => {
                    // The latest moment demands the most.
                    let known = &mut distinct[*entry.get()];
                    known.shot = shot;
                    known.moments.last = *ordinal;
                }
            }
        }
    }
    distinct
}

/// Returns the images to take of a moment with so many pending operations.
fn survivors(pending: usize, seeds: Range<u64>, whole: bool) -> Vec<CrashImage> {
    let mut all = Vec::new();
    if whole {
        all.push(CrashImage::None);
        all.push(CrashImage::All);
        let step = (pending / 4).max(1);
        all.extend((1..pending).step_by(step).map(|operations| CrashImage::Prefix { operations }));
    }
    if pending > 0 {
        all.extend(seeds.clone().map(|seed| CrashImage::Sectors { seed }));
        all.extend(seeds.map(|seed| CrashImage::Reordered { seed }));
    }
    all
}

/// Opens an image again and again, with a crash before each operation of the recovery.
fn nested(
    workload: &Workload,
    trace: &Trace,
    outer: &Distinct,
    line: &str,
    seeds: &Range<u64>,
    results: &mut Results,
) {
    let image = trace.moments[outer.shot.moment].snapshot.image(&outer.shot.survivors);
    let world = crate::support::World::on(image.clone(), 7);
    let moments = record(&image);
    drop(world.open_with(&workload.options));
    image.on_operation(None);
    let moments = moments.lock().unwrap();
    let seeds = seeds.start..seeds.start + (seeds.end - seeds.start).min(2);
    let distinct = enumerate(&moments, results, |_| "within a recovery", seeds, true);
    for image in distinct {
        let moment = &moments[image.shot.moment];
        let disk = moment.snapshot.image(&image.shot.survivors);
        if let Err(fault) = check::check(&disk, &workload.options, &trace.ledger, outer.moments) {
            let inner = format!("{} {}", moment.ordinal, Line(image.shot.survivors));
            results.failures.push(format!("{line} {inner}: {fault}"));
        }
    }
}

trait Name {
    fn name(&self) -> &'static str;
}

impl Name for CrashImage {
    fn name(&self) -> &'static str {
        match self {
            Self::None => "nothing pending",
            Self::All => "everything pending",
            Self::Prefix { .. } => "the first operations",
            Self::Sectors { .. } => "some sectors",
            Self::Reordered { .. } => "some operations",
            _ => "other",
        }
    }
}

/// A way to survive, as it stands in a replay line.
struct Line(CrashImage);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CrashImage::Prefix { operations } => write!(f, "prefix {operations}"),
            CrashImage::Sectors { seed } => write!(f, "sectors {seed}"),
            CrashImage::Reordered { seed } => write!(f, "reordered {seed}"),
            CrashImage::All => f.write_str("all 0"),
            _ => f.write_str("none 0"),
        }
    }
}

/// Reads policy and seed of a replay line back.
fn parse<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<(u64, CrashImage)> {
    let ordinal = words.next()?.parse().ok()?;
    let (policy, number) = (words.next()?, words.next()?.parse().ok()?);
    let survivors = match policy {
        "prefix" => CrashImage::Prefix { operations: usize::try_from(number).ok()? },
        "sectors" => CrashImage::Sectors { seed: number },
        "reordered" => CrashImage::Reordered { seed: number },
        "all" => CrashImage::All,
        _ => CrashImage::None,
    };
    Some((ordinal, survivors))
}

/// Checks the image of one line: workload, operation, policy and seed, and for a crash within a recovery again
/// operation, policy and seed.
fn replay(workloads: &[Workload], line: &str) {
    let line = line.split(':').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let name = words.next().expect("a workload's name");
    let workload = workloads.iter().find(|workload| workload.name == name).expect("a known workload");
    let trace = workload.run(seed_of(workload));
    let (ordinal, survivors) = parse(&mut words).expect("operation, policy and seed");
    let at = |moments: &[Moment], ordinal| {
        moments.iter().find(|moment| moment.ordinal == ordinal).expect("a moment").clone()
    };
    let mut image = at(&trace.moments, ordinal).snapshot.image(&survivors);
    if let Some((ordinal, survivors)) = parse(&mut words) {
        let moments = record(&image);
        drop(crate::support::World::on(image.clone(), 7).open_with(&workload.options));
        image.on_operation(None);
        image = at(&moments.lock().unwrap(), ordinal).snapshot.image(&survivors);
    }
    for (path, bytes) in image.files() {
        println!("{:>9} bytes {}", bytes, path.display());
    }
    println!("{:?}", check::check(&image, &workload.options, &trace.ledger, Moments::at(ordinal)));
}
