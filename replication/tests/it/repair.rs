//! Replicas that lost something of what they told others: they take no part until the others gave it back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{CrashImage, Disk, NodeId, OpenMode, SimulatedDisk};
use redex::Idempotency;
use replication::{ConsensusError, Group, Groups, Link, RepairError, Role, Timing};

use crate::support::{Cluster, DIR, LONG, append, appended, key, payloads};

/// What happens to a disk while its node is down.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// A bit of the segment with this number is inverted.
    Bit { segment: usize },
    /// The segment is cut to half of what it holds.
    Cut { segment: usize },
    /// The segment is gone.
    Gone { segment: usize },
    /// The log is gone, with its directory.
    Everything,
}

pub fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let files = disk.files().into_iter().map(|(path, _)| path);
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "seg");
    let in_use = |path: &PathBuf| path.parent().is_some_and(|dir| dir.ends_with("shared"));
    files.filter(|path| is_segment(path) && in_use(path)).collect()
}

fn used(disk: &SimulatedDisk, path: &Path) -> u64 {
    let bytes = disk.read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1
}

pub fn remove(disk: &SimulatedDisk, path: &Path) {
    disk.remove(path).unwrap();
    disk.sync_directory(path.parent().unwrap()).unwrap();
}

fn damage(disk: &SimulatedDisk, damage: Damage) {
    let segments = segments(disk);
    match damage {
        Damage::Bit { segment } => {
            let path = &segments[segment];
            disk.flip_bit(path, used(disk, path) / 2 * 8 + 3);
        }
        Damage::Cut { segment } => {
            let path = &segments[segment];
            let file = disk.open(path, OpenMode::Write).unwrap();
            file.set_length(used(disk, path) / 2).unwrap();
            file.sync_data().unwrap();
        }
        Damage::Gone { segment } => remove(disk, &segments[segment]),
        Damage::Everything => {
            let logs = Path::new(DIR).join("logs");
            let files = disk.files().into_iter().map(|(path, _)| path);
            files.filter(|path| path.starts_with(&logs)).for_each(|path| remove(disk, &path));
        }
    }
}

/// Appends so much that the log has several segments.
pub async fn fill(group: &Group, numbers: std::ops::Range<u64>) {
    for number in numbers {
        appended(group, &format!("{number} {}", "x".repeat(2_000))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_replica_is_whole_again_before_it_takes_part() {
    let last = 2;
    let damages = (0..=last)
        .flat_map(|segment| [Damage::Bit { segment }, Damage::Cut { segment }, Damage::Gone { segment }])
        .chain([Damage::Everything]);
    for (round, what) in damages.enumerate() {
        let mut cluster = Cluster::start(100 + round as u64, 3).await;
        let leader = cluster.leader().await;
        fill(&cluster.group(leader), 0..80).await;
        cluster.agreed().await;
        // Now one that led, now one that did not.
        let node = if round % 2 == 0 { leader } else { cluster.follower().await };
        cluster.crash_leaving(node, &CrashImage::All).await;
        let disk = cluster.down[&node].clone();
        assert_eq!(segments(&disk).len(), last + 1, "{what:?}");
        damage(&disk, what);
        let other = cluster.group(cluster.leader().await);
        fill(&other, 80..90).await;
        cluster.restart(node).await;
        assert!(matches!(cluster.repaired[..], [given] if given > 0), "{what:?}: {:?}", cluster.repaired);
        fill(&other, 90..95).await;
        assert_eq!(cluster.agreed().await.len(), 95, "{what:?}");
        // It leads as well as any.
        let first = cluster.leader_besides(&[]).await;
        if first != node {
            cluster.group(first).transfer(node, LONG).await.unwrap();
        }
        fill(&cluster.group(node), 95..100).await;
        assert_eq!(cluster.agreed().await.len(), 100, "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_elected_by_a_replica_that_lost_what_was_committed_with_its_help() {
    nobody_is_elected_by_a_lossy_replica(true).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_elected_by_a_lossy_replica_while_nobody_there_can_tell_who_votes() {
    nobody_is_elected_by_a_lossy_replica(false).await;
}

/// What is committed on two of three, one of which loses it, counts while the third one was behind: whether that one knows who
/// votes, or was cut off before it heard of it.
async fn nobody_is_elected_by_a_lossy_replica(members_are_known: bool) {
    let mut cluster = Cluster::start(200, 3).await;
    let leader = cluster.leader().await;
    let followers: Vec<_> = cluster.nodes.keys().copied().filter(|node| *node != leader).collect();
    let [lossy, behind] = followers[..] else { unreachable!("three nodes") };
    if members_are_known {
        cluster.agreed().await;
    }
    cluster.isolate(behind, true);
    assert_eq!(cluster.group(behind).standing().voters.is_empty(), !members_are_known);
    fill(&cluster.group(leader), 0..80).await;
    cluster.crash_leaving(lossy, &CrashImage::All).await;
    damage(&cluster.down[&lossy], Damage::Everything);
    cluster.crash(leader).await;
    cluster.isolate(behind, false);

    // It cannot know what it had: the one that could tell is down.
    let disk = cluster.down.remove(&lossy).unwrap();
    let (log, flusher) = cluster.open_log(lossy, &disk);
    let link: Arc<dyn Link> = Arc::new(cluster.ways(lossy));
    let refused = Groups::default()
        .start(log.clone(), lossy, key(lossy.0), Arc::clone(&link), &Timing::default())
        .await;
    assert!(matches!(refused, Err(ConsensusError::InDoubt { .. })), "{refused:?}");
    let causes = Arc::new(Mutex::new(BTreeSet::new()));
    let told = Arc::clone(&causes);
    let others: BTreeSet<_> = cluster.named.clone();
    let repairing = tokio::spawn(async move {
        let tell = |cause: &RepairError| {
            told.lock().unwrap().insert(cause.to_string());
        };
        let given = replication::repair(&log, lossy, &link, &others, tell).await.unwrap();
        let vote = log.vote();
        log.close().unwrap();
        (given, vote)
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!repairing.is_finished());
    assert_ne!(cluster.group(behind).standing().role, Role::Leader);
    let cause = format!("{:?}", BTreeSet::from([leader]));
    assert!(causes.lock().unwrap().iter().all(|told| told.contains(&cause)), "{causes:?}");

    let term = cluster.group(behind).replica().vote().unwrap().term;
    cluster.restart(leader).await;
    let (given, vote) = repairing.await.unwrap();
    assert!(given >= 80);
    // It may have voted for whom the others know of.
    assert!(vote.is_some_and(|vote| vote.term >= term), "{vote:?}");
    flusher.abort();
    let _ = flusher.await;
    cluster.open(lossy, disk).await;
    assert_eq!(cluster.repaired, [0; 0], "it was settled before");
    assert_eq!(cluster.agreed().await.len(), 80);
}

#[tokio::test(start_paused = true)]
async fn what_the_others_replaced_meanwhile_is_replaced() {
    let mut cluster = Cluster::start(201, 3).await;
    let old = cluster.leader().await;
    fill(&cluster.group(old), 0..3).await;
    cluster.agreed().await;
    // It has entries that nobody else has, and never will.
    cluster.isolate(old, true);
    let group = cluster.group(old);
    let alone =
        tokio::spawn(
            async move { append(&group, "alone", Idempotency::None, Duration::from_millis(300)).await },
        );
    let _ = alone.await.unwrap();
    cluster.crash_leaving(old, &CrashImage::All).await;
    let new = cluster.leader_besides(&[old]).await;
    fill(&cluster.group(new), 3..6).await;
    cluster.isolate(old, false);
    remove(&cluster.down[&old], &Path::new(DIR).join("logs/shared/promised"));
    cluster.restart(old).await;
    assert_eq!(cluster.repaired.len(), 1);
    let all = cluster.agreed().await;
    assert_eq!(all.len(), 6);
    assert_eq!(payloads(&cluster.group(old)), all);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_nobody_else_holds_says_so() {
    let mut cluster = Cluster::start(202, 1).await;
    let only = cluster.leader().await;
    fill(&cluster.group(only), 0..80).await;
    cluster.crash_leaving(only, &CrashImage::All).await;
    let disk = cluster.down.remove(&only).unwrap();
    damage(&disk, Damage::Gone { segment: 2 });
    let (log, flusher) = cluster.open_log(only, &disk);
    let link: Arc<dyn Link> = Arc::new(cluster.ways(NodeId(1)));
    let (told, mut cause) = tokio::sync::mpsc::unbounded_channel();
    let others = cluster.named.clone();
    let repairing = tokio::spawn(async move {
        let tell = |cause: &RepairError| drop(told.send(cause.clone()));
        replication::repair(&log, only, &link, &others, tell).await
    });
    assert_eq!(cause.recv().await, Some(RepairError::Alone));
    repairing.abort();
    flusher.abort();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_given_up_and_comes_back_asks_whoever_may_hold_the_log_before_it_speaks() {
    let mut cluster = Cluster::start(230, 3).await;
    let old = cluster.follower().await;
    fill(&cluster.group(cluster.leader().await), 0..10).await;
    cluster.agreed().await;
    cluster.open(NodeId(4), SimulatedDisk::new()).await;
    let leader = cluster.group(cluster.leader().await);
    leader.add_learners(&[crate::support::member(4)].into()).await.unwrap();
    let rest: BTreeSet<_> = (1..=4).map(NodeId).filter(|node| *node != old).collect();
    leader.set_voters(&rest, &BTreeSet::new()).await.unwrap();
    fill(&leader, 10..15).await;
    cluster.crash_leaving(old, &CrashImage::All).await;
    let disk = cluster.down[&old].clone();
    let doors = base::Doors {
        clock: Arc::new(base::ManualClock::new(base::Timestamp::from_nanos(1_700_000_000_000_000_000))),
        random: Arc::new(base::SeededRandom::new(77)),
        disk: Arc::new(disk.clone()),
    };
    let mut options = redex::LogOptions::default();
    options.flusher = redex::FlusherMode::Manual;
    let store = redex::Store::open(Path::new(DIR), &doors, &options).unwrap();
    let name = redex::LogName::new("shared").unwrap();
    store.give_up_replica(&name, leader.id()).unwrap();
    store.close().unwrap();
    drop(store);
    // It has nothing, and votes for nobody: one of the others may count it as a voter still.
    let (log, flusher) = cluster.open_log(old, &disk);
    assert!(log.came_back() && log.state().last.is_none());
    let link: Arc<dyn Link> = Arc::new(cluster.ways(old));
    let started = replication::Groups::default();
    let started = started.start(log.clone(), old, key(old.0), Arc::clone(&link), &Timing::default()).await;
    assert!(matches!(started, Err(ConsensusError::InDoubt { .. })), "{started:?}");
    // That nobody of those that are to hold the log has it says nothing.
    let named = BTreeSet::from([old]);
    let alone = replication::repair(&log, old, &link, &named, |_| ());
    assert!(tokio::time::timeout(LONG, alone).await.is_err());
    let given = replication::repair_asking_also(&log, old, &link, &named, &rest, |_| ()).await.unwrap();
    assert!(given > 15 && log.doubt().is_none(), "{given}");
    assert_eq!(log.state().last, leader.replica().state().last);
    assert_eq!(log.vote(), leader.replica().vote());
    flusher.abort();
}
