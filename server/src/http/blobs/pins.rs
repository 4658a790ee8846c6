//! Pins and names of blobs.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use netdb::blob::{Named, Pin, PinMode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::channels::{PathText, text};
use super::super::params::Params;
use super::super::tasks::parts;
use super::super::{Problem, body};
use super::{ask, done, hash, page, parse, with};
use crate::shared::Shared;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SetPin {
    #[serde(default)]
    mode: Mode,
    label: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Direct,
    #[default]
    Recursive,
}

impl From<Mode> for PinMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Direct => Self::Direct,
            Mode::Recursive => Self::Recursive,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MovePin {
    from: String,
    to: String,
    #[serde(default)]
    keep: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetName {
    hash: String,
}

/// `GET /v1/pins`
pub(in crate::http) async fn list(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let (after, limit) = page(&mut params)?;
    params.finish()?;
    let after = after.map(|after| parse(&after)).transpose()?;
    let listed = ask(&shared, move |blobs| {
        let pins = blobs.pins().list(after.as_ref(), limit).into_iter();
        let shown = pins.map(|(hash, pin)| {
            let bytes = blobs.store().stat(&hash).ok().map(|info| info.bytes);
            shown(&hash.to_string(), &pin, bytes)
        });
        Ok(shown.collect::<Vec<_>>())
    });
    Ok(done(&json!({ "pins": listed.await?.unwrap_or_default() })))
}

fn shown(hash: &str, pin: &Pin, bytes: Option<u64>) -> Value {
    json!({
        "hash": hash,
        "type": pin.mode.as_str(),
        "bytes": bytes,
        "label": pin.label,
        "pinned_at": pin.pinned_at.to_string(),
    })
}

/// `PUT /v1/pins/{hash}`
pub(in crate::http) async fn set(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let hash = hash(path)?;
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let SetPin { mode, label } = body::json(&shared, &headers, content).await?;
    let pin = with(&shared, move |blobs| {
        blobs.pin(&hash, mode.into(), label.as_deref())?;
        Ok((blobs.pins().get(&hash), blobs.store().stat(&hash).ok().map(|info| info.bytes)))
    });
    match pin.await? {
        (Some(pin), bytes) => Ok(done(&shown(&hash.to_string(), &pin, bytes))),
        // Somebody took it away again.
        (None, _) => Err(Problem::not_found(format!("{hash} is not pinned"))),
    }
}

/// `DELETE /v1/pins/{hash}`
pub(in crate::http) async fn remove(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let hash = hash(path)?;
    let (_, params, content) = parts(request)?;
    params.finish()?;
    body::none(&shared, content).await?;
    let was_pinned = with(&shared, move |blobs| Ok(blobs.unpin(&hash)?)).await?;
    Ok(done(&json!({ "hash": hash.to_string(), "removed": was_pinned })))
}

/// `POST /v1/pins/update`
pub(in crate::http) async fn update(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let MovePin { from, to, keep } = body::json(&shared, &headers, content).await?;
    let (from, to) = (parse(&from)?, parse(&to)?);
    with(&shared, move |blobs| Ok(blobs.pins().update(&from, &to, keep)?)).await?;
    Ok(done(&json!({ "from": from.to_string(), "to": to.to_string() })))
}

fn named(name: &str, named: &Named) -> Value {
    json!({ "name": name, "hash": named.hash.to_string(), "named_at": named.named_at.to_string() })
}

/// `GET /v1/blob-names`
pub(in crate::http) async fn names(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut params = Params::of(request.uri())?;
    let (after, limit) = page(&mut params)?;
    let prefix = params.text("prefix")?.unwrap_or_default();
    params.finish()?;
    let listed = ask(&shared, move |blobs| Ok(blobs.pins().names(&prefix, after.as_deref(), limit))).await?;
    let listed: Vec<_> = listed.iter().flatten().map(|(name, of)| named(name, of)).collect();
    Ok(done(&json!({ "names": listed })))
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!("no blob is named `{}`", name.escape_debug()))
}

/// `GET /v1/blob-names/{name}`
pub(in crate::http) async fn name(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let name = text(path)?;
    Params::of(request.uri())?.finish()?;
    let asked = name.clone();
    let found = ask(&shared, move |blobs| Ok(blobs.pins().name(&asked))).await?;
    Ok(done(&named(&name, &found.flatten().ok_or_else(|| missing(&name))?)))
}

/// `PUT /v1/blob-names/{name}`
pub(in crate::http) async fn set_name(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let name = text(path)?;
    let (headers, params, content) = parts(request)?;
    params.finish()?;
    let SetName { hash } = body::json(&shared, &headers, content).await?;
    let (hash, asked) = (parse(&hash)?, name.clone());
    let before = with(&shared, move |blobs| Ok(blobs.pins().set_name(&asked, &hash)?)).await?;
    let before = before.map(|before| before.hash.to_string());
    Ok(done(&json!({ "name": name, "hash": hash.to_string(), "before": before })))
}

/// `DELETE /v1/blob-names/{name}`
pub(in crate::http) async fn remove_name(
    State(shared): State<Arc<Shared>>,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let name = text(path)?;
    let (_, params, content) = parts(request)?;
    params.finish()?;
    body::none(&shared, content).await?;
    let asked = name.clone();
    let before = with(&shared, move |blobs| Ok(blobs.pins().remove_name(&asked)?)).await?;
    let before = before.ok_or_else(|| missing(&name))?;
    Ok(done(&json!({ "name": name, "before": before.hash.to_string() })))
}
