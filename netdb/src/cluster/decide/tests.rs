//! Changes, one after the other, on clusters of a few nodes.

use std::net::Ipv4Addr;

use super::*;

fn joined(node: u64) -> ControlEvent {
    let key = PublicKey::from_bytes([u8::try_from(node).unwrap(); 32]);
    let address = (Ipv4Addr::LOCALHOST, 7_701).into();
    ControlEvent::MemberJoined { node: NodeId(node), key, name: String::new(), address, grant: None }
}

fn cluster(nodes: u64) -> ControlState {
    let mut state = ControlState::default();
    (1..=nodes).for_each(|node| state.apply(Ok(joined(node))));
    state
}

fn apply<R>(state: &mut ControlState, change: Change<R>) -> R {
    change.events.into_iter().for_each(|event| state.apply(Ok(event)));
    assert_eq!(state.skipped, 0);
    change.result
}

fn place(
    state: &mut ControlState,
    channel: &str,
    config: &ReplicationConfig,
) -> Result<LogName, ChangeError> {
    let id = LogId::from_bytes([u8::try_from(state.logs.len()).unwrap(); 16]);
    let origin = OriginId::from_bytes([1; 32]);
    let channel = ChannelName::new(channel).unwrap();
    place_channel(state, &channel, config, id, origin).map(|change| apply(state, change))
}

fn nodes(of: &[u64]) -> BTreeSet<NodeId> {
    of.iter().map(|node| NodeId(*node)).collect()
}

#[test]
fn channels_of_equal_configuration_share_a_log_and_keep_their_place() {
    let mut state = cluster(4);
    let (three, two) =
        (ReplicationConfig::default(), ReplicationConfig { factor: 2, ..ReplicationConfig::default() });
    let first = place(&mut state, "orders", &three).unwrap();
    assert_eq!(place(&mut state, "payments", &three).unwrap(), first);
    assert_eq!(place(&mut state, "orders", &three).unwrap(), first);
    assert_ne!(place(&mut state, "small", &two).unwrap(), first);
    assert_eq!(
        place(&mut state, "orders", &two).unwrap_err(),
        place(&mut state, "orders", &two).unwrap_err()
    );
    let five = ReplicationConfig { factor: 5, ..ReplicationConfig::default() };
    assert!(place(&mut state, "large", &five).is_err());
    assert_eq!((state.logs.len(), state.channels.len()), (2, 3));
    let on_stranger = Placement::Pinned(vec![NodeId(9)]);
    let pinned = ReplicationConfig { placement: on_stranger, ..ReplicationConfig::default() };
    assert!(place(&mut state, "pinned", &pinned).is_err());
}

#[test]
fn who_is_removed_gives_its_replicas_to_others_and_the_last_one_stays() {
    let mut state = cluster(4);
    let log = place(&mut state, "orders", &ReplicationConfig::default()).unwrap();
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 2, 3]));
    let change = remove_member(&state, NodeId(2)).unwrap();
    apply(&mut state, change);
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 3, 4]));
    let change = remove_member(&state, NodeId(1)).unwrap();
    apply(&mut state, change);
    assert_eq!(state.logs[&log].replicas, nodes(&[3, 4]), "two are all that is left");
    assert!(remove_member(&state, NodeId(1)).is_err());
    let change = remove_member(&state, NodeId(3)).unwrap();
    apply(&mut state, change);
    assert!(remove_member(&state, NodeId(4)).is_err());
}

#[test]
fn what_a_lost_node_held_goes_to_others_where_a_majority_is_left() {
    let mut state = cluster(4);
    let log = place(&mut state, "orders", &ReplicationConfig::default()).unwrap();
    assert!(replace(&state, &nodes(&[4])).events.is_empty());
    assert!(replace(&state, &nodes(&[1, 2])).events.is_empty(), "no majority");
    assert!(replace(&state, &nodes(&[3, 4])).events.is_empty(), "nobody else");
    let change = replace(&state, &nodes(&[3]));
    apply(&mut state, change);
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 2, 4]));
}

#[test]
fn a_log_moves_to_members_only() {
    let mut state = cluster(3);
    let log = place(&mut state, "orders", &ReplicationConfig { factor: 1, ..Default::default() }).unwrap();
    assert!(move_log(&state, &log, &nodes(&[9])).is_err());
    assert!(move_log(&state, &log, &nodes(&[])).is_err());
    assert!(move_log(&state, &LogName::new("none").unwrap(), &nodes(&[1])).is_err());
    let change = move_log(&state, &log, &nodes(&[2, 3])).unwrap();
    apply(&mut state, change);
    assert_eq!(state.logs[&log].replicas, nodes(&[2, 3]));
    assert!(move_log(&state, &log, &nodes(&[2, 3])).unwrap().events.is_empty());
}

#[test]
fn the_log_for_models_is_made_once_on_one_node_and_held_by_all_members_for_good() {
    let mut state = cluster(3);
    let log = LogName::new("models").unwrap();
    let tasks = ChannelName::new("cortex/tasks").unwrap();
    let (id, origin) = (LogId::from_bytes([7; 16]), OriginId::from_bytes([1; 32]));
    let by = (NodeId(2), origin);
    let create = |state: &ControlState| create_models(state, &log, std::slice::from_ref(&tasks), id, by);
    let change = create(&state).unwrap();
    apply(&mut state, change);
    assert!(create(&state).unwrap().events.is_empty());
    assert_eq!(state.logs[&log].begins_on, nodes(&[2]));
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 2, 3]));
    assert_eq!(state.channels[&tasks], log);
    // It is no log for others, has no part in their names, and is neither moved nor replaced.
    let config = ReplicationConfig { placement: Placement::Members, ..ReplicationConfig::default() };
    assert!(place(&mut state, "orders", &config).is_err());
    let other = place(&mut state, "orders", &ReplicationConfig::default()).unwrap();
    assert_eq!(other.as_str(), "replicated-1");
    assert!(move_log(&state, &log, &nodes(&[1])).is_err());
    assert!(replace(&state, &nodes(&[3])).events.is_empty());
    let accounts = [ChannelName::new("accounts").unwrap(), tasks];
    let change = place_in_models(&state, &log, &accounts).unwrap();
    assert_eq!(change.events.len(), 1);
    apply(&mut state, change);
    assert!(place_in_models(&state, &log, &[ChannelName::new("orders").unwrap()]).is_err());
    let change = remove_member(&state, NodeId(2)).unwrap();
    apply(&mut state, change);
    assert_eq!(state.logs[&log].replicas, nodes(&[1, 3]));
}

fn kind<R: std::fmt::Debug>(decided: Result<R, ChangeError>) -> ErrorKind {
    decided.unwrap_err().kind()
}

fn strictly_with(name: &str) -> ReplicationConfig {
    let mut config =
        ReplicationConfig { placement: Placement::ColocationStrict, ..ReplicationConfig::default() };
    config.placement_metadata.colocate_with_strict = Some(name.to_owned());
    config
}

fn rather_with(name: &str, factor: u8) -> ReplicationConfig {
    let mut config = ReplicationConfig { factor, ..ReplicationConfig::default() };
    config.placement_metadata.colocate_with = Some(name.to_owned());
    config
}

#[test]
fn a_log_of_strict_colocation_is_where_the_other_one_is_wherever_that_goes() {
    let mut state = cluster(5);
    let orders = place(&mut state, "orders", &ReplicationConfig { factor: 2, ..Default::default() }).unwrap();
    let invoices = place(&mut state, "invoices", &strictly_with("orders")).unwrap();
    let lines = place(&mut state, "lines", &strictly_with(invoices.as_str())).unwrap();
    let all = |state: &ControlState| [&orders, &invoices, &lines].map(|log| state.logs[log].replicas.clone());
    assert_eq!(all(&state), [nodes(&[1, 2]), nodes(&[1, 2]), nodes(&[1, 2])]);
    // By the name of a channel or of its log: it is the same.
    assert_eq!(place(&mut state, "invoices", &strictly_with(orders.as_str())).unwrap(), invoices);
    assert_eq!(place(&mut state, "further", &strictly_with("orders")).unwrap(), invoices);
    assert_eq!(state.root_of(&lines), &orders);
    assert_eq!(kind(move_log(&state, &invoices, &nodes(&[3]))), ErrorKind::Conflict);
    let change = move_log(&state, &orders, &nodes(&[2, 3, 4])).unwrap();
    apply(&mut state, change);
    assert_eq!(all(&state), [nodes(&[2, 3, 4]), nodes(&[2, 3, 4]), nodes(&[2, 3, 4])]);
    let change = replace(&state, &nodes(&[2]));
    assert_eq!(change.events.len(), 0, "two are enough, and there are two");
    apply(&mut state, change);
    let change = remove_member(&state, NodeId(3)).unwrap();
    assert_eq!(change.events.len(), 2, "one log moves, and takes the others along");
    apply(&mut state, change);
    assert_eq!(all(&state), [nodes(&[2, 4]), nodes(&[2, 4]), nodes(&[2, 4])]);
}

#[test]
fn what_follows_a_lost_node_is_replaced_with_the_log_that_it_is_with() {
    let mut state = cluster(4);
    let orders = place(&mut state, "orders", &ReplicationConfig::default()).unwrap();
    let invoices = place(&mut state, "invoices", &strictly_with("orders")).unwrap();
    let change = replace(&state, &nodes(&[2]));
    assert_eq!(change.events.len(), 1);
    apply(&mut state, change);
    assert_eq!(state.logs[&orders].replicas, nodes(&[1, 3, 4]));
    assert_eq!(state.logs[&invoices].replicas, nodes(&[1, 3, 4]));
}

#[test]
fn a_log_is_with_one_that_is_there_and_never_with_itself() {
    let mut state = cluster(3);
    assert_eq!(kind(place(&mut state, "orders", &strictly_with("invoices"))), ErrorKind::NotFound);
    assert_eq!(kind(place(&mut state, "orders", &rather_with("invoices", 3))), ErrorKind::NotFound);
    assert_eq!(kind(place(&mut state, "orders", &strictly_with("orders"))), ErrorKind::Invalid);
    let orders = place(&mut state, "orders", &ReplicationConfig::default()).unwrap();
    // One that is there is placed once: a chain that leads back would need to place it again.
    let invoices = place(&mut state, "invoices", &strictly_with("orders")).unwrap();
    assert_eq!(kind(place(&mut state, "orders", &strictly_with("invoices"))), ErrorKind::Conflict);
    let log = LogName::new("models").unwrap();
    let by = (NodeId(1), OriginId::from_bytes([1; 32]));
    let change = create_models(&state, &log, &[], LogId::from_bytes([7; 16]), by).unwrap();
    apply(&mut state, change);
    assert_eq!(kind(place(&mut state, "more", &strictly_with("models"))), ErrorKind::Invalid);
    // Events that lead back are left out by every node.
    let mut config = strictly_with(invoices.as_str());
    let record = state.logs[&orders].clone();
    state.apply(Ok(ControlEvent::LogConfigured { log: orders.clone(), config: config.clone() }));
    config.placement_metadata.colocate_with_strict = Some("replicated-9".to_owned());
    let (id, origin, replicas) = (LogId::from_bytes([8; 16]), by.1, nodes(&[1]));
    let log = LogName::new("replicated-9").unwrap();
    state.apply(Ok(ControlEvent::LogCreated { log: log.clone(), id, origin, config, replicas }));
    state.apply(Ok(ControlEvent::LogMoved { log: invoices.clone(), replicas: nodes(&[1]) }));
    assert_eq!((state.skipped, state.logs.contains_key(&log)), (3, false));
    assert_eq!((&state.logs[&orders], &state.logs[&invoices].replicas), (&record, &record.replicas));
}

#[test]
fn a_log_is_rather_where_the_other_one_is() {
    let mut state = cluster(6);
    let pinned = Placement::Pinned(vec![NodeId(4), NodeId(5), NodeId(6)]);
    let far = ReplicationConfig { placement: pinned, ..ReplicationConfig::default() };
    place(&mut state, "far", &far).unwrap();
    let near = place(&mut state, "near", &rather_with("far", 3)).unwrap();
    assert_eq!(state.logs[&near].replicas, nodes(&[4, 5, 6]), "though 1, 2 and 3 hold nothing");
    let wide = place(&mut state, "wide", &rather_with("far", 4)).unwrap();
    assert_eq!(state.logs[&wide].replicas, nodes(&[1, 4, 5, 6]), "others where those are not enough");
    // What takes over for both is the same node, though a third one holds as little.
    let mut state = cluster(5);
    let first = place(&mut state, "first", &ReplicationConfig::default()).unwrap();
    let second = place(&mut state, "second", &rather_with("first", 3)).unwrap();
    let third = place(&mut state, "third", &rather_with("second", 3)).unwrap();
    for log in [&first, &second, &third] {
        assert_eq!(state.logs[log].replicas, nodes(&[1, 2, 3]));
    }
    let change = replace(&state, &nodes(&[3]));
    apply(&mut state, change);
    for log in [&first, &second, &third] {
        assert_eq!(state.logs[log].replicas, nodes(&[1, 2, 4]));
    }
    let change = remove_member(&state, NodeId(2)).unwrap();
    apply(&mut state, change);
    for log in [&first, &second, &third] {
        assert_eq!(state.logs[log].replicas.len(), 3);
        assert_eq!(state.logs[log].replicas, state.logs[&first].replicas);
    }
}

#[test]
fn a_log_is_configured_within_its_ranges_and_led_by_who_holds_it() {
    let mut state = cluster(4);
    let log = place(&mut state, "orders", &ReplicationConfig::default()).unwrap();
    let beats = |heartbeat_ms| ConfigChange { heartbeat_ms: Some(heartbeat_ms), ..ConfigChange::default() };
    let leads = |leader: Option<u64>| ConfigChange {
        leader_pinned: Some(leader.map(NodeId)),
        ..ConfigChange::default()
    };
    let none = LogName::new("none").unwrap();
    assert_eq!(kind(configure(&state, &none, &beats(200))), ErrorKind::NotFound);
    assert_eq!(kind(configure(&state, &log, &beats(99))), ErrorKind::Invalid);
    assert_eq!(kind(configure(&state, &log, &leads(Some(4)))), ErrorKind::Conflict);
    let change = configure(&state, &log, &beats(200)).unwrap();
    assert_eq!(apply(&mut state, change).heartbeat_ms, 200);
    let change = configure(&state, &log, &leads(Some(2))).unwrap();
    apply(&mut state, change);
    let wanted =
        ReplicationConfig { heartbeat_ms: 200, leader_pinned: Some(NodeId(2)), ..Default::default() };
    assert_eq!(state.logs[&log].config, wanted);
    assert!(configure(&state, &log, &beats(200)).unwrap().events.is_empty());
    // A leader that the log moved away from is in the way of nothing else.
    let change = move_log(&state, &log, &nodes(&[1, 3, 4])).unwrap();
    apply(&mut state, change);
    let change = configure(&state, &log, &beats(300)).unwrap();
    assert_eq!(apply(&mut state, change).heartbeat_ms, 300);
    // What would place the log otherwise is left out, whoever says it.
    let config = ReplicationConfig { factor: 5, ..ReplicationConfig::default() };
    state.apply(Ok(ControlEvent::LogConfigured { log: log.clone(), config }));
    state.apply(Ok(ControlEvent::LogConfigured { log: none, config: ReplicationConfig::default() }));
    assert_eq!((state.skipped, state.logs[&log].config.heartbeat_ms), (2, 300));
}
