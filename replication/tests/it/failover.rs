//! Leaders that die, are cut off, and come back.

use std::time::Duration;

use base::Fault;
use redex::{Idempotency, Outcome, Rejection};
use replication::{Group, Role};
use tokio::time::Instant;

use crate::support::{Cluster, LONG, append, appended, payloads};

#[tokio::test(start_paused = true)]
async fn a_producer_goes_on_exactly_once_while_leaders_die_one_after_the_other() {
    let mut cluster = Cluster::start(10, 3).await;
    let mut number = 0;
    for round in 0..6 {
        for _ in 0..20 {
            number += 1;
            let by = Idempotency::Producer { id: "import", number, digest: None };
            let group = cluster.group(cluster.follower().await);
            assert!(append(&group, &format!("{number}"), by, LONG).await.at().is_some());
        }
        // It dies while an append is on its way to it.
        let leader = cluster.leader().await;
        let follower = cluster.group(cluster.follower().await);
        number += 1;
        let on_the_way = tokio::spawn(async move {
            let by = Idempotency::Producer { id: "import", number, digest: None };
            append(&follower, &format!("{number}"), by, LONG).await
        });
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        let began = Instant::now();
        cluster.crash(leader).await;
        let outcome = on_the_way.await.unwrap();
        assert!(outcome.at().is_some(), "{outcome:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        cluster.restart(leader).await;
    }
    let wanted: Vec<_> = (1..=number).map(|number| format!("{number}")).collect();
    assert_eq!(cluster.agreed().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_gives_up_what_it_had() {
    let cluster = Cluster::start(11, 3).await;
    let old = cluster.leader().await;
    let group = cluster.group(old);
    appended(&group, "before").await;
    assert!(group.hears_majority());
    cluster.isolate(old, true);
    let within = Duration::from_secs(5);
    let alone = tokio::spawn(async move { append(&group, "alone", Idempotency::None, within).await });
    let new = cluster.leader_besides(&[old]).await;
    appended(&cluster.group(new), "after").await;
    assert!(cluster.group(new).hears_majority());
    // Nobody can say what became of it while its node is alone.
    let outcome = alone.await.unwrap();
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    assert!(!cluster.group(old).hears_majority(), "it leads nobody, whatever it says");
    assert!(cluster.group(old).read_position(Duration::from_secs(1)).await.is_err());
    assert_eq!(payloads(&cluster.group(old)), ["before"]);
    cluster.isolate(old, false);
    assert_eq!(cluster.agreed().await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_could_not_commit_is_asked_again_once_it_is_known_to_be_gone() {
    let cluster = Cluster::start(12, 3).await;
    let old = cluster.leader().await;
    let group = cluster.group(old);
    appended(&group, "before").await;
    cluster.isolate(old, true);
    let alone = tokio::spawn(async move { append(&group, "alone", Idempotency::None, LONG).await });
    let new = cluster.leader_besides(&[old]).await;
    appended(&cluster.group(new), "after").await;
    cluster.isolate(old, false);
    let outcome = alone.await.unwrap();
    assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
    assert_eq!(cluster.agreed().await, ["before", "after", "alone"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_appends_are_surely_refused() {
    let mut cluster = Cluster::start(13, 3).await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    for id in [1, 2, 3].map(base::NodeId).into_iter().filter(|id| *id != follower) {
        cluster.crash(id).await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let outcome = append(&cluster.group(follower), "no", Idempotency::None, Duration::from_secs(2)).await;
    let unavailable = matches!(&outcome, Outcome::Rejected { reason: Rejection::Unavailable { .. }, .. });
    assert!(unavailable, "{outcome:?}");
    cluster.restart(leader).await;
    appended(&cluster.group(follower), "yes").await;
    for id in cluster.down.keys().copied().collect::<Vec<_>>() {
        cluster.restart(id).await;
    }
    assert_eq!(cluster.agreed().await, ["yes"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_outlasts_the_crash_of_every_node() {
    let mut cluster = Cluster::start(14, 3).await;
    let group = cluster.group(cluster.leader().await);
    let mut wanted = Vec::new();
    for number in 0..100 {
        appended(&group, &format!("{number}")).await;
        wanted.push(format!("{number}"));
    }
    drop(group);
    for id in [1, 2, 3].map(base::NodeId) {
        cluster.crash(id).await;
    }
    for id in [1, 2, 3].map(base::NodeId) {
        cluster.restart(id).await;
    }
    appended(&cluster.group(cluster.leader().await), "after").await;
    wanted.push("after".to_owned());
    assert_eq!(cluster.agreed().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stopped_over_its_disk_does_not_say_that_it_leads() {
    let cluster = Cluster::start(16, 3).await;
    let old = cluster.leader().await;
    let group = cluster.group(old);
    appended(&group, "before").await;
    let disk = &cluster.nodes[&old].disk;
    (0..20).for_each(|at| disk.inject(disk.operation_count() + at, Fault::Error(5)));
    let _ = append(&group, "while its disk fails", Idempotency::None, Duration::from_secs(1)).await;
    let new = cluster.leader_besides(&[old]).await;
    appended(&cluster.group(new), "after").await;
    let standing = group.standing();
    assert_eq!((standing.role, standing.leader), (Role::Idle, None));
}

#[test]
fn whoever_asks_a_node_that_stopped_waits_and_does_not_keep_it_busy() {
    let (done, is_done) = std::sync::mpsc::channel();
    // Whoever asks again at once never lets the paused clock go on, and would hang here.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        done.send(runtime.unwrap().block_on(ask_a_node_that_stopped()))
    });
    let (outcome, read) = is_done.recv_timeout(Duration::from_secs(60)).expect("it does not hang");
    let unavailable = matches!(&outcome, Outcome::Rejected { reason: Rejection::Unavailable { .. }, .. });
    assert!(unavailable && read.is_err(), "{outcome:?} {read:?}");
}

async fn ask_a_node_that_stopped() -> (Outcome, Result<base::Position, replication::ConsensusError>) {
    let cluster = Cluster::start(15, 3).await;
    let group = cluster.group(cluster.leader().await);
    appended(&group, "before").await;
    let stopped = cluster.follower().await;
    let disk = &cluster.nodes[&stopped].disk;
    (0..20).for_each(|at| disk.inject(disk.operation_count() + at, Fault::Error(5)));
    appended(&group, "while its disk fails").await;
    let stopped = cluster.group(stopped);
    while stopped.standing().role != Role::Idle {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let within = Duration::from_secs(2);
    let outcome = append(&stopped, "no", Idempotency::None, within).await;
    (outcome, stopped.read_position(within).await)
}

/// The disk of a follower, then of the leader, is full for a while: the others go on, and it catches up without being
/// opened again.
#[tokio::test(start_paused = true)]
async fn a_full_disk_holds_its_node_up_and_nobody_else() {
    let cluster = Cluster::start(16, 3).await;
    let follower = cluster.follower().await;
    let payload = "x".repeat(4 << 10);
    appended(&cluster.group(follower), "first").await;
    cluster.nodes[&follower].disk.fill_up(Some(0));
    let leader = cluster.leader().await;
    for _ in 0..20 {
        appended(&cluster.group(leader), &payload).await;
    }
    assert!(cluster.group(follower).waits_for_room());
    assert_eq!(cluster.leader().await, leader);
    cluster.nodes[&follower].disk.fill_up(None);
    until_there_is_room(&cluster.group(follower)).await;
    assert_eq!(cluster.agreed().await.len(), 21);

    cluster.nodes[&leader].disk.fill_up(Some(0));
    let mut outcomes = Vec::new();
    while !matches!(outcomes.last(), Some(Outcome::Unknown { .. })) {
        assert!(outcomes.len() < 20, "the disk is full");
        let within = Duration::from_secs(5);
        outcomes.push(append(&cluster.group(leader), &payload, Idempotency::None, within).await);
    }
    let refused = append(&cluster.group(leader), "no", Idempotency::None, LONG).await;
    assert!(matches!(refused, Outcome::Rejected { reason: Rejection::DiskFull, .. }), "{refused:?}");
    let next = cluster.leader_besides(&[leader]).await;
    appended(&cluster.group(next), "from the next").await;
    cluster.nodes[&leader].disk.fill_up(None);
    until_there_is_room(&cluster.group(leader)).await;
    let found = cluster.agreed().await;
    assert_eq!(found.last().map(String::as_str), Some("from the next"));
    assert!(!found.contains(&"no".to_owned()));

    // A node that waits for room can be stopped.
    cluster.nodes[&leader].disk.fill_up(Some(0));
    for _ in 0..20 {
        appended(&cluster.group(next), &payload).await;
    }
    assert!(cluster.group(leader).waits_for_room());
    assert!(tokio::time::timeout(LONG, cluster.group(leader).stop()).await.is_ok());
}

async fn until_there_is_room(group: &Group) {
    while group.waits_for_room() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
