//! The cluster: how it stands, and what operators change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use netdb::base::{NodeId, PublicKey};
use netdb::cluster::Cluster;
use netdb::net::Uses;
use netdb::replication::{ConfigChange, ReplicationConfig};
use serde::Deserialize;
use serde_json::{Value, json};

use super::channels::{PathText, name};
use super::params::Params;
use super::tasks::parts;
use super::{Problem, answer, body};
use crate::access::Caller;
use crate::shared::Shared;

/// How long a ticket is valid unless it is said.
const TICKET_SECONDS: u64 = 3_600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Invite {
    #[serde(default = "ticket_seconds")]
    valid_for_seconds: u64,
    #[serde(default)]
    many: bool,
}

fn ticket_seconds() -> u64 {
    TICKET_SECONDS
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remove {
    node: NodeId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    log: String,
    node: NodeId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    log: String,
    nodes: BTreeSet<NodeId>,
}

fn cluster(shared: &Shared) -> Result<&Cluster, Problem> {
    shared.db()?;
    shared.cluster().ok_or_else(|| {
        Problem::not_found(
            "this node belongs to no cluster: begin one with `net-db cluster init`, or join one",
        )
    })
}

/// `GET /v1/cluster`
pub(super) async fn status(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let status = cluster(&shared)?.status();
    let value = serde_json::to_value(&status).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(answer::json(StatusCode::OK, &value))
}

/// `POST /v1/cluster/invite`
pub(super) async fn invite(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let Invite { valid_for_seconds, many } = body::json(&shared, &headers, content).await?;
    let uses = if many { Uses::Many } else { Uses::Once };
    let ticket = cluster(&shared)?.invite(Duration::from_secs(valid_for_seconds), uses)?;
    let not_after = ticket.grant().terms().not_after.to_string();
    Ok(answer::json(StatusCode::OK, &json!({ "ticket": ticket.to_string(), "not_after": not_after })))
}

/// `POST /v1/cluster/remove`
pub(super) async fn remove(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let Remove { node } = body::json(&shared, &headers, content).await?;
    cluster(&shared)?.remove(node).await?;
    Ok(done(json!({ "removed": node })))
}

/// `POST /v1/cluster/transfer`: only the node that leads hands over.
pub(super) async fn transfer(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let Transfer { log, node } = body::json(&shared, &headers, content).await?;
    cluster(&shared)?.transfer(&log, node).await?;
    Ok(done(json!({ "log": log, "leader": node })))
}

/// `POST /v1/cluster/move`
pub(super) async fn go(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let Move { log, nodes } = body::json(&shared, &headers, content).await?;
    cluster(&shared)?.move_log(&log, &nodes).await?;
    Ok(done(json!({ "log": log, "replicas": nodes })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configure {
    log: String,
    #[serde(default)]
    config: ConfigChange,
}

/// `POST /v1/cluster/configure`: has a log replicated otherwise; without anything to change it only says how it is.
pub(super) async fn configure(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let Configure { log, config } = body::json(&shared, &headers, content).await?;
    let config = cluster(&shared)?.configure(&log, &config).await?;
    Ok(done(json!({ "log": log, "config": config })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    key: PublicKey,
}

/// `POST /v1/sessions`: lets a key append over QUIC, as the caller.
pub(super) async fn session(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let NewSession { key } = body::json(&shared, &headers, content).await?;
    shared.db()?;
    let door = shared.clients().ok_or_else(|| Problem::unavailable("clients are not listened to yet"))?;
    if !shared.sessions.begin(key, caller) {
        return Err(Problem::unavailable("there are too many sessions"));
    }
    let told = serde_json::to_value(door.session()).map_err(|error| Problem::internal(error.to_string()))?;
    Ok(done(told))
}

/// `PUT /v1/channels/{channel}`: creates a replicated channel.
pub(super) async fn create_channel(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let channel = name(path)?;
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let config: ReplicationConfig = body::json(&shared, &headers, content).await?;
    let log = cluster(&shared)?.create_channel(channel.as_str(), &config).await?;
    Ok(done(json!({ "channel": channel.as_str(), "log": log.as_str() })))
}

/// `PATCH /v1/channels/{channel}`: has the log that a replicated channel lives in replicated otherwise.
pub(super) async fn configure_channel(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let channel = name(path)?;
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let change: ConfigChange = body::json(&shared, &headers, content).await?;
    let cluster = cluster(&shared)?;
    let Some(log) = cluster.log_of(&channel) else {
        return Err(Problem::not_found(format!("there is no replicated channel `{channel}`")));
    };
    let config = cluster.configure(log.as_str(), &change).await?;
    Ok(done(json!({ "channel": channel.as_str(), "log": log.as_str(), "config": config })))
}

fn done(value: Value) -> Response {
    answer::json(StatusCode::OK, &value)
}
