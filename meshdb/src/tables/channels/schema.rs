//! The columns of `system.channels`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::{optional, required, timestamp};

/// One row for a channel in a log: `log`, `channel`, `first_seq` (the oldest kept), `next_seq` (of the next
/// event), `created_at`, `created_position` (index of the entry that created it), `moved_to` (the log that it goes on
/// in; null where it takes events). A channel that moved has a row for each log that has a part of it, the oldest part
/// first.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("log", DataType::Utf8View),
        required("channel", DataType::Utf8View),
        required("first_seq", DataType::UInt64),
        required("next_seq", DataType::UInt64),
        required("created_at", timestamp()),
        required("created_position", DataType::UInt64),
        optional("moved_to", DataType::Utf8View),
    ]))
}
