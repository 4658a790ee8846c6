//! Reading events: a range of a channel, as it stands when the request comes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use netdb::NetDb;
use netdb::base::ChannelName;
use netdb::redex::{Bounds, Channels, Selection};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::answer::Form;
use super::channels::{PathText, missing, name};
use super::consistency::{Consistency, Positions};
use super::params::Params;
use super::{Problem, answer, events};
use crate::limits::{EVENTS_READ_DEFAULT, READ_CHUNK_BYTES, READ_CHUNKS_AHEAD};
use crate::shared::Shared;

/// `GET /v1/channels/{channel}/events`
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let channel = name(path)?;
    let form = Form::choose(request.headers(), &[Form::Json, Form::Ndjson])?;
    let mut params = Params::of(request.uri())?;
    let consistency = Consistency::take(&mut params)?;
    let selection = selection(&channel, params)?;
    let db = shared.db()?;
    consistency.wait(&shared, Some(&channel)).await?;
    let (sender, mut receiver) = mpsc::channel(READ_CHUNKS_AHEAD);
    // Ends when nobody listens.
    let (tell, positions) = oneshot::channel();
    let reading = Reading { form, out: Vec::new(), sender, tell: Some(tell), count: 0 };
    tokio::task::spawn_blocking(move || reading.run(&db, &channel, &selection));
    // What fails before there is anything to say has a status of its own.
    let first = match receiver.recv().await {
        Some(first) => first?,
        None => return Err(Problem::internal("reading ended without a result")),
    };
    let rest = futures::stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        let chunk = chunk.map_err(|problem| std::io::Error::other(problem.message));
        Some((chunk, receiver))
    });
    let all = futures::StreamExt::chain(futures::stream::iter([Ok(first)]), rest);
    let answer = answer::of(StatusCode::OK, form.media_type(), Body::from_stream(all));
    Ok(positions.await.unwrap_or_default().tell(answer))
}

fn selection(channel: &ChannelName, mut params: Params) -> Result<Selection, Problem> {
    let some = |values: Vec<String>| (!values.is_empty()).then_some(values);
    let selection = Selection {
        channels: Channels::Names(vec![channel.clone()]),
        seqs: Bounds { from: params.value("from")?, to: params.value("to")? },
        recorded: Bounds { from: params.value("since")?, to: params.value("until")? },
        kinds: some(params.all("kind")),
        keys: some(params.all("key")),
        reverse: params.flag("reverse")?,
        limit: Some(params.value("limit")?.unwrap_or(EVENTS_READ_DEFAULT)),
        last: params.value("last")?,
        ..Selection::default()
    };
    params.finish()?;
    Ok(selection)
}

/// Writes events, on a thread that may block.
struct Reading {
    form: Form,
    out: Vec<u8>,
    sender: mpsc::Sender<Result<Bytes, Problem>>,
    /// Told before anything is sent.
    tell: Option<oneshot::Sender<Positions>>,
    count: u64,
}

impl Reading {
    fn run(mut self, db: &NetDb, channel: &ChannelName, selection: &Selection) {
        let read = self.read(db, channel, selection);
        let problem = match read {
            Ok(()) => None,
            // Nothing was sent: the problem is the answer.
            Err(problem) if self.count == 0 => {
                let _ = self.sender.blocking_send(Err(problem));
                return;
            }
            Err(problem) => Some(problem),
        };
        self.end(problem.as_ref());
    }

    fn read(&mut self, db: &NetDb, channel: &ChannelName, selection: &Selection) -> Result<(), Problem> {
        let view = db.store().reader().view();
        let history = view.channel(channel)?.ok_or_else(|| missing(db, channel))?;
        if let Some(tell) = self.tell.take() {
            let _ = tell.send(Positions::of(&view, Some(&history)));
        }
        let mut scan = view.scan(selection)?;
        while let Some(chunk) = scan.next_chunk()? {
            for event in chunk.events() {
                self.separate();
                events::push_ref(&mut self.out, &event);
                self.count += 1;
                if self.form == Form::Ndjson {
                    self.out.push(b'\n');
                }
                if self.out.len() >= READ_CHUNK_BYTES && !self.send() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn separate(&mut self) {
        match self.form {
            Form::Ndjson => {}
            _ if self.count == 0 => self.out.extend_from_slice(b"{\"events\":[\n"),
            _ => self.out.extend_from_slice(b",\n"),
        }
    }

    /// Hands on what is written; tells whether anybody listens.
    fn send(&mut self) -> bool {
        let chunk = Bytes::from(std::mem::take(&mut self.out));
        self.sender.blocking_send(Ok(chunk)).is_ok()
    }

    fn end(mut self, problem: Option<&Problem>) {
        let error = problem.map(Problem::to_json);
        match (self.form, error) {
            (Form::Ndjson, None) => {}
            (Form::Ndjson, Some(error)) => {
                self.out.extend_from_slice(format!("{}\n", json!({ "error": error })).as_bytes());
            }
            (_, error) => {
                if self.count == 0 {
                    self.separate();
                }
                self.out.extend_from_slice(format!("\n],\"count\":{}", self.count).as_bytes());
                if let Some(error) = error {
                    self.out.extend_from_slice(format!(",\"error\":{error}").as_bytes());
                }
                self.out.extend_from_slice(b"}\n");
            }
        }
        self.send();
    }
}
