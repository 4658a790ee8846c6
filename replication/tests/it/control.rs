//! The control log: changes that are decided on what it says, on any node.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use base::{ErrorKind, LogId, NodeId, PublicKey};
use redex::LogName;
use replication::control::{Change, ChangeError, Control, ControlEvent, ControlState, Preference};
use replication::{Group, Placement, ReplicationConfig};

use crate::support::{Cluster, LONG, channel, key};

fn address(node: u64) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, u16::try_from(7_000 + node).unwrap()).into()
}

/// Decides that a node with a key joins, unless it has.
fn joining(key: PublicKey, state: &ControlState) -> Result<Change<NodeId>, ChangeError> {
    if let Some((node, _)) = state.by_key(&key) {
        return Ok(Change { events: Vec::new(), result: node });
    }
    let node = state.next_node();
    let (name, address) = (format!("node-{node}"), address(node.0));
    let joined = ControlEvent::MemberJoined { node, key, name, address, grant: None };
    Ok(Change { events: vec![joined], result: node })
}

async fn join(control: &Control, seed: u64) -> NodeId {
    let key = key(seed).public_key();
    control.change(LONG, |state| joining(key, state)).await.unwrap()
}

fn controls(cluster: &Cluster) -> Vec<Control> {
    let follow = |group: Group| Control::follow(group).unwrap();
    cluster.nodes.values().map(|node| follow(node.group.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn changes_on_all_nodes_at_once_are_each_made_once_and_every_node_says_the_same() {
    let cluster = Cluster::start(30, 3).await;
    let controls = controls(&cluster);
    let joins = (0..12).map(|seed| {
        let control = controls[seed as usize % 3].clone();
        // Each key twice, on two nodes.
        tokio::spawn(async move { (seed / 2, join(&control, seed / 2).await) })
    });
    let mut nodes = Vec::new();
    for joined in joins.collect::<Vec<_>>() {
        nodes.push(joined.await.unwrap());
    }
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), 6, "one number for each key: {nodes:?}");
    let mut states = Vec::new();
    for control in &controls {
        states.push(control.current(LONG).await.unwrap());
    }
    assert!(states.iter().all(|state| *state == states[0]));
    assert_eq!((states[0].members.len(), states[0].skipped, states[0].next.0), (6, 0, 6));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused_and_a_node_that_left_does_not_come_back() {
    let cluster = Cluster::start(31, 3).await;
    let control = controls(&cluster).remove(0);
    assert_eq!(join(&control, 1).await, NodeId(1));
    assert_eq!(join(&control, 2).await, NodeId(2));
    let leave = |node| {
        let control = control.clone();
        async move {
            let events = || vec![ControlEvent::MemberLeft { node }];
            control
                .change(LONG, |state| match state.member(node) {
                    Some(_) => Ok(Change { events: events(), result: () }),
                    None => Err(ChangeError::refused(ErrorKind::NotFound, "no such member")),
                })
                .await
        }
    };
    leave(NodeId(2)).await.unwrap();
    assert!(matches!(leave(NodeId(2)).await, Err(ChangeError::Refused { kind: ErrorKind::NotFound, .. })));
    // Its key gets another number.
    assert_eq!(join(&control, 2).await, NodeId(3));
    let state = control.state();
    assert_eq!(state.active().map(|(node, _)| node).collect::<Vec<_>>(), [NodeId(1), NodeId(3)]);
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_nothing_is_changed() {
    let cluster = Cluster::start(32, 3).await;
    let leader = cluster.leader().await;
    let control = Control::follow(cluster.group(leader)).unwrap();
    join(&control, 1).await;
    cluster.isolate(leader, true);
    let within = Duration::from_secs(2);
    let key = key(2).public_key();
    let refused = control.change(within, |state| joining(key, state)).await.unwrap_err();
    assert!(matches!(refused, ChangeError::Unavailable { .. }), "{refused}");
}

#[test]
fn events_that_do_not_follow_are_left_out_alike_and_logs_go_to_who_holds_few() {
    let mut state = ControlState::default();
    for node in 1..=4 {
        let (key, name) = (key(node).public_key(), String::new());
        let joined =
            ControlEvent::MemberJoined { node: NodeId(node), key, name, address: address(node), grant: None };
        let (kind, payload) = joined.encode();
        assert_eq!(ControlEvent::decode(&kind, &payload), Ok(joined.clone()));
        state.apply(Ok(joined.clone()));
        state.apply(Ok(joined));
    }
    assert_eq!(state.skipped, 4);
    for number in 0..4 {
        let log = LogName::new(&format!("l{number}")).unwrap();
        let replicas = state.choose(3, &[].into(), &Preference::default());
        let id = LogId::from_bytes([number; 16]);
        let (origin, config) = (key(1).origin(), ReplicationConfig::default());
        state.apply(Ok(ControlEvent::LogCreated { log: log.clone(), id, origin, config, replicas }));
        let orders = channel(&format!("orders-{number}"));
        state.apply(Ok(ControlEvent::ChannelPlaced { channel: orders.clone(), log: log.clone() }));
        let elsewhere = LogName::new("l0").unwrap();
        let skipped = state.skipped;
        state.apply(Ok(ControlEvent::ChannelPlaced { channel: orders, log: elsewhere.clone() }));
        assert_eq!(state.skipped, skipped + u64::from(log != elsewhere));
    }
    let load = |node| state.logs.values().filter(|log| log.replicas.contains(&NodeId(node))).count();
    assert_eq!([1, 2, 3, 4].map(load), [3, 3, 3, 3]);
    let skipped = state.skipped;
    state.apply(ControlEvent::decode("member.joined", b"{}"));
    state.apply(ControlEvent::decode("what.is.this", b"{}"));
    state.apply(ControlEvent::decode("member.joined", b"\xFF"));
    assert_eq!(state.skipped, skipped + 3);
}

#[test]
fn a_log_of_all_members_is_held_by_whoever_is_one_and_begins_where_it_was_made() {
    let mut state = ControlState::default();
    let join = |state: &mut ControlState, node: u64| {
        let (key, address) = (key(node).public_key(), address(node));
        let name = String::new();
        state.apply(Ok(ControlEvent::MemberJoined { node: NodeId(node), key, name, address, grant: None }));
    };
    let nodes = |of: &[u64]| of.iter().map(|node| NodeId(*node)).collect::<BTreeSet<_>>();
    join(&mut state, 1);
    join(&mut state, 2);
    let log = LogName::new("models").unwrap();
    let config = ReplicationConfig { placement: Placement::Members, ..ReplicationConfig::default() };
    let (id, origin) = (LogId::from_bytes([1; 16]), key(2).origin());
    let created = ControlEvent::LogCreated { log: log.clone(), id, origin, config, replicas: nodes(&[2]) };
    let (kind, payload) = created.encode();
    state.apply(ControlEvent::decode(&kind, &payload));
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 2]));
    join(&mut state, 3);
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 2, 3]));
    state.apply(Ok(ControlEvent::MemberLeft { node: NodeId(2) }));
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 3]));
    assert_eq!((state.logs[&log].begins_on.clone(), state.skipped), (nodes(&[2]), 0));
    state.apply(Ok(ControlEvent::LogMoved { log: log.clone(), replicas: nodes(&[1]) }));
    assert_eq!((state.logs[&log].replicas.clone(), state.skipped), (nodes(&[1, 3]), 1));
}

#[test]
fn a_log_that_follows_another_one_is_where_that_is_on_every_node() {
    let mut state = ControlState::default();
    let nodes = |of: &[u64]| of.iter().map(|node| NodeId(*node)).collect::<BTreeSet<_>>();
    let log = |name: &str| LogName::new(name).unwrap();
    // As bytes, as every node reads them.
    let say = |state: &mut ControlState, event: &ControlEvent| {
        let (kind, payload) = event.encode();
        state.apply(ControlEvent::decode(&kind, &payload));
        state.skipped
    };
    let created = |name: &str, with: Option<&str>, replicas: &[u64]| {
        let mut config = ReplicationConfig::default();
        if let Some(with) = with {
            config.placement = Placement::ColocationStrict;
            config.placement_metadata.colocate_with_strict = Some(with.to_owned());
        }
        let (id, origin) = (LogId::from_bytes([1; 16]), key(1).origin());
        ControlEvent::LogCreated { log: log(name), id, origin, config, replicas: nodes(replicas) }
    };
    assert_eq!(say(&mut state, &created("b", Some("a"), &[9])), 1, "there is no such log");
    assert_eq!(say(&mut state, &created("c", Some("c"), &[9])), 2, "nor that one");
    say(&mut state, &created("a", None, &[1, 2]));
    say(&mut state, &created("b", Some("a"), &[1, 2]));
    say(&mut state, &created("c", Some("b"), &[1, 2]));
    say(&mut state, &ControlEvent::LogMoved { log: log("a"), replicas: nodes(&[3, 4]) });
    for name in ["a", "b", "c"] {
        assert_eq!(state.logs[&log(name)].replicas, nodes(&[3, 4]), "{name}");
    }
    assert_eq!((state.root_of(&log("c")), state.skipped), (&log("a"), 2));
    let moved = ControlEvent::LogMoved { log: log("c"), replicas: nodes(&[1]) };
    assert_eq!(say(&mut state, &moved), 3, "it follows");
    let mut config = state.logs[&log("b")].config.clone();
    config.heartbeat_ms = 200;
    assert_eq!(say(&mut state, &ControlEvent::LogConfigured { log: log("b"), config: config.clone() }), 3);
    assert_eq!(state.logs[&log("b")].config, config);
    config.placement_metadata.colocate_with_strict = Some("c".to_owned());
    assert_eq!(say(&mut state, &ControlEvent::LogConfigured { log: log("b"), config }), 4, "a chain back");
}
