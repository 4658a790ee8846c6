//! The rows of `system.incarnations`.

use std::sync::Arc;

use base::OriginId;
use datafusion::arrow::array::{RecordBatch, StringViewArray, TimestampNanosecondArray, UInt64Array};
use redex::IncarnationInfo;

use super::schema::schema;
use crate::cut::{Cut, PinnedLog};
use crate::tables::UTC;
use crate::tables::listing::RowsError;

pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let mut all: Vec<(&PinnedLog, IncarnationInfo)> = Vec::new();
    for log in &cut.logs {
        all.extend(log.view.incarnations().into_iter().map(|incarnation| (&**log, incarnation)));
    }
    let texts = |text: fn(&IncarnationInfo) -> String| {
        StringViewArray::from_iter_values(all.iter().map(|(_, i)| text(i)))
    };
    let numbers = |number: fn(&IncarnationInfo) -> u64| {
        UInt64Array::from_iter_values(all.iter().map(|(_, i)| number(i)))
    };
    let began = all.iter().map(|(_, incarnation)| incarnation.began_at.as_nanos());
    // A position is the index behind the last entry that it includes.
    let last_signed = all.iter().map(|(_, incarnation)| incarnation.last_signed.0.checked_sub(1));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(all.iter().map(|(log, _)| log.name.as_str()))),
            Arc::new(texts(|incarnation| incarnation.id.to_string())),
            Arc::new(texts(|incarnation| OriginId::of_key(&incarnation.public_key).to_string())),
            Arc::new(texts(|incarnation| incarnation.public_key.to_string())),
            Arc::new(texts(|incarnation| incarnation.parent_hash.to_string())),
            Arc::new(numbers(|incarnation| incarnation.first_index.0)),
            Arc::new(numbers(|incarnation| incarnation.term.0)),
            Arc::new(TimestampNanosecondArray::from_iter_values(began).with_timezone(UTC)),
            Arc::new(last_signed.collect::<UInt64Array>()),
        ],
    )?)
}
