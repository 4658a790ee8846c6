//! Channels and producers: what there is, and where it stands.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use netdb::NetDb;
use netdb::base::ChannelName;
use netdb::redex::ChannelHistory;
use serde_json::{Value, json};

use super::consistency::{Consistency, Positions};
use super::params::Params;
use super::{Problem, answer};
use crate::shared::Shared;

/// The text that stands in a path for a name or an id.
pub(super) type PathText = Result<Path<String>, axum::extract::rejection::PathRejection>;

/// Reads the name of a channel out of a path.
pub(super) fn name(path: PathText) -> Result<ChannelName, Problem> {
    Ok(ChannelName::new(&text(path)?)?)
}

/// Reads a text out of a path.
pub(super) fn text(path: PathText) -> Result<String, Problem> {
    let Path(text) = path.map_err(|error| Problem::invalid(format!("the path: {error}")))?;
    Ok(text)
}

/// The problem of a channel that nobody has created, or that other nodes of the cluster hold.
pub(super) fn missing(db: &NetDb, channel: &ChannelName) -> Problem {
    let elsewhere = db.channel(channel.as_str()).ok().and_then(|channel| channel.held_elsewhere());
    Problem::not_found(elsewhere.unwrap_or_else(|| format!("there is no channel `{channel}`")))
}

/// `GET /v1/channels`
pub(super) async fn list(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let consistency = Consistency::take(&mut params)?;
    params.finish()?;
    let db = shared.db()?;
    consistency.wait(&shared, None).await?;
    let read = move || {
        let view = db.store().reader().view();
        Ok::<_, Problem>((view.channels()?, Positions::of(&view, None)))
    };
    let (channels, positions) = tokio::task::spawn_blocking(read).await??;
    let channels: Vec<Value> = channels.iter().map(described).collect();
    Ok(positions.tell(answer::json(StatusCode::OK, &json!({ "channels": channels }))))
}

/// `GET /v1/channels/{channel}`
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let channel = name(path)?;
    let mut params = Params::of(request.uri())?;
    let consistency = Consistency::take(&mut params)?;
    params.finish()?;
    let db = shared.db()?;
    consistency.wait(&shared, Some(&channel)).await?;
    let read = move || {
        let view = db.store().reader().view();
        let found = view.channel(&channel)?.ok_or_else(|| missing(&db, &channel))?;
        let positions = Positions::of(&view, Some(&found));
        Ok::<_, Problem>((found, positions))
    };
    let (found, positions) = tokio::task::spawn_blocking(read).await??;
    Ok(positions.tell(answer::json(StatusCode::OK, &described(&found))))
}

fn described(channel: &ChannelHistory) -> Value {
    let created = channel.parts.first().unwrap_or(channel.living());
    let kept = channel.parts.iter().map(|part| part.info.next_seq.0.saturating_sub(part.info.first_seq.0));
    json!({
        "channel": channel.name().as_str(),
        "events": kept.sum::<u64>(),
        "first_seq": channel.first_seq().0,
        "next_seq": channel.next_seq().0,
        "created_at": created.info.created_at.to_string(),
        "log": channel.living().log,
    })
}

/// `GET /v1/producers/{id}`: the last number that any log knows.
pub(super) async fn producer(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let id = text(path)?;
    Params::of(request.uri())?.finish()?;
    let db = shared.db()?;
    let newest = match shared.cluster() {
        Some(cluster) => cluster.newest_of_producer(&id).await?,
        None => db.store().newest_of_producer(&id),
    };
    let Some(state) = newest else {
        return Err(Problem::not_found("there is no such producer"));
    };
    let told = json!({ "id": id, "number": state.number, "digest": state.digest.to_string() });
    Ok(answer::json(StatusCode::OK, &told))
}
