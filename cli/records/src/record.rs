//! One line of input, read as an event. Whatever can be borrowed from the line is.

use std::borrow::Cow;
use std::fmt;

use base::{ChannelNameError, Timestamp, TimestampError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use redex::{AppendError, BlobReference, EventInput};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::mapping::{Mapping, Role};
use crate::attributes;
use crate::limits::RECORD_FIELDS_MAX;

/// One event as a line of input describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub kind: Cow<'a, str>,
    pub key: Option<Cow<'a, str>>,
    pub time: Option<Timestamp>,
    pub channel: Option<Cow<'a, str>>,
    pub headers: Vec<(Cow<'a, str>, Cow<'a, [u8]>)>,
    pub blobs: Vec<BlobReference>,
    pub payload: Cow<'a, [u8]>,
}

/// Why a line is not an event.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is no text.
    #[error("invalid UTF-8 at byte {0} of the line")]
    NotUtf8(usize),
    /// It is no JSON object.
    #[error("{reason} at column {column}")]
    Malformed {
        /// What is wrong.
        reason: String,
        /// Where.
        column: usize,
    },
    /// It breaks off.
    #[error("the record has no end ({reason} at column {column}): the file may still be written to")]
    Truncated {
        /// What is missing.
        reason: String,
        /// Where.
        column: usize,
    },
    /// Two fields have one name.
    #[error("the field `{0}` stands twice in the record")]
    Twice(String),
    /// It has no kind.
    #[error("no field `{0}` for the event's kind: name the field that holds it with `--map kind=FIELD`")]
    NoKind(String),
    /// A field is of another type.
    #[error("the field `{field}` is not {expected}")]
    Type {
        /// The field.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Its time is none.
    #[error("the field `{field}`: {source}")]
    Time {
        /// The field.
        field: String,
        /// What is wrong.
        source: TimestampError,
    },
    /// A field is kept for later.
    #[error("the field `{0}` is reserved")]
    Reserved(String),
    /// It has two payloads.
    #[error("the record has both `data` and `data_base64`")]
    TwoPayloads,
    /// Its channel has no valid name.
    #[error("the field `netdbchannel`: {0}")]
    Channel(ChannelNameError),
    /// Its channel is not for users.
    #[error("the channel `{0}` belongs to the database itself")]
    SystemChannel(String),
    /// Neither it nor the command names a channel.
    #[error("no field `netdbchannel`: give the channel with `--channel`")]
    NoChannel,
    /// It passes a limit of events.
    #[error(transparent)]
    Limit(#[from] AppendError),
}

impl<'a> Record<'a> {
    /// Reads one line, given without its end.
    pub(crate) fn parse(line: &'a [u8], mapping: &Mapping) -> Result<Self, RecordError> {
        let line =
            std::str::from_utf8(line).map_err(|error| RecordError::NotUtf8(error.valid_up_to() + 1))?;
        let fields: Fields<'a> = serde_json::from_str(line).map_err(|error| malformed(&error))?;
        fields.refuse_twins()?;

        let mut parts = Parts::default();
        for (field, value) in fields.0 {
            parts.take(field, value.get(), mapping)?;
        }
        let record = parts.join(mapping)?;
        record.check_sizes()?;
        Ok(record)
    }

    /// Refuses what the log would refuse with the whole batch.
    fn check_sizes(&self) -> Result<(), AppendError> {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let event = EventInput {
            key: self.key.as_deref(),
            time: self.time,
            headers: &headers,
            blobs: &self.blobs,
            ..EventInput::new(&self.kind, &self.payload)
        };
        event.check().map(|_| ())
    }
}

/// A record whose fields are still coming in.
#[derive(Default)]
struct Parts<'a> {
    record: Record<'a>,
    has_kind: bool,
    payloads: u8,
    /// The places of the headers whose values are JSON text.
    verbatim: Vec<usize>,
    packed: Vec<(String, Vec<u8>)>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, field: Cow<'a, str>, raw: &'a str, mapping: &Mapping) -> Result<(), RecordError> {
        let record = &mut self.record;
        match mapping.role(&field) {
            Role::Kind => {
                record.kind = text(&field, raw)?;
                self.has_kind = true;
            }
            Role::Key => record.key = key(&field, raw)?,
            Role::Time => record.time = time(&field, raw)?,
            Role::Payload => {
                record.payload = Cow::Borrowed(raw.as_bytes());
                self.payloads += 1;
            }
            Role::PayloadBase64 => {
                record.payload = Cow::Owned(base64(&field, raw)?);
                self.payloads += 1;
            }
            Role::Channel => record.channel = Some(text(&field, raw)?),
            Role::PackedHeaders => self.packed = unpack(&field, raw)?,
            Role::Blobs => record.blobs = blobs(&field, raw)?,
            Role::Header => self.take_header(field, raw),
            Role::Reserved => return Err(RecordError::Reserved(field.into_owned())),
        }
        Ok(())
    }

    fn take_header(&mut self, field: Cow<'a, str>, raw: &'a str) {
        let headers = &mut self.record.headers;
        match attributes::plain_text(raw) {
            Some(text) => headers.push((field, into_bytes(text))),
            None => {
                if !attributes::is_reserved(&field) {
                    self.verbatim.push(headers.len());
                }
                headers.push((field, Cow::Borrowed(raw.as_bytes())));
            }
        }
    }

    fn join(self, mapping: &Mapping) -> Result<Record<'a>, RecordError> {
        let Self { mut record, has_kind, payloads, verbatim, packed } = self;
        if !has_kind {
            return Err(RecordError::NoKind(mapping.kind.clone()));
        }
        if payloads > 1 {
            return Err(RecordError::TwoPayloads);
        }
        if !verbatim.is_empty() {
            let names = attributes::verbatim_names(verbatim.iter().map(|&place| &*record.headers[place].0));
            record.headers.push((Cow::Borrowed(attributes::VERBATIM), Cow::Owned(names)));
        }
        let packed = packed.into_iter().map(|(name, value)| (Cow::Owned(name), Cow::Owned(value)));
        record.headers.extend(packed);
        Ok(record)
    }
}

fn malformed(error: &serde_json::Error) -> RecordError {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason).to_owned();
    let column = error.column();
    if error.is_eof() {
        RecordError::Truncated { reason, column }
    } else {
        RecordError::Malformed { reason, column }
    }
}

fn wrong(field: &str, expected: &'static str) -> RecordError {
    RecordError::Type { field: field.to_owned(), expected }
}

fn text<'a>(field: &str, raw: &'a str) -> Result<Cow<'a, str>, RecordError> {
    let decoded = serde_json::from_str::<Text<'a>>(raw).map_err(|_| wrong(field, "a string"))?;
    Ok(decoded.0)
}

/// A string, or a number by its text; null means that there is none.
fn key<'a>(field: &str, raw: &'a str) -> Result<Option<Cow<'a, str>>, RecordError> {
    match raw.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'-' | b'0'..=b'9') => Ok(Some(Cow::Borrowed(raw))),
        _ => text(field, raw).map(Some).map_err(|_| wrong(field, "a string, a number or null")),
    }
}

fn time(field: &str, raw: &str) -> Result<Option<Timestamp>, RecordError> {
    if raw == "null" {
        return Ok(None);
    }
    let text = text(field, raw)?;
    text.parse().map(Some).map_err(|source| RecordError::Time { field: field.to_owned(), source })
}

fn base64(field: &str, raw: &str) -> Result<Vec<u8>, RecordError> {
    BASE64.decode(&*text(field, raw)?).map_err(|_| wrong(field, "base64 with padding"))
}

fn unpack(field: &str, raw: &str) -> Result<Vec<(String, Vec<u8>)>, RecordError> {
    attributes::unpack(&text(field, raw)?).ok_or_else(|| wrong(field, "what `export` writes there"))
}

fn blobs(field: &str, raw: &str) -> Result<Vec<BlobReference>, RecordError> {
    attributes::parse_blobs(raw).ok_or_else(|| wrong(field, "a list of \"HASH:BYTES\""))
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The fields of an object in their order, values as they are written.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Fields<'_> {
    fn refuse_twins(&self) -> Result<(), RecordError> {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        let twins = names.windows(2).find(|pair| pair[0] == pair[1]);
        twins.map_or(Ok(()), |pair| Err(RecordError::Twice(pair[0].to_owned())))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some(Text(name)) = map.next_key()? {
                    if fields.len() == RECORD_FIELDS_MAX {
                        let message = format!("more than {RECORD_FIELDS_MAX} fields");
                        return Err(serde::de::Error::custom(message));
                    }
                    fields.push((name, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A JSON string, borrowed from the input unless it has escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests;
