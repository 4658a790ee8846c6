//! Faults of a real machine: the binary meets system calls that fail, kills in the middle of one, and a disk that is
//! full. Afterwards everything that it acknowledged is there and nothing that it was not given, the log verifies, the
//! same command goes on, and so does the next.
//!
//! `NETDB_FAULT_SEEDS=a..b` takes those seeds instead of one for each kind of fault; `sim/faults` does that and keeps
//! the sums. A seed decides the kind of fault, the command that meets it, and at which call.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use netdb::base::{Clock as _, SeededRandom, SystemClock};

use crate::support::can_run;

mod full;
mod injected;

use injected::{Effect, Injection};

/// What a system call does to the process: each seed takes the next kind.
const INJECTIONS: [Injection; 22] = [
    Injection::new("fdatasync", Effect::Once("EIO")),
    Injection::new("fdatasync", Effect::Ever("EIO")),
    Injection::new("fdatasync", Effect::Kill),
    Injection::new("fsync", Effect::Once("EIO")),
    Injection::new("fsync", Effect::Ever("EIO")),
    Injection::new("fsync", Effect::Kill),
    Injection::new("pwrite64", Effect::Once("EIO")),
    Injection::new("pwrite64", Effect::Ever("EIO")),
    Injection::new("pwrite64", Effect::Once("ENOSPC")),
    Injection::new("pwrite64", Effect::Ever("ENOSPC")),
    Injection::new("pwrite64", Effect::Kill),
    Injection::new("write", Effect::Once("EIO")),
    Injection::new("write", Effect::Ever("ENOSPC")),
    Injection::new("write", Effect::Kill),
    Injection::new("rename", Effect::Once("EIO")),
    Injection::new("rename", Effect::Ever("ENOSPC")),
    Injection::new("rename", Effect::Kill),
    Injection::new("ftruncate", Effect::Once("EIO")),
    Injection::new("ftruncate", Effect::Ever("EIO")),
    Injection::new("ftruncate", Effect::Kill),
    Injection::new("pread64", Effect::Once("EIO")),
    Injection::new("pread64", Effect::Ever("EIO")),
];
/// All kinds: the injections, and the two ways to fill a disk.
const KINDS: u64 = INJECTIONS.len() as u64 + 2;

/// How a run ended.
#[derive(Debug, Default)]
struct Ended {
    /// The name of the kind of fault.
    kind: String,
    /// What the process met: its exit code, or how it was killed.
    exit: String,
    /// Whether the fault came about.
    met: bool,
    /// Everything that is not as it should be.
    findings: Vec<String>,
}

impl Ended {
    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.findings.push(finding());
        }
    }
}

/// Which tools there are.
#[derive(Debug, Clone, Copy)]
struct Tools {
    strace: bool,
    mount: bool,
}

fn run(seed: u64, tools: Tools) -> Option<Ended> {
    let dice = SeededRandom::new(seed);
    match usize::try_from(seed % KINDS).unwrap() {
        kind if kind < INJECTIONS.len() => tools.strace.then(|| INJECTIONS[kind].run(&dice, seed < KINDS)),
        kind if kind == INJECTIONS.len() => tools.mount.then(|| full::commands(&dice)),
        _ => tools.mount.then(|| full::one_process(&dice)),
    }
}

/// Sums of the runs of one kind.
#[derive(Debug, Default)]
struct Sums {
    runs: u64,
    met: u64,
    exits: BTreeMap<String, u64>,
    findings: u64,
}

fn table(sums: &BTreeMap<String, Sums>) -> String {
    let mut table = format!("{:<24} {:>5} {:>5} {:>9}  exits\n", "fault", "runs", "met", "findings");
    for (kind, sums) in sums {
        let exits: Vec<_> = sums.exits.iter().map(|(exit, count)| format!("{count} x {exit}")).collect();
        let (runs, met, findings) = (sums.runs, sums.met, sums.findings);
        writeln!(table, "{kind:<24} {runs:>5} {met:>5} {findings:>9}  {}", exits.join(", ")).unwrap();
    }
    table
}

#[test]
fn whatever_a_machine_refuses_nothing_acknowledged_is_lost_and_nothing_else_is_there() {
    if full::plays_its_role() {
        return;
    }
    let started = SystemClock.monotonic();
    let tools = Tools {
        strace: can_run(&["strace", "-V"]) && can_run(&["strace", "-qq", "-e", "trace=none", "true"]),
        mount: can_run(&["unshare", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]),
    };
    let asked = asked_seeds();
    let seeds = asked.clone().unwrap_or(0..KINDS);
    let next = AtomicU64::new(seeds.start);
    let sums = Mutex::new(BTreeMap::<String, Sums>::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let Some(ended) = run(seed, tools) else { continue };
                    for finding in &ended.findings {
                        println!("FOUND with seed {seed}, {}: {finding}", ended.kind);
                    }
                    let mut sums = sums.lock().unwrap();
                    let sums = sums.entry(ended.kind).or_default();
                    sums.runs += 1;
                    sums.met += u64::from(ended.met);
                    sums.findings += ended.findings.len() as u64;
                    *sums.exits.entry(ended.exit).or_default() += 1;
                }
            });
        }
    });
    let sums = sums.into_inner().unwrap();
    println!("{}", table(&sums));
    let of = |of: fn(&Sums) -> u64| sums.values().map(of).sum::<u64>();
    let (runs, met, findings) = (of(|sums| sums.runs), of(|sums| sums.met), of(|sums| sums.findings));
    let kills = sums.values().filter_map(|sums| sums.exits.get("killed")).sum::<u64>();
    let seconds = (SystemClock.monotonic() - started).as_secs();
    if let Some(seeds) = asked {
        assert!(tools.strace && tools.mount, "a range needs every tool: its runs would not add up");
        // `sim/faults` takes this line.
        println!(
            "SUMMARY \"seeds\":\"{}..{}\",\"runs\":{runs},\"met\":{met},\"kills\":{kills},\"findings\":{findings},\
             \"seconds\":{seconds}",
            seeds.start, seeds.end,
        );
    } else {
        println!("{runs} runs, {met} met their fault, {seconds} s");
    }
    assert!(met * 10 >= runs * 9, "only {met} of {runs} runs met their fault");
    assert_eq!(findings, 0, "see the lines above; NETDB_FAULT_SEEDS=<seed>..<seed + 1> repeats a run");
}

fn asked_seeds() -> Option<Range<u64>> {
    let text = std::env::var("NETDB_FAULT_SEEDS").ok()?;
    let (from, to) = text.split_once("..").expect("NETDB_FAULT_SEEDS is a range such as 24..96");
    Some(from.parse().expect("a number")..to.parse().expect("a number"))
}

/// Returns one of the items.
fn pick<'a, T>(dice: &SeededRandom, items: &'a [T]) -> &'a T {
    &items[usize::try_from(dice.below(items.len() as u64)).unwrap()]
}
