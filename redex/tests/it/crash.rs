//! Every crash: a log is stopped before each operation of its disk, opened again from what a power failure may
//! have left there, and compared with what it had acknowledged.
//!
//! - `NETDB_CRASH_SEEDS=a..b` takes, for each seed, a generated workload and one of the others, with randomness of
//!   that seed; images of different seeds differ, so that ranges add up. `sim/crash` does that and keeps the sums.
//! - `NETDB_CRASH_REPLAY=line` checks one image again; a failure prints the line.

use std::ops::Range;
use std::time::Instant;

use base::Hash;

pub mod check;
mod enumerate;
mod generated;
mod groups;
mod line;
mod table;
pub mod workload;
pub mod workloads;

use enumerate::{Job, run_all};
use workload::Workload;

/// Seeds of torn images at each moment of a workload.
const TORN_SEEDS: u64 = 4;
/// Generated workloads beside the others, unless a range is asked for.
const GENERATED: u64 = 16;
/// Workloads below which the enumeration has lost its teeth.
const WORKLOADS_MIN: usize = 40;
/// Distinct images below which it has.
const IMAGES_MIN: usize = 20_000;

#[test]
fn whatever_a_crash_leaves_opens_with_everything_acknowledged_and_nothing_else() {
    if let Ok(line) = std::env::var("NETDB_CRASH_REPLAY") {
        return line::replay(&line);
    }
    let started = started();
    let asked = asked_seeds();
    let jobs = match &asked {
        Some(seeds) => seeds.clone().flat_map(jobs_of_seed).collect(),
        None => all_jobs(),
    };
    let results = run_all(&jobs);
    println!("{results}");
    for failure in results.failures.iter().take(20) {
        println!("FAILED {failure}");
    }
    let (images, distinct, failures) = (results.images(), results.distinct(), results.failures.len());
    let seconds = started.elapsed().as_secs();
    if let Some(seeds) = asked {
        // `sim/crash` takes this line.
        println!(
            "SUMMARY \"seeds\":\"{}..{}\",\"workloads\":{},\"images\":{images},\"distinct\":{distinct},\
             \"failures\":{failures},\"seconds\":{seconds}",
            seeds.start,
            seeds.end,
            jobs.len(),
        );
    } else {
        println!("{} workloads, {images} images, {distinct} distinct, {seconds} s", jobs.len());
        assert!(jobs.len() >= WORKLOADS_MIN, "only {} workloads", jobs.len());
        assert!(failures > 0 || distinct >= IMAGES_MIN, "only {distinct} images");
    }
    assert_eq!(failures, 0, "see the lines above; NETDB_CRASH_REPLAY=<line> checks one image again");
}

#[allow(clippy::disallowed_methods, reason = "the run's duration is reported, nothing depends on it")]
fn started() -> Instant {
    Instant::now()
}

fn asked_seeds() -> Option<Range<u64>> {
    let text = std::env::var("NETDB_CRASH_SEEDS").ok()?;
    let (from, to) = text.split_once("..").expect("NETDB_CRASH_SEEDS is a range such as 4..100");
    Some(from.parse().expect("a number")..to.parse().expect("a number"))
}

/// Returns every workload once, and some generated ones.
fn all_jobs() -> Vec<Job> {
    let fixed = workloads::all().into_iter().map(|workload| {
        // Different for every workload, so that no two of them leave equal images.
        let hash = Hash::of(workload.name.as_bytes());
        let seed = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
        Job { workload, seed, torn: 0..TORN_SEEDS }
    });
    let generated =
        (0..GENERATED).map(|seed| Job { workload: generated::workload(seed), seed, torn: 0..TORN_SEEDS });
    fixed.chain(generated).collect()
}

/// Returns what a seed stands for in a range.
fn jobs_of_seed(seed: u64) -> [Job; 2] {
    let torn = seed * TORN_SEEDS..(seed + 1) * TORN_SEEDS;
    let all = workloads::all();
    let fixed: Workload = all[usize::try_from(seed).unwrap() % all.len()].clone();
    let generated = generated::workload(seed);
    // Two worlds that share a seed share the log's name, and its first images.
    [(fixed, 2 * seed + 1), (generated, 2 * seed)].map(|(workload, seed)| Job {
        workload,
        seed,
        torn: torn.clone(),
    })
}
