//! Blobs: put and got as streams, listed, collected, and moved elsewhere. Pins and names stand in `pins`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use netdb::base::Hash;
use netdb::blob::{
    BlobError, BlobForm, BlobInfo, Chunking, CollectOptions, ContentSizes, PinMode, PlacedChunk,
};
use netdb::{Blobs, KeepOptions, OverflowChange, OverflowStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::channels::{PathText, text};
use super::params::Params;
use super::tasks::parts;
use super::{Problem, answer, body};
use crate::limits::RECORDS_LISTED_DEFAULT;
use crate::shared::Shared;

pub(super) mod pins;
mod range;
mod transfer;

/// The type of a blob's content, whatever it is.
const CONTENT_TYPE: &str = "application/octet-stream";

/// Does something with the blobs, on a thread that may block.
async fn with<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(Blobs) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let db = shared.db()?;
    tokio::task::spawn_blocking(move || work(db.blobs()?)).await?
}

/// Asks the blobs something, as [`with`] does; `None` where nothing was ever put, which asking does not change.
async fn ask<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(Blobs) -> Result<T, Problem> + Send + 'static,
) -> Result<Option<T>, Problem> {
    let db = shared.db()?;
    tokio::task::spawn_blocking(move || db.existing_blobs()?.map(work).transpose()).await?
}

fn missing(hash: &Hash) -> Problem {
    BlobError::NotFound { hash: *hash }.into()
}

/// Reads the name of a blob out of a path.
fn hash(path: PathText) -> Result<Hash, Problem> {
    parse(&text(path)?)
}

fn parse(text: &str) -> Result<Hash, Problem> {
    let wrong = || {
        let text = text.escape_debug();
        Problem::invalid(format!("`{text}` names no blob: it takes 64 hexadecimal digits"))
    };
    Hash::from_hex(text).ok_or_else(wrong)
}

/// Takes where a page of a list begins, and how long it is.
fn page(params: &mut Params) -> Result<(Option<String>, usize), Problem> {
    let after = params.text("after")?;
    Ok((after, params.value("limit")?.unwrap_or(RECORDS_LISTED_DEFAULT)))
}

/// Describes a blob, with the fields of the command line.
fn described(info: &BlobInfo) -> Value {
    let (chunks, chunking) = match info.form {
        BlobForm::Small => (json!(1), Value::Null),
        BlobForm::Manifest { chunks, chunking } => (json!(chunks), json!(name(chunking))),
        BlobForm::Tree { chunking, .. } => (Value::Null, json!(name(chunking))),
        BlobForm::Directory { .. } => (Value::Null, Value::Null),
    };
    json!({
        "hash": info.hash.to_string(),
        "bytes": info.bytes,
        "form": info.form.as_str(),
        "chunks": chunks,
        "chunking": chunking,
        "put_at": info.put_at.to_string(),
    })
}

fn name(chunking: Chunking) -> &'static str {
    match chunking {
        Chunking::Fixed => "fixed",
        Chunking::Content(_) => "content",
    }
}

fn done(value: &Value) -> Response {
    answer::json(StatusCode::OK, value)
}

/// `POST /v1/blobs`
pub(super) async fn put(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let (_, mut params, content) = parts(request)?;
    let chunking = match params.text("chunking")?.as_deref() {
        None | Some("fixed") => Chunking::Fixed,
        Some("content") => Chunking::Content(ContentSizes::default()),
        Some(other) => {
            let other = other.escape_debug();
            return Err(Problem::invalid(format!(
                "parameter `chunking` is `{other}`: give fixed or content"
            )));
        }
    };
    let (is_pinned, name) = (params.flag("pin")?, params.text("name")?);
    params.finish()?;
    let (feed, source) = transfer::upload();
    let putting = with(&shared, move |blobs| {
        let (info, _held) = blobs.store().put_held(source, chunking)?;
        if is_pinned {
            blobs.pin(&info.hash, PinMode::Recursive, None)?;
        }
        if let Some(name) = name {
            blobs.pins().set_name(&name, &info.hash)?;
        }
        Ok(info)
    });
    let (fed, put) = tokio::join!(feed.all(content, shared.config.http.stall_within), putting);
    // Why nothing came is the cause of what became of the put.
    fed?;
    Ok(done(&described(&put?)))
}

/// `GET /v1/blobs`
pub(super) async fn list(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let (after, limit) = page(&mut params)?;
    params.finish()?;
    let after = after.map(|after| parse(&after)).transpose()?;
    let listed = ask(&shared, move |blobs| {
        let all = blobs.store().list();
        let from = after.map_or(0, |after| all.partition_point(|hash| *hash <= after));
        let page = all[from..].iter().take(limit).map(|hash| match blobs.store().stat(hash) {
            Ok(info) => described(&info),
            Err(error) => json!({ "hash": hash.to_string(), "fault": error.to_string() }),
        });
        Ok(page.collect::<Vec<_>>())
    });
    Ok(done(&json!({ "blobs": listed.await?.unwrap_or_default() })))
}

async fn info_of(shared: &Shared, hash: Hash) -> Result<BlobInfo, Problem> {
    ask(shared, move |blobs| Ok(blobs.store().stat(&hash)?)).await?.ok_or_else(|| missing(&hash))
}

/// `GET /v1/blobs/{hash}/stat`
pub(super) async fn stat(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let hash = hash(path)?;
    Params::of(request.uri())?.finish()?;
    Ok(done(&described(&info_of(&shared, hash).await?)))
}

/// `GET /v1/blobs/{hash}/chunks`: a page goes on behind the chunk that begins at `after`.
pub(super) async fn chunks(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let hash = hash(path)?;
    let mut params = Params::of(request.uri())?;
    let after: Option<u64> = params.value("after")?;
    let limit = params.value("limit")?.unwrap_or(RECORDS_LISTED_DEFAULT);
    params.finish()?;
    let listed = ask(&shared, move |blobs| {
        let behind = |chunk: &Result<PlacedChunk, _>| {
            let begins = chunk.as_ref().ok().map(|chunk| chunk.offset);
            begins.is_none_or(|begins| after.is_none_or(|after| begins > after))
        };
        let chunks = blobs.store().chunks(&hash)?.filter(behind).take(limit);
        let shown = chunks.map(|chunk| {
            let PlacedChunk { hash, offset, bytes } = chunk?;
            Ok(json!({ "offset": offset, "bytes": bytes, "chunk": hash.to_string() }))
        });
        shown.collect::<Result<Vec<_>, Problem>>()
    });
    let listed = listed.await?.ok_or_else(|| missing(&hash))?;
    Ok(done(&json!({ "chunks": listed })))
}

/// `GET /v1/blobs/{hash}`
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let hash = hash(path)?;
    Params::of(request.uri())?.finish()?;
    let etag = format!("\"{hash}\"");
    if asks_for_other_than(request.headers(), &etag) {
        let mut response = answer::of(StatusCode::NOT_MODIFIED, CONTENT_TYPE, axum::body::Body::empty());
        name_content(&mut response, &etag);
        return Ok(response);
    }
    let info = info_of(&shared, hash).await?;
    if let BlobForm::Directory { .. } = info.form {
        let message = format!("{hash} is a directory: get the files in it");
        return Err(Problem::invalid(message));
    }
    let (status, wanted) = match range::of(request.headers(), info.bytes)? {
        Some(range) => (StatusCode::PARTIAL_CONTENT, range),
        None => (StatusCode::OK, 0..info.bytes),
    };
    let length = wanted.end - wanted.start;
    let content_range = format!("bytes {}-{}/{}", wanted.start, wanted.end.saturating_sub(1), info.bytes);
    let content = match *request.method() == Method::HEAD {
        true => axum::body::Body::empty(),
        false => {
            let (sink, content) = transfer::download();
            let db = shared.db()?;
            drop(tokio::task::spawn_blocking(move || {
                sink.all(|sink| Ok(db.blobs()?.store().get_range(&hash, wanted, sink)?));
            }));
            content.begin().await?
        }
    };
    let mut response = answer::of(status, CONTENT_TYPE, content);
    name_content(&mut response, &etag);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT
        && let Ok(value) = HeaderValue::from_str(&content_range)
    {
        headers.insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// Tells whether a client has the content already.
fn asks_for_other_than(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|text| text.split(',')).any(|known| known.trim().trim_start_matches("W/") == etag)
}

/// Says what the content is, which never changes.
fn name_content(response: &mut Response, etag: &str) {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
}

/// `DELETE /v1/blobs/{hash}`
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let hash = hash(path)?;
    let (_, params, content) = parts(request)?;
    params.finish()?;
    body::none(&shared, content).await?;
    let was_blob = with(&shared, move |blobs| Ok(blobs.store().remove(&hash)?)).await?;
    Ok(done(&json!({ "hash": hash.to_string(), "removed": was_blob })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Collect {
    floor_seconds: Option<u64>,
    #[serde(default)]
    disk_pressure: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    beside_holes: bool,
}

/// `POST /v1/blobs/collect`
pub(super) async fn collect(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let Collect { floor_seconds, disk_pressure, dry_run, beside_holes } =
        body::json(&shared, &headers, content).await?;
    let floor = match (floor_seconds, disk_pressure) {
        (Some(_), true) => {
            return Err(Problem::invalid(
                "`disk_pressure` has a floor of its own: leave `floor_seconds` out",
            ));
        }
        (Some(seconds), false) => Duration::from_secs(seconds),
        (None, true) => KeepOptions::default().pressure_floor,
        (None, false) => KeepOptions::default().floor,
    };
    let options = CollectOptions { floor, dry_run, ..CollectOptions::default() };
    let stopping = Arc::clone(&shared);
    let collected = with(&shared, move |blobs| {
        let mut collection = match beside_holes {
            true => blobs.begin_collection_beside_holes(options)?,
            false => blobs.begin_collection(options)?,
        };
        while collection.step()? {
            if stopping.is_stopping() {
                return Err(Problem::stopping());
            }
        }
        Ok(collection.collected().clone())
    });
    let collected = collected.await?;
    let missing: Vec<_> = collected.missing.iter().map(Hash::to_string).collect();
    Ok(done(&json!({
        "reached": collected.reached,
        "removed": collected.removed,
        "removed_bytes": collected.removed_bytes,
        "freed_bytes": collected.freed_bytes,
        "young": collected.young,
        "young_bytes": collected.young_bytes,
        "missing": missing,
        "damaged_packs": collected.damaged_packs,
        "dry_run": dry_run,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetOverflow {
    enabled: bool,
    place: Option<String>,
    high: Option<f64>,
    low: Option<f64>,
    pushes_per_tick: Option<usize>,
    quota: Option<u64>,
    #[serde(default)]
    take_back: bool,
}

fn overflow_status(blobs: &Blobs) -> Result<Value, Problem> {
    let OverflowStatus { settings, disk, away } = blobs.overflow_status()?;
    let (config, quota) =
        settings.as_ref().map(|settings| (settings.config, settings.quota)).unwrap_or_default();
    Ok(json!({
        "enabled": config.enabled,
        "place": settings.map(|settings| settings.place),
        "high": config.high,
        "low": config.low,
        "pushes_per_tick": config.pushes_per_tick,
        "quota": quota,
        "used": disk.used,
        "disk_ratio": disk.ratio(),
        "away_chunks": away.chunks,
        "away_bytes": away.bytes,
        "left_chunks": away.left,
    }))
}

/// `GET /v1/blobs/overflow`
pub(super) async fn overflow(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    Ok(done(&with(&shared, |blobs| overflow_status(&blobs)).await?))
}

/// `PUT /v1/blobs/overflow`
pub(super) async fn set_overflow(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let SetOverflow { enabled, place, high, low, pushes_per_tick, quota, take_back } =
        body::json(&shared, &headers, content).await?;
    let change = OverflowChange { place, high, low, pushes_per_tick, quota };
    if enabled && take_back {
        return Err(Problem::invalid("what comes back would go again: leave `take_back` out, or disable it"));
    }
    if !enabled && change != OverflowChange::default() {
        return Err(Problem::invalid("nothing else is changed where overflow is disabled: leave it out"));
    }
    let status = with(&shared, move |blobs| {
        match enabled {
            true => drop(blobs.enable_overflow(&change)?),
            false => drop(blobs.disable_overflow(take_back)?),
        }
        overflow_status(&blobs)
    });
    Ok(done(&status.await?))
}

/// `POST /v1/blobs/overflow/run`
pub(super) async fn run_overflow(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (_, params, content) = parts(request)?;
    params.finish()?;
    body::none(&shared, content).await?;
    let stopping = Arc::clone(&shared);
    let sum = with(&shared, move |blobs| Ok(blobs.run_overflow(|_| !stopping.is_stopping())?)).await?;
    Ok(done(&json!({
        "pushed": sum.pushed,
        "pushed_bytes": sum.pushed_bytes,
        "freed_bytes": sum.freed_bytes,
        "taken_back": sum.taken_back,
        "tidied": sum.tidied,
        "failed": sum.failed,
    })))
}
