//! Memories.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use netdb::cortex::models::memories::MemoriesFold;
use netdb::{Memory, MemoryCommand, MemoryFilter, MemoryQuery};
use serde::Deserialize;
use serde_json::{Value, json};

use super::listing::{LIST, paged};
use super::params::Params;
use super::records::{self, Asked, Change, PathId, Shown};
use super::tasks::parts;
use super::{Problem, body};
use crate::shared::Shared;

impl Shown for Memory {
    const NOUN: &'static str = "memory";
    const PLURAL: &'static str = "memories";

    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "content": &*self.content,
            "tags": self.tags.iter().map(|tag| &**tag).collect::<Vec<&str>>(),
            "source": &*self.source,
            "pinned": self.pinned,
            "created": self.created.to_string(),
            "updated": self.updated.to_string(),
            "version": self.version.0,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    content: String,
    id: Option<u64>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retag {
    tags: Vec<String>,
}

fn query(mut params: Params, usual: Option<usize>) -> Result<MemoryQuery, Problem> {
    let (all, any) = (params.all("tag"), params.all("any-tag"));
    let mut filter = MemoryFilter::new().all_tags(texts(&all)).any_tag(texts(&any));
    if let Some(text) = params.text("contains")? {
        filter = filter.content_contains(&text);
    }
    if let Some(source) = params.text("source")? {
        filter = filter.source(&source);
    }
    if params.flag("pinned")? {
        filter = filter.pinned(true);
    }
    let query = paged(filter, &mut params, usual)?;
    params.finish()?;
    Ok(query)
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// `GET /v1/memories`
pub(super) async fn list(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let query = query(Params::of(request.uri())?, LIST)?;
    records::list(shared.db()?.memories()?, query).await
}

/// `GET /v1/memories/watch`
pub(super) async fn watch(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let query = query(Params::of(request.uri())?, None)?;
    records::watch(&shared, &shared.db()?.memories()?, query)
}

/// `GET /v1/memories/{id}`
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    let id = records::id(path)?;
    Params::of(request.uri())?.finish()?;
    records::one(&shared.db()?.memories()?, id)
}

/// `POST /v1/memories`
pub(super) async fn store(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    let asked = Asked::read(params, &headers)?;
    let Store { content, id, tags, source } = body::json(&shared, &headers, content).await?;
    let change = Change::<MemoriesFold> {
        id,
        asked,
        guard: None,
        stage: Box::new(move |memories, id, options| {
            let tags = texts(&tags);
            let command = MemoryCommand::Store { id, content: &content, tags: &tags, source: &source };
            memories.write(&command, options)
        }),
    };
    change.make(&shared, &shared.db()?.memories()?).await
}

/// `POST /v1/memories/{id}/retag`
pub(super) async fn retag(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    let id = records::id(path)?;
    let (headers, params, content) = parts(request)?;
    let asked = Asked::read(params, &headers)?;
    let Retag { tags } = body::json(&shared, &headers, content).await?;
    let change = Change::<MemoriesFold> {
        id: Some(id),
        asked,
        guard: None,
        stage: Box::new(move |memories, id, options| {
            memories.write(&MemoryCommand::Retag { id, tags: &texts(&tags) }, options)
        }),
    };
    change.make(&shared, &shared.db()?.memories()?).await
}

/// `POST /v1/memories/{id}/pin`
pub(super) async fn pin(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    plain(&shared, path, request, |id| MemoryCommand::Pin { id }).await
}

/// `POST /v1/memories/{id}/unpin`
pub(super) async fn unpin(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    plain(&shared, path, request, |id| MemoryCommand::Unpin { id }).await
}

/// `DELETE /v1/memories/{id}`
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    path: PathId,
    request: Request,
) -> Result<Response, Problem> {
    plain(&shared, path, request, |id| MemoryCommand::Delete { id }).await
}

/// Does what needs no more than an id.
async fn plain(
    shared: &Shared,
    path: PathId,
    request: Request,
    command: fn(u64) -> MemoryCommand<'static>,
) -> Result<Response, Problem> {
    let id = records::id(path)?;
    let (headers, params, content) = parts(request)?;
    let asked = Asked::read(params, &headers)?;
    body::none(shared, content).await?;
    let change = Change::<MemoriesFold> {
        id: Some(id),
        asked,
        guard: None,
        stage: Box::new(move |memories, id, options| memories.write(&command(id), options)),
    };
    change.make(shared, &shared.db()?.memories()?).await
}
