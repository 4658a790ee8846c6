//! The columns of `system.quarantine`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::required;

/// One row for a stretch of a log that was lost to corruption: `log`, `first_position` (of the first lost entry),
/// `next_position` (where the log goes on), `bytes` (of which a copy is in the log's directory `quarantine`).
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("log", DataType::Utf8View),
        required("first_position", DataType::UInt64),
        required("next_position", DataType::UInt64),
        required("bytes", DataType::UInt64),
    ]))
}
