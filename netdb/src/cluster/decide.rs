//! What changes of the control log come to: each a function of what it says.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use base::{ChannelName, ErrorKind, LogId, NodeId, OriginId, PublicKey};
use redex::LogName;
use replication::ReplicationConfig;
use replication::control::{Change, ChangeError, ControlEvent, ControlState, LogRecord};

/// Replicated logs at most; channels share them.
const LOGS_MAX: usize = 64;

/// Decides what a node says when it starts: where it listens, if the others do not know.
pub(super) fn introduction(
    state: &ControlState,
    node: NodeId,
    key: PublicKey,
    name: &str,
    address: SocketAddr,
) -> Result<Change<()>, ChangeError> {
    let say = |event| Ok(Change { events: vec![event], result: () });
    match state.members.get(&node) {
        Some(member) if member.left || member.key != key => {
            Err(ChangeError::refused(ErrorKind::Fenced, "this node was removed from its cluster"))
        }
        Some(member) if member.address != address => say(ControlEvent::MemberMoved { node, address }),
        Some(_) => Ok(Change { events: Vec::new(), result: () }),
        // The one that began the cluster.
        None if state.members.is_empty() && node == NodeId(1) => {
            say(ControlEvent::MemberJoined { node, key, name: name.to_owned(), address, grant: None })
        }
        None => Err(ChangeError::refused(ErrorKind::Denied, "the control log does not know this node")),
    }
}

/// Decides where a channel is to live.
pub(super) fn place_channel(
    state: &ControlState,
    channel: &ChannelName,
    config: &ReplicationConfig,
    id: LogId,
    origin: OriginId,
) -> Result<Change<LogName>, ChangeError> {
    if let Some(known) = state.channels.get(channel) {
        return match state.logs.get(known).is_some_and(|record| record.config == *config) {
            true => Ok(Change { events: Vec::new(), result: known.clone() }),
            false => Err(ChangeError::refused(
                ErrorKind::Conflict,
                format!("channel `{channel}` lives in log `{known}`, which is replicated otherwise"),
            )),
        };
    }
    if config.placement == replication::Placement::Members {
        let reason = "only what models are folded from is held by all members: pin members instead";
        return Err(ChangeError::refused(ErrorKind::Invalid, reason));
    }
    let shared = state.logs.iter().find(|(_, record)| record.config == *config);
    let placed = |log: LogName| ControlEvent::ChannelPlaced { channel: channel.clone(), log };
    if let Some((log, _)) = shared {
        return Ok(Change { events: vec![placed(log.clone())], result: log.clone() });
    }
    if state.logs.len() >= LOGS_MAX {
        let reason =
            format!("the cluster has {LOGS_MAX} replicated logs: use a configuration that one of them has");
        return Err(ChangeError::refused(ErrorKind::Unavailable, reason));
    }
    let replicas = replicas_for(state, config)?;
    let others = state.logs.values().filter(|record| !record.is_on_all_members()).count();
    let log = LogName::new(&format!("replicated-{}", others + 1))
        .map_err(|error| ChangeError::refused(ErrorKind::Internal, error.to_string()))?;
    let created = ControlEvent::LogCreated { log: log.clone(), id, origin, config: config.clone(), replicas };
    Ok(Change { events: vec![created, placed(log.clone())], result: log })
}

fn replicas_for(state: &ControlState, config: &ReplicationConfig) -> Result<BTreeSet<NodeId>, ChangeError> {
    if let replication::Placement::Pinned(nodes) = &config.placement {
        if let Some(stranger) = nodes.iter().find(|node| state.member(**node).is_none()) {
            let reason = format!("node {stranger} is no member: pin members, or let it join first");
            return Err(ChangeError::refused(ErrorKind::NotFound, reason));
        }
        return Ok(nodes.iter().copied().collect());
    }
    let (wanted, there) = (config.replicas(), state.active().count());
    if there < wanted {
        let reason =
            format!("{wanted} replicas need as many members, there are {there}: let further nodes join");
        return Err(ChangeError::refused(ErrorKind::Unavailable, reason));
    }
    Ok(state.choose(wanted, &BTreeSet::new()))
}

/// Decides that there is a log for models, which all members hold. It begins on one node, which thereby decides: so it has
/// one beginning, whoever else is a member by then.
pub(super) fn create_models(
    state: &ControlState,
    log: &LogName,
    channels: &[ChannelName],
    id: LogId,
    (node, origin): (NodeId, OriginId),
) -> Result<Change<()>, ChangeError> {
    if state.logs.contains_key(log) {
        return Ok(Change { events: Vec::new(), result: () });
    }
    let config =
        ReplicationConfig { placement: replication::Placement::Members, ..ReplicationConfig::default() };
    let replicas = BTreeSet::from([node]);
    let created = ControlEvent::LogCreated { log: log.clone(), id, origin, config, replicas };
    let Change { events, result } = place_in_models(state, log, channels)?;
    Ok(Change { events: std::iter::once(created).chain(events).collect(), result })
}

/// Decides that channels live in the log for models.
pub(super) fn place_in_models(
    state: &ControlState,
    log: &LogName,
    channels: &[ChannelName],
) -> Result<Change<()>, ChangeError> {
    let mut events = Vec::new();
    for channel in channels {
        match state.channels.get(channel) {
            None => events.push(ControlEvent::ChannelPlaced { channel: channel.clone(), log: log.clone() }),
            Some(known) if known == log => {}
            Some(known) => {
                let reason = format!(
                    "channel `{channel}` is of a model and lives in log `{known}`: let the model fold one of another name"
                );
                return Err(ChangeError::refused(ErrorKind::Conflict, reason));
            }
        }
    }
    Ok(Change { events, result: () })
}

/// Decides on a removal, and on who takes over what the node held.
pub(super) fn remove_member(state: &ControlState, node: NodeId) -> Result<Change<()>, ChangeError> {
    if state.member(node).is_none() {
        let reason = format!("node {node} is no member: look at the cluster's status");
        return Err(ChangeError::refused(ErrorKind::NotFound, reason));
    }
    if state.active().count() == 1 {
        return Err(ChangeError::refused(ErrorKind::Conflict, "the last member stays"));
    }
    let mut without = state.clone();
    let left = ControlEvent::MemberLeft { node };
    without.apply(Ok(left.clone()));
    let mut events = vec![left];
    for (log, record) in &state.logs {
        if !record.replicas.contains(&node) || record.is_on_all_members() {
            continue;
        }
        let mut keep = record.replicas.clone();
        keep.remove(&node);
        let replicas = without.choose(record.config.replicas(), &keep);
        if replicas.is_empty() {
            let reason = format!("node {node} holds the only replica of log `{log}`: move it before");
            return Err(ChangeError::refused(ErrorKind::Conflict, reason));
        }
        let moved = ControlEvent::LogMoved { log: log.clone(), replicas };
        without.apply(Ok(moved.clone()));
        events.push(moved);
    }
    Ok(Change { events, result: () })
}

/// Decides who is to hold a log.
pub(super) fn move_log(
    state: &ControlState,
    log: &LogName,
    replicas: &BTreeSet<NodeId>,
) -> Result<Change<()>, ChangeError> {
    let Some(record) = state.logs.get(log) else {
        return Err(ChangeError::refused(ErrorKind::NotFound, format!("there is no replicated log `{log}`")));
    };
    if record.is_on_all_members() {
        let reason = format!("log `{log}` is held by every member: it is not moved");
        return Err(ChangeError::refused(ErrorKind::Conflict, reason));
    }
    let LogRecord { replicas: now, .. } = record;
    if replicas.is_empty() {
        return Err(ChangeError::refused(ErrorKind::Invalid, "a log is held somewhere: name nodes"));
    }
    if let Some(stranger) = replicas.iter().find(|node| state.member(**node).is_none()) {
        return Err(ChangeError::refused(ErrorKind::NotFound, format!("node {stranger} is no member")));
    }
    let moved = ControlEvent::LogMoved { log: log.clone(), replicas: replicas.clone() };
    let events = if now == replicas { Vec::new() } else { vec![moved] };
    Ok(Change { events, result: () })
}

/// Decides to have others hold what a lost node holds; nothing where there is nobody else.
pub(super) fn replace(state: &ControlState, lost: &BTreeSet<NodeId>) -> Change<()> {
    let mut events = Vec::new();
    let mut after = state.clone();
    for (log, record) in &state.logs {
        if record.config.placement != replication::Placement::Standard {
            continue;
        }
        let keep: BTreeSet<_> = record.replicas.difference(lost).copied().collect();
        // Without a majority nothing can be moved, and what is on the lost nodes may be all there is.
        if keep.len() == record.replicas.len() || 2 * keep.len() <= record.replicas.len() {
            continue;
        }
        let mut wanted = after.choose_besides(record.config.replicas(), &keep, lost);
        if wanted.len() < record.replicas.len() {
            wanted.clone_from(&record.replicas);
        }
        if wanted != record.replicas {
            let moved = ControlEvent::LogMoved { log: log.clone(), replicas: wanted };
            after.apply(Ok(moved.clone()));
            events.push(moved);
        }
    }
    Change { events, result: () }
}

#[cfg(test)]
mod tests {
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
        let on_stranger = replication::Placement::Pinned(vec![NodeId(9)]);
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
        let log =
            place(&mut state, "orders", &ReplicationConfig { factor: 1, ..Default::default() }).unwrap();
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
        let config =
            ReplicationConfig { placement: replication::Placement::Members, ..ReplicationConfig::default() };
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
}
