//! The columns of `system.logs`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::required;

/// One row for a log: `log` (its name), `id` and `origin` (hexadecimal), `begins` (the position behind
/// which everything is kept), `position` (that the statement sees), `channels`, `segments`, `bytes` (of its segments).
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("log", DataType::Utf8View),
        required("id", DataType::Utf8View),
        required("origin", DataType::Utf8View),
        required("begins", DataType::UInt64),
        required("position", DataType::UInt64),
        required("channels", DataType::UInt64),
        required("segments", DataType::UInt64),
        required("bytes", DataType::UInt64),
    ]))
}
