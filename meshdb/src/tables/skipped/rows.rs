//! The rows of `system.skipped`.

use std::sync::Arc;

use cortex::SkippedEvent;
use datafusion::arrow::array::{RecordBatch, StringViewArray, TimestampNanosecondArray, UInt64Array};

use super::schema::schema;
use crate::cut::Cut;
use crate::tables::UTC;
use crate::tables::listing::RowsError;

pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let events = || cut.skipped.iter().map(|(_, event)| event);
    let texts = |text: fn(&SkippedEvent) -> &str| StringViewArray::from_iter_values(events().map(text));
    let recorded = events().map(|event| event.recorded_at.as_nanos());
    // In SQL a position is the index of the event's entry, one below the position that includes it.
    let positions = events().map(|event| event.position.0.saturating_sub(1));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(cut.skipped.iter().map(|(model, _)| model))),
            Arc::new(texts(|event| event.channel.as_str())),
            Arc::new(UInt64Array::from_iter_values(events().map(|event| event.seq.0))),
            Arc::new(UInt64Array::from_iter_values(positions)),
            Arc::new(TimestampNanosecondArray::from_iter_values(recorded).with_timezone(UTC)),
            Arc::new(texts(|event| &event.kind)),
            Arc::new(texts(|event| &event.reason)),
        ],
    )?)
}
