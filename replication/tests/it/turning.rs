//! Groups that start anew with other times, what is told of it, and what catching up may take.

use std::num::NonZeroU64;
use std::time::Duration;

use base::NodeId;
use redex::{Idempotency, Outcome};
use replication::{Budget, Peak, ReplicationConfig, Role, StandingChange, StandingChanges, Timing};
use tokio::time::Instant;

use crate::support::{Cluster, LONG, append, appended, payloads};

fn slower() -> Timing {
    Timing::of(Duration::from_millis(300))
}

#[tokio::test(start_paused = true)]
async fn every_node_takes_up_other_times_while_appends_go_on_and_none_is_lost() {
    let cluster = Cluster::start(60, 3).await;
    let leader = cluster.leader().await;
    let writers: Vec<_> = [1, 2, 3]
        .map(|node| {
            let group = cluster.group(NodeId(node));
            tokio::spawn(async move {
                for number in 0..200 {
                    appended(&group, &format!("{node}-{number}")).await;
                }
            })
        })
        .into();
    tokio::time::sleep(Duration::from_millis(20)).await;
    for node in [1, 2, 3].map(NodeId).into_iter().filter(|node| *node != leader) {
        cluster.group(node).restart(&slower()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let next = cluster.follower().await;
    cluster.group(leader).transfer(next, LONG).await.unwrap();
    cluster.group(leader).restart(&slower()).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(cluster.agreed().await.len(), 600);
    for node in cluster.nodes.values() {
        assert_eq!(node.group.timing(), slower());
    }
    // The times are in force: nobody stands for election before they are over.
    let old = cluster.leader().await;
    cluster.isolate(old, true);
    let began = Instant::now();
    cluster.leader_besides(&[old]).await;
    let missed = began.elapsed();
    assert!(missed > Duration::from_millis(1_000) && missed < Duration::from_millis(4_000), "{missed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_starts_anew_leaves_nothing_undecided_and_nothing_twice() {
    let cluster = Cluster::start(61, 3).await;
    for round in 0..8 {
        let leader = cluster.leader().await;
        let group = cluster.group(leader);
        let asked = group.clone();
        let on_the_way =
            tokio::spawn(async move { append(&asked, &format!("{round}"), Idempotency::None, LONG).await });
        tokio::time::sleep(Duration::from_micros(300 * round)).await;
        let timing = if round % 2 == 0 { slower() } else { Timing::default() };
        group.restart(&timing).await.unwrap();
        let outcome = on_the_way.await.unwrap();
        assert!(matches!(outcome, Outcome::Appended { .. }), "{round}: {outcome:?}");
    }
    let wanted: Vec<_> = (0..8).map(|round| format!("{round}")).collect();
    assert_eq!(cluster.agreed().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_group_alone_starts_anew_and_leads_again_at_once() {
    let cluster = Cluster::start(62, 1).await;
    let group = cluster.group(NodeId(1));
    appended(&group, "before").await;
    group.restart(&Timing::of(Duration::from_secs(300))).await.unwrap();
    let outcome = append(&group, "after", Idempotency::None, Duration::from_secs(10)).await;
    assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
    assert!(group.restart(&Timing { heartbeat: Duration::ZERO, ..slower() }).await.is_err());
    appended(&group, "it goes on").await;
    assert!(group.stop().await.is_ok());
    assert!(group.restart(&slower()).await.is_err(), "it was stopped for good");
}

#[tokio::test(start_paused = true)]
async fn what_a_replica_holds_is_durable_before_it_starts_anew() {
    let cluster = Cluster::start(63, 3).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    appended(&cluster.group(leader), "before").await;
    cluster.agreed().await;
    // Its disk syncs nothing by itself: what comes now is written there, and not acknowledged.
    cluster.nodes[&follower].pause_flusher();
    appended(&cluster.group(leader), "after").await;
    let log = cluster.group(follower).replica().clone();
    let is_behind = || log.state().last.is_some_and(|last| log.state().durable.0 <= last.index.0);
    while !is_behind() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    cluster.group(follower).restart(&slower()).await.unwrap();
    assert!(!is_behind(), "consensus takes it for durable");
}

async fn until(
    changes: &mut StandingChanges,
    wanted: impl Fn(&StandingChange) -> bool,
) -> Vec<StandingChange> {
    let mut told = Vec::new();
    while !told.last().is_some_and(&wanted) {
        let change = tokio::time::timeout(LONG, changes.next()).await;
        told.push(change.unwrap_or_else(|_| panic!("nothing follows {told:?}")).expect("it goes on"));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_group_is_told_of_leaders_roles_and_its_end() {
    let cluster = Cluster::start(64, 3).await;
    let old = cluster.leader().await;
    appended(&cluster.group(old), "before").await;
    let follower = cluster.follower().await;
    let mut of_old = cluster.group(old).watch_standing();
    let mut of_follower = cluster.group(follower).watch_standing();
    cluster.group(old).transfer(follower, LONG).await.unwrap();
    let told = until(&mut of_follower, |change| *change == StandingChange::BecameLeader).await;
    let changed = |change: &StandingChange| matches!(change, StandingChange::LeaderChanged { to, .. } if *to == follower);
    assert!(told.iter().any(changed), "{told:?}");
    let told = until(&mut of_old, |change| changed(change)).await;
    let told = [told, until_role(&mut of_old, cluster.group(old).standing().role).await].concat();
    assert!(told.contains(&StandingChange::Became(Role::Replica)), "{told:?}");
    // A leader that is cut off is lost.
    cluster.isolate(follower, true);
    until(&mut of_old, |change| matches!(change, StandingChange::LeaderLost { was } if *was == follower))
        .await;
    until(&mut of_old, |change| matches!(change, StandingChange::LeaderChanged { .. })).await;
    cluster.isolate(follower, false);
    until(&mut of_follower, |change| *change == StandingChange::Became(Role::Replica)).await;
    // A start anew is told, and the stream goes on with it.
    cluster.group(follower).restart(&slower()).await.unwrap();
    until(&mut of_follower, |change| *change == StandingChange::Idled).await;
    until(&mut of_follower, |change| *change == StandingChange::Became(Role::Replica)).await;
    let group = cluster.group(follower);
    group.stop().await.unwrap();
    until(&mut of_follower, |change| *change == StandingChange::Idled).await;
    assert_eq!(tokio::time::timeout(LONG, of_follower.next()).await, Ok(None), "it was stopped for good");
}

/// Waits for what tells of a role, unless it was told with what is looked at already.
async fn until_role(changes: &mut StandingChanges, role: Role) -> Vec<StandingChange> {
    match tokio::time::timeout(Duration::from_secs(1), changes.next()).await {
        Ok(Some(change)) => vec![change],
        _ => vec![StandingChange::Became(role)],
    }
}

/// How long a follower that was away needs for 8 MiB, and how long each append takes meanwhile.
async fn catches_up(seed: u64, peak: Option<u64>) -> (Duration, Duration) {
    let mut cluster = Cluster::start(seed, 3).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    let group = cluster.group(leader);
    appended(&group, "first").await;
    cluster.agreed().await;
    cluster.crash(follower).await;
    let payload = "x".repeat(256 << 10);
    for _ in 0..32 {
        appended(&group, &payload).await;
    }
    if let Some(peak) = peak.and_then(NonZeroU64::new) {
        let budget = Budget::new(Peak::Given(peak));
        cluster.nodes.values().for_each(|node| node.group.set_budget(&budget, &ReplicationConfig::default()));
    }
    cluster.restart(follower).await;
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    while payloads(&cluster.group(follower)).len() < 33 {
        let asked = Instant::now();
        appended(&group, "meanwhile").await;
        longest = longest.max(asked.elapsed());
        assert!(begun.elapsed() < LONG, "it does not catch up");
        assert_eq!(cluster.leader().await, leader, "nobody takes the leader for lost");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (begun.elapsed(), longest)
}

#[tokio::test(start_paused = true)]
async fn catching_up_keeps_to_the_budget_and_new_entries_do_not_wait_for_it() {
    let (free, _) = catches_up(65, None).await;
    // Half of it, a second of which is there at once: about three seconds for the rest.
    let (limited, longest) = catches_up(65, Some(4 << 20)).await;
    assert!(free < Duration::from_secs(2), "{free:?}");
    assert!(limited > Duration::from_millis(2_300) && limited < Duration::from_secs(6), "{limited:?}");
    assert!(longest < Duration::from_millis(100), "{longest:?}");
}
