//! One run: a seed becomes a world, something goes wrong in it, it heals, and everything is looked at.

mod end;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Hash;
use tokio::runtime::RngSeed;

use crate::client::Client;
use crate::dice::{Dice, mixed};
use crate::history::{History, Recorder};
use crate::nemesis::Nemesis;
use crate::node::Keeps;
use crate::wires::Transport;
use crate::world::{Plan, World};
use crate::{entropy, nemesis};

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(10);
/// How long it takes at most that a group has a leader at first.
const BEGIN: Duration = Duration::from_secs(2);
/// How often all nodes are looked at, beside at each acknowledgement and before each crash.
const LOOK: Duration = Duration::from_millis(10);
/// Simulated time that no run needs.
const LONGEST: Duration = Duration::from_secs(120);

/// What is asked of a run.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What may go wrong, by name; everything when nothing is named.
    pub nemeses: Vec<String>,
    /// What messages travel over; by the seed when not said.
    pub transport: Option<Transport>,
    /// Whether the lines of the trace are kept.
    pub keeps_lines: bool,
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What messages travelled over.
    pub transport: Transport,
    /// Nodes that were there.
    pub nodes: u64,
    /// What groups kept of their log; everything when not said.
    pub keeps: Option<Keeps>,
    /// How often each fault happened.
    pub faults: BTreeMap<String, u64>,
    /// What was asked and told, and what the log held in the end.
    pub history: History,
    /// Entries that were committed in the end.
    pub committed: u64,
    /// Leaderships in the end: the highest term.
    pub term: u64,
    /// How long it took in simulated time.
    pub simulated: Duration,
    /// How long a client had to wait for the first append after healing, at most, in simulated time.
    pub healed_within: Duration,
    /// How often all nodes were looked at.
    pub looks: u64,
    /// The hash of the trace.
    pub trace: Hash,
    /// The lines of the trace, if they were wanted.
    pub lines: Vec<String>,
    /// What did not hold.
    pub violations: Vec<String>,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Has panics be noted instead of printed; they are violations.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        let _ = PANICS.try_with(|panics| panics.borrow_mut().push(info.to_string()));
    }));
}

/// Returns the nemeses of these names; all when there is none.
///
/// # Errors
///
/// The name that is none's.
pub fn nemeses(names: &[String]) -> Result<Vec<Nemesis>, String> {
    let mut all = nemesis::all();
    if names.is_empty() {
        return Ok(all);
    }
    all.push(nemesis::absence());
    let known = || all.iter().map(|nemesis| nemesis.name).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let found = all.iter().find(|nemesis| nemesis.name == name);
        found.copied().ok_or_else(|| format!("there is no nemesis `{name}`: name some of {}", known()))
    };
    names.iter().map(find).collect()
}

/// Returns what a seed makes of a world.
pub fn plan(seed: u64, transport: Option<Transport>) -> Plan {
    let dice = Dice::new(seed, "plan");
    // Every second seed, so that any range has half of each.
    let by_seed = if seed.is_multiple_of(2) { Transport::Quic } else { Transport::Memory };
    let (voters, spare) = match dice.below(4) {
        0 => (5, 0),
        1 => (3, 2),
        2 => (3, 1),
        _ => (3, 0),
    };
    Plan { seed, transport: transport.unwrap_or(by_seed), voters, nodes: voters + spare, keeps: keeps(seed) }
}

/// Returns what a seed has groups keep of their log: half of the seeds everything.
fn keeps(seed: u64) -> Option<Keeps> {
    let dice = Dice::new(seed, "retention");
    let segment_bytes = (16 + 8 * dice.below(3)) << 10;
    let bytes = segment_bytes * (2 + dice.below(4)) / 2;
    dice.happens(500).then_some(Keeps { bytes, segment_bytes })
}

/// Runs a seed, on a thread of its own so that nothing of another run is left.
///
/// # Errors
///
/// A nemesis that does not exist; a thread that cannot be had, or that ended by a panic.
pub fn run(seed: u64, wanted: &Wanted) -> Result<Report, String> {
    let nemeses = nemeses(&wanted.nemeses)?;
    let wanted = wanted.clone();
    let thread = std::thread::Builder::new().name(format!("seed-{seed}"));
    let run = thread.spawn(move || run_here(seed, &nemeses, &wanted)).map_err(|cause| cause.to_string())?;
    run.join().map_err(|_| format!("the run of seed {seed} ended by a panic"))?
}

fn run_here(seed: u64, nemeses: &[Nemesis], wanted: &Wanted) -> Result<Report, String> {
    entropy::seed(mixed(seed, "libraries"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(RngSeed::from_bytes(&mixed(seed, "runtime").to_le_bytes()))
        .build()
        .map_err(|cause| cause.to_string())?;
    let plan = plan(seed, wanted.transport);
    let absence = (wanted.nemeses.is_empty() && plan.keeps.is_some()).then(nemesis::absence);
    let mut report = runtime.block_on(async {
        let world = Arc::new(World::new(plan, wanted.keeps_lines));
        match tokio::time::timeout(LONGEST, live(&world, nemeses, absence)).await {
            Ok(report) => report,
            Err(_) => {
                world.violate(format!("the run does not end within {LONGEST:?}"));
                report(&world, History::default(), Duration::ZERO)
            }
        }
    });
    drop(runtime);
    PANICS.with_borrow_mut(|panics| {
        report.violations.extend(panics.drain(..).map(|panic| format!("panic: {panic}")));
    });
    Ok(report)
}

/// Everything, from the first start to the last look.
async fn live(world: &Arc<World>, nemeses: &[Nemesis], always: Option<Nemesis>) -> Report {
    if let Err(cause) = world.begin().await {
        world.violate(format!("the group does not begin: {cause}"));
        return report(world, History::default(), Duration::ZERO);
    }
    let recorder = Arc::new(Recorder::default());
    let watching = tokio::spawn(watch(Arc::clone(world)));
    let _ = tokio::time::timeout(BEGIN, end::learn(world)).await;
    tokio::time::sleep(BEGIN.saturating_sub(world.elapsed())).await;
    let clients: Vec<_> = (0..4)
        .map(|number| tokio::spawn(Client::new(world, &recorder, number).run(BEGIN + TROUBLE)))
        .collect();
    let late = tokio::spawn(come_late(Arc::clone(world)));
    trouble(world, nemeses, always).await;
    let _ = late.await;
    for client in clients {
        let _ = client.await;
    }
    let healed_within = end::heal(world).await;
    end::agree_in_time(world).await;
    watching.abort();
    let history = end::look(world, &recorder).await;
    report(world, history, healed_within)
}

async fn watch(world: Arc<World>) {
    loop {
        tokio::time::sleep(LOOK).await;
        world.see();
    }
}

/// Starts the node that is new to the group, some time after the others.
async fn come_late(world: Arc<World>) {
    let Some(id) = world.plan.late() else { return };
    let dice = Dice::new(world.plan.seed, "late");
    tokio::time::sleep(dice.time(TROUBLE / 4..TROUBLE)).await;
    if let Err(cause) = world.start(id).await {
        world.violate(format!("node {id}, which is new, does not start: {cause}"));
    }
    let _ = tokio::time::timeout(BEGIN, end::learn(&world)).await;
}

/// Has one thing after the other go wrong, some at the same time, until the time is over and everything was taken back.
async fn trouble(world: &Arc<World>, nemeses: &[Nemesis], always: Option<Nemesis>) {
    let dice = Arc::new(Dice::new(world.plan.seed, "nemeses"));
    // A few kinds a run: with all at once, nothing goes far enough to go wrong.
    let kinds = 1 + dice.below(4);
    let mut chosen: Vec<_> = (0..kinds).filter_map(|_| dice.pick(nemeses).copied()).collect();
    chosen.extend(always);
    let pause = Duration::from_millis(100 + dice.below(1_200));
    let mut strikes = Vec::new();
    while world.elapsed() < BEGIN + TROUBLE && world.violations().is_empty() {
        tokio::time::sleep(dice.time(Duration::from_millis(10)..pause)).await;
        if let Some(nemesis) = dice.pick(&chosen) {
            strikes.push(tokio::spawn((nemesis.strike)(Arc::clone(world), Arc::clone(&dice))));
        }
    }
    for strike in strikes {
        let _ = strike.await;
    }
}

fn report(world: &World, history: History, healed_within: Duration) -> Report {
    let (looks, committed, term) = {
        let watcher = world.watcher.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let nodes = || watcher.moment().nodes.values();
        let committed = nodes().map(|node| node.visible).max().unwrap_or(0);
        let term = nodes().filter_map(|node| node.vote).map(|vote| vote.0).max().unwrap_or(0);
        (watcher.looks(), committed, term)
    };
    let mut faults = world.faults();
    for (what, count) in world.wires.counts() {
        faults.insert(what.to_owned(), count);
    }
    world.trace.note(format_args!("end: {committed} committed, term {term}, {faults:?}"));
    Report {
        seed: world.plan.seed,
        transport: world.plan.transport,
        nodes: world.plan.nodes,
        keeps: world.plan.keeps,
        faults,
        history,
        committed,
        term,
        simulated: world.elapsed(),
        healed_within,
        looks,
        trace: world.trace.hash(),
        lines: world.trace.take_lines(),
        violations: world.violations(),
    }
}
