//! What can be asked of a log's sequencer.

use base::{ChannelName, Hash};

use crate::codec::control::{RedactionRecord, TrimRecord};
use crate::codec::event::encoded_bytes;
use crate::error::AppendError;
use crate::limits::{
    BLOBS_MAX, BLOCK_BYTES_TARGET, ENTRY_BYTES_MAX, EVENT_BYTES_MAX, HEADER_NAME_BYTES_MAX, HEADERS_MAX,
    KEY_BYTES_MAX, KIND_BYTES_MAX, PRODUCER_ID_BYTES_MAX,
};
use crate::{ChannelConfig, EventInput, Expect};

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
    /// Whether some of them refer to blobs.
    pub has_blobs: bool,
    /// The most bytes that the request can take in an entry: its events, the record of the append, and what its
    /// channels need in the block list and among the controls.
    pub bytes: usize,
}

impl RequestSize {
    /// Adds the salts of events of erasable channels.
    pub(crate) fn with_salts(self, salt_bytes: usize) -> Result<Self, AppendError> {
        let bytes = self.bytes.saturating_add(salt_bytes);
        if bytes > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge { what: "append", bytes, max: ENTRY_BYTES_MAX });
        }
        Ok(Self { bytes, ..self })
    }
}

/// The most bytes that a channel of a request takes beside its events: a block item, a control record and a range,
/// each with a name of at most 255 bytes.
const PART_BYTES_MAX: usize = 640;
/// The most bytes of an append record without its key or producer id and its ranges.
const APPEND_BYTES_MAX: usize = 64;

impl AppendRequest<'_> {
    /// Checks every length against its limit.
    pub(crate) fn check(&self) -> Result<RequestSize, AppendError> {
        let name_bytes = check_idempotency(self.idempotency)?;
        let mut events = 0usize;
        let mut bytes = 0usize;
        let mut has_blobs = false;
        for event in self.parts.iter().flat_map(|part| part.events) {
            bytes = bytes.saturating_add(event.check()?);
            events += 1;
            has_blobs |= !event.blobs.is_empty();
        }
        // A block ends when it is full, and the next one has an item of its own.
        let blocks = (bytes / BLOCK_BYTES_TARGET).saturating_add(self.parts.len());
        let bytes = bytes
            .saturating_add(blocks.saturating_mul(PART_BYTES_MAX))
            .saturating_add(APPEND_BYTES_MAX + name_bytes);
        if bytes > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge { what: "append", bytes, max: ENTRY_BYTES_MAX });
        }
        let events = u32::try_from(events).expect("events have at least 16 bytes each");
        Ok(RequestSize { events, has_blobs, bytes })
    }
}

impl AppendRequest<'_> {
    /// Checks that every event has a key, as a keyed log needs it.
    pub(crate) fn check_keys(&self) -> Result<(), AppendError> {
        let mut events = self.parts.iter().flat_map(|part| part.events);
        match events.any(|event| event.key.is_none()) {
            true => Err(AppendError::Empty { what: "the key of an event in a keyed log" }),
            false => Ok(()),
        }
    }
}

/// Returns the bytes of the key or producer id.
fn check_idempotency(idempotency: Idempotency<'_>) -> Result<usize, AppendError> {
    let (what, name) = match idempotency {
        Idempotency::None => return Ok(0),
        Idempotency::Key(key) => ("idempotency key", key),
        Idempotency::Producer { id, .. } => ("producer id", id),
    };
    if name.is_empty() {
        return Err(AppendError::Empty { what });
    }
    limit(what, name.len(), PRODUCER_ID_BYTES_MAX)?;
    Ok(name.len())
}

impl EventInput<'_> {
    /// Checks every length against its limit, as an append does for all its events. Returns the bytes that the
    /// event takes in the log.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`] names the first limit that is exceeded.
    pub fn check(&self) -> Result<usize, AppendError> {
        limit("kind", self.kind.len(), KIND_BYTES_MAX)?;
        limit("key", self.key.map_or(0, str::len), KEY_BYTES_MAX)?;
        limit("number of headers", self.headers.len(), HEADERS_MAX)?;
        for (name, _) in self.headers {
            limit("header name", name.len(), HEADER_NAME_BYTES_MAX)?;
        }
        limit("number of blob references", self.blobs.len(), BLOBS_MAX)?;
        let bytes = encoded_bytes(self);
        limit("event", bytes, EVENT_BYTES_MAX)?;
        Ok(bytes)
    }
}

fn limit(what: &'static str, bytes: usize, max: usize) -> Result<(), AppendError> {
    if bytes > max { Err(AppendError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

/// Returns the most bytes that a trim takes in an entry.
pub(crate) fn trim_bytes(record: &TrimRecord) -> usize {
    let channels = record.channels.iter().map(|(name, _)| name.as_str().len() + 10);
    32 + channels.sum::<usize>()
}

/// Returns the most bytes that a redaction takes in an entry.
pub(crate) fn redaction_bytes(record: &RedactionRecord) -> usize {
    64 + record.channel.as_str().len() + record.reason.len() + 16 * record.ranges.len()
}

/// Returns the most bytes that the creation of a channel takes in an entry.
pub(crate) fn creation_bytes(config: &ChannelConfig) -> usize {
    PART_BYTES_MAX + config.content_type.as_ref().map_or(0, String::len)
}
