//! What becomes of requests while nothing is wrong.

use std::sync::Arc;

use base::{Hash, Index, Seq};
use redex::exchange::Request;
use redex::{
    AppendRequest, BlobReference, ChannelConfig, ChannelEvents, Condition, EventInput, Expect, HeldBlobs,
    Idempotency, Outcome, Rejection,
};

use crate::support::{Cluster, LONG, append, appended, channel, payloads};

#[tokio::test(start_paused = true)]
async fn any_node_takes_appends_and_all_logs_are_equal_to_the_byte() {
    let cluster = Cluster::start(1, 3).await;
    let mut wanted = Vec::new();
    for round in 0..5 {
        for node in cluster.nodes.values() {
            let payload = format!("{round} by {}", node.id);
            appended(&node.group, &payload).await;
            wanted.push(payload);
        }
    }
    assert_eq!(cluster.agreed().await, wanted);
}

#[tokio::test(start_paused = true)]
async fn appends_that_come_together_share_entries() {
    let cluster = Cluster::start(2, 3).await;
    let follower = cluster.follower().await;
    let group = cluster.group(follower);
    let appends = (0..200).map(|number| {
        let group = group.clone();
        tokio::spawn(async move { appended(&group, &format!("{number}")).await })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap();
    }
    assert_eq!(cluster.agreed().await.len(), 200);
    let entries = group.reader().visible().0;
    assert!(entries < 100, "{entries} entries for 200 appends");
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_typed_on_every_node() {
    let cluster = Cluster::start(3, 3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    for (number, id) in [leader, follower].into_iter().enumerate() {
        let group = cluster.group(id);
        let producer = format!("p{number}");
        let by = |number| Idempotency::Producer { id: &producer, number, digest: None };
        let first = append(&group, "one", by(1), LONG).await;
        let again = append(&group, "one", by(1), LONG).await;
        assert!(
            matches!((&first, &again), (Outcome::Appended { at }, Outcome::AlreadyAppended { at: before }) if at == before)
        );
        let conditions = [Condition { channel: channel("orders"), expect: Expect::Exact(Seq(77)) }];
        let request = AppendRequest { conditions: &conditions, ..AppendRequest::default() };
        let refused = group.append(&request, LONG).await.unwrap();
        let next = Some(Seq(number as u64 + 1));
        assert!(
            matches!(&refused, Outcome::Rejected { reason: Rejection::ConditionFailed { actual, .. }, .. } if *actual == next),
            "{refused:?}"
        );
        let config = ChannelConfig::with_content_type("text/plain");
        let create = Request::CreateChannel { channel: &channel("texts"), config: &config };
        let created = group.request(&create, LONG).await.unwrap();
        assert!(created.at().is_some(), "{created:?}");
    }
    let request = AppendRequest { idempotency: Idempotency::Key(""), ..AppendRequest::default() };
    assert!(cluster.group(follower).append(&request, LONG).await.is_err());
}

/// Holds the bytes of one hash.
#[derive(Debug)]
struct Holds(Hash);

impl HeldBlobs for Holds {
    fn hold(&self, references: &mut dyn Iterator<Item = BlobReference>) -> Result<(), BlobReference> {
        for reference in references {
            if reference.hash != self.0 {
                return Err(reference);
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_leader_refuses_a_blob_that_it_does_not_hold_whoever_is_asked() {
    let cluster = Cluster::start(5, 3).await;
    let (leader, follower) = (cluster.leader().await, cluster.follower().await);
    let [held, other] =
        [&b"held"[..], b"other"].map(|bytes| BlobReference { hash: Hash::of(bytes), bytes: 5 });
    cluster.group(leader).replica().set_held_blobs(Arc::new(Holds(held.hash)));
    let orders = channel("orders");
    for id in [leader, follower] {
        for (blob, taken) in [(held, true), (other, false)] {
            let blobs = [blob];
            let events = [EventInput::new("order.placed", b"{}").with_blobs(&blobs)];
            let parts = [ChannelEvents { channel: &orders, events: &events }];
            let request = AppendRequest { parts: &parts, ..AppendRequest::default() };
            let outcome = cluster.group(id).append(&request, LONG).await.unwrap();
            let is_missing = matches!(
                &outcome,
                Outcome::Rejected { reason: Rejection::BlobMissing { hash, bytes: 5 }, .. } if *hash == blob.hash
            );
            assert_eq!((outcome.at().is_some(), is_missing), (taken, !taken), "{outcome:?}");
        }
    }
    assert_eq!(cluster.agreed().await.len(), 2);
    for id in [leader, follower] {
        let mut visited = Vec::new();
        cluster.group(id).reader().blob_references(&mut |hash| visited.push(*hash)).unwrap();
        assert_eq!(visited, [held.hash, held.hash]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_on_any_node_sees_what_was_appended_before_it_on_another() {
    let cluster = Cluster::start(4, 3).await;
    let (leader, follower) = (cluster.group(cluster.leader().await), cluster.group(cluster.follower().await));
    for number in 0..50 {
        appended(&leader, &format!("{number}")).await;
        let position = follower.read_position(LONG).await.unwrap();
        assert!(position.includes(Index(number)) && follower.reader().visible() >= position);
        assert_eq!(payloads(&follower).len() as u64, number + 1);
    }
}
