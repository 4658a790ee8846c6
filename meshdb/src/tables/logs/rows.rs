//! The rows of `system.logs`.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringViewArray, UInt64Array};

use super::schema::schema;
use crate::cut::{Cut, PinnedLog};
use crate::tables::listing::RowsError;

pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let logs = &cut.logs;
    let texts =
        |text: fn(&PinnedLog) -> &str| StringViewArray::from_iter_values(logs.iter().map(|log| text(log)));
    let numbers =
        |number: fn(&PinnedLog) -> u64| UInt64Array::from_iter_values(logs.iter().map(|log| number(log)));
    let channels: Vec<u64> =
        logs.iter().map(|log| Ok(count(log.view.channels()?.len()))).collect::<Result<_, RowsError>>()?;
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(texts(|log| &log.name)),
            Arc::new(texts(|log| &log.id)),
            Arc::new(texts(|log| &log.origin)),
            Arc::new(numbers(|log| log.view.begins().0)),
            Arc::new(numbers(|log| log.view.position().0)),
            Arc::new(UInt64Array::from(channels)),
            Arc::new(numbers(|log| count(log.view.segments().len()))),
            Arc::new(numbers(|log| log.view.segments().iter().map(|segment| segment.bytes).sum())),
        ],
    )?)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
