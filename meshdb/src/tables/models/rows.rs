//! The rows of `system.models`.

use std::sync::Arc;

use datafusion::arrow::array::{
    ListArray, ListBuilder, RecordBatch, StringViewArray, StringViewBuilder, UInt32Array, UInt64Array,
};

use super::schema::{channel, schema};
use crate::cut::{Cut, ModelAtCut};
use crate::tables::listing::RowsError;

pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let models = &cut.models;
    let numbers = |number: fn(&ModelAtCut) -> u64| UInt64Array::from_iter_values(models.iter().map(number));
    let versions = models.iter().map(|model| model.status.version);
    let stopped = models.iter().map(|model| model.status.stopped.as_ref().map(ToString::to_string));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(models.iter().map(|model| &model.status.name))),
            Arc::new(UInt32Array::from_iter_values(versions)),
            Arc::new(channels(models)),
            Arc::new(numbers(|model| model.status.folded_through.0)),
            Arc::new(numbers(|model| model.status.applied_through.0)),
            Arc::new(numbers(|model| model.position.0.saturating_sub(model.status.folded_through.0))),
            Arc::new(numbers(|model| model.status.metrics.events_total)),
            Arc::new(numbers(|model| model.status.metrics.skipped_total)),
            Arc::new(numbers(|model| model.status.metrics.ignored_total)),
            Arc::new(StringViewArray::from_iter(stopped)),
        ],
    )?)
}

fn channels(models: &[ModelAtCut]) -> ListArray {
    let mut lists = ListBuilder::new(StringViewBuilder::new()).with_field(channel());
    for model in models {
        let names = model.status.channels.iter();
        names.for_each(|name| lists.values().append_value(name.as_str()));
        lists.append(true);
    }
    lists.finish()
}
