//! How headers and JSON attributes stand for each other, so that `export`, `import`, `export` gives identical
//! bytes.
//!
//! | attribute | header value | in the header [`VERBATIM`] |
//! |---|---|---|
//! | a string, written in the shortest way | its text | no |
//! | any other value: a number, an object, a string with needless escapes | its JSON text, verbatim | its name |
//!
//! A header that cannot stand as an attribute (its value is not UTF-8, its name is not unique or means
//! something else) travels in the attribute [`HEADERS`].

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use redex::BlobReference;

use crate::json;

/// The event's kind.
pub const KIND: &str = "type";
/// The event's key.
pub const KEY: &str = "subject";
/// The event's own time.
pub const TIME: &str = "time";
/// The payload, when it is JSON.
pub const PAYLOAD: &str = "data";
/// The payload in base64, when it is not.
pub const PAYLOAD_BASE64: &str = "data_base64";
/// The channel.
pub const CHANNEL: &str = "netdbchannel";
/// Headers that cannot stand as attributes; see [`pack`].
pub const HEADERS: &str = "netdbheaders";
/// The header, never an attribute, that names the headers whose values are JSON text: a compact JSON array.
pub const VERBATIM: &str = "netdbjson";

/// What the event refers to outside the log; see [`blobs`].
pub const BLOBS: &str = "netdbblobs";
/// Marks an event that was redacted; `import` takes it for a header like any other.
pub const REDACTED: &str = "netdbredacted";
/// The kind that a redacted event is exported with.
pub const REDACTED_KIND: &str = "redacted";

/// Tells whether a header of this name would be taken for something else.
pub fn is_reserved(name: &str) -> bool {
    matches!(name, KIND | KEY | TIME | PAYLOAD | PAYLOAD_BASE64 | CHANNEL | HEADERS | VERBATIM | BLOBS)
}

/// The text of a JSON string that is written as `export` would write it; `None` for other values, which
/// headers keep verbatim.
pub fn plain_text(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let text: String = serde_json::from_str(raw).ok()?;
    (json::quote(&text) == raw).then_some(Cow::Owned(text))
}

/// Tells whether a header value can be the verbatim text of an attribute.
pub fn can_be_verbatim(value: &str) -> bool {
    json::stands_in_a_line(value) && plain_text(value).is_none()
}

/// The value of the header [`VERBATIM`].
pub fn verbatim_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let names: Vec<&str> = names.collect();
    serde_json::to_vec(&names).expect("writing strings to memory cannot fail")
}

/// Packs headers: standard base64 with padding over the compact JSON array `[["name","base64 of the value"],...]`.
pub fn pack<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let pairs: Vec<_> = headers.map(|(name, value)| (name, BASE64.encode(value))).collect();
    let text = serde_json::to_vec(&pairs).expect("writing strings to memory cannot fail");
    BASE64.encode(text)
}

/// Unpacks what [`pack`] made; `None` for anything else.
pub fn unpack(packed: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let text = BASE64.decode(packed).ok()?;
    let pairs: Vec<(String, String)> = serde_json::from_slice(&text).ok()?;
    pairs.into_iter().map(|(name, value)| Some((name, BASE64.decode(value).ok()?))).collect()
}

/// Writes blob references: a compact JSON array of `"HASH:BYTES"`, the hash in 64 hexadecimal digits.
pub fn blobs(references: impl Iterator<Item = BlobReference>) -> String {
    let texts: Vec<_> =
        references.map(|BlobReference { hash, bytes }| json::quote(&format!("{hash}:{bytes}"))).collect();
    format!("[{}]", texts.join(","))
}

/// Reads what [`blobs`] wrote; `None` for anything else.
pub fn parse_blobs(raw: &str) -> Option<Vec<BlobReference>> {
    let texts: Vec<Cow<'_, str>> = serde_json::from_str(raw).ok()?;
    let reference = |text: &Cow<'_, str>| {
        let (hash, bytes) = text.split_once(':')?;
        let hash = blake3::Hash::from_hex(hash).ok()?.into();
        Some(BlobReference { hash, bytes: bytes.parse().ok()? })
    };
    texts.iter().map(reference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_in_their_shortest_form_are_plain_text() {
        for (raw, text) in [
            ("\"abc\"", "abc"),
            ("\"\"", ""),
            ("\"5\"", "5"),
            ("\"a\\\"b\\n\"", "a\"b\n"),
            ("\"\u{7f}\u{e9}\"", "\u{7f}\u{e9}"),
        ] {
            assert_eq!(plain_text(raw).as_deref(), Some(text));
            assert_eq!(json::quote(text), raw);
        }
    }

    #[test]
    fn other_values_stay_verbatim() {
        for raw in ["5", "1.50", "null", "{\"b\": 1}", "[]", "\"a\\u0062\"", "\"\\/\"", "\"\\ud800\""] {
            assert!(plain_text(raw).is_none() && can_be_verbatim(raw), "{raw}");
        }
        for value in ["abc", "\"abc\"", " 5", "{\n}", ""] {
            assert!(!can_be_verbatim(value), "{value}");
        }
    }

    #[test]
    fn blob_references_come_back() {
        let references = [(&b"a"[..], 0), (b"b", u64::MAX)]
            .map(|(content, bytes)| BlobReference { hash: base::Hash::of(content), bytes });
        let raw = blobs(references.into_iter());
        assert!(raw.starts_with(&format!("[\"{}:0\",", base::Hash::of(b"a"))), "{raw}");
        assert_eq!(parse_blobs(&raw), Some(references.to_vec()));
        let hash = base::Hash::of(b"a");
        for wrong in [
            "{}",
            "\"a:1\"",
            "[1]",
            "[\"a:1\"]",
            "[\"\"]",
            &format!("[\"{hash}\"]"),
            &format!("[\"{hash}:-1\"]"),
        ] {
            assert_eq!(parse_blobs(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn packed_headers_come_back() {
        let headers = [("a", &b"\xff\x00"[..]), ("data", b"x"), ("a", b"")];
        let unpacked = unpack(&pack(headers.into_iter())).unwrap();
        let expected: Vec<_> = headers.iter().map(|(n, v)| (n.to_string(), v.to_vec())).collect();
        assert_eq!(unpacked, expected);
        assert_eq!(unpack("!"), None);
        assert_eq!(unpack(&BASE64.encode("{}")), None);
    }
}
