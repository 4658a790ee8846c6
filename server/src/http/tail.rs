//! Following a channel: its history, then what comes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures::FutureExt as _;
use netdb::{Event, EventStream, Seq};

use super::channels::{PathText, missing, name};
use super::params::Params;
use super::stream::{self, Messages};
use super::{Problem, events};
use crate::limits::READ_CHUNK_BYTES;
use crate::shared::Shared;

/// `GET /v1/channels/{channel}/tail`
pub(super) async fn channel(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let channel = name(path)?;
    let mut params = Params::of(request.uri())?;
    let (from, last) = (params.value::<u64>("from")?, params.value::<u64>("last")?);
    params.finish()?;
    if from.is_some() && last.is_some() {
        return Err(Problem::invalid("`from` and `last` are both given: give one"));
    }
    let seen = last_seen(request.headers())?;
    let db = shared.db()?;
    let channel = db.channel(channel.as_str())?;
    let looked = channel.clone();
    let history = tokio::task::spawn_blocking(move || looked.history()).await??;
    let history = history.ok_or_else(|| missing(&db, channel.name()))?;
    let from = match (seen, from, last) {
        // Who comes back goes on, whatever the address says.
        (Some(seen), ..) => seen.saturating_add(1),
        (None, Some(from), _) => from,
        (None, None, Some(last)) => history.next_seq().0.saturating_sub(last),
        (None, None, None) => history.first_seq().0,
    };
    Ok(stream::answer(&shared, Tail(channel.tail(Seq(from)))))
}

/// Reads the number of the last event that a client has seen.
fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok());
    let seq = seq.ok_or_else(|| Problem::invalid("header `last-event-id` is no sequence number"))?;
    Ok(Some(seq))
}

struct Tail(EventStream);

impl Messages for Tail {
    async fn next(&mut self) -> Option<Result<Vec<u8>, Problem>> {
        let mut out = Vec::new();
        match self.0.next().await? {
            Ok(event) => push(&mut out, &event),
            Err(error) => return Some(Err(error.into())),
        }
        // What is there already goes along.
        while out.len() < READ_CHUNK_BYTES {
            match self.0.next().now_or_never() {
                Some(Some(Ok(event))) => push(&mut out, &event),
                // The end comes again; an error must not be lost.
                Some(Some(Err(error))) => {
                    let mut data = Vec::new();
                    let problem = Problem::from(error);
                    data.extend_from_slice(problem.to_json().to_string().as_bytes());
                    stream::push(&mut out, None, "error", &data);
                    break;
                }
                Some(None) | None => break,
            }
        }
        Some(Ok(out))
    }
}

fn push(out: &mut Vec<u8>, event: &Event) {
    let mut data = Vec::new();
    events::push(&mut data, event);
    stream::push(out, Some(event.seq.0), "event", &data);
}
