//! The columns of `system.forks`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};

use crate::tables::{optional, required};

/// One row for a proof of a fork that the node keeps, verified as it is read: `file`; `log_id`, `incarnation` and
/// `position` (index) of the place that two entries were signed for; the public `key` that signed them; their hashes
/// `first_hash` and `second_hash`. Of a file that proves nothing, `fault` says why, and the others are null.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("file", DataType::Utf8View),
        optional("log_id", DataType::Utf8View),
        optional("incarnation", DataType::Utf8View),
        optional("position", DataType::UInt64),
        optional("key", DataType::Utf8View),
        optional("first_hash", DataType::Utf8View),
        optional("second_hash", DataType::Utf8View),
        optional("fault", DataType::Utf8View),
    ]))
}
