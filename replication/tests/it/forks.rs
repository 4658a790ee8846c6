//! Forks: a leader of which there are two copies gives different nodes different entries for one place. Whoever meets
//! both has the proof.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{ChannelName, CrashImage, Index, NodeId, SimulatedDisk};
use redex::{
    AppendRequest, ChannelEvents, Completion, EntryContent, EventInput, ForkProof, Idempotency, Proposer,
    ReplicaEntry, SealedEntry, fork_proofs,
};
use replication::Link;

use crate::support::{Cluster, DIR, append, appended, channel, key};

/// Longer than it takes until logs are compared.
const COMPARED: Duration = Duration::from_secs(40);

fn sealed(proposer: &mut Proposer, payload: &str) -> ReplicaEntry {
    let orders: ChannelName = channel("orders");
    let events = [EventInput::new("order.placed", payload.as_bytes())];
    let parts = [ChannelEvents { channel: &orders, events: &events }];
    proposer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
    proposer.seal().remove(0)
}

/// The entry as another process would get it.
fn sent(entry: &ReplicaEntry) -> ReplicaEntry {
    let EntryContent::Sealed(sealed) = &entry.content else { return entry.clone() };
    let content = EntryContent::Sealed(SealedEntry::from_bytes(sealed.bytes().clone()));
    ReplicaEntry { slot: entry.slot, content }
}

fn proofs(disk: &SimulatedDisk) -> Vec<ForkProof> {
    let found = fork_proofs(Path::new(DIR), disk).unwrap();
    found.into_iter().map(|found| found.proof.unwrap()).collect()
}

/// Three nodes that are down. What the leader sequenced last is one entry on itself and another one on `victim`; it was in two
/// places at once, with the same random numbers.
async fn forked(seed: u64, victim: NodeId) -> (Cluster, Index) {
    let mut cluster = Cluster::start(seed, 3).await;
    let leader = cluster.leader().await;
    for number in 0..5 {
        appended(&cluster.group(leader), &format!("{number}")).await;
    }
    cluster.agreed().await;
    let term = cluster.group(leader).standing().term;
    let nodes: Vec<_> = cluster.nodes.keys().copied().collect();
    for node in &nodes {
        cluster.crash_leaving(*node, &CrashImage::All).await;
    }
    let disk = &cluster.down[&leader];
    let copy = disk.snapshot().image(&CrashImage::All);
    let (one, other) = (cluster.open_log(leader, disk), cluster.open_log(leader, &copy));
    let entry = |log: &redex::ReplicaLog, payload: &str| {
        sealed(&mut log.proposer(term, leader, key(leader.0)), payload)
    };
    let (first, second) = (entry(&one.0, "to most"), entry(&other.0, "to one"));
    let index = first.slot.index;
    assert_eq!((first.slot, first == second), (second.slot, false));
    for opened in [one, other] {
        opened.1.abort();
        let _ = opened.1.await;
    }
    for node in nodes {
        let (log, flusher) = cluster.open_log(node, &cluster.down[&node]);
        let given = if node == victim { &second } else { &first };
        log.append(&[sent(given)], Completion::ignored()).unwrap();
        log.close().unwrap();
        flusher.abort();
        let _ = flusher.await;
    }
    (cluster, index)
}

#[tokio::test(start_paused = true)]
async fn nodes_that_hold_two_entries_of_one_leader_find_the_fork_when_they_compare() {
    for seed in 300..302 {
        let victim = NodeId(1 + seed % 3);
        let (mut cluster, index) = forked(seed, victim).await;
        for node in [1, 2, 3].map(NodeId) {
            cluster.restart(node).await;
        }
        tokio::time::sleep(COMPARED).await;
        for node in cluster.nodes.values() {
            let found = proofs(&node.disk);
            let meets = node.id == victim || node.group.forks() > 0;
            assert!(meets, "node {} of seed {seed}", node.id);
            let [proof] = &found[..] else { panic!("{found:?}") };
            assert_eq!((proof.index(), node.group.forks()), (index, 1));
            assert_eq!(ForkProof::verify(&proof.encode()).as_ref(), Ok(proof));
            assert!(node.group.divergences().is_empty(), "a fork explains it");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_repair_finds_the_fork_between_what_it_is_given_and_what_was_held() {
    let victim = NodeId(2);
    let (mut cluster, index) = forked(310, victim).await;
    for node in [1, 3].map(NodeId) {
        cluster.restart(node).await;
    }
    cluster.leader().await;
    // It lost something else, so that it asks the others first.
    let disk = cluster.down[&victim].clone();
    base::Disk::remove(&disk, &Path::new(DIR).join("logs/shared/promised")).unwrap();
    let (log, flusher) = cluster.open_log(victim, &disk);
    assert!(log.doubt().is_some());
    let link: Arc<dyn Link> = Arc::new(cluster.ways(victim));
    replication::repair(&log, victim, &link, &cluster.named, |_| ()).await.unwrap();
    let [proof] = &proofs(&disk)[..] else { panic!("one proof") };
    assert_eq!((proof.index(), log.forks()), (index, 1));
    // And it has what the others have.
    let other = cluster.group(NodeId(1));
    assert_eq!(log.mark(index).unwrap(), other.replica().mark(index).unwrap());
    flusher.abort();
}

#[tokio::test(start_paused = true)]
async fn committed_logs_that_differ_without_a_fork_are_told() {
    // The same place, sequenced by two leaderships: nobody is to blame, and yet both cannot be committed.
    let mut cluster = Cluster::start(320, 3).await;
    let leader = cluster.leader().await;
    appended(&cluster.group(leader), "first").await;
    cluster.agreed().await;
    let term = cluster.group(leader).standing().term;
    let nodes: Vec<_> = cluster.nodes.keys().copied().collect();
    for node in &nodes {
        cluster.crash_leaving(*node, &CrashImage::All).await;
    }
    let mut index = Index(0);
    for (at, node) in nodes.iter().enumerate() {
        let (log, flusher) = cluster.open_log(*node, &cluster.down[node]);
        // The random numbers of each are others.
        let entry = sealed(&mut log.proposer(term, leader, key(leader.0)), &format!("{}", at / 2));
        index = entry.slot.index;
        log.append(std::slice::from_ref(&entry), Completion::ignored()).unwrap();
        log.save_committed(Some(entry.slot)).unwrap();
        log.close().unwrap();
        flusher.abort();
        let _ = flusher.await;
    }
    for node in &nodes {
        cluster.restart(*node).await;
    }
    tokio::time::sleep(COMPARED).await;
    for node in cluster.nodes.values() {
        assert_eq!(node.group.forks(), 0, "none of them signed twice");
        let found = node.group.divergences();
        assert_eq!(found.len(), 2, "node {}: {found:?}", node.id);
        assert!(found.values().all(|found| found.index == index && found.held.hash != found.other.hash));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_accused_while_leaders_die_and_come_back() {
    for seed in 330..332 {
        let mut cluster = Cluster::start(seed, 3).await;
        for round in 0..6 {
            let leader = cluster.leader().await;
            for number in 0..3 {
                appended(&cluster.group(leader), &format!("{round} {number}")).await;
            }
            // What it proposes alone is cut off later.
            cluster.isolate(leader, true);
            let soon = Duration::from_millis(200);
            append(&cluster.group(leader), "lonely", Idempotency::None, soon).await;
            let other = cluster.leader_besides(&[leader]).await;
            appended(&cluster.group(other), &format!("{round} others")).await;
            if round % 2 == 0 {
                cluster.crash(leader).await;
                cluster.isolate(leader, false);
                cluster.restart(leader).await;
            } else {
                cluster.isolate(leader, false);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        cluster.agreed().await;
        tokio::time::sleep(COMPARED).await;
        for node in cluster.nodes.values() {
            let (forks, divergences) = (node.group.forks(), node.group.divergences());
            assert_eq!((forks, divergences.len()), (0, 0), "seed {seed}, node {}", node.id);
        }
    }
}
