//! Appending.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use netdb::base::ChannelName;
use netdb::redex::{AppendError, Appended, Store};
use serde_json::{Value, json};

use super::channels::{PathText, name};
use super::form::{self, Beside, Staged};
use super::params::Params;
use super::{Problem, answer, body};
use crate::access::{Caller, Role};
use crate::shared::Shared;

/// `POST /v1/channels/{channel}/events`
pub(super) async fn to_channel(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    append(&shared, caller, Some(name(path)?), request).await
}

/// `POST /v1/events`: a batch over several channels of one log.
pub(super) async fn to_channels(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    append(&shared, caller, None, request).await
}

async fn append(
    shared: &Arc<Shared>,
    caller: Caller,
    channel: Option<ChannelName>,
    request: Request,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let (parts, content) = request.into_parts();
    let beside = Beside::read(&parts.headers)?;
    let db = shared.db()?;
    let content = body::read(shared, content).await?;
    let began = shared.doors.clock.monotonic();
    let stage = move || stage(db.store(), channel.as_ref(), &beside, &content, &caller);
    // Staging waits where too much is staged already.
    let staged = tokio::task::spawn_blocking(stage).await??;
    let (ack, bytes) = (staged.ack, staged.payload_bytes);
    let settled = staged.ticket.acknowledged(ack).await.into_result();
    shared.note(&settled.as_ref().map(|_| ()));
    let took = shared.doors.clock.monotonic().saturating_sub(began);
    let (outcome, events) = match &settled {
        Ok(appended) if appended.already => ("already-appended", 0),
        Ok(appended) => ("appended", appended.at.ranges().iter().map(|range| range.count).sum()),
        Err(AppendError::Unknown { .. }) => ("unknown", 0),
        Err(_) => ("rejected", 0),
    };
    let bytes = if outcome == "appended" { bytes } else { 0 };
    shared.metrics.appended(outcome, events, bytes, took);
    Ok(answer::json(StatusCode::OK, &told(&settled?, ack.as_str())))
}

fn stage(
    store: &Store,
    channel: Option<&ChannelName>,
    beside: &Beside,
    content: &[u8],
    caller: &Caller,
) -> Result<Staged, Problem> {
    let may_write = |channel: &ChannelName| may_write(caller, channel);
    match channel {
        _ if beside.is_batch() => form::stage_batch(store, channel, beside, content, &may_write),
        Some(channel) => form::stage_one(store, channel, beside, content, &may_write),
        None => {
            let message = "several channels are appended to by a batch";
            Err(Problem::media_type(
                message,
                "send the header `content-type: application/vnd.netdb.batch+json`",
            ))
        }
    }
}

/// Channels of the database itself are written by nobody, those that models are folded from by administrators.
fn may_write(caller: &Caller, channel: &ChannelName) -> Result<(), Problem> {
    if channel.is_system() {
        let message = format!("channel `{channel}` belongs to the database itself");
        return Err(Problem::forbidden(message, "use a name outside `sys/`"));
    }
    if netdb::is_of_models(channel) && caller.role < Role::Admin {
        let message =
            format!("channel `{channel}` is what state is folded from, and writing to it needs admin");
        return Err(Problem::forbidden(message, "write tasks and memories at /v1/tasks and /v1/memories"));
    }
    Ok(())
}

fn told(appended: &Appended, ack: &str) -> Value {
    let ranges = appended.at.ranges().iter().map(|range| {
        json!({ "channel": range.channel.as_str(), "first_seq": range.first.0, "count": range.count })
    });
    json!({
        "outcome": if appended.already { "already-appended" } else { "appended" },
        "ack": ack,
        "position": appended.at.index.0,
        "ranges": ranges.collect::<Vec<_>>(),
    })
}
