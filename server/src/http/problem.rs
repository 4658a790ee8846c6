//! What is answered when something is not done: a status and a JSON object.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use netdb::base::{Classify, ErrorKind, Position};
use netdb::meshdb::QueryError;
use netdb::redex::{AppendError, Rejection};
use serde_json::{Map, Value, json};

/// Why a request was not done.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    next: &'static str,
    details: Map<String, Value>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

const CORRECT: &str = "correct the request; as it is it will fail again";
const LATER: &str = "send the request again later";

impl Problem {
    fn new(status: StatusCode, kind: ErrorKind, message: impl Into<String>, next: &'static str) -> Self {
        let (details, headers) = (Map::new(), Vec::new());
        Self { status, kind, message: message.into(), next, details, headers }
    }

    /// The request is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::Invalid, message, CORRECT)
    }

    /// What it is about is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, message, "look at a list for what there is")
    }

    pub(crate) fn no_route(path: &str) -> Self {
        let mut problem = Self::not_found(format!("there is nothing at `{path}`"));
        problem.next = "see docs/http.md for what there is; a `/` in a channel's name is written %2F";
        problem
    }

    pub(crate) fn method(method: &str) -> Self {
        let message = format!("{method} is not done here");
        let next = "see the header `allow` for what is";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorKind::Invalid, message, next)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        let next = "send less at a time; store large values elsewhere and refer to them";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::Invalid, message, next)
    }

    /// The content has no such bytes.
    pub(crate) fn no_range(asked: &str, bytes: u64) -> Self {
        let message = format!("`{}` lies behind the end of {bytes} bytes", asked.escape_debug());
        let problem = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, ErrorKind::Invalid, message, CORRECT);
        match HeaderValue::from_str(&format!("bytes */{bytes}")) {
            Ok(value) => problem.header(header::CONTENT_RANGE, value),
            Err(_) => problem,
        }
    }

    pub(crate) fn media_type(message: impl Into<String>, next: &'static str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorKind::Invalid, message, next)
    }

    pub(crate) fn not_acceptable(message: impl Into<String>) -> Self {
        let next = "leave the header `accept` out, or name one of these";
        Self::new(StatusCode::NOT_ACCEPTABLE, ErrorKind::Invalid, message, next)
    }

    pub(crate) fn slow_body() -> Self {
        let message = "the body did not come: nothing was sent for too long";
        Self::new(StatusCode::REQUEST_TIMEOUT, ErrorKind::Unavailable, message, LATER)
    }

    pub(crate) fn unauthenticated(message: impl Into<String>) -> Self {
        let next = "send `authorization: Bearer TOKEN` with a token of the configuration";
        let problem = Self::new(StatusCode::UNAUTHORIZED, ErrorKind::Denied, message, next);
        problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn forbidden(message: impl Into<String>, next: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Denied, message, next)
    }

    /// The server cannot do it now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable, message, LATER);
        problem.header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn stopping() -> Self {
        Self::unavailable("the server is stopping")
    }

    /// It took too long; what it did is not known.
    pub(crate) fn late(within: std::time::Duration) -> Self {
        let message = format!("there was no answer within {within:?}");
        let next = "a write may have been done: repeat it with the same idempotency key";
        Self::new(StatusCode::GATEWAY_TIMEOUT, ErrorKind::Unavailable, message, next)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let next = "report this with the server's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Internal, message, next)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        let next = "read the current state and decide anew";
        Self::new(StatusCode::CONFLICT, ErrorKind::Conflict, message, next)
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The object that says it; also at the end of an answer that had begun.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("kind".to_owned(), self.kind.as_str().into());
        error.insert("message".to_owned(), self.message.clone().into());
        error.insert("next".to_owned(), self.next.into());
        error.extend(self.details.clone());
        error.into()
    }

    /// What can be done about an error of the crates below.
    fn of_kind(kind: ErrorKind, message: String) -> Self {
        match kind {
            ErrorKind::Invalid => Self::invalid(message),
            ErrorKind::NotFound => Self::not_found(message),
            ErrorKind::Conflict => Self::conflict(message),
            ErrorKind::Denied => Self::forbidden(message, CORRECT),
            ErrorKind::Unavailable | ErrorKind::Closed | ErrorKind::Fenced => {
                Self { kind, ..Self::unavailable(message) }
            }
            ErrorKind::Corrupt => {
                let next = "run `net-db log fsck`, and restore what it names";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, kind, message, next)
            }
            _ => Self::internal(message),
        }
    }

    fn rejected(reason: &Rejection, position: Position) -> Self {
        let kind = reason.kind();
        let problem = Self::of_kind(kind, reason.to_string());
        let problem = match reason {
            Rejection::ConditionFailed { channel, actual, .. } => problem
                .with_status(StatusCode::PRECONDITION_FAILED)
                .detail("reason", "condition-failed")
                .detail("channel", channel.as_str())
                .detail("next_seq", actual.map(|seq| seq.0)),
            Rejection::KeyReused { at, .. } => {
                problem.detail("reason", "key-reused").detail("used_at", at.index.0)
            }
            Rejection::StaleProducer { last, .. } => {
                problem.detail("reason", "stale-producer").detail("last_number", *last)
            }
            Rejection::ConfigMismatch { .. } => problem.detail("reason", "config-mismatch"),
            Rejection::Moved { .. } => problem.detail("reason", "moved"),
            Rejection::Elsewhere { .. } => problem.detail("reason", "elsewhere"),
            Rejection::Unplaced { .. } => problem.detail("reason", "unplaced"),
            Rejection::ClockLeap { .. } => problem.detail("reason", "clock-leap"),
            Rejection::KeysFull { .. } => problem.detail("reason", "keys-full"),
            Rejection::BlobMissing { hash, .. } => {
                problem.detail("reason", "blob-missing").detail("blob", hash.to_string())
            }
            Rejection::DiskFull => {
                problem.with_status(StatusCode::INSUFFICIENT_STORAGE).detail("reason", "disk-full")
            }
            Rejection::WriteFailed { .. } => problem.detail("reason", "write-failed"),
            _ => problem.detail("reason", "rejected"),
        };
        problem.detail("outcome", "rejected").detail("position", position.0)
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match &error {
            AppendError::Rejected { reason, position } => Self::rejected(reason, *position),
            AppendError::Unknown { cause } => {
                let mut problem = Self::unavailable(format!("outcome unknown: {cause}"));
                problem.next = "repeat with the same idempotency key once the server is ready again";
                problem.detail("outcome", "unknown")
            }
            AppendError::TooLarge { .. } => Self::too_large(error.to_string()),
            _ => Self::of_kind(error.kind(), error.to_string()),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let problem = Self::of_kind(error.kind(), error.to_string());
        match &error {
            QueryError::TimedOut { .. } => problem.with_status(StatusCode::GATEWAY_TIMEOUT),
            QueryError::TooLong { .. } => problem.with_status(StatusCode::PAYLOAD_TOO_LARGE),
            QueryError::Syntax { at: Some(at), .. } => {
                problem.detail("line", at.line).detail("column", at.column)
            }
            _ => problem,
        }
    }
}

macro_rules! from {
    ($($error:ty),+) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::of_kind(error.kind(), error.to_string())
            }
        })+
    };
}

from!(netdb::Error, netdb::base::ChannelNameError, netdb::redex::ReadError);
from!(netdb::cortex::FoldStopped, netdb::cortex::WaitError);

impl From<netdb::blob::BlobError> for Problem {
    fn from(error: netdb::blob::BlobError) -> Self {
        let problem = Self::of_kind(error.kind(), error.to_string());
        match error.is_full_disk() {
            true => problem.with_status(StatusCode::INSUFFICIENT_STORAGE).detail("reason", "disk-full"),
            false => problem,
        }
    }
}

impl From<netdb::cortex::WriteError> for Problem {
    fn from(error: netdb::cortex::WriteError) -> Self {
        match error {
            netdb::cortex::WriteError::Append(error) => error.into(),
            other => Self::of_kind(other.kind(), other.to_string()),
        }
    }
}

/// A blocking thread that did not come back.
impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        if error.is_panic() { Self::internal("a thread panicked") } else { Self::stopping() }
    }
}

/// What the log line of a request says about its failure; travels with the answer.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let text = json!({ "error": self.to_json() }).to_string();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.headers);
        response.extensions_mut().insert(Failed { kind: self.kind, message: self.message });
        response
    }
}
