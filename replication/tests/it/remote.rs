//! Requests of a node that holds no replica.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::{LogId, NodeId, Seq};
use redex::exchange::Request;
use redex::{
    Ack, AppendRequest, ChannelConfig, ChannelEvents, Condition, EventInput, Expect, Idempotency, LogSender,
    Outcome, Rejection,
};
use replication::{Groups, RemoteLog, RemoteWriter};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::{Cluster, LONG, appended, channel, payloads};

const OUTSIDER: NodeId = NodeId(9);

/// The group's log, as a node that holds no replica knows it from some that do.
fn outside(cluster: &Cluster, holders: &[NodeId]) -> RemoteLog {
    cluster.network.plug(OUTSIDER, Some(Groups::default()));
    let link = Arc::new(cluster.ways(OUTSIDER));
    RemoteLog::new(LogId::from_bytes([7; 16]), link, holders.iter().copied().collect())
}

async fn append(log: &RemoteLog, payload: &str, by: Idempotency<'_>, within: Duration) -> Outcome {
    let orders = channel("orders");
    let events = [EventInput::new("order.placed", payload.as_bytes())];
    let parts = [ChannelEvents { channel: &orders, events: &events }];
    let request = AppendRequest { parts: &parts, idempotency: by, ..AppendRequest::default() };
    log.request(&Request::Append(&request), within).await.unwrap()
}

fn by(number: u64) -> Idempotency<'static> {
    Idempotency::Producer { id: "import", number, digest: None }
}

fn all(cluster: &Cluster) -> Vec<NodeId> {
    cluster.named.iter().copied().collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_replica_is_told_what_a_member_would_be_told() {
    let cluster = Cluster::start(500, 3).await;
    let leader = cluster.leader().await;
    // It knows one that follows, and is told who leads.
    let log = outside(&cluster, &[cluster.follower().await]);
    assert!(!log.holders().contains(&leader));
    let (first, again) = (append(&log, "1", by(1), LONG).await, append(&log, "1", by(1), LONG).await);
    assert!(
        matches!((&first, &again), (Outcome::Appended { at }, Outcome::AlreadyAppended { at: before }) if at == before),
        "{first:?} {again:?}"
    );
    let conditions = [Condition { channel: channel("orders"), expect: Expect::Exact(Seq(77)) }];
    let request = AppendRequest { conditions: &conditions, ..AppendRequest::default() };
    let refused = log.request(&Request::Append(&request), LONG).await.unwrap();
    let failed =
        |reason: &Rejection| matches!(reason, Rejection::ConditionFailed { actual: Some(Seq(1)), .. });
    assert!(matches!(&refused, Outcome::Rejected { reason, .. } if failed(reason)), "{refused:?}");
    let config = ChannelConfig::with_content_type("text/plain");
    let create = Request::CreateChannel { channel: &channel("texts"), config: &config };
    assert!(log.request(&create, LONG).await.unwrap().at().is_some());
    let too_large = AppendRequest { idempotency: Idempotency::Key(""), ..AppendRequest::default() };
    assert!(log.request(&Request::Append(&too_large), LONG).await.is_err());
    assert_eq!(log.producer("import", LONG).await.unwrap().map(|state| state.number), Some(1));
    assert_eq!(log.producer("nobody", LONG).await.unwrap(), None);

    let writer = RemoteWriter::new(log, Handle::current(), LONG);
    let orders = channel("orders");
    let events = [EventInput::new("order.placed", b"2")];
    let parts = [ChannelEvents { channel: &orders, events: &events }];
    let ticket = writer.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() }).unwrap();
    assert_eq!(ticket.acknowledged(Ack::Durable).await.at().unwrap().first_seq(), Some(Seq(1)));
    assert_eq!(cluster.agreed().await, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_producer_on_a_node_without_a_replica_goes_on_exactly_once_while_leaders_die() {
    let mut cluster = Cluster::start(501, 3).await;
    let log = outside(&cluster, &all(&cluster));
    let mut number = 0;
    for round in 0..6 {
        for _ in 0..10 {
            number += 1;
            assert!(append(&log, &format!("{number}"), by(number), LONG).await.at().is_some());
        }
        // It dies while an append is on its way to it.
        let (leader, asking) = (cluster.leader().await, log.clone());
        number += 1;
        let on_the_way =
            tokio::spawn(async move { append(&asking, &format!("{number}"), by(number), LONG).await });
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        let began = Instant::now();
        cluster.crash(leader).await;
        let outcome = on_the_way.await.unwrap();
        assert!(outcome.at().is_some(), "{outcome:?}");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        cluster.restart(leader).await;
    }
    let wanted: Vec<_> = (1..=number).map(|number| format!("{number}")).collect();
    assert_eq!(cluster.agreed().await, wanted);
    assert_eq!(log.producer("import", LONG).await.unwrap().map(|state| state.number), Some(number));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_is_given_up_for_the_next_one() {
    let cluster = Cluster::start(502, 3).await;
    let log = outside(&cluster, &all(&cluster));
    let old = cluster.leader().await;
    assert!(append(&log, "before", by(1), LONG).await.at().is_some());
    // It is sent to who led a moment ago, and hears nothing.
    cluster.isolate(old, true);
    let began = Instant::now();
    assert!(append(&log, "after", by(2), LONG).await.at().is_some());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    cluster.isolate(old, false);
    assert_eq!(cluster.agreed().await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_unknown_and_what_nobody_took_is_refused() {
    let mut cluster = Cluster::start(503, 3).await;
    let (log, within) = (outside(&cluster, &all(&cluster)), Duration::from_secs(2));
    let leader = cluster.leader().await;
    assert!(append(&log, "first", Idempotency::None, LONG).await.at().is_some());
    // The leader takes it, and its answer is lost.
    cluster.network.cut(leader, OUTSIDER, true);
    let lost = append(&log, "lost", Idempotency::None, within).await;
    assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
    cluster.network.cut(leader, OUTSIDER, false);
    assert_eq!(cluster.agreed().await, ["first", "lost"]);

    // Whoever has no replica any more says so.
    let group = cluster.group(leader);
    cluster.nodes[&leader].groups.remove(group.id());
    let refused = |outcome: &Outcome| match outcome {
        Outcome::Rejected { reason: reason @ Rejection::Unavailable { .. }, .. } => Some(reason.to_string()),
        _ => None,
    };
    let outcome = append(&log, "no", Idempotency::None, within).await;
    assert!(refused(&outcome).is_some_and(|cause| cause.contains("has no replica")), "{outcome:?}");

    for id in all(&cluster) {
        cluster.crash(id).await;
    }
    for by in [Idempotency::None, by(9)] {
        let began = Instant::now();
        let outcome = append(&log, "nobody is there", by, within).await;
        let cause = refused(&outcome).unwrap_or_else(|| panic!("{outcome:?}"));
        assert!(
            cause.contains("{NodeId(1), NodeId(2), NodeId(3)}") && cause.ends_with("append again"),
            "{cause}"
        );
        assert!(began.elapsed() < within + Duration::from_millis(600), "{:?}", began.elapsed());
    }
    assert!(log.producer("import", within).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_leader_holds_for_a_moment_only() {
    let mut cluster = Cluster::start(504, 3).await;
    let log = outside(&cluster, &all(&cluster));
    let old = cluster.leader().await;
    assert!(append(&log, "before", Idempotency::None, LONG).await.at().is_some());
    // One that cannot be repeated is not sent to a node that led long ago, where it would be lost.
    cluster.isolate(old, true);
    let new = cluster.leader_besides(&[old]).await;
    appended(&cluster.group(new), "of a member").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let outcome = append(&log, "after", Idempotency::None, LONG).await;
    assert!(outcome.at().is_some(), "{outcome:?}");
    assert_eq!(payloads(&cluster.group(new)), ["before", "of a member", "after"]);
    cluster.isolate(old, false);
    cluster.crash(old).await;
    // Who holds it now is said by somebody else.
    let others: BTreeSet<_> = cluster.named.iter().copied().filter(|node| *node != old).collect();
    log.set_holders(others.clone());
    assert_eq!(log.holders(), others);
    assert!(append(&log, "last", Idempotency::None, LONG).await.at().is_some());
}
