//! The rows of `system.quarantine`.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringViewArray, UInt64Array};
use redex::HoleInfo;

use super::schema::schema;
use crate::cut::Cut;
use crate::tables::listing::RowsError;

pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let mut all: Vec<(&str, HoleInfo)> = Vec::new();
    for log in &cut.logs {
        all.extend(log.view.holes().into_iter().map(|hole| (log.name.as_str(), hole)));
    }
    let numbers = |number: fn(&HoleInfo) -> u64| {
        UInt64Array::from_iter_values(all.iter().map(|(_, hole)| number(hole)))
    };
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(all.iter().map(|(log, _)| *log))),
            Arc::new(numbers(|hole| hole.first.0)),
            Arc::new(numbers(|hole| hole.next.0)),
            Arc::new(numbers(|hole| hole.bytes)),
        ],
    )?)
}
