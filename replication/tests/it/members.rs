//! Membership that changes while the group works.

use std::time::Duration;

use base::{NodeId, SimulatedDisk};
use redex::Idempotency;
use replication::ConsensusError;
use tokio::time::Instant;

use crate::support::{Cluster, LONG, append, appended, member, payloads};

#[tokio::test(start_paused = true)]
async fn a_fourth_node_learns_the_log_and_takes_the_place_of_another() {
    let mut cluster = Cluster::start(20, 3).await;
    let leader = cluster.leader().await;
    for number in 0..20 {
        appended(&cluster.group(leader), &format!("{number}")).await;
    }
    cluster.open(NodeId(4), SimulatedDisk::new()).await;
    cluster.group(leader).add_learners(&[member(4)].into()).await.unwrap();
    assert_eq!(cluster.agreed().await.len(), 20);
    let leaving = [1, 2, 3].map(NodeId).into_iter().find(|id| *id != leader).unwrap();
    let voters = [1, 2, 3, 4].map(NodeId).into_iter().filter(|id| *id != leaving).collect();
    cluster.group(leader).set_voters(&voters, &[].into()).await.unwrap();
    assert_eq!(cluster.group(leader).standing().voters, voters);
    assert!(!cluster.group(leader).standing().members.contains_key(&leaving));
    appended(&cluster.group(NodeId(4)), "by the new one").await;
    cluster.crash(leaving).await;
    // The new one counts: with the other old one it is the majority.
    let other = *voters.iter().find(|id| **id != leader && **id != NodeId(4)).unwrap();
    cluster.crash(leader).await;
    appended(&cluster.group(other), "without the old leader").await;
    assert_eq!(cluster.agreed().await.len(), 22);
}

#[tokio::test(start_paused = true)]
async fn appends_go_on_while_membership_changes_and_leadership_moves() {
    let cluster = Cluster::start(21, 3).await;
    let writer = cluster.group(cluster.follower().await);
    let appends = tokio::spawn(async move {
        for number in 0..300 {
            appended(&writer, &format!("{number}")).await;
        }
    });
    for round in 0..6 {
        let leader = cluster.leader().await;
        let next = NodeId(leader.0 % 3 + 1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        match round % 2 {
            0 => cluster.group(leader).transfer(next, LONG).await.unwrap(),
            _ => cluster.group(leader).add_learners(&[member(9)].into()).await.unwrap(),
        }
    }
    appends.await.unwrap();
    let wanted: Vec<_> = (0..300).map(|number| format!("{number}")).collect();
    assert_eq!(payloads(&cluster.group(cluster.leader().await)), wanted);
}

#[tokio::test(start_paused = true)]
async fn the_leader_removes_itself_and_the_others_go_on() {
    let cluster = Cluster::start(22, 3).await;
    let old = cluster.leader().await;
    appended(&cluster.group(old), "before").await;
    let rest = [1, 2, 3].map(NodeId).into_iter().filter(|id| *id != old).collect();
    cluster.group(old).set_voters(&rest, &[].into()).await.unwrap();
    let new = cluster.leader_besides(&[old]).await;
    appended(&cluster.group(new), "after").await;
    assert_eq!(payloads(&cluster.group(new)), ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn only_the_leader_changes_membership() {
    let cluster = Cluster::start(23, 3).await;
    let follower = cluster.group(cluster.follower().await);
    assert!(follower.add_learners(&[member(4)].into()).await.is_err());
    assert!(follower.transfer(NodeId(1), LONG).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_leadership_that_cannot_be_handed_over_in_time_is_not_waited_for() {
    let cluster = Cluster::start(24, 3).await;
    let leader = cluster.leader().await;
    let group = cluster.group(leader);
    appended(&group, "before").await;
    cluster.isolate(leader, true);
    // Without a majority it comes to no end.
    let asked = group.clone();
    let alone = tokio::spawn(async move { append(&asked, "alone", Idempotency::None, LONG).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let within = Duration::from_secs(1);
    let begun = Instant::now();
    let moved = tokio::time::timeout(LONG, group.transfer(cluster.follower().await, within)).await;
    assert!(moved.expect("it ends").is_err());
    assert!(begun.elapsed() <= within + Duration::from_millis(10), "{:?}", begun.elapsed());
    cluster.isolate(leader, false);
    alone.await.unwrap();
    let left = cluster.leader().await;
    appended(&cluster.group(left), "after").await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_members_without_a_majority_ends_in_time_and_can_be_asked_for_again() {
    // Without and with something on its way, which holds a change up, too.
    for (seed, is_busy) in [(60, false), (61, true)] {
        let mut cluster = Cluster::start(seed, 3).await;
        let leader = cluster.leader().await;
        appended(&cluster.group(leader), "first").await;
        cluster.agreed().await;
        cluster.open(NodeId(4), SimulatedDisk::new()).await;
        cluster.isolate(leader, true);
        let group = cluster.group(leader);
        let lonely = group.clone();
        let lonely = tokio::spawn(async move {
            if is_busy {
                append(&lonely, "lonely", Idempotency::None, LONG).await;
            }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let learners = [member(4)].into();
        for nth in 0..2 {
            let begun = Instant::now();
            let changed = match is_busy {
                false => group.add_learners(&learners).await,
                true => group.set_voters(&[leader].into(), &[].into()).await,
            };
            // The second time, the first one may be on its way still.
            let undecided = matches!(changed, Err(ConsensusError::Undecided { .. }));
            assert!(undecided || (nth == 1 && changed.is_err()), "{changed:?}");
            assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
        }
        cluster.isolate(leader, false);
        lonely.await.unwrap();
        let all = [1, 2, 3, 4].map(NodeId).into();
        for asked in 0.. {
            let group = cluster.group(cluster.leader().await);
            let changed = match group.add_learners(&learners).await {
                Ok(()) => group.set_voters(&all, &[].into()).await,
                failed => failed,
            };
            if changed.is_ok() && group.standing().voters == all {
                break;
            }
            assert!(asked < 50, "{changed:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        appended(&cluster.group(cluster.leader().await), "last").await;
        cluster.agreed().await;
    }
}
