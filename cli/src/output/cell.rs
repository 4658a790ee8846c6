//! One value of a row.

use std::borrow::Cow;

use netdb::base::Timestamp;
use serde_json::Value;

use records::json;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// No value, and in JSON no field either.
    Absent,
    /// No value.
    Null,
    /// A count or a place.
    Number(u64),
    /// Text.
    Text(Cow<'a, str>),
    /// A JSON value, written verbatim where JSON is written.
    Json(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    /// The text of anything that prints.
    pub(crate) fn display(value: impl std::fmt::Display) -> Self {
        Self::Text(Cow::Owned(value.to_string()))
    }

    /// Text that is not always there.
    pub(crate) fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(Cow::Borrowed(text)))
    }

    /// A time that is not always there.
    pub(crate) fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Null, Self::display)
    }

    /// The value for formats that know text only.
    pub(crate) fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Absent | Self::Null => Cow::Borrowed(""),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Text(text) | Self::Json(text) => Cow::Borrowed(text),
        }
    }

    /// Appends the value as JSON without a line break in it.
    pub(super) fn push_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent | Self::Null => out.extend_from_slice(b"null"),
            Self::Text(text) => json::push_string(out, text),
            Self::Json(text) => out.extend(text.bytes().map(line_break_to_space)),
            Self::Number(_) => out.extend_from_slice(self.as_text().as_bytes()),
        }
    }

    /// The value inside another one.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Absent | Self::Null => Value::Null,
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(&**text),
            Self::Json(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }
}

/// In JSON a line break can only stand where any whitespace can.
fn line_break_to_space(byte: u8) -> u8 {
    if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }
}
