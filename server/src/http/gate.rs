//! What is asked of every request, before and after its own work: who sends it, whether there is room, how long it
//! may take, and what is noted about it.

use std::any::Any;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::FutureExt as _;
use hyper::body::{Frame, SizeHint};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use super::Problem;
use super::problem::Failed;
use super::routes::{Class, SQL, class, role};
use crate::access::Caller;
use crate::connections::{OnDrop, Peer};
use crate::shared::Shared;

/// The label of requests to nothing.
const UNMATCHED: &str = "unmatched";

/// Lets a request through, or answers it itself.
pub(super) async fn keep(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let clock = Arc::clone(&shared.doors.clock);
    let began = clock.monotonic();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    let class = route.as_deref().map_or(Class::Work, class);
    let mut name = None;
    let answered = let_through(&shared, class, route.as_deref(), request, next, &mut name).await;
    let response = answered.unwrap_or_else(Problem::into_response);
    let took = clock.monotonic().saturating_sub(began);
    let label = route.as_deref().unwrap_or(UNMATCHED);
    let status = response.status();
    shared.metrics.answered(label, known(&method), status.as_u16(), took);
    let failed = response.extensions().get::<Failed>();
    let kind = failed.map_or("none", |failed| failed.kind.as_str());
    // What is said about a statement may hold values that it reads.
    let cause = failed.filter(|_| label != SQL).map(|failed| failed.message.as_str());
    let (method, caller) = (known(&method), name.as_deref().unwrap_or("unknown"));
    let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    match status {
        // That it is not ready yet is what the question is for.
        _ if class == Class::Free => {}
        500.. => warn!(method, route = label, status, kind, cause, caller, peer, took_ms, "request failed"),
        400.. => info!(method, route = label, status, kind, caller, peer, took_ms, "request refused"),
        _ => tracing::debug!(method, route = label, status, caller, peer, took_ms, "request answered"),
    }
    response
}

async fn let_through(
    shared: &Arc<Shared>,
    class: Class,
    route: Option<&str>,
    mut request: Request,
    next: Next,
    name: &mut Option<String>,
) -> Result<Response, Problem> {
    if class == Class::Free {
        return run(next, request).await;
    }
    let caller = caller(shared, &request)?;
    *name = Some(caller.name.clone());
    let needed = role(request.method(), route.unwrap_or_default());
    if caller.role < needed {
        let message = format!("`{}` has the role {}, this needs {needed}", caller.name, caller.role);
        return Err(Problem::forbidden(message, "use a token of that role"));
    }
    request.extensions_mut().insert(caller);
    if shared.is_stopping() {
        return Err(Problem::stopping());
    }
    match class {
        Class::Free => run(next, request).await,
        Class::Stream => {
            let room = room(&shared.streams, "streams are open", shared.config.http.streams_max)?;
            let response = run(next, request).await?;
            let gauge = shared.metrics.streams.clone();
            Ok(held(response, (room, counted(gauge))))
        }
        Class::Work | Class::Transfer => {
            let room = room(&shared.requests, "requests are worked on", shared.config.http.requests_max)?;
            let count = counted(shared.metrics.in_flight.clone());
            let within = shared.config.http.answer_within;
            let response = match class {
                Class::Transfer => run(next, request).await?,
                _ => {
                    let answered = tokio::time::timeout(within, run(next, request)).await;
                    answered.map_err(|_| Problem::late(within))??
                }
            };
            Ok(held(response, (room, count)))
        }
    }
}

/// Does the request's own work; a panic ends it alone.
async fn run(next: Next, request: Request) -> Result<Response, Problem> {
    let run = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    run.map_err(|_| Problem::internal("the request met a defect"))
}

/// Counts up, and down again when what it returns is dropped.
fn counted(gauge: Gauge<i64, AtomicI64>) -> impl Send + 'static {
    gauge.inc();
    OnDrop(move || {
        gauge.dec();
    })
}

fn room(semaphore: &Arc<Semaphore>, what: &str, max: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = Arc::clone(semaphore).try_acquire_owned();
    permit.map_err(|_| Problem::unavailable(format!("{max} {what} already, and no more are admitted")))
}

/// Finds out who sends a request.
fn caller(shared: &Shared, request: &Request) -> Result<Caller, Problem> {
    let headers = request.headers();
    let peer = request.extensions().get::<Peer>();
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Problem::unauthenticated("only bearer tokens are understood"));
        }
        let found = shared.access.find(token.trim());
        return found.ok_or_else(|| Problem::unauthenticated("the token is not known"));
    }
    let is_local_only = peer.is_none_or(|peer| peer.is_local_only);
    let anybody = shared.access.anybody().filter(|_| !is_local_only);
    let anybody = anybody.ok_or_else(|| Problem::unauthenticated("a token is needed"))?;
    // A page of some other site can make a browser on this machine send requests here.
    refuse_browsers_of_others(headers, peer.is_some_and(|peer| peer.is_tls), request.uri().host())?;
    Ok(anybody)
}

/// Refuses what a browser sends for another site, and names that only seem to be this machine's.
fn refuse_browsers_of_others(
    headers: &HeaderMap,
    is_tls: bool,
    authority: Option<&str>,
) -> Result<(), Problem> {
    const NEXT: &str = "configure a token and send it, or leave the browser out";
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(authority).unwrap_or_default();
    if !is_this_machine(host) {
        let message = format!("`{}` is no name of this machine", host.escape_debug());
        return Err(Problem::forbidden(message, "ask by address, such as 127.0.0.1, or configure a token"));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = format!("{}://{host}", if is_tls { "https" } else { "http" });
        if origin.to_str().ok() != Some(own.as_str()) {
            return Err(Problem::forbidden("the request comes from a page of another site", NEXT));
        }
    }
    let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(Problem::forbidden("the request comes from a page of another site", NEXT));
    }
    Ok(())
}

fn is_this_machine(host: &str) -> bool {
    let without_port = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    without_port.eq_ignore_ascii_case("localhost")
        || without_port.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Keeps something for as long as the answer's body is being sent.
fn held(response: Response, kept: impl Send + 'static) -> Response {
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::new(Held { body, _kept: Box::new(kept) }))
}

struct Held {
    body: Body,
    _kept: Box<dyn Any + Send>,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The methods that metrics know by name.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_taken_without_a_token() {
        for host in ["127.0.0.1", "127.0.0.1:7700", "localhost:1", "LOCALHOST", "[::1]:7700", "[::1]"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "example.org", "127.0.0.1.example.org:7700", "192.0.2.1", "localhost.evil", "[::2]"]
        {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
