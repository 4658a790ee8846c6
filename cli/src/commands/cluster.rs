//! `net-db cluster`

use std::net::SocketAddr;
use std::time::Duration;

use netdb::base::NodeId;
use netdb::cluster::{self, ClusterOptions};
use netdb::net::Ticket;
use netdb::redex::{LogName, LogOptions, Store};
use netdb::replication::ReplicationConfig;
use serde_json::{Value, json};

use crate::arguments::ClusterCommand;
use crate::context::Context;
use crate::exit::{Code, Failure};
use crate::output::Cell;
use crate::remote::Remote;

pub(super) fn run(context: &Context, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Init => init(context),
        ClusterCommand::Join { ticket, listen_mesh, advertise, name } => {
            join(context, &ticket, listen_mesh, advertise, &name)
        }
        ClusterCommand::Invite { valid_for, many } => invite(context, valid_for, many),
        ClusterCommand::Leave => leave(context),
        ClusterCommand::Remove { node } => remove(context, &server(context)?, node),
        ClusterCommand::Status => status(context),
        ClusterCommand::Transfer { log, node } => {
            let body = json!({ "log": log.as_str(), "node": node });
            server(context)?.change("/v1/cluster/transfer", None, Some(&body))?;
            context.record(&[("log", Cell::display(&log)), ("leader", Cell::Number(node.0))])?;
            Ok(())
        }
        ClusterCommand::Move { log, nodes } => {
            let body = json!({ "log": log.as_str(), "nodes": nodes });
            server(context)?.change("/v1/cluster/move", None, Some(&body))?;
            let nodes = nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            context.record(&[("log", Cell::display(&log)), ("replicas", Cell::Text(nodes.into()))])?;
            Ok(())
        }
        ClusterCommand::Configure { log, settings } => configure(context, &log, settings),
    }
}

/// Finds the server of the directory, which is the node.
fn server(context: &Context) -> Result<Remote, Failure> {
    Remote::find(context).ok_or_else(|| {
        let message = format!("no server runs in {}", context.directory.display());
        Failure::new(Code::Unavailable, message)
            .hint("start it with `net-db serve`: the node is asked through it")
    })
}

/// Makes the directory a database if it is none.
fn prepare(context: &Context) -> Result<(), Failure> {
    if !Store::is_initialised(&context.directory, &*context.doors.disk).unwrap_or(false) {
        Store::create(&context.directory, &context.doors, &LogOptions::default())?.close()?;
        context.note(format_args!("created {}", context.directory.display()));
    }
    Ok(())
}

fn init(context: &Context) -> Result<(), Failure> {
    prepare(context)?;
    let cluster = cluster::init(&context.directory, &context.doors)?;
    context.record(&[("cluster", Cell::display(cluster)), ("node", Cell::Number(1))])?;
    Ok(())
}

fn join(
    context: &Context,
    ticket: &Ticket,
    listen: SocketAddr,
    advertise: Option<SocketAddr>,
    name: &str,
) -> Result<(), Failure> {
    prepare(context)?;
    let mut options = ClusterOptions::new(listen, name);
    options.advertise = advertise;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::system(&error, "cannot start threads"))?;
    let node = runtime.block_on(cluster::join(&context.directory, &context.doors, ticket, &options))?;
    context.record(&[("cluster", Cell::display(ticket.cluster())), ("node", Cell::Number(node.0))])?;
    Ok(())
}

fn invite(context: &Context, valid_for: Duration, many: bool) -> Result<(), Failure> {
    let body = json!({ "valid-for-seconds": valid_for.as_secs(), "many": many });
    let told = server(context)?.change("/v1/cluster/invite", None, Some(&body))?;
    let text = |name: &str| Cell::Text(told[name].as_str().unwrap_or_default().to_owned().into());
    context.record(&[("ticket", text("ticket")), ("not_after", text("not_after"))])?;
    context.note(format_args!("whoever has the ticket can join: keep it like a password until it is used"));
    Ok(())
}

fn leave(context: &Context) -> Result<(), Failure> {
    let remote = server(context)?;
    let status = remote.get("/v1/cluster")?;
    let node = status["node"].as_u64().map(NodeId);
    let node = node.ok_or_else(|| Failure::new(Code::Failed, "the server does not say which node it is"))?;
    remove(context, &remote, node)?;
    context.note(format_args!("stop the server: the node does not come back with this directory"));
    Ok(())
}

fn remove(context: &Context, remote: &Remote, node: NodeId) -> Result<(), Failure> {
    remote.change("/v1/cluster/remove", None, Some(&json!({ "node": node })))?;
    context.record(&[("removed", Cell::Number(node.0))])?;
    Ok(())
}

/// Changes what a log's configuration says, and shows a row for each key of it.
fn configure(context: &Context, log: &LogName, settings: Vec<(String, Value)>) -> Result<(), Failure> {
    let mut config = serde_json::Map::new();
    for (key, value) in settings {
        if config.insert(key.clone(), value).is_some() {
            return Err(Failure::new(Code::Usage, format!("`{key}` is set twice: set it once")));
        }
    }
    let body = json!({ "log": log.as_str(), "config": config });
    let told = server(context)?.change("/v1/cluster/configure", None, Some(&body))?;
    let config: ReplicationConfig = serde_json::from_value(told["config"].clone())
        .map_err(|error| Failure::new(Code::Failed, format!("the server's answer does not read: {error}")))?;
    let ReplicationConfig { placement_metadata: metadata, .. } = &config;
    let mut rows = context.rows(&["log", "key", "value"])?;
    for (key, value) in [
        ("factor", json!(config.factor)),
        ("heartbeat-ms", json!(config.heartbeat_ms)),
        ("placement", json!(config.placement)),
        ("leader-pinned", json!(config.leader_pinned)),
        ("retention", told["config"]["retention"].clone()),
        ("colocate-with", json!(metadata.colocate_with)),
        ("colocate-with-strict", json!(metadata.colocate_with_strict)),
        ("intent", json!(metadata.intent)),
        ("on-under-capacity", json!(config.on_under_capacity)),
        ("replication-budget-fraction", json!(config.replication_budget_fraction.to_string())),
        ("default-bandwidth-class", json!(config.default_bandwidth_class)),
        ("background-fraction", json!(config.background_fraction.to_string())),
    ] {
        rows.row(&[Cell::display(log), Cell::Text(key.into()), shown(&value)])?;
    }
    Ok(rows.finish()?)
}

/// Shows a row for each member and each replicated log.
fn status(context: &Context) -> Result<(), Failure> {
    let status = server(context)?.get("/v1/cluster")?;
    if status["removed"].as_bool() == Some(true) {
        context.note(format_args!(
            "this node was removed from the cluster: stop it, and join with a new directory"
        ));
    }
    let mut rows = context.rows(&["what", "name", "state", "leader", "nodes", "position", "root"])?;
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    for member in list("members") {
        let node = member["node"].as_u64().unwrap_or_default();
        let here = if status["node"] == member["node"] { " (this one)" } else { "" };
        rows.row(&[
            Cell::Text(format!("node {node}{here}").into()),
            shown(&member["name"]),
            shown(&member["liveness"]),
            Cell::Null,
            shown(&member["address"]),
            Cell::Null,
            Cell::Null,
        ])?;
    }
    for log in list("logs") {
        let here = &log["here"];
        let state = match (here.is_null(), here["waits_for_room"].as_bool()) {
            (true, _) if !log["repairing"].is_null() => Cell::Text("repairing".into()),
            (true, _) => Cell::Text("not here".into()),
            (false, Some(true)) => Cell::Text("disk full".into()),
            (false, _) => shown(&here["role"]),
        };
        let diverges = log["diverges_from"].as_array().is_some_and(|nodes| !nodes.is_empty());
        let state = match (log["forks"].as_u64().unwrap_or(0) > 0, diverges) {
            (false, false) => state,
            (true, _) => Cell::Text(format!("{}, forked", state.as_text()).into()),
            (false, true) => Cell::Text(format!("{}, diverged", state.as_text()).into()),
        };
        let replicas = log["replicas"].as_array().into_iter().flatten().map(Value::to_string);
        rows.row(&[
            Cell::Text("log".into()),
            shown(&log["log"]),
            state,
            shown(&here["leader"]),
            Cell::Text(replicas.collect::<Vec<_>>().join(" ").into()),
            shown(&here["visible"]),
            shown(&here["root"]),
        ])?;
    }
    Ok(rows.finish()?)
}

fn shown(value: &Value) -> Cell<'static> {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.clone().into()),
        Value::Number(number) => number.as_u64().map_or(Cell::Null, Cell::Number),
        other => Cell::Text(other.to_string().into()),
    }
}
