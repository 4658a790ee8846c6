//! Events as rows.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use netdb::base::Timestamp;

use crate::event::EventView;
use crate::output::{Cell, Format};
use records::json;

/// The columns of an event. A table leaves out what a person does not look for; the channel was named in the
/// command.
pub(super) fn columns(format: Format) -> &'static [&'static str] {
    match format {
        Format::Table => &["seq", "recorded_at", "time", "kind", "key", "headers", "payload"],
        _ => &[
            "channel",
            "seq",
            "position",
            "recorded_at",
            "time",
            "kind",
            "key",
            "headers",
            "payload",
            "payload_base64",
        ],
    }
}

/// The values for [`columns`].
pub(super) fn cells<'a>(event: &EventView<'a>, format: Format) -> Vec<Cell<'a>> {
    let (payload, base64) = match event.redacted {
        true => (Cell::Null, Cell::Absent),
        false => payload(event.payload),
    };
    let recorded_at = if format == Format::Table { seconds(event.recorded_at) } else { event.recorded_at };
    let common = [
        Cell::display(recorded_at),
        Cell::time(event.time),
        if event.redacted { Cell::Null } else { Cell::Text(event.kind.into()) },
        Cell::optional(event.key),
    ];
    let headers = headers(&event.headers);
    let mut cells = Vec::with_capacity(10);
    if format == Format::Table {
        let shown = if payload == Cell::Absent { base64 } else { payload };
        let headers = if event.headers.is_empty() { Cell::Null } else { headers };
        cells.push(Cell::Number(event.seq.0));
        cells.extend(common);
        cells.extend([headers, shown]);
    } else {
        cells.extend([
            Cell::Text(event.channel.as_str().into()),
            Cell::Number(event.seq.0),
            Cell::Number(event.index.0),
        ]);
        cells.extend(common);
        cells.extend([headers, payload, base64]);
    }
    cells
}

/// Leaves out what a person does not read.
fn seconds(time: Timestamp) -> Timestamp {
    const NANOS: i64 = 1_000_000_000;
    Timestamp::from_nanos(time.as_nanos().div_euclid(NANOS).saturating_mul(NANOS))
}

/// The payload: JSON as it is, other text as a string, anything else in base64 in a column of its own.
fn payload(bytes: &[u8]) -> (Cell<'_>, Cell<'_>) {
    match std::str::from_utf8(bytes) {
        Ok(text) if json::is_valid(text) => (Cell::Json(text.into()), Cell::Absent),
        Ok(text) => (Cell::Text(text.into()), Cell::Absent),
        Err(_) => (Cell::Absent, Cell::Text(BASE64.encode(bytes).into())),
    }
}

/// A JSON object; of headers with one name the last is shown, values that are not UTF-8 in base64.
fn headers<'a>(headers: &[(&str, &[u8])]) -> Cell<'a> {
    if headers.is_empty() {
        return Cell::Json("{}".into());
    }
    let mut object = serde_json::Map::new();
    for &(name, value) in headers {
        let text = match std::str::from_utf8(value) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(format!("base64:{}", BASE64.encode(value))),
        };
        object.insert(name.to_owned(), text.into());
    }
    Cell::Json(serde_json::Value::Object(object).to_string().into())
}
