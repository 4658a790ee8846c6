//! Export: events as lines in CloudEvents names, the inverse of `import`.

mod headers;
mod target;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub(crate) use target::Target;

use headers::{Layout, Place};

use crate::event::EventView;
use records::attributes;
use records::json;

/// Appends one event as a line.
pub(crate) fn push_line(out: &mut Vec<u8>, event: &EventView<'_>) {
    out.push(b'{');
    if event.redacted {
        push_text(out, attributes::KIND, attributes::REDACTED_KIND);
        out.push(b',');
        push_verbatim(out, attributes::REDACTED, "true");
        out.push(b',');
        push_text(out, attributes::CHANNEL, event.channel.as_str());
        out.extend_from_slice(b"}\n");
        return;
    }
    push_text(out, attributes::KIND, event.kind);
    if let Some(key) = event.key {
        out.push(b',');
        push_text(out, attributes::KEY, key);
    }
    if let Some(time) = event.time {
        out.push(b',');
        push_text(out, attributes::TIME, &time.to_string());
    }
    let layout = Layout::of(&event.headers);
    let mut packed = Vec::new();
    for &(name, value) in &event.headers {
        match layout.place(name, value) {
            Place::Text(text) => {
                out.push(b',');
                push_text(out, name, text);
            }
            Place::Verbatim(json) => {
                out.push(b',');
                push_verbatim(out, name, json);
            }
            Place::Packed => packed.push((name, value)),
            Place::Implied => {}
        }
    }
    out.push(b',');
    push_text(out, attributes::CHANNEL, event.channel.as_str());
    if !packed.is_empty() {
        out.push(b',');
        push_text(out, attributes::HEADERS, &attributes::pack(packed.into_iter()));
    }
    if !event.blobs.is_empty() {
        out.push(b',');
        push_verbatim(out, attributes::BLOBS, &attributes::blobs(event.blobs.iter().copied()));
    }
    push_payload(out, event.payload);
    out.extend_from_slice(b"}\n");
}

fn push_text(out: &mut Vec<u8>, name: &str, value: &str) {
    json::push_string(out, name);
    out.push(b':');
    json::push_string(out, value);
}

fn push_verbatim(out: &mut Vec<u8>, name: &str, value: &str) {
    json::push_string(out, name);
    out.push(b':');
    out.extend_from_slice(value.as_bytes());
}

fn push_payload(out: &mut Vec<u8>, payload: &[u8]) {
    if payload.is_empty() {
        return;
    }
    out.push(b',');
    match std::str::from_utf8(payload) {
        Ok(text) if json::stands_in_a_line(text) => push_verbatim(out, attributes::PAYLOAD, text),
        _ => push_text(out, attributes::PAYLOAD_BASE64, &BASE64.encode(payload)),
    }
}

#[cfg(test)]
mod tests;
