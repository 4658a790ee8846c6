//! Logs whose configuration says more than how many hold them, and changes of it.

use netdb::replication::{ConfigChange, Placement, StandingChange};

use super::*;

fn leader_of(node: &Node, log: &LogName) -> Option<NodeId> {
    node.cluster.group(log.as_str()).and_then(|group| group.standing().leader)
}

/// Creates `orders`, and waits until all nodes write to it.
async fn orders(nodes: &[Node], config: &ReplicationConfig) -> LogName {
    let log = nodes[0].cluster.create_channel("orders", config).await.unwrap();
    for node in nodes {
        until_written_here(node, &log).await;
    }
    log
}

async fn until_written_here(node: &Node, log: &LogName) {
    let orders = "orders".parse().unwrap();
    until("the channel", || node.db.store().writer_of(&orders).reader().name() == log.as_str()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pinned_node_leads_again_once_it_is_back_and_has_everything() {
    let mut nodes = three().await;
    let pinned = nodes[1].cluster.node();
    let config = ReplicationConfig { leader_pinned: Some(pinned), ..ReplicationConfig::default() };
    let log = orders(&nodes, &config).await;
    for node in &nodes {
        until("the pinned leader", || leader_of(node, &log) == Some(pinned)).await;
    }
    assert_eq!(nodes[0].append(1).await, Seq(0));
    let (dir, options) = nodes.remove(1).stop().await;
    for node in &nodes {
        until("another leader", || leader_of(node, &log).is_some_and(|leader| leader != pinned)).await;
    }
    for number in 2..=20 {
        assert_eq!(nodes[0].append(number).await, Seq(number - 1));
    }
    let node = open(dir, options).await;
    until("a replica", || node.cluster.group(log.as_str()).is_some()).await;
    let mut changes = node.cluster.watch_standing(log.as_str()).unwrap();
    if leader_of(&node, &log) != Some(pinned) {
        let leads =
            async { while changes.next().await.expect("it goes on") != StandingChange::BecameLeader {} };
        tokio::time::timeout(SOON, leads).await.expect("it leads again");
    }
    nodes.push(node);
    let wanted: Vec<_> = (1..=20).map(|number| number.to_string()).collect();
    for node in &nodes {
        until("the pinned leader", || leader_of(node, &log) == Some(pinned)).await;
        until("all events", || node.payloads() == wanted).await;
    }
    assert!(nodes[0].cluster.watch_standing("none").is_none());
    let stopped = nodes.pop().unwrap();
    stopped.stop().await;
    let ends = async { while changes.next().await.is_some() {} };
    tokio::time::timeout(SOON, ends).await.expect("the stream ends with the node");
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_configured_while_it_is_written_and_every_node_takes_it_up() {
    let nodes = three().await;
    let log = orders(&nodes, &ReplicationConfig::default()).await;
    let change: ConfigChange = serde_json::from_str(
        r#"{"heartbeat-ms":200,"leader-pinned":3,"replication-budget-fraction":0.25,"default-bandwidth-class":"background"}"#,
    )
    .unwrap();
    let configured = nodes[2].cluster.configure(log.as_str(), &change);
    let (configured, ()) = futures::future::join(configured, async {
        for number in 1..=50 {
            assert_eq!(nodes[0].append(number).await, Seq(number - 1));
        }
    })
    .await;
    let configured = configured.unwrap();
    assert_eq!(configured, change.over(&ReplicationConfig::default()));
    for node in &nodes {
        let group = || node.cluster.group(log.as_str()).unwrap();
        until("other times", || group().timing() == configured.timing()).await;
        until("the pinned leader", || leader_of(node, &log) == Some(NodeId(3))).await;
        let status = node.cluster.status();
        let shown = status.logs.iter().find(|known| known.log == log.as_str()).unwrap();
        assert_eq!(shown.config.as_ref(), Some(&configured));
    }
    for number in 51..=60 {
        assert_eq!(nodes[1].append(number).await, Seq(number - 1));
    }
    until("equal roots", || roots(&nodes, log.as_str()).len() == 1).await;
    // What cannot be is refused, and changes nothing.
    let kind = async |log: &str, change: ConfigChange| {
        nodes[0].cluster.configure(log, &change).await.unwrap_err().kind()
    };
    let beats = |heartbeat_ms| ConfigChange { heartbeat_ms: Some(heartbeat_ms), ..ConfigChange::default() };
    assert_eq!(kind("none", beats(200)).await, ErrorKind::NotFound);
    assert_eq!(kind(log.as_str(), beats(1)).await, ErrorKind::Invalid);
    let stranger = ConfigChange { leader_pinned: Some(Some(NodeId(9))), ..ConfigChange::default() };
    assert_eq!(kind(log.as_str(), stranger).await, ErrorKind::Conflict);
    assert_eq!(nodes[0].cluster.state().logs[&log].config, configured);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_goes_where_the_one_goes_that_it_is_with() {
    let nodes = three().await;
    let two = ReplicationConfig { factor: 2, ..ReplicationConfig::default() };
    let log = nodes[0].cluster.create_channel("orders", &two).await.unwrap();
    let mut strict =
        ReplicationConfig { placement: Placement::ColocationStrict, ..ReplicationConfig::default() };
    strict.placement_metadata.colocate_with_strict = Some("orders".to_owned());
    strict.placement_metadata.intent = Some("billing".to_owned());
    let other = nodes[0].cluster.create_channel("invoices", &strict).await.unwrap();
    assert_ne!(other, log);
    assert_eq!(nodes[0].append(1).await, Seq(0));
    nodes[0].db.channel("invoices").unwrap().append("invoice.sent", b"1").unwrap();
    let holders = |log: &LogName| nodes[0].cluster.state().logs[log].replicas.clone();
    assert_eq!(holders(&log), holders(&other));
    let shown = nodes[0].cluster.status().logs.into_iter().find(|known| known.log == other.as_str()).unwrap();
    assert_eq!(shown.config.unwrap().placement_metadata.intent.as_deref(), Some("billing"));
    let away: BTreeSet<_> = [NodeId(2), NodeId(3)].into();
    let refused = nodes[0].cluster.move_log(other.as_str(), &away).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    nodes[0].cluster.move_log(log.as_str(), &away).await.unwrap();
    for log in [&log, &other] {
        assert_eq!(holders(log), away);
        until("the replica's end", || nodes[0].cluster.group(log.as_str()).is_none()).await;
        until("the replica", || nodes[2].cluster.group(log.as_str()).is_some()).await;
    }
    let invoices = || {
        let channel = nodes[2].db.channel("invoices").unwrap();
        channel.read(Seq(0)).map_or(0, |events| events.filter(Result::is_ok).count())
    };
    until("what was written before", || nodes[2].payloads() == ["1"] && invoices() == 1).await;
    for node in nodes {
        node.stop().await;
    }
}
