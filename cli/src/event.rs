//! Events that were read, in whichever way.

use netdb::base::{ChannelName, Index, Seq, Timestamp};
use netdb::redex::{BlobReference, Event, EventRef};

/// A borrowed view of an event that was read.
pub(crate) struct EventView<'a> {
    pub(crate) channel: &'a ChannelName,
    pub(crate) seq: Seq,
    pub(crate) index: Index,
    pub(crate) recorded_at: Timestamp,
    pub(crate) time: Option<Timestamp>,
    pub(crate) kind: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) headers: Vec<(&'a str, &'a [u8])>,
    pub(crate) blobs: Vec<BlobReference>,
    pub(crate) payload: &'a [u8],
    /// Whether it was taken out of the log, so that only its place is known.
    pub(crate) redacted: bool,
}

impl<'a> From<EventRef<'a>> for EventView<'a> {
    fn from(event: EventRef<'a>) -> Self {
        Self {
            channel: event.channel,
            seq: event.seq,
            index: event.index,
            recorded_at: event.recorded_at,
            time: event.time,
            kind: event.kind,
            key: event.key,
            headers: event.headers.iter().collect(),
            blobs: event.blobs.iter().collect(),
            payload: event.payload,
            redacted: event.redacted,
        }
    }
}

impl<'a> From<&'a Event> for EventView<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            channel: &event.channel,
            seq: event.seq,
            index: event.index,
            recorded_at: event.recorded_at,
            time: event.time,
            kind: &event.kind,
            key: event.key.as_deref(),
            headers: event.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect(),
            blobs: event.blobs.clone(),
            payload: &event.payload,
            redacted: event.redacted,
        }
    }
}
