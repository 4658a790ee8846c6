//! Every limit of reading lines, in one place.

/// Longest line that `import` reads, in bytes. The largest event fits, its payload in base64.
pub const LINE_BYTES_MAX: usize = 32 << 20;
/// Most fields of one record that `import` reads: as many headers as an event may have, and the fields that
/// are none.
pub const RECORD_FIELDS_MAX: usize = redex::HEADERS_MAX + 9;
/// Lines after which a batch of `import` is complete.
pub const BATCH_LINES: u64 = 2000;
/// Bytes of lines after which a batch of `import` is complete.
pub const BATCH_BYTES: usize = 512 << 10;
