//! Logs that give up their beginning, and nodes that lack what was given up.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base::{Index, NodeId, Position, SimulatedDisk};
use redex::{Retention, Selection};
use replication::Timing;

use crate::repair::{fill, remove, segments};
use crate::support::{Cluster, DIR, appended, channel, member, payloads};

/// Keeps about four segments.
const KEPT_BYTES: u64 = 256 << 10;

/// Starts three nodes that keep the newest of their log.
async fn start(seed: u64) -> Cluster {
    Cluster::keeping(seed, 3, Retention::of_bytes(KEPT_BYTES)).await
}

/// The first entry that a node has.
fn first(cluster: &Cluster, id: u64) -> Index {
    let entries = cluster.group(NodeId(id)).replica().entries(Index::ZERO..Index(u64::MAX), 1).unwrap();
    entries.first().map_or(Index::ZERO, |entry| entry.slot.index)
}

/// Waits until nodes have given up what they have of the log's beginning, and returns where they begin.
async fn given_up(cluster: &Cluster, nodes: &[u64], beyond: Index) -> Vec<Index> {
    for _ in 0..60 {
        let begin: Vec<_> = nodes.iter().map(|id| first(cluster, *id)).collect();
        if begin.iter().all(|first| *first > beyond) {
            return begin;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let begin: Vec<_> = nodes.iter().map(|id| first(cluster, *id)).collect();
    panic!("nothing was given up beyond {beyond}: {begin:?}");
}

/// Waits until all nodes end with the same log, and returns what they show of the channel `orders`: the same, but for what
/// one gave up later than another.
async fn agreed(cluster: &Cluster) -> Vec<String> {
    let ends = || -> BTreeSet<_> {
        let groups = cluster.nodes.keys().map(|id| cluster.group(*id));
        groups.map(|group| (group.replica().root(), group.reader().visible())).collect()
    };
    for _ in 0..60_000 {
        let shown = ends();
        if let [((end, _), visible)] = shown.iter().collect::<Vec<_>>()[..]
            && end == visible
        {
            let shown: BTreeSet<_> = cluster.nodes.keys().map(|id| payloads(&cluster.group(*id))).collect();
            assert_eq!(shown.len(), 1, "what readers see depends on the log alone");
            return shown.into_iter().next().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the nodes do not agree: {:?}", ends());
}

#[tokio::test(start_paused = true)]
async fn what_a_log_gives_up_goes_on_every_node_and_a_new_one_begins_where_they_do() {
    let mut cluster = start(40).await;
    let leader = cluster.leader().await;
    fill(&cluster.group(leader), 0..300).await;
    let begin = given_up(&cluster, &[1, 2, 3], Index(140)).await;
    let kept = agreed(&cluster).await;
    assert!((50..290).contains(&kept.len()), "{}", kept.len());
    assert!(kept.last().unwrap().starts_with("299 "));
    for id in [1, 2, 3] {
        let files = segments(&cluster.nodes[&NodeId(id)].disk).len();
        assert!(files <= 6, "{files} files of node {id}");
        let orders = cluster.group(NodeId(id)).reader().view().channel(&channel("orders")).unwrap().unwrap();
        assert_eq!((orders.next_seq.0, orders.first_seq.0), (300, 300 - kept.len() as u64));
    }
    cluster.open(NodeId(4), SimulatedDisk::new()).await;
    cluster.group(leader).add_learners(&[member(4)].into()).await.unwrap();
    assert_eq!(agreed(&cluster).await, kept);
    assert!(first(&cluster, 4) >= *begin.iter().min().unwrap(), "it was not sent what nobody has");
    let voters = [2, 3, 4].map(NodeId).into();
    cluster.group(leader).set_voters(&voters, &[].into()).await.unwrap();
    appended(&cluster.group(NodeId(4)), "by the new one").await;
    // All at once, and again from what they hold.
    for id in [1, 2, 3, 4].map(NodeId) {
        cluster.crash(id).await;
    }
    for id in [2, 3, 4].map(NodeId) {
        cluster.restart(id).await;
    }
    assert_eq!(agreed(&cluster).await.last().map(String::as_str), Some("by the new one"));
    let leader = cluster.leader().await;
    fill(&cluster.group(leader), 300..500).await;
    given_up(&cluster, &[2, 3, 4], *begin.iter().max().unwrap()).await;
    agreed(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_away_for_longer_than_the_log_is_kept_goes_on_with_a_snapshot() {
    for seed in 50..56 {
        let mut cluster = start(seed).await;
        let leader = cluster.leader().await;
        fill(&cluster.group(leader), 0..10).await;
        let away = cluster.follower().await;
        let others: Vec<_> = [1, 2, 3].into_iter().filter(|id| NodeId(*id) != away).collect();
        match seed % 2 {
            0 => cluster.isolate(away, true),
            _ => cluster.crash(away).await,
        }
        let end = cluster.group(leader).replica().root().0;
        fill(&cluster.group(leader), 10..300).await;
        given_up(&cluster, &others, Index(end.0)).await;
        match seed % 2 {
            0 => cluster.isolate(away, false),
            _ => cluster.restart(away).await,
        }
        let kept = agreed(&cluster).await;
        assert!(kept.last().unwrap().starts_with("299 "));
        assert!(first(&cluster, away.0) > Index(end.0), "it has nothing of what it lacked");
        // It votes like everybody else: with it and one of the others there is a majority.
        let other = NodeId(others[0]);
        cluster.crash(NodeId(others[1])).await;
        appended(&cluster.group(other), "with it").await;
        assert_eq!(agreed(&cluster).await.last().map(String::as_str), Some("with it"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_while_it_was_offered_a_snapshot_goes_on_soon() {
    for seed in 80..84 {
        let cluster = start(seed).await;
        let leader = cluster.leader().await;
        let away = cluster.follower().await;
        let others: Vec<_> = [1, 2, 3].into_iter().filter(|id| NodeId(*id) != away).collect();
        cluster.isolate(away, true);
        let end = cluster.group(leader).replica().root().0;
        fill(&cluster.group(leader), 10..300).await;
        given_up(&cluster, &others, Index(end.0)).await;
        // The leader offers one by now, and is not answered.
        tokio::time::sleep(Duration::from_millis(500 * (seed - 79))).await;
        cluster.isolate(away, false);
        let caught_up = tokio::time::timeout(Duration::from_secs(5), agreed(&cluster)).await;
        assert!(caught_up.is_ok(), "{seed}: nobody waits for what was lost");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lost_what_the_others_gave_up_is_whole_again_without_it() {
    for seed in 60..64 {
        let mut cluster = start(seed).await;
        let leader = cluster.leader().await;
        fill(&cluster.group(leader), 0..300).await;
        given_up(&cluster, &[1, 2, 3], Index(10)).await;
        let damaged = cluster.follower().await;
        cluster.crash(damaged).await;
        let disk = cluster.down[&damaged].clone();
        match seed % 2 {
            // All of it, with its directory.
            0 => {
                let logs = Path::new(DIR).join("logs");
                let files = disk.files().into_iter().map(|(path, _)| path);
                files.filter(|path| path.starts_with(&logs)).for_each(|path| remove(&disk, &path));
            }
            // Its first segment: what is behind it goes with it.
            _ => remove(&disk, &segments(&disk)[0]),
        }
        fill(&cluster.group(leader), 300..310).await;
        cluster.restart(damaged).await;
        assert!(cluster.repaired.pop().is_some_and(|given| given > 0), "it was given what there is");
        let kept = agreed(&cluster).await;
        assert!(kept.last().unwrap().starts_with("309 "), "{seed}");
        let read = cluster.group(damaged).reader().view().scan(&Selection::default()).map(|_| ());
        assert!(read.is_ok(), "{read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_without_limits_keeps_everything() {
    let cluster = Cluster::start(70, 3).await;
    let leader = cluster.leader().await;
    fill(&cluster.group(leader), 0..100).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(agreed(&cluster).await.len(), 100);
    for id in [1, 2, 3].map(NodeId) {
        assert_eq!(cluster.group(id).replica().state().purged, None);
        assert!(cluster.group(id).reader().visible() > Position(100));
    }
}

#[tokio::test(start_paused = true)]
async fn another_retention_holds_from_when_it_is_said_also_in_a_group_that_started_anew() {
    let cluster = Cluster::start(48, 3).await;
    let leader = cluster.leader().await;
    fill(&cluster.group(leader), 0..200).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!([1, 2, 3].map(|id| first(&cluster, id)), [Index::ZERO; 3], "everything is kept");
    let keep = |bytes| cluster.nodes.values().for_each(|node| node.group.keep(&Retention::of_bytes(bytes)));
    keep(2 * KEPT_BYTES);
    let begin = given_up(&cluster, &[1, 2, 3], Index::ZERO).await;
    for node in cluster.nodes.values() {
        node.group.restart(&Timing::of(Duration::from_millis(200))).await.unwrap();
    }
    cluster.leader().await;
    keep(KEPT_BYTES);
    given_up(&cluster, &[1, 2, 3], *begin.iter().max().unwrap()).await;
}
