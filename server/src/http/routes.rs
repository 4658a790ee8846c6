//! The addresses, and what they ask of a caller.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use super::blobs::{self, pins};
use super::{Problem, append, channels, cluster, gate, health, memories, read, sql, tail, tasks};
use crate::access::Role;
use crate::shared::Shared;

/// How a request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Says how the server is: always answered, to everybody.
    Free,
    /// Has an end, in good time.
    Work,
    /// Has an end, which depends on how much there is to do or to send.
    Transfer,
    /// Goes on until one side ends it.
    Stream,
}

/// Where statements are sent.
pub(super) const SQL: &str = "/v1/sql";
const CHANNEL: &str = "/v1/channels/{channel}";
const TAIL: &str = "/v1/channels/{channel}/tail";
const WATCH_TASKS: &str = "/v1/tasks/watch";
const WATCH_MEMORIES: &str = "/v1/memories/watch";
const BLOBS: &str = "/v1/blobs";
const BLOB: &str = "/v1/blobs/{hash}";
const COLLECT: &str = "/v1/blobs/collect";
const OVERFLOW: &str = "/v1/blobs/overflow";
const RUN_OVERFLOW: &str = "/v1/blobs/overflow/run";

/// Makes the routes.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/v1/status", get(health::status))
        .route("/v1/channels", get(channels::list))
        .route(CHANNEL, get(channels::one).put(cluster::create_channel).patch(cluster::configure_channel))
        .route("/v1/sessions", post(cluster::session))
        .route("/v1/cluster", get(cluster::status))
        .route("/v1/cluster/invite", post(cluster::invite))
        .route("/v1/cluster/remove", post(cluster::remove))
        .route("/v1/cluster/transfer", post(cluster::transfer))
        .route("/v1/cluster/move", post(cluster::go))
        .route("/v1/cluster/configure", post(cluster::configure))
        .route("/v1/channels/{channel}/events", get(read::events).post(append::to_channel))
        .route(TAIL, get(tail::channel))
        .route("/v1/events", post(append::to_channels))
        .route("/v1/producers/{id}", get(channels::producer))
        .route(SQL, post(sql::run))
        .route("/v1/tasks", get(tasks::list).post(tasks::create))
        .route(WATCH_TASKS, get(tasks::watch))
        .route("/v1/tasks/{id}", get(tasks::one).delete(tasks::delete))
        .route("/v1/tasks/{id}/rename", post(tasks::rename))
        .route("/v1/tasks/{id}/complete", post(tasks::complete))
        .route("/v1/memories", get(memories::list).post(memories::store))
        .route(WATCH_MEMORIES, get(memories::watch))
        .route("/v1/memories/{id}", get(memories::one).delete(memories::delete))
        .route("/v1/memories/{id}/retag", post(memories::retag))
        .route("/v1/memories/{id}/pin", post(memories::pin))
        .route("/v1/memories/{id}/unpin", post(memories::unpin))
        .route(BLOBS, get(blobs::list).post(blobs::put))
        .route(BLOB, get(blobs::get).delete(blobs::remove))
        .route("/v1/blobs/{hash}/stat", get(blobs::stat))
        .route("/v1/blobs/{hash}/chunks", get(blobs::chunks))
        .route(COLLECT, post(blobs::collect))
        .route(OVERFLOW, get(blobs::overflow).put(blobs::set_overflow))
        .route(RUN_OVERFLOW, post(blobs::run_overflow))
        .route("/v1/pins", get(pins::list))
        .route("/v1/pins/update", post(pins::update))
        .route("/v1/pins/{hash}", put(pins::set).delete(pins::remove))
        .route("/v1/blob-names", get(pins::names))
        .route("/v1/blob-names/{name}", get(pins::name).put(pins::set_name).delete(pins::remove_name))
        .method_not_allowed_fallback(no_method)
        .fallback(nothing)
        .layer(from_fn_with_state(Arc::clone(shared), gate::keep))
        .with_state(Arc::clone(shared))
}

async fn nothing(request: Request) -> Problem {
    Problem::no_route(&request.uri().path().escape_debug().to_string())
}

async fn no_method(request: Request) -> Problem {
    Problem::method(&request.method().as_str().escape_debug().to_string())
}

pub(super) fn class(route: &str) -> Class {
    match route {
        "/health/live" | "/health/ready" => Class::Free,
        TAIL | WATCH_TASKS | WATCH_MEMORIES => Class::Stream,
        BLOBS | BLOB | COLLECT | OVERFLOW | RUN_OVERFLOW => Class::Transfer,
        _ => Class::Work,
    }
}

/// The least role that may do something.
pub(super) fn role(method: &Method, route: &str) -> Role {
    match (method, route) {
        (&Method::GET | &Method::HEAD | &Method::OPTIONS, _) | (_, SQL | "") => Role::Read,
        (_, route) if route.starts_with("/v1/cluster/") => Role::Admin,
        (_, COLLECT | OVERFLOW | RUN_OVERFLOW) => Role::Admin,
        // It is of all channels in the log.
        (&Method::PATCH, CHANNEL) => Role::Admin,
        _ => Role::Write,
    }
}
