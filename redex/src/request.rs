//! What can be asked of a log's sequencer.

use base::{ChannelName, Hash};

use crate::codec::event::encoded_bytes;
use crate::error::AppendError;
use crate::limits::{
    BLOBS_MAX, ENTRY_BYTES_MAX, EVENT_BYTES_MAX, HEADER_NAME_BYTES_MAX, HEADERS_MAX, KEY_BYTES_MAX,
    KIND_BYTES_MAX, PRODUCER_ID_BYTES_MAX,
};
use crate::{EventInput, Expect};

/// Events for one channel.
#[derive(Debug, Clone, Copy)]
pub struct ChannelEvents<'a> {
    /// The channel; it is created when it does not exist.
    pub channel: &'a ChannelName,
    /// The events, in order.
    pub events: &'a [EventInput<'a>],
}

/// What must hold for an append to happen; the channel need not be one that the append writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The channel, of the same log.
    pub channel: ChannelName,
    /// What is demanded of it.
    pub expect: Expect,
}

/// What a repetition of an append is recognised by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Idempotency<'a> {
    /// Nothing: appending twice gives two appends.
    #[default]
    None,
    /// A key, at most 1,024 bytes. The last 65,536 keys of a log are remembered.
    Key(&'a str),
    /// A producer, remembered for as long as the log, with numbers that grow from append to append.
    Producer {
        /// The producer's name, at most 1,024 bytes.
        id: &'a str,
        /// The append's number; must be above that of the producer's append before.
        number: u64,
        /// What the append stands for; the hash of its events when not given.
        digest: Option<Hash>,
    },
}

/// An append: atomic over all its parts.
#[derive(Debug, Clone, Copy, Default)]
pub struct AppendRequest<'a> {
    /// What to append, in order; a channel may come more than once.
    pub parts: &'a [ChannelEvents<'a>],
    /// What must hold.
    pub conditions: &'a [Condition],
    /// What a repetition is recognised by.
    pub idempotency: Idempotency<'a>,
}

/// The sizes of a request that passed its checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestSize {
    pub events: u32,
    /// Bytes of the event records.
    pub bytes: usize,
}

impl AppendRequest<'_> {
    /// Checks every length against its limit.
    pub(crate) fn check(&self) -> Result<RequestSize, AppendError> {
        check_idempotency(self.idempotency)?;
        let mut events = 0usize;
        let mut bytes = 0usize;
        for event in self.parts.iter().flat_map(|part| part.events) {
            bytes = bytes.saturating_add(check_event(event)?);
            events += 1;
        }
        // A block item and an append record are far smaller than this reserve for each part.
        let whole = bytes.saturating_add(self.parts.len().saturating_mul(512)).saturating_add(16 << 10);
        if whole > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge { what: "append", bytes: whole, max: ENTRY_BYTES_MAX });
        }
        Ok(RequestSize { events: u32::try_from(events).expect("events have at least 16 bytes each"), bytes })
    }
}

fn check_idempotency(idempotency: Idempotency<'_>) -> Result<(), AppendError> {
    let (what, name) = match idempotency {
        Idempotency::None => return Ok(()),
        Idempotency::Key(key) => ("idempotency key", key),
        Idempotency::Producer { id, .. } => ("producer id", id),
    };
    if name.is_empty() {
        return Err(AppendError::Empty { what });
    }
    limit(what, name.len(), PRODUCER_ID_BYTES_MAX)
}

fn check_event(event: &EventInput<'_>) -> Result<usize, AppendError> {
    limit("kind", event.kind.len(), KIND_BYTES_MAX)?;
    limit("key", event.key.map_or(0, str::len), KEY_BYTES_MAX)?;
    limit("number of headers", event.headers.len(), HEADERS_MAX)?;
    for (name, _) in event.headers {
        limit("header name", name.len(), HEADER_NAME_BYTES_MAX)?;
    }
    limit("number of blob references", event.blobs.len(), BLOBS_MAX)?;
    let bytes = encoded_bytes(event);
    limit("event", bytes, EVENT_BYTES_MAX)?;
    Ok(bytes)
}

fn limit(what: &'static str, bytes: usize, max: usize) -> Result<(), AppendError> {
    if bytes > max { Err(AppendError::TooLarge { what, bytes, max }) } else { Ok(()) }
}
