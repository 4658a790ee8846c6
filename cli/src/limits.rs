//! Every limit of this crate, in one place.

/// Longest line that `import` reads, in bytes. The largest event fits, its payload in base64.
pub const LINE_BYTES_MAX: usize = 32 << 20;
/// Most fields of one record that `import` reads: as many headers as an event may have, and the fields that
/// are none.
pub const RECORD_FIELDS_MAX: usize = netdb::redex::HEADERS_MAX + 8;
/// Lines after which a batch of `import` is complete.
pub const BATCH_LINES: u64 = 2000;
/// Bytes of lines after which a batch of `import` is complete.
pub const BATCH_BYTES: usize = 512 << 10;
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
