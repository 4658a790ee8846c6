//! Events: as callers hand them in, as they are read in place, and as owned values.

use std::fmt;

use base::{ChannelName, Hash, IncarnationId, Index, Seq, Timestamp};
use bytes::Bytes;

pub use crate::codec::event::{Blobs, Headers};

/// A reference to a large value that is stored outside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobReference {
    /// The BLAKE3 hash that names the value.
    pub hash: Hash,
    /// The value's length in bytes.
    pub bytes: u64,
}

/// An event to be appended; borrows everything from the caller.
///
/// # Examples
///
/// ```
/// let event = redex::EventInput::new("order.placed", br#"{"total":12}"#).with_key("customer-7");
/// assert_eq!(event.kind, "order.placed");
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct EventInput<'a> {
    /// The name of the event's type, such as `order.placed`; at most 255 bytes.
    pub kind: &'a str,
    /// What the event is about; at most 65,535 bytes.
    pub key: Option<&'a str>,
    /// Names and values beside the payload, in order; names may repeat.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// When it happened, as the caller says; orders nothing.
    pub time: Option<Timestamp>,
    /// Large values that the event refers to.
    pub blobs: &'a [BlobReference],
    /// The content.
    pub payload: &'a [u8],
}

impl<'a> EventInput<'a> {
    /// Makes an event without key, headers or time.
    pub fn new(kind: &'a str, payload: &'a [u8]) -> Self {
        Self { kind, payload, ..Self::default() }
    }

    /// Sets what the event is about.
    #[must_use]
    pub fn with_key(self, key: &'a str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Sets the headers.
    #[must_use]
    pub fn with_headers(self, headers: &'a [(&'a str, &'a [u8])]) -> Self {
        Self { headers, ..self }
    }

    /// Sets the caller's time.
    #[must_use]
    pub fn with_time(self, time: Timestamp) -> Self {
        Self { time: Some(time), ..self }
    }

    /// Sets the blob references.
    #[must_use]
    pub fn with_blobs(self, blobs: &'a [BlobReference]) -> Self {
        Self { blobs, ..self }
    }
}

/// An event as it lies in the log; borrows from the chunk that it was read in.
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    /// The channel.
    pub channel: &'a ChannelName,
    /// The event's number in its channel.
    pub seq: Seq,
    /// The index of its entry.
    pub index: Index,
    /// Its place among the events of its entry, counted from 0 across channels.
    pub ordinal: u32,
    /// The incarnation that its entry belongs to.
    pub incarnation: IncarnationId,
    /// When the sequencer put its entry in order; never decreases along a log.
    pub recorded_at: Timestamp,
    /// When it happened, as its author says.
    pub time: Option<Timestamp>,
    /// The name of its type.
    pub kind: &'a str,
    /// What it is about.
    pub key: Option<&'a str>,
    /// Names and values beside the payload.
    pub headers: Headers<'a>,
    /// Large values that it refers to.
    pub blobs: Blobs<'a>,
    /// The content.
    pub payload: &'a [u8],
    /// Whether the event was taken out of the log: then only its place is known, and everything else is empty.
    pub redacted: bool,
}

impl EventRef<'_> {
    /// Tells whether the event was taken out of the log.
    pub fn is_redacted(&self) -> bool {
        self.redacted
    }

    /// Copies the event into an owned value.
    pub fn to_event(&self) -> Event {
        Event {
            channel: self.channel.clone(),
            seq: self.seq,
            index: self.index,
            ordinal: self.ordinal,
            incarnation: self.incarnation,
            recorded_at: self.recorded_at,
            time: self.time,
            kind: self.kind.to_owned(),
            key: self.key.map(str::to_owned),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value)))
                .collect(),
            blobs: self.blobs.iter().collect(),
            payload: Bytes::copy_from_slice(self.payload),
            redacted: self.redacted,
        }
    }
}

impl fmt::Debug for EventRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventRef({} {} {} at {}.{})", self.channel, self.seq, self.kind, self.index, self.ordinal)
    }
}

/// An event that was read, as an owned value. The fields are those of [`EventRef`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The channel.
    pub channel: ChannelName,
    /// The event's number in its channel.
    pub seq: Seq,
    /// The index of its entry.
    pub index: Index,
    /// Its place among the events of its entry, counted from 0 across channels.
    pub ordinal: u32,
    /// The incarnation that its entry belongs to.
    pub incarnation: IncarnationId,
    /// When the sequencer put its entry in order.
    pub recorded_at: Timestamp,
    /// When it happened, as its author says.
    pub time: Option<Timestamp>,
    /// The name of its type.
    pub kind: String,
    /// What it is about.
    pub key: Option<String>,
    /// Names and values beside the payload.
    pub headers: Vec<(String, Bytes)>,
    /// Large values that it refers to.
    pub blobs: Vec<BlobReference>,
    /// The content.
    pub payload: Bytes,
    /// Whether the event was taken out of the log.
    pub redacted: bool,
}

impl Event {
    /// Tells whether the event was taken out of the log: then only its place is known, and everything else is empty.
    pub fn is_redacted(&self) -> bool {
        self.redacted
    }

    /// Takes everything out but the place.
    pub(crate) fn into_redacted(self) -> Self {
        Self {
            time: None,
            kind: String::new(),
            key: None,
            headers: Vec::new(),
            blobs: Vec::new(),
            payload: Bytes::new(),
            redacted: true,
            ..self
        }
    }
}
