//! JSON text that is kept as it was written.

use serde_json::value::RawValue;

/// Tells whether `text` is one JSON value that can stand verbatim inside a line: valid, nothing around it,
/// no line break within.
pub fn stands_in_a_line(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_whitespace());
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && is_json_start(bytes[0])
        && memchr::memchr2(b'\n', b'\r', bytes).is_none()
        && is_valid(text)
}

/// Tells whether `text` is one JSON value, with or without whitespace around it.
pub fn is_valid(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Spares ordinary words the parser.
fn is_json_start(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
}

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
}

/// Returns `text` as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_a_line_exactly_when_nothing_would_change() {
        for text in ["1", "-0.5e9", "null", "true", "{\"a\": [1, 2]}", "\"x\"", "[]", "1e999"] {
            assert!(stands_in_a_line(text), "{text}");
        }
        for text in ["", " 1", "1 ", "{\"a\":\n1}", "nul", "NaN", "word", "{\"a\":}", "1 2", "\"x"] {
            assert!(!stands_in_a_line(text), "{text}");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(stands_in_a_line(&deep));
    }
}
