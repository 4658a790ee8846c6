//! The rows of `system.forks`.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringViewArray, UInt64Array};
use redex::ForkProof;

use super::schema::schema;
use crate::cut::Cut;
use crate::tables::listing::RowsError;

pub(super) fn rows(cut: &Cut) -> Result<RecordBatch, RowsError> {
    let proofs = || cut.forks.iter().map(|found| found.proof.as_ref().ok());
    let texts =
        |text: fn(&ForkProof) -> String| StringViewArray::from_iter(proofs().map(|proof| proof.map(text)));
    let files = cut.forks.iter().map(|found| found.path.display().to_string());
    let faults = cut.forks.iter().map(|found| found.proof.as_ref().err().map(ToString::to_string));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringViewArray::from_iter_values(files)),
            Arc::new(texts(|proof| proof.log().to_string())),
            Arc::new(texts(|proof| proof.incarnation().to_string())),
            Arc::new(UInt64Array::from_iter(proofs().map(|proof| proof.map(|proof| proof.index().0)))),
            Arc::new(texts(|proof| proof.key().to_string())),
            Arc::new(texts(|proof| proof.hashes()[0].to_string())),
            Arc::new(texts(|proof| proof.hashes()[1].to_string())),
            Arc::new(StringViewArray::from_iter(faults)),
        ],
    )?)
}
