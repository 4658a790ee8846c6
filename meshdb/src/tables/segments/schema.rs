//! The columns of `system.segments`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::{optional, required};

/// One row for a segment of a log: `log`, `segment` (its number), `first_position`, `next_position` (null while
/// it is written), `bytes`, `sealed`.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("log", DataType::Utf8View),
        required("segment", DataType::UInt64),
        required("first_position", DataType::UInt64),
        optional("next_position", DataType::UInt64),
        required("bytes", DataType::UInt64),
        required("sealed", DataType::Boolean),
    ]))
}
