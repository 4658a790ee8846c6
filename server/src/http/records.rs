//! Tasks and memories over HTTP: what their endpoints share.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use netdb::cortex::{Delta, Filter, Folded, Query, Record, RecordFold, Watch, WriteError, Written};
use netdb::redex::AppendError;
use netdb::{Applied, Guard, WriteOptions};
use serde_json::{Map, Value, json};

use super::params::Params;
use super::stream::{self, Messages};
use super::{Problem, answer};
use crate::limits::ID_ATTEMPTS;
use crate::shared::Shared;

/// A record as it is shown.
pub(super) trait Shown: Record<Id = u64> {
    /// What one is called.
    const NOUN: &'static str;
    /// What several are called.
    const PLURAL: &'static str;

    /// Its fields.
    fn to_json(&self) -> Value;
}

/// The id that stands in a path.
pub(super) type PathId = Result<Path<u64>, axum::extract::rejection::PathRejection>;

/// Reads an id out of a path.
pub(super) fn id(path: PathId) -> Result<u64, Problem> {
    path.map(|Path(id)| id).map_err(|_| Problem::invalid("the id in the path is no number"))
}

/// How a write is asked for, beside what it does.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    if_version: Option<u64>,
    idempotency_key: Option<String>,
}

impl Asked {
    pub(super) fn read(params: Params, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut params = params;
        let if_version = params.value("if-version")?;
        params.finish()?;
        let mut keys = headers.get_all("idempotency-key").iter();
        let key = keys.next().map(|key| key.to_str().map(str::to_owned)).transpose();
        let key = key.map_err(|_| Problem::invalid("header `idempotency-key` is no ASCII text"))?;
        if keys.next().is_some() {
            return Err(Problem::invalid("header `idempotency-key` is there twice: send it once"));
        }
        Ok(Self { if_version, idempotency_key: key })
    }

    /// The options of a write; `usual` is its guard unless it is about a version.
    fn options(&self, usual: Option<Guard>) -> WriteOptions<'_> {
        WriteOptions {
            at: None,
            guard: self.if_version.map(Guard::Version).or(usual),
            idempotency_key: self.idempotency_key.as_deref(),
        }
    }
}

/// Stages a write.
type Stage<F> = dyn Fn(&Folded<F>, u64, &WriteOptions<'_>) -> Result<Written<F>, AppendError> + Send + Sync;

/// A write to a record.
pub(super) struct Change<F: RecordFold> {
    /// The record; without one it gets the greatest id plus one.
    pub(super) id: Option<u64>,
    pub(super) asked: Asked,
    /// The guard of a write to a record that was named.
    pub(super) guard: Option<Guard>,
    pub(super) stage: Box<Stage<F>>,
}

impl<F: RecordFold> Change<F>
where
    F::Row: Shown,
{
    /// Writes, waits until that is durable and in the state, and answers with the record.
    pub(super) async fn make(self, shared: &Shared, model: &Folded<F>) -> Result<Response, Problem> {
        let change = Arc::new(self);
        for _ in 0..ID_ATTEMPTS {
            let id = match change.id {
                Some(id) => id,
                None => free_id(model)?,
            };
            let applied = change.write(shared, model, id).await?;
            // Somebody else was faster with the id that seemed free.
            if change.id.is_none() && matches!(applied, Applied::Exists { .. }) {
                continue;
            }
            return told(model, id, applied, change.id.is_none());
        }
        Err(Problem::unavailable("others took each id that was free: name one, or try again"))
    }

    async fn write(
        self: &Arc<Self>,
        shared: &Shared,
        model: &Folded<F>,
        id: u64,
    ) -> Result<Applied, Problem> {
        let began = shared.doors.clock.monotonic();
        let (change, staging) = (Arc::clone(self), model.clone());
        let written = tokio::task::spawn_blocking(move || {
            let guard = if change.id.is_none() { Some(Guard::Absent) } else { change.guard };
            (change.stage)(&staging, id, &change.asked.options(guard))
        });
        let applied = match written.await? {
            Ok(written) => written.applied_async().await,
            Err(error) => Err(WriteError::Append(error)),
        };
        let took = shared.doors.clock.monotonic().saturating_sub(began);
        let (outcome, events) = match &applied {
            Err(WriteError::Append(AppendError::Unknown { .. })) => ("unknown", 0),
            Err(WriteError::Append(_)) => ("rejected", 0),
            _ => ("appended", 1),
        };
        shared.metrics.appended(outcome, events, 0, took);
        match &applied {
            Err(WriteError::Append(error)) => shared.note(&Err(error)),
            _ => shared.note(&Ok(())),
        }
        Ok(applied?)
    }
}

fn free_id<F: RecordFold>(model: &Folded<F>) -> Result<u64, Problem>
where
    F::Row: Shown,
{
    let state = model.snapshot()?.state;
    let free = state.last().map_or(Some(1), |record| record.id().checked_add(1));
    free.ok_or_else(|| Problem::conflict("the greatest id is taken: name a free one"))
}

/// Answers with what a write did.
fn told<F: RecordFold>(
    model: &Folded<F>,
    id: u64,
    applied: Applied,
    is_new: bool,
) -> Result<Response, Problem>
where
    F::Row: Shown,
{
    let noun = F::Row::NOUN;
    let outcome = match applied {
        Applied::Changed => "changed",
        Applied::Unchanged => "unchanged",
        Applied::NotFound => return Err(missing::<F::Row>(id)),
        Applied::Exists { version } => {
            let problem = Problem::conflict(format!(
                "there is a {noun} {id} already; take another id, or change that one"
            ));
            return Err(problem.detail("version", version.0));
        }
        Applied::Conflict { expected, actual } => {
            let message =
                format!("{noun} {id} has version {actual}, not {expected}; look at it again and retry");
            let problem = Problem::conflict(message).with_status(StatusCode::PRECONDITION_FAILED);
            return Err(problem.detail("version", actual.0));
        }
        Applied::Refused { reason } => return Err(Problem::conflict(format!("{noun} {id}: {reason}"))),
        other => return Err(Problem::internal(format!("{noun} {id}: {other:?}"))),
    };
    let record = model.snapshot()?.state.find_unique(id);
    let mut object = Map::new();
    object.insert("outcome".to_owned(), outcome.into());
    object.insert("id".to_owned(), id.into());
    object.insert(noun.to_owned(), record.map_or(Value::Null, |record| record.to_json()));
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer::json(status, &object.into()))
}

fn missing<R: Shown>(id: u64) -> Problem {
    Problem::not_found(format!("there is no {} {id}", R::NOUN))
}

/// Answers with the record of an id.
pub(super) fn one<F: RecordFold>(model: &Folded<F>, id: u64) -> Result<Response, Problem>
where
    F::Row: Shown,
{
    let record = model.snapshot()?.state.find_unique(id).ok_or_else(|| missing::<F::Row>(id))?;
    Ok(answer::json(StatusCode::OK, &record.to_json()))
}

/// Answers with the records that a query gives.
pub(super) async fn list<F: RecordFold, Q: Filter<F::Row>>(
    model: Folded<F>,
    query: Query<F::Row, Q>,
) -> Result<Response, Problem>
where
    F::Row: Shown,
{
    let listed = tokio::task::spawn_blocking(move || {
        let state = model.snapshot()?.state;
        let records: Vec<Value> = query.walk(&state).map(|record| record.to_json()).collect();
        Ok::<_, Problem>(records)
    });
    let mut object = Map::new();
    object.insert(F::Row::PLURAL.to_owned(), listed.await??.into());
    Ok(answer::json(StatusCode::OK, &object.into()))
}

/// Answers with the records that a query gives, and then with what changes.
pub(super) fn watch<F: RecordFold, Q: Filter<F::Row>>(
    shared: &Arc<Shared>,
    model: &Folded<F>,
    query: Query<F::Row, Q>,
) -> Result<Response, Problem>
where
    F::Row: Shown,
{
    Ok(stream::answer(shared, Watching { watch: model.for_reading().watch(query)?, ended: false }))
}

struct Watching<F: RecordFold, Q: Filter<F::Row>> {
    watch: Watch<F, Q>,
    ended: bool,
}

impl<F: RecordFold, Q: Filter<F::Row>> Messages for Watching<F, Q>
where
    F::Row: Shown,
{
    async fn next(&mut self) -> Option<Result<Vec<u8>, Problem>> {
        if self.ended {
            return None;
        }
        let update = match self.watch.next().await {
            Ok(update) => update,
            Err(stopped) => {
                self.ended = true;
                return Some(Err(stopped.into()));
            }
        };
        let changes = update.deltas.iter().map(|delta| {
            let (change, record) = match delta {
                Delta::Inserted(record) => ("inserted", record),
                Delta::Updated { after, .. } => ("updated", after),
                Delta::Removed(record) => ("removed", record),
            };
            json!({ "change": change, (F::Row::NOUN): record.to_json() })
        });
        let data = json!({ "position": update.position.0, "changes": changes.collect::<Vec<_>>() });
        let mut out = Vec::new();
        stream::push(&mut out, Some(update.position.0), "update", data.to_string().as_bytes());
        Some(Ok(out))
    }
}
