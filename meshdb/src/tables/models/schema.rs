//! The columns of `system.models`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::tables::{optional, required};

/// One row for a model: `model`, `version` (of its fold), `channels` (that it folds), `folded_through` (everything
/// below that position was looked at), `applied_through` (the position behind the newest event that was applied),
/// `lag` (entries that the statement sees and the model does not), `events_total`, `skipped_total` and
/// `ignored_total` (events since it was opened), `stopped` (why it does not go on, or null).
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("model", DataType::Utf8View),
        required("version", DataType::UInt32),
        required("channels", DataType::List(channel())),
        required("folded_through", DataType::UInt64),
        required("applied_through", DataType::UInt64),
        required("lag", DataType::UInt64),
        required("events_total", DataType::UInt64),
        required("skipped_total", DataType::UInt64),
        required("ignored_total", DataType::UInt64),
        optional("stopped", DataType::Utf8View),
    ]))
}

/// A channel in a list of channels.
pub(super) fn channel() -> FieldRef {
    Arc::new(required(Field::LIST_FIELD_DEFAULT_NAME, DataType::Utf8View))
}
