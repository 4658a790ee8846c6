//! How a node becomes a member.

use std::path::Path;
use std::sync::{Arc, Weak};

use base::{Doors, ErrorKind, Identity, LogId, NodeId, OriginId, PublicKey};
use net::{
    JoinDecision, JoinHandler, JoinRefusal, JoinRefusalCode, JoinRequest, Joiner, Socket, Ticket, Uses,
};
use replication::control::{Change, ChangeError, ControlEvent, ControlState};
use serde::{Deserialize, Serialize};

use super::place::{self, Membership, PeerRecord};
use super::{ClusterOptions, Inner, REQUEST_WITHIN, identity_of, models};
use crate::Error;
use crate::blocking::blocking;

/// Members of a cluster at most.
const MEMBERS_MAX: usize = 1_024;

/// What a new member is told.
#[derive(Debug, Serialize, Deserialize)]
struct Welcome {
    node: NodeId,
    cluster_key: PublicKey,
    control: LogId,
    control_origin: OriginId,
    peers: Vec<PeerRecord>,
}

/// Lets nodes in, by changing the control log.
#[derive(Debug)]
pub(super) struct Door {
    inner: Weak<Inner>,
}

impl Door {
    pub fn new(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::downgrade(inner) }
    }
}

impl JoinHandler for Door {
    fn join(&self, request: JoinRequest) -> JoinDecision {
        let inner = self.inner.upgrade();
        Box::pin(async move {
            let inner =
                inner.ok_or_else(|| JoinRefusal::new(JoinRefusalCode::Busy, "the node is stopping"))?;
            let changed = inner.control.change(REQUEST_WITHIN, |state| admit(state, &request)).await;
            let node = changed.map_err(refusal)?.map_err(|code| JoinRefusal::new(code, why(code)))?;
            let state = inner.control.state();
            let peers = state.active().map(|(node, member)| PeerRecord {
                node,
                key: member.key,
                address: member.address,
            });
            let welcome = Welcome {
                node,
                cluster_key: inner.membership.cluster_key,
                control: inner.membership.control,
                control_origin: inner.membership.control_origin,
                peers: peers.collect(),
            };
            serde_json::to_vec(&welcome)
                .map_err(|error| JoinRefusal::new(JoinRefusalCode::Busy, error.to_string()))
        })
    }
}

fn refusal(error: ChangeError) -> JoinRefusal {
    JoinRefusal::new(JoinRefusalCode::Busy, error.to_string())
}

fn why(code: JoinRefusalCode) -> String {
    match code {
        JoinRefusalCode::Used => "the ticket was used by another node: ask for a new one".to_owned(),
        JoinRefusalCode::Full => format!("the cluster has {MEMBERS_MAX} members"),
        _ => "the node was removed, and does not come back: join with a fresh directory".to_owned(),
    }
}

/// Decides whether a node comes in; that it is in by the same ticket is as good.
fn admit(
    state: &ControlState,
    request: &JoinRequest,
) -> Result<Change<Result<NodeId, JoinRefusalCode>>, ChangeError> {
    let decided = |result| Ok(Change { events: Vec::new(), result });
    let grant = request.grant.terms().id.to_string();
    if let Some((node, _)) = state.by_key(&request.key) {
        return decided(Ok(node));
    }
    if state.members.values().any(|member| member.key == request.key) {
        return decided(Err(JoinRefusalCode::Denied));
    }
    let used = state.members.values().any(|member| member.grant.as_ref() == Some(&grant));
    if used && request.grant.terms().uses == Uses::Once {
        return decided(Err(JoinRefusalCode::Used));
    }
    if state.active().count() >= MEMBERS_MAX {
        return decided(Err(JoinRefusalCode::Full));
    }
    let node = state.next_node();
    let joined = ControlEvent::MemberJoined {
        node,
        key: request.key,
        name: request.name.clone(),
        address: request.address,
        grant: Some(grant),
    };
    Ok(Change { events: vec![joined], result: Ok(node) })
}

/// Asks to be let in, and notes what was said.
pub(super) async fn join(
    dir: &Path,
    doors: &Doors,
    ticket: &Ticket,
    options: &ClusterOptions,
) -> Result<NodeId, Error> {
    let disk = &*doors.disk;
    let identity = Arc::new(identity_of(dir, disk)?);
    if place::read_membership(disk, dir)?.is_some() {
        let message = format!("`{}` belongs to a cluster already: use a fresh directory", dir.display());
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let (held, doors_held) = (dir.to_owned(), doors.clone());
    let store = blocking(move || models::open_to_join(&held, &doors_held)).await?;
    let joined = ask(dir, doors, ticket, options, identity).await;
    let closed = store.close();
    let joined = joined?;
    closed?;
    Ok(joined)
}

/// Asks for membership while nobody writes to the directory.
async fn ask(
    dir: &Path,
    doors: &Doors,
    ticket: &Ticket,
    options: &ClusterOptions,
    identity: Arc<Identity>,
) -> Result<NodeId, Error> {
    let disk = &*doors.disk;
    let joiner = Joiner { address: options.advertise.unwrap_or(options.listen), name: options.name.clone() };
    // A port of its own: the one to listen on is free at once when this is done.
    let socket = Socket::bind((options.listen.ip(), 0).into())?;
    let joined = net::join(socket, identity, ticket, &joiner, REQUEST_WITHIN, &*doors.random).await?;
    let welcome: Welcome = serde_json::from_slice(&joined.welcome).map_err(|error| {
        let message = format!("{} gave a welcome that does not read: {error}", joined.inviter.address);
        Error::new(ErrorKind::Invalid, message)
    })?;
    let membership = Membership {
        cluster: ticket.cluster(),
        node: welcome.node,
        cluster_key: welcome.cluster_key,
        control: welcome.control,
        control_origin: welcome.control_origin,
    };
    place::write_membership(disk, dir, &membership)?;
    let peers = welcome.peers.into_iter().map(|peer| (peer.node, (peer.key, peer.address)));
    place::write_peers(disk, dir, &peers.collect());
    Ok(membership.node)
}
