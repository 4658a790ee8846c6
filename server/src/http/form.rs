//! Appends as they are asked for: one event in a body with headers, or a batch in JSON.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use netdb::base::{ChannelName, Hash, Timestamp};
use netdb::redex::{
    Ack, AppendRequest, ChannelEvents, Condition, EventInput, Expect, Idempotency, Store, Ticket,
};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Problem;
use super::body::{JSON, media_type, parse};
use crate::limits::EVENTS_MAX;

/// The type of a batch.
pub(super) const BATCH: &str = "application/vnd.netdb.batch+json";
/// The kind of an event that says none.
const KIND: &str = "event";
/// The header of an event that says how its payload is written.
const CONTENT_TYPE: &str = "content-type";

/// How a request says what stands beside its body.
#[derive(Debug, Default)]
pub(super) struct Beside {
    kind: Option<String>,
    key: Option<String>,
    time: Option<Timestamp>,
    headers: Vec<(String, Vec<u8>)>,
    expect: Option<Expect>,
    idempotency_key: Option<String>,
    pub(super) ack: Ack,
    media_type: Option<String>,
}

impl Beside {
    /// Reads the headers of a request.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        for name in headers.keys() {
            let name = name.as_str();
            let known = ["kind", "key", "time", "header", "expect", "ack"];
            if name.strip_prefix("netdb-").is_some_and(|ours| !known.contains(&ours)) {
                return Err(Problem::invalid(format!("there is no header `{name}` here: leave it out")));
            }
        }
        let mut pairs = Vec::new();
        for value in headers.get_all("netdb-header") {
            let text = utf8("netdb-header", value.as_bytes())?;
            let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
                return Err(Problem::invalid("header `netdb-header`: write NAME=VALUE"));
            };
            pairs.push((name.to_owned(), value.as_bytes().to_vec()));
        }
        Ok(Self {
            kind: one(headers, "netdb-kind")?,
            key: one(headers, "netdb-key")?,
            time: parsed(headers, "netdb-time")?,
            headers: pairs,
            expect: parsed(headers, "netdb-expect")?,
            idempotency_key: one(headers, "idempotency-key")?,
            ack: parsed(headers, "netdb-ack")?.unwrap_or_default(),
            media_type: media_type(headers)?,
        })
    }

    /// Tells whether the body is a batch.
    pub(super) fn is_batch(&self) -> bool {
        self.media_type.as_deref() == Some(BATCH)
    }

    /// Refuses what only one event can have.
    fn check_for_batch(&self) -> Result<(), Problem> {
        let said = [
            ("netdb-kind", self.kind.is_some()),
            ("netdb-key", self.key.is_some()),
            ("netdb-time", self.time.is_some()),
            ("netdb-header", !self.headers.is_empty()),
            ("netdb-expect", self.expect.is_some()),
            ("netdb-ack", self.ack != Ack::default()),
            ("idempotency-key", self.idempotency_key.is_some()),
        ];
        match said.iter().find(|(_, is_said)| *is_said) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Problem::invalid(format!("a batch says `{name}` in its body, not in a header")))
            }
        }
    }
}

fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| utf8(name, value.as_bytes())).transpose()?;
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Problem::invalid(format!("header `{name}` is there twice: send it once"))),
    }
}

fn parsed<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Result<Option<T>, Problem>
where
    T::Err: fmt::Display,
{
    let read =
        |text: String| text.parse().map_err(|error| Problem::invalid(format!("header `{name}`: {error}")));
    one(headers, name)?.map(read).transpose()
}

fn utf8(name: &str, bytes: &[u8]) -> Result<String, Problem> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| Problem::invalid(format!("header `{name}` is no UTF-8: send it as UTF-8")))
}

/// What was staged, and how it is to be acknowledged.
pub(super) struct Staged {
    pub(super) ticket: Ticket,
    pub(super) ack: Ack,
    pub(super) payload_bytes: u64,
}

/// Checks whether a caller may write to a channel.
pub(super) type MayWrite<'a> = &'a dyn Fn(&ChannelName) -> Result<(), Problem>;

/// Stages one event whose payload is the body. May block.
pub(super) fn stage_one(
    store: &Store,
    channel: &ChannelName,
    beside: &Beside,
    body: &[u8],
    may_write: MayWrite<'_>,
) -> Result<Staged, Problem> {
    may_write(channel)?;
    match beside.media_type.as_deref() {
        Some("application/x-www-form-urlencoded" | "multipart/form-data") => {
            let message = "a form is no payload, and is what tools send unless told otherwise";
            return Err(Problem::media_type(
                message,
                "say what the body is, as in `content-type: application/json`",
            ));
        }
        Some(JSON) => {
            parse::<IgnoredAny>(body)?;
        }
        _ => {}
    }
    let own = beside.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let mut headers: Vec<(&str, &[u8])> = own.collect();
    if let Some(media_type) = &beside.media_type
        && headers.iter().all(|(name, _)| *name != CONTENT_TYPE)
    {
        headers.push((CONTENT_TYPE, media_type.as_bytes()));
    }
    let event = EventInput {
        kind: beside.kind.as_deref().unwrap_or(KIND),
        key: beside.key.as_deref(),
        headers: &headers,
        time: beside.time,
        blobs: &[],
        payload: body,
    };
    let condition = beside.expect.map(|expect| Condition { channel: channel.clone(), expect });
    let ticket = store.submit(&AppendRequest {
        parts: &[ChannelEvents { channel, events: &[event] }],
        conditions: condition.as_slice(),
        idempotency: beside.idempotency_key.as_deref().map_or(Idempotency::None, Idempotency::Key),
    })?;
    Ok(Staged { ticket, ack: beside.ack, payload_bytes: body.len() as u64 })
}

/// Stages a batch, for `channel` where its events name none. May block.
pub(super) fn stage_batch(
    store: &Store,
    channel: Option<&ChannelName>,
    beside: &Beside,
    body: &[u8],
    may_write: MayWrite<'_>,
) -> Result<Staged, Problem> {
    beside.check_for_batch()?;
    let batch: BatchForm<'_> = parse(body)?;
    let ack = match &batch.ack {
        None => Ack::default(),
        Some(ack) => ack.parse().map_err(|error| Problem::invalid(format!("`ack`: {error}")))?,
    };
    let idempotency = batch.idempotency()?;
    let conditions = batch.conditions(channel)?;
    if batch.events.is_empty() && idempotency == Idempotency::None {
        return Err(Problem::invalid("`events` is empty: append at least one"));
    }
    if batch.events.len() > EVENTS_MAX {
        let count = batch.events.len();
        return Err(Problem::too_large(format!("{count} events in one append, at most {EVENTS_MAX}")));
    }
    let events = batch.events.iter().enumerate().map(|(place, event)| {
        event.decoded(channel).map_err(|mut problem| {
            problem.message = format!("event {place}: {}", problem.message);
            problem
        })
    });
    let events = events.collect::<Result<Vec<Decoded<'_>>, Problem>>()?;
    let mut checked = HashSet::new();
    for event in &events {
        if checked.insert(&event.channel) {
            may_write(&event.channel)?;
        }
    }
    let payload_bytes = events.iter().map(|event| event.payload.len() as u64).sum();
    let headers: Vec<Vec<(&str, &[u8])>> = events.iter().map(Decoded::headers).collect();
    let inputs: Vec<EventInput<'_>> =
        events.iter().zip(&headers).map(|(event, headers)| event.input(headers)).collect();
    let mut parts = Vec::new();
    let mut begin = 0;
    for (place, event) in events.iter().enumerate() {
        if events.get(place + 1).is_none_or(|next| next.channel != event.channel) {
            parts.push(ChannelEvents { channel: &event.channel, events: &inputs[begin..=place] });
            begin = place + 1;
        }
    }
    let ticket = store.submit(&AppendRequest { parts: &parts, conditions: &conditions, idempotency })?;
    Ok(Staged { ticket, ack, payload_bytes })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchForm<'a> {
    #[serde(borrow)]
    events: Vec<EventForm<'a>>,
    #[serde(borrow, default)]
    conditions: Vec<ConditionForm<'a>>,
    #[serde(borrow, default)]
    idempotency_key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    producer: Option<ProducerForm<'a>>,
    #[serde(borrow, default)]
    ack: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionForm<'a> {
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    expect: ExpectForm,
}

/// A number, or a word.
#[derive(Deserialize)]
#[serde(untagged)]
enum ExpectForm {
    Exact(u64),
    Word(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducerForm<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    number: u64,
    #[serde(borrow, default)]
    digest: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventForm<'a> {
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(default)]
    headers: Pairs,
    #[serde(default)]
    headers_base64: Vec<(String, String)>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload_text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload_base64: Option<Cow<'a, str>>,
}

/// A JSON object of texts, in its own order and without a name that comes twice.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    if pairs.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom(format_args!("header `{name}` is there twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl BatchForm<'_> {
    fn idempotency(&self) -> Result<Idempotency<'_>, Problem> {
        match (&self.idempotency_key, &self.producer) {
            (None, None) => Ok(Idempotency::None),
            (Some(key), None) => Ok(Idempotency::Key(key)),
            (None, Some(producer)) => {
                let digest = producer.digest.as_deref().map(|digest| {
                    let parsed = blake3::Hash::from_hex(digest.as_bytes());
                    let parsed = parsed.map(Hash::from);
                    parsed.map_err(|error| Problem::invalid(format!("`producer.digest`: {error}")))
                });
                let digest = digest.transpose()?;
                Ok(Idempotency::Producer { id: &producer.id, number: producer.number, digest })
            }
            (Some(_), Some(_)) => {
                Err(Problem::invalid("a batch has an `idempotency_key` or a `producer`, not both"))
            }
        }
    }

    fn conditions(&self, channel: Option<&ChannelName>) -> Result<Vec<Condition>, Problem> {
        let condition = |form: &ConditionForm<'_>| {
            let expect = match &form.expect {
                ExpectForm::Exact(seq) => Expect::Exact(netdb::Seq(*seq)),
                ExpectForm::Word(word) => {
                    word.parse().map_err(|error| Problem::invalid(format!("`conditions`: {error}")))?
                }
            };
            Ok(Condition { channel: channel_of(form.channel.as_deref(), channel)?, expect })
        };
        self.conditions.iter().map(condition).collect()
    }
}

fn channel_of(name: Option<&str>, usual: Option<&ChannelName>) -> Result<ChannelName, Problem> {
    match (name, usual) {
        (Some(name), _) => Ok(ChannelName::new(name)?),
        (None, Some(usual)) => Ok(usual.clone()),
        (None, None) => {
            Err(Problem::invalid("no `channel`: name one here, or append to a channel's own address"))
        }
    }
}

/// An event of a batch with its own bytes.
struct Decoded<'a> {
    form: &'a EventForm<'a>,
    channel: ChannelName,
    time: Option<Timestamp>,
    more_headers: Vec<(&'a str, Vec<u8>)>,
    payload: Cow<'a, [u8]>,
}

impl EventForm<'_> {
    fn decoded(&self, usual: Option<&ChannelName>) -> Result<Decoded<'_>, Problem> {
        let decode = |what: &str, text: &str| {
            BASE64.decode(text).map_err(|error| Problem::invalid(format!("`{what}` is no base64: {error}")))
        };
        let payload = match (self.payload, &self.payload_text, &self.payload_base64) {
            (None, None, None) => Cow::Borrowed(&[][..]),
            (Some(json), None, None) => Cow::Borrowed(json.get().as_bytes()),
            (None, Some(text), None) => Cow::Borrowed(text.as_bytes()),
            (None, None, Some(text)) => Cow::Owned(decode("payload_base64", text)?),
            _ => {
                let message = "more than one of `payload`, `payload_text` and `payload_base64`: give one";
                return Err(Problem::invalid(message));
            }
        };
        let time = match &self.time {
            None => None,
            Some(time) => Some(time.parse().map_err(|error| Problem::invalid(format!("`time`: {error}")))?),
        };
        let more = self.headers_base64.iter();
        let more = more.map(|(name, text)| Ok((name.as_str(), decode("headers_base64", text)?)));
        Ok(Decoded {
            form: self,
            channel: channel_of(self.channel.as_deref(), usual)?,
            time,
            more_headers: more.collect::<Result<_, Problem>>()?,
            payload,
        })
    }
}

impl Decoded<'_> {
    fn headers(&self) -> Vec<(&str, &[u8])> {
        let texts = self.form.headers.0.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        texts.chain(self.more_headers.iter().map(|(name, value)| (*name, value.as_slice()))).collect()
    }

    fn input<'a>(&'a self, headers: &'a [(&'a str, &'a [u8])]) -> EventInput<'a> {
        EventInput {
            kind: self.form.kind.as_deref().unwrap_or(KIND),
            key: self.form.key.as_deref(),
            headers,
            time: self.time,
            blobs: &[],
            payload: &self.payload,
        }
    }
}
