//! Tasks.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use netdb::cortex::models::tasks::TasksFold;
use netdb::{Guard, Task, TaskCommand, TaskFilter, TaskQuery, TaskStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::listing::{LIST, paged};
use super::params::Params;
use super::records::{self, Asked, Change, PathId, Shown};
use super::{Problem, body};
use crate::shared::Shared;

impl Shown for Task {
    const NOUN: &'static str = "task";
    const PLURAL: &'static str = "tasks";

    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "title": &*self.title,
            "status": self.status.as_str(),
            "created": self.created.to_string(),
            "updated": self.updated.to_string(),
            "version": self.version.0,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    title: String,
    id: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    title: String,
}

fn query(mut params: Params, usual: Option<usize>) -> Result<TaskQuery, Problem> {
    let mut filter = TaskFilter::new();
    if let Some(status) = params.value::<TaskStatus>("status")? {
        filter = filter.status(status);
    }
    if let Some(text) = params.text("contains")? {
        filter = filter.title_contains(&text);
    }
    let query = paged(filter, &mut params, usual)?;
    params.finish()?;
    Ok(query)
}

/// `GET /v1/tasks`
pub(super) async fn list(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let query = query(Params::of(request.uri())?, LIST)?;
    records::list(shared.db()?.tasks()?, query).await
}

/// `GET /v1/tasks/watch`
pub(super) async fn watch(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let query = query(Params::of(request.uri())?, None)?;
    records::watch(&shared, &shared.db()?.tasks()?, query)
}

/// `GET /v1/tasks/{id}`
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    let id = records::id(path)?;
    Params::of(request.uri())?.finish()?;
    records::one(&shared.db()?.tasks()?, id)
}

/// `POST /v1/tasks`
pub(super) async fn create(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    let asked = Asked::read(params, &headers)?;
    let Create { title, id } = body::json(&shared, &headers, content).await?;
    let change = Change::<TasksFold> {
        id,
        asked,
        guard: Some(Guard::Absent),
        stage: Box::new(move |tasks, id, options| {
            tasks.write(&TaskCommand::Create { id, title: &title }, options)
        }),
    };
    change.make(&shared, &shared.db()?.tasks()?).await
}

/// `POST /v1/tasks/{id}/rename`
pub(super) async fn rename(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    let id = records::id(path)?;
    let (headers, params, content) = parts(request)?;
    let asked = Asked::read(params, &headers)?;
    let Rename { title } = body::json(&shared, &headers, content).await?;
    let change = Change::<TasksFold> {
        id: Some(id),
        asked,
        guard: None,
        stage: Box::new(move |tasks, id, options| {
            tasks.write(&TaskCommand::Rename { id, title: &title }, options)
        }),
    };
    change.make(&shared, &shared.db()?.tasks()?).await
}

/// `POST /v1/tasks/{id}/complete`
pub(super) async fn complete(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    plain(&shared, path, request, |id| TaskCommand::Complete { id }).await
}

/// `DELETE /v1/tasks/{id}`
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    plain(&shared, path, request, |id| TaskCommand::Delete { id }).await
}

/// Does what needs no more than an id.
async fn plain(
    shared: &Shared,
    path: PathId,
    request: Request,
    command: fn(u64) -> TaskCommand<'static>,
) -> Result<Response, Problem> {
    let id = records::id(path)?;
    let (headers, params, content) = parts(request)?;
    let asked = Asked::read(params, &headers)?;
    body::none(shared, content).await?;
    let change = Change::<TasksFold> {
        id: Some(id),
        asked,
        guard: None,
        stage: Box::new(move |tasks, id, options| tasks.write(&command(id), options)),
    };
    change.make(shared, &shared.db()?.tasks()?).await
}

/// Takes a request apart.
pub(super) fn parts(request: Request) -> Result<(HeaderMap, Params, Body), Problem> {
    let (parts, body) = request.into_parts();
    Ok((parts.headers, Params::of(&parts.uri)?, body))
}
