//! Making a node what the control log says that it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{ChannelName, NodeId};
use net::Liveness;
use redex::{LogName, ReplicaIdentity, ReplicaLog};
use replication::control::{ControlState, LogRecord};
use replication::{Group, GroupWriter, Member, Progress, Role, Standing, Timing};
use tokio::time::Instant;

use super::{Inner, REQUEST_WITHIN, away, decide, models, place};
use crate::blocking::blocking;

/// How long it may take to find out whether the control log goes on elsewhere.
const CURRENT_WITHIN: Duration = Duration::from_millis(500);
/// How often a node looks whether it is what it should be, beside each change of the control log.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Voters at most of a log that all members hold, such as the control log; further members hold it without a vote.
const VOTERS_OF_ALL_MAX: usize = 5;
/// How far behind a new replica may be to get a vote, in entries.
const BEHIND_MAX: u64 = 256;
/// How long ago it must have answered, at most.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// Follows the control log until the node stops.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut states = inner.control.watch();
    let mut stopped = inner.stopping.subscribe();
    let (mut gone, mut unreachable) = (BTreeMap::new(), BTreeSet::new());
    let mut knows_channels = false;
    loop {
        let state = Arc::clone(&states.borrow_and_update());
        if is_removed(&inner, &state) {
            return leave_cluster(&inner).await;
        }
        // The channels that it places are taken up below: what was placed later is known by then to who asks.
        let is_current = !knows_channels && current(&inner, &state).await;
        take_up_members(&inner, &state);
        models::create(&inner, &state).await;
        take_up_logs(&inner, &state, &mut unreachable).await;
        models::begin(&inner, &state).await;
        set_all_members(inner.control.group(), &state).await;
        for (name, record) in &state.logs {
            if let Some(group) = inner.groups.get(record.id) {
                match record.is_on_all_members() {
                    true => set_all_members(&group, &state).await,
                    false => set_members(&group, &state, &record.replicas).await,
                }
                group.keep(&record.config.retention);
                group.set_budget(&inner.budget, &record.config);
                move_to_pinned_leader(&group, name, record).await;
                take_up_times(&group, name, record).await;
            }
        }
        replace_lost(&inner, &state, &mut gone).await;
        if is_current {
            inner.store.close_to_new_channels(None);
            knows_channels = true;
        }
        leave_logs(&inner, &state).await;
        inner.reconciled.send_replace(state.next);
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            _ = stopped.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Tells whether this node is no member any more: the control log says so, or a member does that has a newer one.
fn is_removed(inner: &Inner, state: &ControlState) -> bool {
    let record = state.members.get(&inner.membership.node);
    record.is_some_and(|record| record.left) || inner.book.shut_out_by().is_some()
}

/// Takes no part any more. A number that was removed is never a member again.
async fn leave_cluster(inner: &Inner) {
    tracing::error!("this node was removed from the cluster, its groups stop: join with a new directory");
    inner.removed.send_replace(true);
    let _opening = inner.opening.lock().await;
    for group in inner.groups.all() {
        inner.groups.remove(group.id());
        if let Err(reason) = group.stop().await {
            tracing::warn!(log = group.reader().name(), %reason, "a replica was not closed cleanly");
        }
    }
}

/// Tells whether nothing was committed to the control log, anywhere, beyond a state of it.
async fn current(inner: &Inner, state: &ControlState) -> bool {
    let current = inner.control.current(CURRENT_WITHIN).await;
    current.is_ok_and(|current| current.next == state.next)
}

/// Closes the replicas that others are to hold, once those do, and sets them aside. One that comes back to this node later
/// begins anew, and takes no part until it was given what it held: that the leader makes it a learner before it votes says
/// nothing to a node that has not heard of all that, and counts it as a voter still.
async fn leave_logs(inner: &Inner, state: &ControlState) {
    let (me, link) = (inner.membership.node, inner.link());
    for (name, record) in state.logs.iter().filter(|(_, record)| !record.replicas.contains(&me)) {
        let Some(group) = inner.groups.get(record.id) else { continue };
        if !replication::has_left(group.replica(), me, &link, &record.replicas).await {
            continue;
        }
        inner.groups.remove(record.id);
        inner.store.detach(name);
        match group.stop().await {
            Ok(()) => tracing::info!(log = name.as_str(), "a replica was closed: others hold the log"),
            Err(reason) => tracing::warn!(log = name.as_str(), %reason, "a replica was not closed cleanly"),
        }
        let (store, name, id) = (inner.store.clone(), name.clone(), record.id);
        let given_up = blocking(move || Ok(store.give_up_replica(&name, id).map(|()| name)?)).await;
        match given_up {
            Ok(name) => tracing::info!(log = name.as_str(), "a replica was given up"),
            Err(reason) => {
                tracing::error!(%reason, "a replica that was given up is not set aside: restart the node once its disk works")
            }
        }
    }
}

/// Lets in who is a member, and nobody else.
fn take_up_members(inner: &Inner, state: &ControlState) {
    let members: BTreeMap<_, _> =
        state.active().map(|(node, member)| (node, (member.key, member.address))).collect();
    // A node that has just joined knows its peers from who let it in, until it has the control log.
    if members.is_empty() || inner.book.all() == members {
        return;
    }
    let before = inner.book.all();
    let left = state.members.values().filter(|member| member.left);
    inner.book.set(members.clone(), left.map(|member| member.key).collect());
    inner.endpoint.review();
    for (key, _) in before.iter().filter(|(node, _)| !members.contains_key(node)).map(|(_, known)| known) {
        inner.pool.forget(*key);
    }
    place::write_peers(&*inner.doors.disk, &inner.dir, &members);
}

/// Opens the replicas that this node is to hold, and places their channels.
async fn take_up_logs(inner: &Arc<Inner>, state: &ControlState, unreachable: &mut BTreeSet<ChannelName>) {
    for (name, record) in &state.logs {
        away::take_up(inner, name, record);
        if record.replicas.contains(&inner.membership.node)
            && inner.groups.get(record.id).is_none()
            && inner.repairs.cause(record.id).is_none()
            && let Err(reason) = open(inner, state, name, record).await
        {
            tracing::error!(log = name.as_str(), %reason, "a replica cannot be opened");
        }
    }
    for (channel, log) in &state.channels {
        let here = state.logs.get(log).is_some_and(|record| inner.groups.get(record.id).is_some());
        // Where the log is not here, no channel of the name may come to be in a log of this node alone.
        let placed = match here {
            true => inner.store.place_attached(channel, log),
            false => inner.store.reserve_for_attached(channel, log),
        };
        match placed {
            Ok(()) => drop(unreachable.remove(channel)),
            Err(reason) if unreachable.insert(channel.clone()) => {
                tracing::error!(%channel, log = log.as_str(), %reason, "a replicated channel is not reachable here");
            }
            Err(_) => {}
        }
    }
}

async fn open(
    inner: &Arc<Inner>,
    state: &ControlState,
    name: &LogName,
    record: &LogRecord,
) -> Result<(), crate::Error> {
    let _opening = inner.opening.lock().await;
    if inner.ends() {
        return Ok(());
    }
    let identity = ReplicaIdentity { log: record.id, origin: record.origin, name: name.as_str().to_owned() };
    let log = inner.store.open_replica(&identity)?;
    let first = members_of(state, &record.begins_on);
    if let Some(lost) = log.doubt() {
        // Nobody waits for that one: it may take long. While a cause is noted, it is not opened again.
        inner.repairs.note(&log, lost);
        // Who holds the log now need not be among those that are to.
        let hints = match log.came_back() {
            true => state.active().map(|(node, _)| node).collect(),
            false => BTreeSet::new(),
        };
        tokio::spawn(repair(Arc::clone(inner), log, record.clone(), hints, first));
        return Ok(());
    }
    take_part(inner, log, record, &first).await
}

/// Has the others give a replica back what it lost, and takes part with it then.
async fn repair(
    inner: Arc<Inner>,
    log: ReplicaLog,
    record: LogRecord,
    hints: BTreeSet<NodeId>,
    first: BTreeMap<NodeId, Member>,
) {
    let link = inner.link();
    let (mut stopped, mut removed) = (inner.stopping.subscribe(), inner.removed.subscribe());
    let repaired = tokio::select! {
        repaired = inner.repairs.until_whole(&log, inner.membership.node, &link, &record.replicas, &hints) => {
            repaired
        }
        _ = stopped.wait_for(|stopping| *stopping) => Ok(()),
        _ = removed.wait_for(|removed| *removed) => Ok(()),
    };
    let _opening = inner.opening.lock().await;
    if inner.ends() {
        return;
    }
    let taken = match repaired {
        Ok(()) => take_part(&inner, log, &record, &first).await,
        Err(reason) => Err(reason),
    };
    if let Err(reason) = taken {
        tracing::error!(log = %record.id, %reason, "a repaired replica takes no part");
    }
    inner.repairs.forget(record.id);
}

async fn take_part(
    inner: &Inner,
    log: ReplicaLog,
    record: &LogRecord,
    first: &BTreeMap<NodeId, Member>,
) -> Result<(), crate::Error> {
    let (name, is_new) = (log.reader().name().to_owned(), log.state().last.is_none());
    let group = inner.start_group(log, &record.config.timing()).await?;
    let writer = GroupWriter::new(group.clone(), inner.runtime.clone(), REQUEST_WITHIN);
    inner.store.attach(Arc::new(writer))?;
    tracing::info!(log = name, new = is_new, "replica opened");
    // One node ever does, whoever holds the log by then: two beginnings would be two logs.
    if is_new
        && record.begins_on.first() == Some(&inner.membership.node)
        && let Err(reason) = group.begin(first).await
    {
        tracing::warn!(log = name, %reason, "the group was not begun by this node");
    }
    Ok(())
}

fn members_of(state: &ControlState, nodes: &BTreeSet<NodeId>) -> BTreeMap<NodeId, Member> {
    let active = state.active().filter(|(node, _)| nodes.contains(node));
    active.map(|(node, member)| (node, Member { address: member.address.to_string() })).collect()
}

/// Has every member hold a log, the first few with a vote, where this node leads it.
async fn set_all_members(group: &Group, state: &ControlState) {
    let standing = group.standing();
    if standing.role != Role::Leader || state.members.is_empty() {
        return;
    }
    let active: BTreeSet<_> = state.active().map(|(node, _)| node).collect();
    // Who votes keeps its vote: each change costs two entries.
    let stay = standing.voters.intersection(&active).copied();
    let room = VOTERS_OF_ALL_MAX.saturating_sub(standing.voters.intersection(&active).count());
    let further = active.difference(&standing.voters).copied().take(room);
    let voters: BTreeSet<_> = stay.chain(further).collect();
    let learners: BTreeSet<_> = active.difference(&voters).copied().collect();
    add_learners(group, &standing, state, &active).await;
    give_votes(group, &standing, &voters, &learners).await;
}

/// Has exactly these nodes hold a log, where this node leads it.
async fn set_members(group: &Group, state: &ControlState, replicas: &BTreeSet<NodeId>) {
    let standing = group.standing();
    if standing.role != Role::Leader {
        return;
    }
    add_learners(group, &standing, state, replicas).await;
    give_votes(group, &standing, replicas, &BTreeSet::new()).await;
}

async fn add_learners(group: &Group, standing: &Standing, state: &ControlState, nodes: &BTreeSet<NodeId>) {
    let missing: BTreeMap<_, _> = members_of(state, nodes)
        .into_iter()
        .filter(|(node, _)| !standing.members.contains_key(node))
        .collect();
    if missing.is_empty() {
        return;
    }
    tracing::info!(log = %group.reader().name(), nodes = ?missing.keys().collect::<Vec<_>>(), "new replicas");
    if let Err(reason) = group.add_learners(&missing).await {
        tracing::warn!(log = %group.reader().name(), %reason, "replicas were not added");
    }
}

/// Gives votes to exactly these nodes, once those that are new have what the others have.
async fn give_votes(group: &Group, standing: &Standing, voters: &BTreeSet<NodeId>, stay: &BTreeSet<NodeId>) {
    let known: BTreeSet<_> = standing.members.keys().copied().collect();
    let gone = known.iter().any(|node| !voters.contains(node) && !stay.contains(node));
    if (standing.voters == *voters && !gone) || voters.is_empty() {
        return;
    }
    let (progress, end) = (group.progress(), group.reader().visible());
    // One that is not there would take the majority away from those that are.
    let is_there = |known: &Progress| known.heard.is_some_and(|ago| ago < HEARD_WITHIN);
    let has_all = |node: &NodeId| {
        let is_near = |known: &Progress| known.position.0 + BEHIND_MAX >= end.0;
        *node == group.node() || progress.get(node).is_some_and(|known| is_there(known) && is_near(known))
    };
    if !voters.difference(&standing.voters).all(has_all) {
        return;
    }
    tracing::info!(log = %group.reader().name(), ?voters, "membership changes");
    if let Err(reason) = group.set_voters(voters, stay).await {
        tracing::warn!(log = %group.reader().name(), %reason, "membership was not changed");
    }
}

/// Has others hold what members held that are gone for long, where this node leads the control log.
async fn replace_lost(inner: &Inner, state: &ControlState, gone: &mut BTreeMap<NodeId, Instant>) {
    let peers = inner.gossip.peers();
    let down: BTreeSet<_> = peers
        .iter()
        .filter(|peer| peer.liveness == Liveness::Down && state.member(peer.node).is_some())
        .map(|peer| peer.node)
        .collect();
    gone.retain(|node, _| down.contains(node));
    for node in &down {
        gone.entry(*node).or_insert_with(Instant::now);
    }
    let Some(after) = inner.replace_after else { return };
    let lost: BTreeSet<_> =
        gone.iter().filter(|(_, since)| since.elapsed() >= after).map(|(node, _)| *node).collect();
    let leads = inner.control.group().standing().role == Role::Leader;
    if !leads || lost.is_empty() || decide::replace(state, &lost).events.is_empty() {
        return;
    }
    tracing::warn!(?lost, "others hold from now on what lost members held");
    if let Err(reason) = inner.control.change(REQUEST_WITHIN, |state| Ok(decide::replace(state, &lost))).await
    {
        tracing::warn!(%reason, "lost members are not replaced yet");
    }
}

/// Hands the leadership over to the node that is to have it.
async fn move_to_pinned_leader(group: &Group, name: &LogName, record: &LogRecord) {
    let standing = group.standing();
    let Some(pinned) = record.config.leader_pinned.filter(|pinned| *pinned != group.node()) else { return };
    let end = group.reader().visible();
    let ready = group.progress().get(&pinned).is_some_and(|known| known.position >= end);
    if standing.role == Role::Leader && standing.voters.contains(&pinned) && ready {
        let timing: Timing = record.config.timing();
        if let Err(reason) = group.transfer(pinned, timing.election_max * 2).await {
            tracing::warn!(log = name.as_str(), %reason, "the pinned leader did not take over");
        }
    }
}

/// Has a group start anew on this node where it is to have other times. A leader hands over before, so that somebody leads
/// meanwhile; where nobody takes over, it tries again at the next look.
async fn take_up_times(group: &Group, name: &LogName, record: &LogRecord) {
    let timing = record.config.timing();
    if group.timing() == timing {
        return;
    }
    if group.standing().role == Role::Leader && group.standing().voters.len() > 1 {
        super::hand_over(group).await;
        if group.standing().role == Role::Leader {
            return;
        }
    }
    match group.restart(&timing).await {
        Ok(()) => {
            tracing::info!(log = name.as_str(), heartbeat = ?timing.heartbeat, "a group has other times")
        }
        Err(reason) => tracing::warn!(log = name.as_str(), %reason, "a group did not start with other times"),
    }
}
