//! The columns of `system.incarnations`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::{optional, required, timestamp};

/// One row for an incarnation of a log: `log`, `incarnation`, `origin`, `public_key`, `parent_hash` (all
/// hexadecimal), `first_position` (index of its first entry), `term`, `began_at`, `last_signed` (index of the
/// last signed entry that it found; null where there was none).
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("log", DataType::Utf8View),
        required("incarnation", DataType::Utf8View),
        required("origin", DataType::Utf8View),
        required("public_key", DataType::Utf8View),
        required("parent_hash", DataType::Utf8View),
        required("first_position", DataType::UInt64),
        required("term", DataType::UInt64),
        required("began_at", timestamp()),
        optional("last_signed", DataType::UInt64),
    ]))
}
