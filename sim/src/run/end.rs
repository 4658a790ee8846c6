//! The end of a run: everything heals, has to serve again, and is compared with what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{CrashImage, Doors, NodeId, SeededRandom};
use redex::{AppendRequest, ChannelEvents, EventInput, Idempotency, VerifyOptions};
use replication::Role;
use tokio::time::Instant;

use crate::client::{self, CHANNELS, Shown, Unread};
use crate::clock::MachineClock;
use crate::history::{Asked, History, Operation, Recorder, Told, check};
use crate::node::{DIRECTORY, Folds, LOG, Node, member};
use crate::world::World;

/// Within this time a healed cluster serves.
const SERVES_WITHIN: Duration = Duration::from_secs(10);
/// Within this time all nodes of a healed cluster are the same.
const AGREES_WITHIN: Duration = Duration::from_secs(10);

/// Takes back what is still wrong, starts what is off, and appends through each node. Returns how long the slowest took.
pub(super) async fn heal(world: &Arc<World>) -> Duration {
    world.trace.note("everything heals");
    world.set_clocks();
    for id in world.ids() {
        // A machine whose disk failed is replaced by itself: what failed is known by reopening only.
        let stopped = world.node(id).is_some_and(|node| node.group.standing().role == Role::Idle);
        if stopped || world.is_harmed(id) {
            world.crash(id, CrashImage::None).await;
        }
    }
    // One that lost something needs the others.
    let starts = world.off().into_iter().map(|id| {
        let world = Arc::clone(world);
        async move {
            if let Err(cause) = world.start(id).await {
                world.violate(format!("node {id} does not start when it is healed: {cause}"));
            }
        }
    });
    for start in starts.map(tokio::spawn).collect::<Vec<_>>() {
        let _ = start.await;
    }
    let _ = tokio::time::timeout(SERVES_WITHIN, learn(world)).await;
    let mut slowest = Duration::ZERO;
    let appends = world.up().into_iter().map(|node| tokio::spawn(serve(Arc::clone(world), node)));
    for append in appends.collect::<Vec<_>>() {
        slowest = slowest.max(append.await.unwrap_or(SERVES_WITHIN));
    }
    slowest
}

/// Appends through a node; returns how long that took.
async fn serve(world: Arc<World>, node: Arc<Node>) -> Duration {
    let begun = Instant::now();
    let channel = client::channel("healed");
    let (payload, key) = (format!("node {}", node.id), format!("healed-{}", node.id));
    let events = [EventInput::new("healed", payload.as_bytes()).with_key(&payload)];
    let parts = [ChannelEvents { channel: &channel, events: &events }];
    let request = AppendRequest { parts: &parts, conditions: &[], idempotency: Idempotency::Key(&key) };
    let outcome = node.group.append(&request, SERVES_WITHIN).await;
    world.trace.note(format_args!("healed node {}: {outcome:?}", node.id));
    if !outcome.as_ref().is_ok_and(|outcome| outcome.at().is_some()) {
        world
            .violate(format!("node {} does not serve {SERVES_WITHIN:?} after healing: {outcome:?}", node.id));
    }
    begun.elapsed()
}

/// Waits until all nodes are the same. They are looked at meanwhile: logs go on giving up their beginning.
pub(super) async fn agree_in_time(world: &Arc<World>) {
    if tokio::time::timeout(AGREES_WITHIN, agree(world)).await.is_err() {
        let ends = |node: Arc<Node>| {
            let state = node.group.replica().state();
            (node.id, state.visible.0, node.group.replica().root().0.0)
        };
        let ends: Vec<_> = world.up().into_iter().map(ends).collect();
        world.violate(format!("logs differ {AGREES_WITHIN:?} after healing (node, visible, end): {ends:?}"));
    }
}

/// Compares everything.
pub(super) async fn look(world: &Arc<World>, recorder: &Recorder) -> History {
    world.see();
    let mut history = History { operations: recorder.operations(), channels: BTreeMap::new() };
    for name in CHANNELS {
        let shown: BTreeMap<_, _> =
            world.up().iter().map(|node| (node.id, client::shown(node, name))).collect();
        let different: BTreeSet<_> = shown.values().collect();
        if different.len() > 1 {
            let counts = |shown: &Result<Shown, Unread>| {
                shown.as_ref().map(|shown| (shown.first, shown.names.len())).map_err(Clone::clone)
            };
            let counts: Vec<_> = shown.iter().map(|(id, names)| (*id, counts(names))).collect();
            world.violate(format!("nodes differ in what {name} holds: {counts:?}"));
        }
        match shown.into_values().next() {
            Some(Ok(shown)) => {
                let names = shown.with_given_up(world, name);
                history.channels.insert(name.to_owned(), names.unwrap_or_default());
            }
            Some(Err(unread)) => world.violate(format!("{name} cannot be read in the end: {unread:?}")),
            None => {}
        }
    }
    if let Err(faults) = check(&history) {
        faults.into_iter().for_each(|fault| world.violate(format!("history: {fault}")));
    }
    producers(world, &history);
    folds(world);
    files(world).await;
    history
}

/// Waits until all nodes that are up show the same log to the same end.
async fn agree(world: &Arc<World>) {
    loop {
        let of = |node: &Arc<Node>| {
            let (end, root) = node.group.replica().root();
            (end, root, node.group.reader().visible())
        };
        let all: BTreeSet<_> = world.up().iter().map(of).collect();
        if let (1, Some((end, _, visible))) = (all.len(), all.first())
            && end == visible
        {
            world.trace.note(format_args!("all nodes agree up to {end}"));
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Makes nodes learners that no change of membership has met yet.
pub(super) async fn learn(world: &Arc<World>) {
    loop {
        if let Some(leader) = world.leader() {
            let known = leader.group.standing().members;
            let missing: BTreeMap<NodeId, _> = world
                .up()
                .iter()
                .map(|node| member(node.id))
                .filter(|(id, _)| !known.contains_key(id))
                .collect();
            if missing.is_empty() {
                return;
            }
            let added = leader.group.add_learners(&missing);
            let _ = tokio::time::timeout(Duration::from_secs(2), added).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a producer was acknowledged stands in the order of its numbers, without a gap.
fn producers(world: &World, history: &History) {
    let mut last: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for operation in &history.operations {
        let Operation {
            client, asked: Asked::Append { channel, events, .. }, told: Told::Appended(at), ..
        } = operation
        else {
            continue;
        };
        let number = |name: &String| name.split(['-', '.']).nth(1).and_then(|number| number.parse().ok());
        let Some(number) = events.first().and_then(number).filter(|_| channel == client::ORDERS) else {
            continue;
        };
        let before = last.insert(client, (number, *at));
        if let Some(before) = before.filter(|before| before.0 >= number || before.1 >= *at) {
            world.violate(format!("{client} has {number} at {at} behind {before:?}"));
        }
    }
}

/// All nodes fold to the same state, which is that of folding anew. Where the log gives up its beginning, all fold anew from
/// where it begins: the same place on all, since they have all of it.
fn folds(world: &World) {
    let mut hashes = BTreeMap::new();
    for node in world.up() {
        let clock = Arc::new(MachineClock::new(world.elapsed(), 0));
        let anew = Folds::new(node.group.reader(), clock).and_then(|folds| folds.fold());
        let folded = node.folds.as_ref().map_or_else(|| anew.clone(), Folds::fold);
        match (folded, anew) {
            (Ok(folded), Ok(anew)) if folded == anew => drop(hashes.insert(node.id, folded)),
            (folded, anew) => world.violate(format!("node {} folded {folded:?}, anew {anew:?}", node.id)),
        }
    }
    world.trace.note(format_args!("folds: {:?}", hashes.values().next()));
    let positions: BTreeSet<_> = hashes.values().map(|(position, _)| *position).collect();
    if positions.len() == 1 && hashes.values().collect::<BTreeSet<_>>().len() > 1 {
        world.violate(format!("nodes fold to different states: {hashes:?}"));
    }
}

/// Every file of every node verifies, each signature included, once it is closed.
async fn files(world: &World) {
    for id in world.ids() {
        world.stop(id).await;
        let Some(disk) = world.disk(id) else { continue };
        let options = VerifyOptions { all_signatures: true, ..VerifyOptions::default() };
        let at = Path::new(DIRECTORY);
        let doors = Doors {
            clock: Arc::new(MachineClock::new(world.elapsed(), 0)),
            random: Arc::new(SeededRandom::new(0)),
            disk: Arc::new(disk),
        };
        match redex::verify_all(at, &doors, &options) {
            Ok(reports) if reports.is_empty() => world.violate(format!("node {id} has no log {LOG}")),
            Ok(reports) => {
                for report in reports {
                    if !report.faults.is_empty() {
                        world.violate(format!("files of node {id}: {:?}", report.faults));
                    }
                }
            }
            Err(cause) => world.violate(format!("files of node {id} cannot be verified: {cause}")),
        }
    }
}
