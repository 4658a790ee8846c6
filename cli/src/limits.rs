//! Every limit of this crate, in one place.

/// Batches that `import` has read ahead of the one being appended.
pub const BATCHES_AHEAD: usize = 3;
/// Batches that `import` has appended ahead of the one it waits for.
pub const TICKETS_OUTSTANDING: usize = 4;
/// Bytes at the beginning of standard input that name an import without `--id`.
pub const FINGERPRINT_BYTES: usize = 64 << 10;
/// Rows of a table whose widths decide the widths of its columns.
pub const TABLE_SAMPLE_ROWS: usize = 256;
/// How long `log tail` waits before it looks again for what another process has written, in milliseconds.
pub const TAIL_POLL_MS: u64 = 50;
/// Most bytes of SQL that `sql` reads from a file or standard input.
pub const SCRIPT_BYTES_MAX: u64 = 64 << 20;
