//! Takes the images of every moment, and checks each distinct one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{CrashImage, Hash, SimulatedDisk};

use super::check;
use super::line::Line;
use super::table::{Cell, Results};
use super::workload::{Moment, Trace, Workload, record};
use crate::ledger::Moments;
use crate::support::World;

/// One image of so many is opened with a crash before each operation of the recovery.
const NESTED_EVERY: usize = 50;
/// One image of so many that a crash within a recovery leaves is treated so again.
const TWICE_EVERY: usize = 30;

/// A workload that is run once, and the seeds of the torn images of its moments.
#[derive(Debug, Clone)]
pub struct Job {
    pub workload: Workload,
    /// Decides the randomness of the log.
    pub seed: u64,
    pub torn: Range<u64>,
}

/// Runs all jobs on as many threads as there are processors.
pub fn run_all(jobs: &[Job]) -> Results {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Results::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = Run::of(job);
                    results.lock().unwrap().add(found);
                }
            });
        }
    });
    results.into_inner().unwrap()
}

/// A distinct image, and every moment that it stands for.
#[derive(Debug, Clone, Copy)]
struct Distinct {
    /// The last of the moments, by its place among them: it demands the most.
    moment: usize,
    survivors: CrashImage,
    moments: Moments,
}

/// One job while it runs.
struct Run<'a> {
    job: &'a Job,
    trace: Trace,
    /// Every image so far that a disk leaves which keeps its promises.
    known: BTreeSet<Hash>,
    results: Results,
}

impl<'a> Run<'a> {
    fn of(job: &'a Job) -> Results {
        let trace = job.workload.run(job.seed);
        let mut run = Run { job, trace, known: BTreeSet::new(), results: Results::default() };
        run.truthful();
        run.lying();
        run.results
    }

    /// Crashes of a disk that keeps its promises.
    fn truthful(&mut self) {
        let moments = std::mem::take(&mut self.trace.moments);
        let distinct = self.enumerate(&moments, policy, |pending| {
            let mut all = whole(pending);
            all.extend(torn(pending, self.job.torn.clone()));
            all
        });
        for (place, image) in distinct.iter().enumerate() {
            let moment = &moments[image.moment];
            let disk = moment.snapshot.image(&image.survivors);
            let line = self.line(moment, image.survivors);
            if self.check(&disk, image.moments, &line, moment) && place % NESTED_EVERY == 0 {
                self.nested(&moment.snapshot.image(&image.survivors), image.moments, &line, 1);
            }
        }
        self.trace.moments = moments;
    }

    /// Crashes of a disk whose last syncs did nothing.
    fn lying(&mut self) {
        let moments = std::mem::take(&mut self.trace.moments);
        for (place, moment) in moments.iter().enumerate() {
            let seed = self.job.torn.start + place as u64 % 8;
            for syncs in 1..=moment.snapshot.remembered_syncs() {
                let survivors = CrashImage::LyingSyncs { syncs, seed };
                // A truthful disk that leaves the same was asked for more.
                let new = self.known.insert(moment.snapshot.digest(&survivors));
                self.results.count(self.cell(moment, "lying"), new);
                let image = moment.snapshot.image(&survivors);
                let (options, ledger) = (&self.job.workload.options, &self.trace.ledger);
                if !new {
                    continue;
                }
                let created = check::is_created(&image);
                let checked = check::check_broken(&image, options, ledger, moment.ordinal, created);
                if let Err(fault) = checked {
                    let line = self.line(moment, survivors);
                    self.results.failures.push(format!("{line}: before {}: {fault}", next(moment)));
                }
            }
        }
        self.trace.moments = moments;
    }

    /// Opens an image again and again, with a crash before each operation of the recovery.
    fn nested(&mut self, image: &SimulatedDisk, outer: Moments, line: &str, depth: usize) {
        let moments = record(image);
        drop(World::on(image.clone(), 7).open_with(&self.job.workload.options));
        image.on_operation(None);
        let moments = std::mem::take(&mut *moments.lock().unwrap());
        let column = if depth == 1 { "recover" } else { "twice" };
        let seeds = self.job.torn.start..self.job.torn.start + 2;
        let distinct = self.enumerate(
            &moments,
            |_| column,
            |pending| {
                let mut all = vec![CrashImage::None, CrashImage::All];
                all.extend(torn(pending, seeds.clone()));
                all
            },
        );
        for (place, image) in distinct.iter().enumerate() {
            let moment = &moments[image.moment];
            let disk = moment.snapshot.image(&image.survivors);
            let line = format!("{line} {} {}", moment.ordinal, Line(image.survivors));
            if self.check(&disk, outer, &line, moment) && depth == 1 && place % TWICE_EVERY == 0 {
                self.nested(&moment.snapshot.image(&image.survivors), outer, &line, 2);
            }
        }
    }

    fn check(&mut self, disk: &SimulatedDisk, moments: Moments, line: &str, moment: &Moment) -> bool {
        let checked = check::check(disk, &self.job.workload.options, &self.trace.ledger, moments);
        if let Err(fault) = &checked {
            self.results.failures.push(format!("{line}: before {}: {fault}", next(moment)));
        }
        checked.is_ok()
    }

    /// Takes all images of all moments; returns each distinct one once.
    fn enumerate(
        &mut self,
        moments: &[Moment],
        policy: impl Fn(&CrashImage) -> &'static str,
        survivors: impl Fn(usize) -> Vec<CrashImage>,
    ) -> Vec<Distinct> {
        let mut seen: BTreeMap<Hash, usize> = BTreeMap::new();
        let mut distinct: Vec<Distinct> = Vec::new();
        for (place, moment) in moments.iter().enumerate() {
            for survivors in survivors(moment.snapshot.pending_count()) {
                let digest = moment.snapshot.digest(&survivors);
                let new = self.known.insert(digest);
                self.results.count(self.cell(moment, policy(&survivors)), new);
                match seen.entry(digest) {
                    Entry::Vacant(entry) => {
                        entry.insert(distinct.len());
                        let moments = Moments::at(moment.ordinal);
                        distinct.push(Distinct { moment: place, survivors, moments });
                    }
                    Entry::Occupied(entry) => {
                        let known = &mut distinct[*entry.get()];
                        (known.moment, known.survivors) = (place, survivors);
                        known.moments.last = moment.ordinal;
                    }
                }
            }
        }
        distinct
    }

    fn cell(&self, moment: &Moment, policy: &'static str) -> Cell {
        let operation = moment.next.as_ref().map_or("the end", |operation| operation.kind.as_str());
        Cell { workload: self.job.workload.name.clone(), operation, policy }
    }

    fn line(&self, moment: &Moment, survivors: CrashImage) -> String {
        let Job { workload, seed, .. } = self.job;
        format!("{} {seed} {} {}", workload.name, moment.ordinal, Line(survivors))
    }
}

fn next(moment: &Moment) -> String {
    moment.next.as_ref().map_or("the end".to_owned(), ToString::to_string)
}

/// Returns the images to take, without seeds, of a moment with so many pending operations.
fn whole(pending: usize) -> Vec<CrashImage> {
    if pending == 0 {
        return vec![CrashImage::None];
    }
    let prefixes = (1..pending).step_by((pending / 4).max(1));
    let sizes = [1, 2, usize::MAX];
    [CrashImage::None, CrashImage::All, CrashImage::LostRenames, CrashImage::LostRemovals]
        .into_iter()
        .chain(prefixes.map(|operations| CrashImage::Prefix { operations }))
        .chain(sizes.map(|writes| CrashImage::SizeBeforeData { writes }))
        .chain(sizes.map(|operations| CrashImage::DataBeforeSize { operations }))
        .collect()
}

fn torn(pending: usize, seeds: Range<u64>) -> Vec<CrashImage> {
    let seeds = if pending == 0 { 0..0 } else { seeds };
    let sectors = seeds.clone().map(|seed| CrashImage::Sectors { seed });
    sectors.chain(seeds.map(|seed| CrashImage::Reordered { seed })).collect()
}

/// Returns the column of a policy.
fn policy(survivors: &CrashImage) -> &'static str {
    match survivors {
        CrashImage::None => "none",
        CrashImage::All => "all",
        CrashImage::Prefix { .. } => "prefix",
        CrashImage::Sectors { .. } => "sectors",
        CrashImage::Reordered { .. } => "reorder",
        CrashImage::SizeBeforeData { .. } => "size",
        CrashImage::DataBeforeSize { .. } => "data",
        CrashImage::LostRenames => "rename",
        CrashImage::LostRemovals => "unlink",
        _ => "other",
    }
}
