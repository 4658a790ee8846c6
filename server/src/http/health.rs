//! How the server is: alive, ready, its status and its metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::params::Params;
use super::{Problem, answer};
use crate::metrics::CONTENT_TYPE;
use crate::shared::{NotReady, Shared};

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Response {
    answer::json(StatusCode::OK, &json!({ "live": true }))
}

/// `GET /health/ready`: 200, or 503 with the reasons; with either what a person should look at.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let reasons = shared.not_ready();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = |reasons: &[NotReady]| -> Vec<Value> {
        reasons.iter().map(|reason| json!({ "reason": reason.reason, "message": reason.message })).collect()
    };
    let warnings = told(&shared.warnings());
    let ready = json!({ "ready": reasons.is_empty(), "reasons": told(&reasons), "warnings": warnings });
    answer::json(status, &ready)
}

/// `GET /metrics`
pub(super) async fn metrics(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let text = tokio::task::spawn_blocking(move || shared.metrics.encode()).await?;
    let text = text.map_err(|_| Problem::internal("metrics could not be written"))?;
    Ok(answer::of(StatusCode::OK, CONTENT_TYPE, Body::from(text)))
}

/// `GET /v1/status`
pub(super) async fn status(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    let db = shared.db()?;
    let reader = db.store().reader();
    let logs: Vec<Value> = reader
        .logs()
        .iter()
        .map(|log| {
            let view = log.view();
            json!({
                "log": log.name(),
                "id": log.id().to_string(),
                "begins": view.begins().0,
                "position": view.position().0,
            })
        })
        .collect();
    let uptime = shared.doors.clock.monotonic().saturating_sub(shared.started);
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "origin": db.store().origin().to_string(),
        "ready": shared.not_ready().is_empty(),
        "started_at": shared.started_at.to_string(),
        "uptime_seconds": uptime.as_secs(),
        "authentication": !shared.access.is_open(),
        "logs": logs,
    });
    Ok(answer::json(StatusCode::OK, &status))
}
