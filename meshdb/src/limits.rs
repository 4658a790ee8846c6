//! Every limit of this crate, in one place.

use std::time::Duration;

/// Longest statement, in bytes.
pub const STATEMENT_BYTES_MAX: usize = 1024 * 1024;

/// Deepest statement: words and operators between two commas, plus those in the deepest brackets among them,
/// and so on inwards.
///
/// The engine evaluates and drops expressions recursively; the bound keeps that within the smallest stack that
/// a runtime gives its threads (2 MiB), in debug builds too.
pub const STATEMENT_DEPTH_MAX: usize = 1_000;

/// Deepest nesting of queries in brackets. The engine's time to plan doubles with each level.
pub const QUERIES_NESTED_MAX: usize = 16;

/// Stack of the thread that plans a statement. Memory is used as far as a statement needs it.
pub(crate) const PLANNING_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Rows of a batch, unless its bytes come first.
pub(crate) const BATCH_ROWS: usize = 8_192;

/// Bytes of payloads and other values after which a batch is complete, whatever its rows.
pub(crate) const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of one buffer of a column of texts or bytes.
pub(crate) const VIEW_BLOCK_BYTES: u32 = 256 * 1024;

/// Batches that a partition of a scan may be ahead of its consumer.
pub(crate) const BATCHES_AHEAD: usize = 2;

/// Events below which a scan is not worth splitting.
pub(crate) const PARTITION_EVENTS_MIN: u64 = 16_384;

/// Bytes of a log after which a scan that may find nothing for long looks whether it is still wanted.
pub(crate) const SCAN_WINDOW_BYTES: u64 = 64 * 1024 * 1024;

/// Rows from which a table takes the widths of its columns.
pub(crate) const TABLE_ROWS_MEASURED: usize = 1_000;

/// Similar names that an error mentions.
pub(crate) const SUGGESTIONS_MAX: usize = 3;

/// What one statement may use. Exceeding any of it ends the statement with an error of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rows of the result. Default: 1,000,000. `None`: all; the result is streamed, so this protects the
    /// consumer, not this process.
    pub rows_max: Option<u64>,
    /// Bytes that sorting, grouping and joining may hold at a time. Default: 1 GiB. Batches in flight between
    /// operators, a few MiB for each partition, come on top.
    pub memory_bytes: usize,
    /// Time until the last row was taken. Default: none, since a caller ends a statement by dropping its
    /// result. Needs a runtime with timers enabled.
    pub time: Option<Duration>,
    /// Bytes that may be read from logs, and of values of models that may be copied. Default: no limit.
    pub bytes_scanned_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_max: Some(1_000_000),
            memory_bytes: 1024 * 1024 * 1024,
            time: None,
            bytes_scanned_max: None,
        }
    }
}

impl Limits {
    /// The defaults without a limit on rows, for results that are written to a file or a pipe.
    pub fn all_rows() -> Self {
        Self { rows_max: None, ..Self::default() }
    }
}
