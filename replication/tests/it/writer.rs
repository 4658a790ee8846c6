//! Tickets of a log that is put in order by consensus.

use std::time::Duration;

use base::NodeId;
use redex::{Ack, AppendRequest, ChannelEvents, EventInput, Idempotency, LogWriter, Outcome, Ticket};
use replication::GroupWriter;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::{Cluster, LONG, appended, channel, payloads};

/// What messages with one request and with several begin with.
const REQUEST: u8 = 2;
const REQUESTS: u8 = 9;

fn writer(cluster: &Cluster, node: NodeId, within: Duration) -> GroupWriter {
    GroupWriter::new(cluster.group(node), Handle::current(), within)
}

fn submit(writer: &GroupWriter, payload: &str, idempotency: Idempotency<'_>) -> Ticket {
    let orders = channel("orders");
    let events = [EventInput::new("order.placed", payload.as_bytes())];
    let parts = [ChannelEvents { channel: &orders, events: &events }];
    writer.submit(&AppendRequest { parts: &parts, idempotency, ..AppendRequest::default() }).unwrap()
}

async fn told(ticket: Ticket) -> Outcome {
    ticket.acknowledged(Ack::Durable).await
}

#[tokio::test(start_paused = true)]
async fn tickets_are_told_in_order_and_what_they_tell_of_is_visible() {
    let cluster = Cluster::start(300, 3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    appended(&cluster.group(leader), "first").await;
    let mut number = 0;
    for node in [leader, follower] {
        let writer = writer(&cluster, node, LONG);
        let tickets: Vec<_> =
            (0..200).map(|at| submit(&writer, &(number + at).to_string(), Idempotency::None)).collect();
        for ticket in tickets {
            let outcome = told(ticket).await;
            let at = outcome.at().unwrap_or_else(|| panic!("{outcome:?}"));
            assert!(writer.reader().visible().includes(at.index));
        }
        number += 200;
        // In the order in which they were asked for, also where another node decides.
        let wanted: Vec<_> = (0..number).map(|at| at.to_string()).collect();
        assert_eq!(payloads(&cluster.group(leader))[1..], wanted);
    }
    assert_eq!(cluster.agreed().await.len(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_told_in_time_though_the_leader_hears_of_nobody() {
    let cluster = Cluster::start(301, 3).await;
    let leader = cluster.leader().await;
    appended(&cluster.group(leader), "before").await;
    cluster.isolate(leader, true);
    let within = Duration::from_secs(3);
    let (writer, began) = (writer(&cluster, leader, within), Instant::now());
    for idempotency in [Idempotency::None, Idempotency::Producer { id: "p", number: 1, digest: None }] {
        let outcome = told(submit(&writer, "alone", idempotency)).await;
        assert!(matches!(outcome, Outcome::Unknown { .. } | Outcome::Rejected { .. }), "{outcome:?}");
    }
    let took = began.elapsed();
    assert!(took > within && took < (within + Duration::from_secs(2)) * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_a_leadership_ends_is_decided_by_the_next() {
    let cluster = Cluster::start(302, 3).await;
    let old = cluster.leader().await;
    appended(&cluster.group(old), "before").await;
    cluster.isolate(old, true);
    let writer = writer(&cluster, old, LONG);
    let tickets: Vec<_> =
        (0..5).map(|at| submit(&writer, &format!("alone {at}"), Idempotency::None)).collect();
    let new = cluster.leader_besides(&[old]).await;
    appended(&cluster.group(new), "after").await;
    cluster.isolate(old, false);
    for ticket in tickets {
        let outcome = told(ticket).await;
        assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
    }
    let mut all = cluster.agreed().await;
    assert_eq!(all[..2], ["before", "after"]);
    all.sort();
    assert_eq!(all, ["after", "alone 0", "alone 1", "alone 2", "alone 3", "alone 4", "before"]);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_told_in_time_though_the_leadership_is_to_be_handed_over_and_cannot_be() {
    let cluster = Cluster::start(303, 3).await;
    let leader = cluster.leader().await;
    let group = cluster.group(leader);
    appended(&group, "before").await;
    cluster.isolate(leader, true);
    let within = Duration::from_secs(3);
    let (writer, began) = (writer(&cluster, leader, within), Instant::now());
    let ticket = submit(&writer, "alone", Idempotency::None);
    // Nothing is put in order meanwhile, and what is on its way comes to no end.
    let handing = tokio::spawn(async move { group.transfer(NodeId(leader.0 % 3 + 1), LONG * 10).await });
    let outcome = tokio::time::timeout(LONG, told(ticket)).await.expect("it is told");
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    let took = began.elapsed();
    assert!(took >= within && took < within + Duration::from_secs(3), "{took:?}");
    handing.abort();
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_another_node_goes_there_in_one_message_and_in_its_order() {
    let cluster = Cluster::start(303, 3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let writer = writer(&cluster, follower, LONG);
    cluster.network.take_sent(REQUEST);
    let tickets: Vec<_> = (0..500).map(|at| submit(&writer, &at.to_string(), Idempotency::None)).collect();
    let mut places = Vec::new();
    for ticket in tickets {
        places.push(told(ticket).await.at().unwrap().first_seq().unwrap().0);
    }
    assert_eq!(places, (0..500).collect::<Vec<_>>());
    let sent = cluster.network.take_sent_of(&[REQUEST, REQUESTS]);
    assert!(sent <= 3, "{sent} messages for 500 appends");
    // One after the other, each goes at once.
    for at in 500..510 {
        assert_eq!(
            told(submit(&writer, &at.to_string(), Idempotency::None))
                .await
                .at()
                .unwrap()
                .first_seq()
                .unwrap()
                .0,
            at
        );
    }
    assert_eq!(cluster.network.take_sent_of(&[REQUEST, REQUESTS]), 10);
    assert_eq!(payloads(&cluster.group(leader)).len(), 510);
}

#[tokio::test(start_paused = true)]
async fn what_waits_keeps_its_order_and_is_appended_once_when_the_leader_dies() {
    let mut cluster = Cluster::start(304, 3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let writer = writer(&cluster, follower, LONG);
    let mut tickets = Vec::new();
    let by = |number| Idempotency::Producer { id: "p", number, digest: None };
    for number in 1..=200 {
        tickets.push(submit(&writer, &number.to_string(), by(number)));
        if number % 20 == 0 {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        if number == 100 {
            cluster.crash(leader).await;
        }
    }
    for ticket in tickets {
        let outcome = told(ticket).await;
        assert!(outcome.at().is_some(), "{outcome:?}");
    }
    cluster.restart(leader).await;
    let wanted: Vec<_> = (1..=200).map(|number| number.to_string()).collect();
    assert_eq!(cluster.agreed().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_an_answer_that_a_lost_leader_owes() {
    let cluster = Cluster::start(305, 3).await;
    let (old, follower) = (cluster.leader().await, cluster.follower().await);
    let writer = writer(&cluster, follower, LONG);
    assert!(told(submit(&writer, "before", Idempotency::None)).await.at().is_some());
    cluster.isolate(old, true);
    let by = Idempotency::Producer { id: "p", number: 1, digest: None };
    let (lost, again) = (submit(&writer, "lost", Idempotency::None), submit(&writer, "again", by));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (began, later) = (Instant::now(), submit(&writer, "later", Idempotency::None));
    assert!(told(again).await.at().is_some());
    assert!(told(later).await.at().is_some());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let lost = told(lost).await;
    assert!(matches!(lost, Outcome::Unknown { .. }), "{lost:?}");
    cluster.isolate(old, false);
    assert_eq!(cluster.agreed().await, ["before", "again", "later"]);
}
