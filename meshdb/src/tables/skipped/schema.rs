//! The columns of `system.skipped`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::{required, timestamp};

/// One row for an event that a model left out, of the newest that it remembers: `model`; `channel` and `seq` of the
/// event, the `position` (index of its entry), `recorded_at` and `kind` that it has in `events`; `reason`.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("model", DataType::Utf8View),
        required("channel", DataType::Utf8View),
        required("seq", DataType::UInt64),
        required("position", DataType::UInt64),
        required("recorded_at", timestamp()),
        required("kind", DataType::Utf8View),
        required("reason", DataType::Utf8View),
    ]))
}
