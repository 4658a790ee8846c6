//! Events as JSON objects, each on one line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use netdb::redex::{Event, EventRef};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// The parts of an event that are shown, however it was read.
struct Shown<'a> {
    channel: &'a str,
    seq: u64,
    position: u64,
    recorded_at: String,
    time: Option<String>,
    kind: &'a str,
    key: Option<&'a str>,
    headers: Vec<(&'a str, &'a [u8])>,
    payload: &'a [u8],
    redacted: bool,
}

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
        headers: event.headers.iter().collect(),
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
        headers: event.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect(),
        payload: &event.payload,
        redacted: event.redacted,
    };
    shown.push(out);
}

impl Shown<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        let mut object = Map::new();
        object.insert("channel".into(), self.channel.into());
        object.insert("seq".into(), self.seq.into());
        object.insert("position".into(), self.position.into());
        object.insert("recorded_at".into(), self.recorded_at.as_str().into());
        object.insert("time".into(), self.time.as_deref().into());
        object.insert("kind".into(), if self.redacted { Value::Null } else { self.kind.into() });
        object.insert("key".into(), self.key.into());
        object.insert("headers".into(), self.headers().into());
        if self.redacted {
            object.insert("redacted".into(), true.into());
        }
        out.extend_from_slice(Value::Object(object).to_string().as_bytes());
        if !self.redacted {
            // The object goes on with the payload.
            out.pop();
            self.push_payload(out);
            out.push(b'}');
        }
    }

    /// Of headers with one name the last is shown; values that are no text in base64.
    fn headers(&self) -> Map<String, Value> {
        let text = |value: &[u8]| match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            Err(_) => format!("base64:{}", BASE64.encode(value)),
        };
        self.headers.iter().map(|(name, value)| ((*name).to_owned(), text(value).into())).collect()
    }

    /// JSON stands as it is, but on one line; other texts and bytes in fields of their own.
    fn push_payload(&self, out: &mut Vec<u8>) {
        match std::str::from_utf8(self.payload) {
            Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                out.extend_from_slice(b",\"payload\":");
                // Line breaks stand between the parts of JSON only, never in its texts.
                let bytes = text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
                out.extend(bytes);
            }
            Ok(text) => {
                out.extend_from_slice(b",\"payload_text\":");
                out.extend_from_slice(Value::from(text).to_string().as_bytes());
            }
            Err(_) => {
                out.extend_from_slice(b",\"payload_base64\":\"");
                out.extend_from_slice(BASE64.encode(self.payload).as_bytes());
                out.push(b'"');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use netdb::{EventInput, NetDb, Seq};

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
