//! What changes of the control log come to: each a function of what it says.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use base::{ChannelName, Classify, ErrorKind, LogId, NodeId, OriginId, PublicKey};
use redex::LogName;
use replication::control::{Change, ChangeError, ControlEvent, ControlState, LogRecord, Preference};
use replication::{ConfigChange, Placement, ReplicationConfig};

#[cfg(test)]
mod tests;

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
    let config = &named(state, channel, config)?;
    if let Some(known) = state.channels.get(channel) {
        return match state.logs.get(known).is_some_and(|record| record.config == *config) {
            true => Ok(Change { events: Vec::new(), result: known.clone() }),
            false => Err(ChangeError::refused(
                ErrorKind::Conflict,
                format!("channel `{channel}` lives in log `{known}`, which is replicated otherwise"),
            )),
        };
    }
    if config.placement == Placement::Members {
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

/// Puts the names of logs in place of those of channels: so what is asked for is the same whichever was named.
fn named(
    state: &ControlState,
    channel: &ChannelName,
    config: &ReplicationConfig,
) -> Result<ReplicationConfig, ChangeError> {
    let mut config = config.clone();
    let metadata = &mut config.placement_metadata;
    for (key, name) in [
        ("colocate-with", &mut metadata.colocate_with),
        ("colocate-with-strict", &mut metadata.colocate_with_strict),
    ] {
        let Some(name) = name else { continue };
        let Some(log) = state.log_named(name) else {
            let (kind, reason) = match name == channel.as_str() {
                true => (ErrorKind::Invalid, format!("`{key}` names the channel itself: name another one")),
                false => {
                    let reason = format!(
                        "`{key}` is `{name}`, which is no replicated log nor a channel in one: create that one first"
                    );
                    (ErrorKind::NotFound, reason)
                }
            };
            return Err(ChangeError::refused(kind, reason));
        };
        if state.logs.get(log).is_some_and(LogRecord::is_on_all_members) {
            let reason = format!("`{key}` names log `{log}`, which every member holds: leave it out");
            return Err(ChangeError::refused(ErrorKind::Invalid, reason));
        }
        log.as_str().clone_into(name);
    }
    Ok(config)
}

fn replicas_for(state: &ControlState, config: &ReplicationConfig) -> Result<BTreeSet<NodeId>, ChangeError> {
    if let Placement::Pinned(nodes) = &config.placement {
        if let Some(stranger) = nodes.iter().find(|node| state.member(**node).is_none()) {
            let reason = format!("node {stranger} is no member: pin members, or let it join first");
            return Err(ChangeError::refused(ErrorKind::NotFound, reason));
        }
        return Ok(nodes.iter().copied().collect());
    }
    if let Some(record) = config.follows().and_then(|named| state.logs.get(&named)) {
        return Ok(record.replicas.clone());
    }
    let (wanted, there) = (config.replicas(), state.active().count());
    if there < wanted {
        let reason =
            format!("{wanted} replicas need as many members, there are {there}: let further nodes join");
        return Err(ChangeError::refused(ErrorKind::Unavailable, reason));
    }
    let preference = Preference { near: state.near(config), ..Preference::default() };
    Ok(state.choose(wanted, &BTreeSet::new(), &preference))
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
    let config = ReplicationConfig { placement: Placement::Members, ..ReplicationConfig::default() };
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
    for (log, record) in leading_first(state) {
        if !record.replicas.contains(&node) || record.is_on_all_members() {
            continue;
        }
        let mut keep = record.replicas.clone();
        keep.remove(&node);
        let preference = Preference { near: without.near(&record.config), ..Preference::default() };
        let replicas = without.choose(record.config.replicas(), &keep, &preference);
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

/// Returns the logs whose place is decided on by themselves, those before others that prefer to be with them.
fn leading_first(state: &ControlState) -> Vec<(&LogName, &LogRecord)> {
    let mut logs: Vec<_> =
        state.logs.iter().filter(|(_, record)| record.config.follows().is_none()).collect();
    let next = |named: &LogName| state.logs.get(state.root_of(named))?.config.prefers();
    // No chain is longer than there are logs.
    let before = |config: &ReplicationConfig| {
        std::iter::successors(config.prefers(), next).take(state.logs.len()).count()
    };
    logs.sort_by_key(|(_, record)| before(&record.config));
    logs
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
    if record.config.follows().is_some() {
        let root = state.root_of(log);
        let reason = format!("log `{log}` is held by the nodes that hold log `{root}`: move that one");
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
    for (log, record) in leading_first(state) {
        if record.config.placement != Placement::Standard {
            continue;
        }
        let keep: BTreeSet<_> = record.replicas.difference(lost).copied().collect();
        // Without a majority nothing can be moved, and what is on the lost nodes may be all there is.
        if keep.len() == record.replicas.len() || 2 * keep.len() <= record.replicas.len() {
            continue;
        }
        let preference = Preference { near: after.near(&record.config), not: lost.clone() };
        let mut wanted = after.choose(record.config.replicas(), &keep, &preference);
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

/// Decides to replicate a log otherwise.
pub(super) fn configure(
    state: &ControlState,
    log: &LogName,
    change: &ConfigChange,
) -> Result<Change<ReplicationConfig>, ChangeError> {
    let Some(record) = state.logs.get(log) else {
        return Err(ChangeError::refused(ErrorKind::NotFound, format!("there is no replicated log `{log}`")));
    };
    let config = change.over(&record.config);
    config.validate().map_err(|error| ChangeError::refused(error.kind(), error.to_string()))?;
    let is_new = config.leader_pinned != record.config.leader_pinned;
    if let Some(leader) = config.leader_pinned.filter(|leader| is_new && !record.replicas.contains(leader)) {
        let reason =
            format!("node {leader} is to lead log `{log}`, which it does not hold: move the log there first");
        return Err(ChangeError::refused(ErrorKind::Conflict, reason));
    }
    let configured = ControlEvent::LogConfigured { log: log.clone(), config: config.clone() };
    let events = if config == record.config { Vec::new() } else { vec![configured] };
    Ok(Change { events, result: config })
}
