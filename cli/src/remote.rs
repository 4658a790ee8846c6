//! Writing through the server that owns the directory, over its HTTP endpoints.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use netdb::base::{Classify as _, ErrorKind, Hash};
use netdb::meshdb::{RecordBatch, SchemaRef, output};
use netdb::redex::{Ack, AppendRequest, EventInput, Expect, Idempotency, read_owner};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use server::LocalServer;

use crate::context::Context;
use crate::exit::{Code, Failure};

const BATCH: &str = "application/vnd.netdb.batch+json";
const JSON: &str = "application/json";
const ARROW: &str = "application/vnd.apache.arrow.stream";
const PARTIAL_CONTENT: u16 = 206;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The server ends requests by its own, shorter limit.
const ANSWER_WITHIN: Duration = Duration::from_secs(600);
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A server on this machine.
pub(crate) struct Remote {
    agent: ureq::Agent,
    address: SocketAddr,
    token: String,
}

/// What became of an append.
#[derive(Debug, Deserialize)]
pub(crate) struct Appended {
    outcome: String,
    pub(crate) position: u64,
    pub(crate) ranges: Vec<Range>,
}

/// Consecutive events of one channel.
#[derive(Debug, Deserialize)]
pub(crate) struct Range {
    pub(crate) channel: String,
    pub(crate) first_seq: u64,
}

/// The last append of a producer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) digest: Hash,
}

impl Appended {
    pub(crate) fn is_already(&self) -> bool {
        self.outcome == "already-appended"
    }
}

impl Remote {
    /// Finds the server that holds the lock of the directory, and says that it is asked; `None` when there is none.
    pub(crate) fn find(context: &Context) -> Option<Self> {
        let disk = &*context.doors.disk;
        let local = LocalServer::read(disk, &context.directory).ok().flatten()?;
        // A server that crashed leaves its file, but not its lock.
        let owner = read_owner(disk, &context.directory)?;
        if owner.pid != local.pid {
            return None;
        }
        context.note(format_args!("through the server at {}", local.http));
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            // One that the server closes meanwhile would make an outcome unknown.
            .max_idle_connections(0)
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_recv_response(Some(ANSWER_WITHIN))
            .build();
        Some(Self { agent: config.into(), address: local.http, token: local.token })
    }

    /// Appends, and waits until that is as safe as `ack` says.
    pub(crate) fn append(&self, request: &AppendRequest<'_>, ack: Ack) -> Result<Appended, Failure> {
        let body = serde_json::to_vec(&Batch::of(request, ack))
            .map_err(|error| Failure::new(Code::Failed, format!("cannot write the request: {error}")))?;
        let value = self.post("/v1/events", BATCH, None, &body)?;
        serde_json::from_value(value).map_err(|error| self.odd(error))
    }

    /// Returns the last append of a producer.
    pub(crate) fn producer(&self, id: &str) -> Result<Option<Numbered>, Failure> {
        #[derive(Deserialize)]
        struct Told {
            number: u64,
            digest: String,
        }
        let told = match self.get(&format!("/v1/producers/{}", in_path(id))) {
            Ok(value) => serde_json::from_value::<Told>(value).map_err(|error| self.odd(error))?,
            Err(failure) if failure.code == Code::NotFound => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let digest = blake3::Hash::from_hex(&told.digest).map_err(|error| self.odd(error))?;
        Ok(Some(Numbered { number: told.number, digest: digest.into() }))
    }

    /// Returns each channel with the log that it lives in.
    pub(crate) fn channels(&self) -> Result<Vec<(String, String)>, Failure> {
        let told = self.get("/v1/channels")?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let channels = told["channels"].as_array().into_iter().flatten();
        Ok(channels
            .filter_map(|channel| Some((text(&channel["channel"])?, text(&channel["log"])?)))
            .collect())
    }

    /// Asks.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.agent.get(self.url(path)).header("authorization", self.bearer());
        self.answer(request.call())
    }

    /// Changes a record; without a body there is nothing to say.
    pub(crate) fn change(
        &self,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        match body {
            Some(body) => self.post(path, JSON, key, body.to_string().as_bytes()),
            None => self.post(path, JSON, key, b""),
        }
    }

    /// Sends content of any length, and waits for what becomes of it.
    pub(crate) fn upload(&self, path: &str, mut content: impl Read) -> Result<Value, Failure> {
        let request = self.agent.post(self.url(path)).header("authorization", self.bearer());
        let body = ureq::SendBody::from_reader(&mut content);
        self.answer(request.header("content-type", "application/octet-stream").send(body))
    }

    /// Writes a range of some content.
    pub(crate) fn download(
        &self,
        path: &str,
        range: std::ops::Range<u64>,
        target: &mut impl Write,
    ) -> Result<(), Failure> {
        let wanted = range.end - range.start;
        let mut request = self.agent.get(self.url(path)).header("authorization", self.bearer());
        if wanted > 0 {
            request = request.header("range", format!("bytes={}-{}", range.start, range.end - 1));
        }
        let mut response = request.call().map_err(|error| self.broken(&error))?;
        if !response.status().is_success() {
            return self.answer(Ok(response)).map(drop);
        }
        if range.start > 0 && wanted > 0 && response.status() != PARTIAL_CONTENT {
            return Err(self.odd("other bytes than those that were asked for"));
        }
        let mut content = response.body_mut().as_reader();
        let copied = io::copy(&mut content.by_ref().take(wanted), target)?;
        match copied == wanted {
            true => Ok(()),
            false => Err(self.odd(format!("{copied} of {wanted} bytes"))),
        }
    }

    /// Returns a number of an answer.
    pub(crate) fn number(&self, answer: &Value, field: &str) -> Result<u64, Failure> {
        answer[field].as_u64().ok_or_else(|| self.odd(format!("no number `{field}`")))
    }

    /// Runs a statement.
    pub(crate) fn sql(&self, statement: &str) -> Result<(SchemaRef, Vec<RecordBatch>), Failure> {
        let request = self.agent.post(self.url("/v1/sql")).header("authorization", self.bearer());
        let request = request.header("content-type", JSON).header("accept", ARROW);
        let body = serde_json::json!({ "sql": statement }).to_string();
        let mut response = request.send(body.as_bytes()).map_err(|error| self.broken(&error))?;
        if !response.status().is_success() {
            self.answer(Ok(response))?;
            return Err(self.odd("a refusal without a reason"));
        }
        output::read_arrow(response.body_mut().as_reader()).map_err(|error| {
            Failure::new(Code::Failed, format!("the rows broke off: {error}"))
                .hint("limits of the server may have ended the statement: add LIMIT, or see its log")
        })
    }

    /// Returns an answer that is text.
    pub(crate) fn text(&self, path: &str) -> Result<String, Failure> {
        let request = self.agent.get(self.url(path)).header("authorization", self.bearer());
        let mut response = request.call().map_err(|error| self.broken(&error))?;
        if !response.status().is_success() {
            return self.answer(Ok(response)).map(|value| value.to_string());
        }
        response.body_mut().read_to_string().map_err(|error| self.broken(&error))
    }

    /// Deletes a record.
    pub(crate) fn delete(&self, path: &str, key: Option<&str>) -> Result<Value, Failure> {
        let mut request = self.agent.delete(self.url(path)).header("authorization", self.bearer());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.answer(request.call())
    }

    /// Puts something in its place.
    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.agent.put(self.url(path)).header("authorization", self.bearer());
        self.answer(request.header("content-type", JSON).send(body.to_string().as_bytes()))
    }

    fn post(&self, path: &str, media_type: &str, key: Option<&str>, body: &[u8]) -> Result<Value, Failure> {
        let mut request = self.agent.post(self.url(path)).header("authorization", self.bearer());
        request = request.header("content-type", media_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.answer(request.send(body))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn answer(
        &self,
        answered: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let broken = |error: ureq::Error| self.broken(&error);
        let mut response = answered.map_err(broken)?;
        let status = response.status();
        let bytes =
            response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(broken)?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| self.odd(error))?;
        if status.is_success() { Ok(value) } else { Err(failure(&value["error"])) }
    }

    fn broken(&self, error: &ureq::Error) -> Failure {
        let message = format!("the server at {} did not answer: {error}", self.address);
        Failure::new(Code::Unavailable, message)
            .hint("what was asked may have been done: repeat it with the same key, or look first")
    }

    fn odd(&self, error: impl std::fmt::Display) -> Failure {
        let message = format!("the server at {} gave an odd answer: {error}", self.address);
        Failure::new(Code::Failed, message).hint("is it of the same version?")
    }
}

/// A refusal, with the exit code that it has without a server.
fn failure(error: &Value) -> Failure {
    let code = match error["kind"].as_str() {
        _ if error["reason"] == "disk-full" => Code::Failed,
        Some("not-found") => ErrorKind::NotFound.into(),
        Some("conflict") => ErrorKind::Conflict.into(),
        Some("unavailable" | "closed" | "fenced") => Code::Unavailable,
        Some("corrupt") => ErrorKind::Corrupt.into(),
        Some("denied") => ErrorKind::Denied.into(),
        _ => Code::Failed,
    };
    let failure =
        Failure::new(code, error["message"].as_str().unwrap_or("the server refused without a word"));
    match (error["outcome"].as_str(), error["next"].as_str()) {
        (Some("unknown"), Some(next)) => failure.hint(next),
        _ => failure,
    }
}

/// Writes a text as one part of a path.
pub(crate) fn in_path(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~');
    let part = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(part).collect()
}

/// An append as it is sent. Payloads and headers go as base64, which changes no byte of them.
#[derive(Serialize)]
struct Batch<'a> {
    events: Vec<Event<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Condition<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    producer: Option<Producer<'a>>,
    ack: &'static str,
}

#[derive(Serialize)]
struct Event<'a> {
    channel: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers_base64: Vec<(&'a str, String)>,
    payload_base64: String,
}

#[derive(Serialize)]
struct Condition<'a> {
    channel: &'a str,
    expect: Value,
}

#[derive(Serialize)]
struct Producer<'a> {
    id: &'a str,
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl<'a> Batch<'a> {
    fn of(request: &AppendRequest<'a>, ack: Ack) -> Self {
        let events = request.parts.iter().flat_map(|part| {
            let channel = part.channel.as_str();
            part.events.iter().map(move |event| Event::of(channel, event))
        });
        let conditions = request.conditions.iter().map(|condition| Condition {
            channel: condition.channel.as_str(),
            expect: match condition.expect {
                Expect::Exact(seq) => seq.0.into(),
                word => word.to_string().into(),
            },
        });
        let (idempotency_key, producer) = match request.idempotency {
            Idempotency::None => (None, None),
            Idempotency::Key(key) => (Some(key), None),
            Idempotency::Producer { id, number, digest } => {
                (None, Some(Producer { id, number, digest: digest.map(|digest| digest.to_string()) }))
            }
        };
        let (events, conditions) = (events.collect(), conditions.collect());
        Self { events, conditions, idempotency_key, producer, ack: ack.as_str() }
    }
}

impl<'a> Event<'a> {
    fn of(channel: &'a str, event: &EventInput<'a>) -> Self {
        let headers = event.headers.iter().map(|(name, value)| (*name, BASE64.encode(value)));
        Self {
            channel,
            kind: event.kind,
            key: event.key,
            time: event.time.map(|time| time.to_string()),
            headers_base64: headers.collect(),
            payload_base64: BASE64.encode(event.payload),
        }
    }
}

/// Tells whether a failure to open says that somebody else writes to the directory.
pub(crate) fn is_locked(error: &netdb::redex::OpenError) -> bool {
    matches!(error, netdb::redex::OpenError::Locked { .. }) && error.kind() == ErrorKind::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_exit_codes_that_they_have_without_a_server() {
        let code = |kind: &str| failure(&serde_json::json!({ "kind": kind, "message": "m" })).code;
        assert_eq!(code("not-found"), Code::NotFound);
        assert_eq!(code("conflict"), Code::Conflict);
        assert_eq!(code("unavailable"), Code::Unavailable);
        assert_eq!(code("corrupt"), Code::Corrupt);
        assert_eq!(code("denied"), Code::Denied);
        assert_eq!(code("invalid"), Code::Failed);
        let full = serde_json::json!({ "kind": "unavailable", "reason": "disk-full", "message": "m" });
        assert_eq!(failure(&full).code, Code::Failed);
        let unknown =
            serde_json::json!({ "kind": "unavailable", "outcome": "unknown", "message": "m", "next": "n" });
        assert_eq!(failure(&unknown), Failure::new(Code::Unavailable, "m; n"));
    }

    #[test]
    fn any_text_is_one_part_of_a_path() {
        assert_eq!(in_path("import:c:/a file?%"), "import%3Ac%3A%2Fa%20file%3F%25");
        assert_eq!(in_path(".."), "%2E%2E");
    }
}
