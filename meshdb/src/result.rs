//! What a statement gives back: batches of rows, as they are made.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::Position;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt};

use crate::error::from_engine;
use crate::{Limits, QueryError};

mod deadline;
mod meter;

pub(crate) use deadline::Deadline;
pub(crate) use meter::Meter;
pub use meter::ScanTotals;

/// The rows of a statement, in batches.
///
/// A stream of batches that all have [`schema`](Self::schema). After an error it ends; the batches before it
/// were right, and for [`QueryError::TooManyRows`] not all.
///
/// *Memory*: nothing is computed ahead of the caller but for a few batches.
///
/// *Cancel safety*: dropping the future of [`next`](Self::next) loses nothing; dropping the result ends the
/// statement, whose threads stop at the next entry of a log.
pub struct QueryResult {
    schema: SchemaRef,
    stream: Option<SendableRecordBatchStream>,
    deadline: Deadline,
    limits: Limits,
    rows: u64,
    meter: Arc<Meter>,
    cut: Vec<(String, Position)>,
}

impl QueryResult {
    pub(crate) fn new(
        stream: SendableRecordBatchStream,
        deadline: Deadline,
        limits: Limits,
        meter: Arc<Meter>,
        cut: Vec<(String, Position)>,
    ) -> Self {
        Self { schema: stream.schema(), stream: Some(stream), deadline, limits, rows: 0, meter, cut }
    }

    /// Returns names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Returns the next batch, or `None` at the end.
    ///
    /// # Errors
    ///
    /// What ends a statement while it runs: [`QueryError::Value`], the limits, [`QueryError::Read`],
    /// [`QueryError::Internal`].
    pub async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        StreamExt::next(self).await
    }

    /// Takes all batches that are left. They may be none, also when there are columns.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next); rows that came before the error are lost.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }

    /// Returns the number of rows taken so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns what was read from the logs and the models so far.
    pub fn scanned(&self) -> ScanTotals {
        self.meter.totals()
    }

    /// Returns the cut: the name of each log, and the position up to which the statement sees it.
    pub fn cut(&self) -> &[(String, Position)] {
        &self.cut
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch, QueryError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        if let Some(error) = self.deadline.poll(context) {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = catch_unwind(AssertUnwindSafe(|| stream.poll_next_unpin(context)));
        let Ok(polled) = polled else { return Poll::Ready(Some(Err(panicked()))) };
        polled.map(|item| item.map(|batch| batch.map_err(|error| from_engine(&error, &self.limits))))
    }

    fn admit(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        self.rows += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        match self.limits.rows_max {
            Some(max) if self.rows > max => Err(QueryError::TooManyRows { max }),
            _ => Ok(()),
        }
    }
}

impl Stream for QueryResult {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = match std::task::ready!(self.poll_batch(context)) {
            Some(Ok(batch)) => self.admit(&batch).map(|()| Some(batch)).transpose(),
            other => other,
        };
        if !matches!(item, Some(Ok(_))) {
            self.stream = None;
        }
        Poll::Ready(item)
    }
}

impl std::fmt::Debug for QueryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryResult")
            .field("schema", &self.schema)
            .field("rows", &self.rows)
            .field("ended", &self.stream.is_none())
            .finish_non_exhaustive()
    }
}

/// The error that stands for a panic of the engine, which the panic hook has reported.
pub(crate) fn panicked() -> QueryError {
    QueryError::Internal { message: "it panicked".to_owned() }
}
