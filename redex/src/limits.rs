//! Every limit of this crate, in one place.

/// Largest encoded event, in bytes: payload, kind, key and headers together.
pub const EVENT_BYTES_MAX: usize = 16 << 20;
/// Largest entry, in bytes; also the largest atomic append.
pub const ENTRY_BYTES_MAX: usize = 32 << 20;
/// Longest kind, in bytes.
pub const KIND_BYTES_MAX: usize = 255;
/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize;
/// Longest header name, in bytes.
pub const HEADER_NAME_BYTES_MAX: usize = u16::MAX as usize;
/// Most headers of one event.
pub const HEADERS_MAX: usize = u16::MAX as usize;
/// Most blob references of one event.
pub const BLOBS_MAX: usize = u16::MAX as usize;
/// Longest idempotency key and longest producer id, in bytes.
pub const PRODUCER_ID_BYTES_MAX: usize = 1024;
/// Longest content type in a channel's configuration, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Most events of one redaction.
pub const REDACTION_EVENTS_MAX: usize = 1 << 20;
/// Most bytes of a redaction that are written over what stood there.
pub const REDACTION_BYTES_MAX: usize = 256 << 20;
/// Longest reason of a redaction, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;
/// Longest name of a log, in bytes.
pub const LOG_NAME_BYTES_MAX: usize = 64;
/// Keyed appends whose keys are remembered.
pub const KEY_WINDOW: usize = 65_536;
/// Distinct blob references of a segment that its footer lists; where there are more, it lists none.
pub const LISTED_REFERENCES_MAX: usize = 1 << 18;
/// Bytes of a channel block after which the next event starts another block.
pub const BLOCK_BYTES_TARGET: usize = 64 << 10;
/// Bytes of an open entry after which the next append starts another entry.
pub const ENTRY_BYTES_TARGET: usize = 128 << 10;
/// The unit in which a disk writes atomically.
pub const SECTOR_BYTES: usize = 512;
/// First zero-filled step ahead of the tail; steps double up to [`FILL_STEP_BYTES_MAX`].
pub const FILL_STEP_BYTES_MIN: u64 = 256 << 10;
/// Largest zero-filled step ahead of the tail.
pub const FILL_STEP_BYTES_MAX: u64 = 16 << 20;
/// Filled bytes that are kept behind an unsigned entry, so that one which only signs can always follow.
pub const SIGNATURE_RESERVE_BYTES: u64 = 512;
/// Bytes of log between two points of a sparse index.
pub const INDEX_GRAIN_BYTES: u64 = 16 << 10;
/// Largest state frame accepted from disk, in bytes.
pub const STATE_BYTES_MAX: usize = 1 << 30;

/// Most bytes that the newest records of all keys of a keyed log take in a state frame.
pub const KEYED_BYTES_MAX: u64 = 256 << 20;

const _: () = assert!(KEYED_BYTES_MAX as usize <= STATE_BYTES_MAX / 4);
const _: () = assert!(EVENT_BYTES_MAX * 2 <= ENTRY_BYTES_MAX);
const _: () = assert!(ENTRY_BYTES_TARGET < ENTRY_BYTES_MAX);
const _: () = assert!(BLOCK_BYTES_TARGET < ENTRY_BYTES_TARGET);
