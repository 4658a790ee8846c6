//! The rows of `system.channels`.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringViewArray, TimestampNanosecondArray, UInt64Array};

use super::schema::schema;
use crate::cut::{ChannelPart, Cut};
use crate::tables::UTC;
use crate::tables::listing::RowsError;

/// All channels, those of the database itself included, sorted by name.
pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let channels = cut.channels()?;
    let parts: Vec<&ChannelPart> = channels.iter().flat_map(|channel| &channel.parts).collect();
    let numbers = |number: fn(&ChannelPart) -> u64| {
        UInt64Array::from_iter_values(parts.iter().map(|part| number(part)))
    };
    let moved = parts.iter().map(|part| part.info.moved_to.as_ref().map(|moved| moved.log.as_str()));
    let created = parts.iter().map(|part| part.info.created_at.as_nanos());
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(parts.iter().map(|part| part.log.name.as_str()))),
            Arc::new(StringViewArray::from_iter_values(parts.iter().map(|part| part.info.name.as_str()))),
            Arc::new(numbers(|part| part.info.first_seq.0)),
            Arc::new(numbers(|part| part.info.next_seq.0)),
            Arc::new(TimestampNanosecondArray::from_iter_values(created).with_timezone(UTC)),
            Arc::new(numbers(|part| part.info.created_index.0)),
            Arc::new(StringViewArray::from_iter(moved)),
        ],
    )?)
}
