//! Events as JSON objects, each on one line.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use netdb::redex::{Event, EventRef};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

/// An event as it is shown, however it was read.
struct Shown<'a> {
    channel: &'a str,
    seq: u64,
    position: u64,
    recorded_at: String,
    time: Option<String>,
    kind: &'a str,
    key: Option<&'a str>,
    headers: Headers<'a>,
    payload: &'a [u8],
    redacted: bool,
}

/// Headers as an object.
struct Headers<'a>(Vec<(&'a str, &'a [u8])>);

/// Writes an event that borrows.
pub(super) fn push_ref(out: &mut Vec<u8>, event: &EventRef<'_>) {
    let shown = Shown {
        channel: event.channel.as_str(),
        seq: event.seq.0,
        position: event.index.0,
        recorded_at: event.recorded_at.to_string(),
        time: event.time.map(|time| time.to_string()),
        kind: event.kind,
        key: event.key,
        headers: Headers(event.headers.iter().collect()),
        payload: event.payload,
        redacted: event.redacted,
    };
    shown.push(out);
}

/// Writes an event.
pub(super) fn push(out: &mut Vec<u8>, event: &Event) {
    let shown = Shown {
        channel: event.channel.as_str(),
        seq: event.seq.0,
        position: event.index.0,
        recorded_at: event.recorded_at.to_string(),
        time: event.time.map(|time| time.to_string()),
        kind: &event.kind,
        key: event.key.as_deref(),
        headers: Headers(event.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect()),
        payload: &event.payload,
        redacted: event.redacted,
    };
    shown.push(out);
}

impl Shown<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self)
            .expect("texts, numbers and JSON have a JSON form, and memory takes it");
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("channel", self.channel)?;
        map.serialize_entry("seq", &self.seq)?;
        map.serialize_entry("position", &self.position)?;
        map.serialize_entry("recorded_at", &self.recorded_at)?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("kind", &(!self.redacted).then_some(self.kind))?;
        map.serialize_entry("key", &self.key)?;
        map.serialize_entry("headers", &self.headers)?;
        if self.redacted {
            map.serialize_entry("redacted", &true)?;
            return map.end();
        }
        match std::str::from_utf8(self.payload) {
            Ok(text) => match json(text) {
                Some(json) => map.serialize_entry("payload", &json)?,
                None => map.serialize_entry("payload_text", text)?,
            },
            Err(_) => map.serialize_entry("payload_base64", &BASE64.encode(self.payload))?,
        }
        map.end()
    }
}

/// A text as JSON on one line, if that is what it is.
fn json(text: &str) -> Option<Cow<'_, RawValue>> {
    if !text.contains(['\n', '\r']) {
        return serde_json::from_str::<&RawValue>(text).ok().map(Cow::Borrowed);
    }
    // Line breaks stand between the parts of JSON only, never in its texts.
    RawValue::from_string(text.replace(['\n', '\r'], " ")).ok().map(Cow::Owned)
}

impl Serialize for Headers<'_> {
    /// Of headers with one name the last is shown; values that are no text in base64.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (place, (name, value)) in self.0.iter().enumerate() {
            if self.0.iter().skip(place + 1).any(|(later, _)| later == name) {
                continue;
            }
            match std::str::from_utf8(value) {
                Ok(text) => map.serialize_entry(name, text)?,
                Err(_) => map.serialize_entry(name, &format!("base64:{}", BASE64.encode(value)))?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use netdb::{EventInput, NetDb, Seq};
    use serde_json::Value;

    use super::*;

    fn shown(payload: &[u8]) -> (String, Value) {
        let db = NetDb::in_memory().unwrap();
        let channel = db.channel("c").unwrap();
        let headers: [(&str, &[u8]); 2] = [("text", b"a\nb"), ("bytes", &[0xff])];
        let event = EventInput::new("k", payload).with_headers(&headers);
        channel.append_all(&[event]).unwrap();
        let event = channel.read(Seq(0)).unwrap().next().unwrap().unwrap();
        let mut out = Vec::new();
        push(&mut out, &event);
        let text = String::from_utf8(out).unwrap();
        (text.clone(), serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn each_payload_has_the_field_of_its_kind() {
        let (line, event) = shown(b"{\"n\":\n 1.50}");
        assert!(line.contains("\"payload\":{\"n\":  1.50}") && !line.contains('\n'), "{line}");
        assert_eq!(event["headers"]["text"], "a\nb");
        assert_eq!(event["headers"]["bytes"], "base64:/w==");
        assert_eq!(shown(b"plain").1["payload_text"], "plain");
        assert_eq!(shown(b"").1["payload_text"], "");
        assert_eq!(shown(&[0, 0xff]).1["payload_base64"], "AP8=");
    }
}
