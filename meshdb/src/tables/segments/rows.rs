//! The rows of `system.segments`.

use std::sync::Arc;

use datafusion::arrow::array::{BooleanArray, RecordBatch, StringViewArray, UInt64Array};
use redex::SegmentInfo;

use super::schema::schema;
use crate::cut::{Cut, PinnedLog};
use crate::tables::listing::RowsError;

pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let of = |log: &'_ Arc<PinnedLog>| {
        log.view.segments().into_iter().map(|segment| (Arc::clone(log), segment)).collect::<Vec<_>>()
    };
    let all: Vec<(Arc<PinnedLog>, SegmentInfo)> = cut.logs.iter().flat_map(of).collect();
    let numbers = |number: fn(&SegmentInfo) -> u64| {
        UInt64Array::from_iter_values(all.iter().map(|(_, segment)| number(segment)))
    };
    let sealed: Vec<bool> = all.iter().map(|(_, segment)| segment.next_index.is_some()).collect();
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(all.iter().map(|(log, _)| log.name.as_str()))),
            Arc::new(numbers(|segment| segment.number)),
            Arc::new(numbers(|segment| segment.first_index.0)),
            Arc::new(UInt64Array::from_iter(
                all.iter().map(|(_, segment)| segment.next_index.map(|next| next.0)),
            )),
            Arc::new(numbers(|segment| segment.bytes)),
            Arc::new(BooleanArray::from(sealed)),
        ],
    )?)
}
