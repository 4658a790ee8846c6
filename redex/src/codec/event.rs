//! One event inside a channel block. Its sequence number is the block's first plus its place in the block.
//!
//! ```text
//!   0  u32  bytes of this record, these four included
//!   4  u32  ordinal in the entry
//!   8  u8   flags: 1 key, 2 time, 4 headers, 8 blobs
//!   9  u8   bytes of the kind
//!  10  u16  bytes of the key, 0 without one
//!  12  u32  bytes of the payload
//!   +  i64  time, if any
//!   +  kind, key
//!   +  u16  headers, each (u16 bytes of the name, u32 bytes of the value, name, value), if any
//!   +  u16  blob references, each (32 bytes hash, u64 bytes), if any
//!   +  payload
//! ```

use std::fmt;

use base::{Hash, Timestamp};

use super::{Cursor, Malformed, Put};
use crate::EventInput;
use crate::event::BlobReference;

const FLAG_KEY: u8 = 1;
const FLAG_TIME: u8 = 2;
const FLAG_HEADERS: u8 = 4;
const FLAG_BLOBS: u8 = 8;
/// In the place of the flags where a redacted event stood.
pub(crate) const FLAG_REDACTED: u8 = 128;
const FIXED_BYTES: usize = 16;
const BLOB_BYTES: usize = 40;

/// Bytes of the smallest event record.
pub(crate) const EVENT_BYTES_MIN: usize = FIXED_BYTES;

/// Returns the bytes of an event's record; saturates instead of overflowing.
pub(crate) fn encoded_bytes(event: &EventInput<'_>) -> usize {
    let headers = event.headers.iter().fold(0usize, |sum, (name, value)| {
        sum.saturating_add(6).saturating_add(name.len()).saturating_add(value.len())
    });
    FIXED_BYTES
        .saturating_add(if event.time.is_some() { 8 } else { 0 })
        .saturating_add(event.kind.len())
        .saturating_add(event.key.map_or(0, str::len))
        .saturating_add(if event.headers.is_empty() { 0 } else { 2 })
        .saturating_add(headers)
        .saturating_add(if event.blobs.is_empty() { 0 } else { 2 + BLOB_BYTES * event.blobs.len() })
        .saturating_add(event.payload.len())
}

/// Appends an event's record. The event's lengths were checked when it came in.
pub(crate) fn encode(out: &mut Vec<u8>, ordinal: u32, event: &EventInput<'_>) {
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
    let flags = flag(event.key.is_some(), FLAG_KEY)
        | flag(event.time.is_some(), FLAG_TIME)
        | flag(!event.headers.is_empty(), FLAG_HEADERS)
        | flag(!event.blobs.is_empty(), FLAG_BLOBS);
    let kind_bytes = u8::try_from(event.kind.len()).expect("kinds are limited to 255 bytes");
    let key_bytes = u16::try_from(event.key.map_or(0, str::len)).expect("keys are limited to 65,535 bytes");
    let bytes = encoded_bytes(event);
    let length = |bytes| u32::try_from(bytes).expect("events are limited to 16 MiB").to_le_bytes();
    let mut fixed = [0; FIXED_BYTES];
    fixed[..4].copy_from_slice(&length(bytes));
    fixed[4..8].copy_from_slice(&ordinal.to_le_bytes());
    fixed[8..10].copy_from_slice(&[flags, kind_bytes]);
    fixed[10..12].copy_from_slice(&key_bytes.to_le_bytes());
    fixed[12..].copy_from_slice(&length(event.payload.len()));
    out.reserve(bytes);
    out.put(&fixed);
    if let Some(time) = event.time {
        out.put_i64(time.as_nanos());
    }
    out.put(event.kind.as_bytes());
    out.put(event.key.unwrap_or_default().as_bytes());
    if !event.headers.is_empty() {
        out.put_u16(u16::try_from(event.headers.len()).expect("headers are limited to 65,535"));
        for (name, value) in event.headers {
            out.put_u16(u16::try_from(name.len()).expect("header names are limited to 65,535 bytes"));
            out.put_length(value.len());
            out.put(name.as_bytes());
            out.put(value);
        }
    }
    if !event.blobs.is_empty() {
        out.put_u16(u16::try_from(event.blobs.len()).expect("blob references are limited to 65,535"));
        for blob in event.blobs {
            out.put(blob.hash.as_bytes());
            out.put_u64(blob.bytes);
        }
    }
    out.put(event.payload);
}

/// A decoded event record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EventRecord<'a> {
    pub time: Option<Timestamp>,
    pub kind: &'a str,
    pub key: Option<&'a str>,
    pub headers: Headers<'a>,
    pub blobs: Blobs<'a>,
    pub payload: &'a [u8],
}

/// An event record that was checked, and whose parts are looked up when they are asked for. It is small: one that
/// had all its parts would be written in pieces and copied whole, for which a processor waits longer than for
/// everything else that a scan does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoredEvent<'a> {
    pub ordinal: u32,
    flags: u8,
    kind_bytes: u8,
    key_bytes: u16,
    payload_bytes: usize,
    /// What follows the fixed part.
    rest: &'a [u8],
}

impl<'a> StoredEvent<'a> {
    /// What is left of a redacted event.
    pub(crate) fn redacted(ordinal: u32) -> Self {
        Self { ordinal, flags: FLAG_REDACTED, ..Self::default() }
    }

    /// Tells whether the event was redacted.
    #[inline]
    pub(crate) fn is_redacted(&self) -> bool {
        self.flags == FLAG_REDACTED
    }

    /// Takes one event record off a block, and checks everything in it.
    pub(crate) fn take(block: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let stored = Self::find(block)?;
        stored.check(false)?;
        Ok(stored)
    }

    /// Takes one event record off a block. Nothing may be asked of it unless [`check`](Self::check) was passed, now or
    /// before.
    #[inline]
    pub(crate) fn find(block: &mut Cursor<'a>) -> Result<Self, Malformed> {
        // The fixed part is taken apart in registers: as bytes it would go through memory, in pieces.
        let mut ahead = block.clone();
        let [low, high] = [ahead.u64("event length")?, ahead.u64("event length")?];
        let bytes = low as u32 as usize;
        let ordinal = (low >> 32) as u32;
        let (flags, kind_bytes, key_bytes) = (high as u8, (high >> 8) as u8, (high >> 16) as u16);
        let payload_bytes = (high >> 32) as usize;
        let record = block.take(bytes, "event length")?;
        let rest = record.get(FIXED_BYTES..).ok_or(Malformed::new("event length"))?;
        Ok(Self { ordinal, flags, kind_bytes, key_bytes, payload_bytes, rest })
    }

    /// Checks everything in the record, but for the kind where that is known to be text: then looking parts up
    /// cannot fail.
    #[inline]
    pub(crate) fn check(&self, kind_is_text: bool) -> Result<(), Malformed> {
        if self.flags & !(FLAG_KEY | FLAG_TIME | FLAG_HEADERS | FLAG_BLOBS) != 0 {
            return Err(Malformed::new("event flags"));
        }
        if self.flags & FLAG_KEY == 0 && self.key_bytes > 0 {
            return Err(Malformed::new("key length"));
        }
        let mut cursor = Cursor::new(self.rest);
        cursor.take(self.time_bytes(), "event time")?;
        let kind = cursor.take(usize::from(self.kind_bytes), "kind")?;
        if !kind_is_text {
            std::str::from_utf8(kind).map_err(|_| Malformed::new("kind"))?;
        }
        if self.key_bytes > 0 {
            cursor.text(usize::from(self.key_bytes), "key")?;
        }
        if self.flags & FLAG_HEADERS != 0 {
            decode_headers(&mut cursor)?;
        }
        if self.flags & FLAG_BLOBS != 0 {
            decode_blobs(&mut cursor)?;
        }
        cursor.take(self.payload_bytes, "payload")?;
        cursor.finish("event length")
    }

    /// Tells whether the event has blob references if it has any that pass [`check`](Self::check): one look at a record
    /// that was not checked.
    #[inline]
    pub(crate) fn has_blobs_if_any(&self) -> bool {
        self.flags & !(FLAG_KEY | FLAG_TIME | FLAG_HEADERS) != 0 && !self.is_redacted()
    }

    #[inline]
    fn time_bytes(&self) -> usize {
        if self.flags & FLAG_TIME == 0 { 0 } else { 8 }
    }

    #[inline]
    fn text(&self, from: usize, bytes: usize) -> &'a str {
        std::str::from_utf8(&self.rest[from..from + bytes]).unwrap_or_default()
    }

    /// Returns the bytes of the kind, also of a record that was not checked; without bytes where there are too few.
    #[inline]
    pub(crate) fn kind_as_stored(&self) -> &'a [u8] {
        let from = self.time_bytes();
        self.rest.get(from..from + usize::from(self.kind_bytes)).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn kind(&self) -> &'a str {
        self.text(self.time_bytes(), usize::from(self.kind_bytes))
    }

    #[inline]
    pub(crate) fn key(&self) -> Option<&'a str> {
        let from = self.time_bytes() + usize::from(self.kind_bytes);
        (self.flags & FLAG_KEY != 0).then(|| self.text(from, usize::from(self.key_bytes)))
    }

    #[inline]
    pub(crate) fn time(&self) -> Option<Timestamp> {
        let nanos = self.rest.first_chunk().filter(|_| self.flags & FLAG_TIME != 0)?;
        Some(Timestamp::from_nanos(i64::from_le_bytes(*nanos)))
    }

    #[inline]
    pub(crate) fn payload(&self) -> &'a [u8] {
        &self.rest[self.rest.len() - self.payload_bytes..]
    }

    #[inline]
    pub(crate) fn headers(&self) -> Headers<'a> {
        if self.flags & FLAG_HEADERS == 0 { Headers::default() } else { self.lists().0 }
    }

    #[inline]
    pub(crate) fn blobs(&self) -> Blobs<'a> {
        if self.flags & FLAG_BLOBS == 0 { Blobs::default() } else { self.lists().1 }
    }

    #[cold]
    fn lists(&self) -> (Headers<'a>, Blobs<'a>) {
        let front = self.time_bytes() + usize::from(self.kind_bytes) + usize::from(self.key_bytes);
        let mut cursor = Cursor::new(&self.rest[front..]);
        let (mut headers, mut blobs) = (Headers::default(), Blobs::default());
        if self.flags & FLAG_HEADERS != 0 {
            headers = decode_headers(&mut cursor).unwrap_or_default();
        }
        if self.flags & FLAG_BLOBS != 0 {
            blobs = decode_blobs(&mut cursor).unwrap_or_default();
        }
        (headers, blobs)
    }
}

/// Takes one event record off a block, with all its parts.
pub(crate) fn decode<'a>(block: &mut Cursor<'a>) -> Result<EventRecord<'a>, Malformed> {
    let stored = StoredEvent::take(block)?;
    Ok(EventRecord {
        time: stored.time(),
        kind: stored.kind(),
        key: stored.key(),
        headers: stored.headers(),
        blobs: stored.blobs(),
        payload: stored.payload(),
    })
}

fn decode_headers<'a>(cursor: &mut Cursor<'a>) -> Result<Headers<'a>, Malformed> {
    let count = usize::from(cursor.u16("header count")?);
    if count == 0 {
        return Err(Malformed::new("header count"));
    }
    let before = cursor.clone();
    for _ in 0..count {
        decode_header(cursor)?;
    }
    let bytes = before.remaining() - cursor.remaining();
    let bytes = before.clone().take(bytes, "headers")?;
    Ok(Headers { count, bytes })
}

fn decode_header<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, &'a [u8]), Malformed> {
    let name_bytes = usize::from(cursor.u16("header name length")?);
    let value_bytes = cursor.length("header value length")?;
    let name = cursor.text(name_bytes, "header name")?;
    Ok((name, cursor.take(value_bytes, "header value")?))
}

fn decode_blobs<'a>(cursor: &mut Cursor<'a>) -> Result<Blobs<'a>, Malformed> {
    let count = usize::from(cursor.u16("blob count")?);
    if count == 0 {
        return Err(Malformed::new("blob count"));
    }
    Ok(Blobs { bytes: cursor.take(count * BLOB_BYTES, "blob references")? })
}

/// The headers of an event, in the order in which they were given; names may repeat.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map_while(move |_| decode_header(&mut cursor).ok())
    }

    /// Returns the first value under `name`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The blob references of an event, in the order in which they were given.
#[derive(Clone, Copy, Default)]
pub struct Blobs<'a> {
    bytes: &'a [u8],
}

impl<'a> Blobs<'a> {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / BLOB_BYTES
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns them in order.
    pub fn iter(&self) -> impl Iterator<Item = BlobReference> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || {
            let hash = Hash::from_bytes(cursor.array("blob hash").ok()?);
            Some(BlobReference { hash, bytes: cursor.u64("blob length").ok()? })
        })
    }
}

impl fmt::Debug for Blobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let blobs = [BlobReference { hash: Hash::of(b"x"), bytes: 5 }];
        let event = EventInput::new("order.placed", b"{}")
            .with_key("k")
            .with_headers(&[("a", b"1"), ("a", b""), ("b", b"\xFF\0")])
            .with_time(Timestamp::from_nanos(-5))
            .with_blobs(&blobs);
        let mut out = Vec::new();
        encode(&mut out, 7, &event);
        assert_eq!(out.len(), encoded_bytes(&event));
        out
    }

    #[test]
    fn a_full_event_round_trips() {
        let bytes = sample();
        let mut cursor = Cursor::new(&bytes);
        let event = decode(&mut cursor).unwrap();
        cursor.finish("rest").unwrap();
        assert_eq!((event.kind, event.key), ("order.placed", Some("k")));
        assert_eq!(StoredEvent::take(&mut Cursor::new(&bytes)).unwrap().ordinal, 7);
        assert_eq!(event.time, Some(Timestamp::from_nanos(-5)));
        assert_eq!(event.payload, b"{}");
        let headers: Vec<_> = event.headers.iter().collect();
        assert_eq!(headers, [("a", &b"1"[..]), ("a", b""), ("b", b"\xFF\0")]);
        assert_eq!(event.headers.get("b"), Some(&b"\xFF\0"[..]));
        let blobs: Vec<_> = event.blobs.iter().collect();
        assert_eq!(blobs, [BlobReference { hash: Hash::of(b"x"), bytes: 5 }]);
    }

    #[test]
    fn an_empty_key_is_not_a_missing_key() {
        for key in [None, Some("")] {
            let mut out = Vec::new();
            encode(&mut out, 0, &EventInput { key, ..EventInput::new("k", b"") });
            assert_eq!(decode(&mut Cursor::new(&out)).unwrap().key, key);
        }
    }

    #[test]
    fn truncated_events_are_refused() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(decode(&mut Cursor::new(&bytes[..length])).is_err(), "{length}");
        }
    }
}
