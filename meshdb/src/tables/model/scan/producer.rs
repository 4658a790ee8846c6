//! The thread of a scan: a model's rows in, batches out.

use std::ops::ControlFlow;
use std::sync::Arc;

use cortex::{PinnedTable, Row, RowsRequest};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, RecordOutput,
};
use tokio::sync::mpsc::Sender;

use super::Plan;
use crate::QueryError;
use crate::result::{Meter, ScanTotals};
use crate::tables::model::rows::Batch;

/// The one partition of a scan.
const PARTITION: usize = 0;

/// Takes rows and sends batches until there are no more, or nobody listens any more.
pub(super) struct Producer {
    batch: Batch,
    left: usize,
    meter: Arc<Meter>,
    baseline: BaselineMetrics,
    rows: Count,
    bytes: Count,
    batches: Sender<Result<RecordBatch>>,
}

/// Why no more rows are taken.
enum End {
    /// All that are wanted were, or nobody listens.
    Enough,
    Failed(DataFusionError),
}

impl From<DataFusionError> for End {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(error)
    }
}

impl Producer {
    pub(super) fn new(
        plan: &Plan,
        schema: SchemaRef,
        meter: Arc<Meter>,
        metrics: &ExecutionPlanMetricsSet,
        batches: Sender<Result<RecordBatch>>,
    ) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, PARTITION);
        Self {
            batch: Batch::new(plan.table.name(), plan.table.columns(), &plan.places, schema),
            left: plan.limit.unwrap_or(usize::MAX),
            meter,
            baseline: BaselineMetrics::new(metrics, PARTITION),
            rows: count("rows"),
            bytes: count("bytes"),
            batches,
        }
    }

    /// Blocks until the rows are read, or their consumer is gone.
    pub(super) fn run(mut self, rows: &dyn PinnedTable, request: &RowsRequest) -> Result<()> {
        let mut end = None;
        let _ = rows.rows(request, &mut |row| match self.take(row) {
            Ok(()) => ControlFlow::Continue(()),
            Err(cause) => {
                end.get_or_insert(cause);
                ControlFlow::Break(())
            }
        });
        let sent = match end {
            Some(End::Failed(error)) => return Err(error),
            Some(End::Enough) | None => self.send(),
        };
        match sent {
            Err(End::Failed(error)) => Err(error),
            Ok(()) | Err(End::Enough) => Ok(()),
        }
    }

    fn take(&mut self, row: &dyn Row) -> std::result::Result<(), End> {
        if self.left == 0 || self.batches.is_closed() {
            return Err(End::Enough);
        }
        self.left -= 1;
        self.batch.append(row).map_err(own_error)?;
        match self.batch.is_full() {
            true => self.send(),
            false => Ok(()),
        }
    }

    /// Sends what was collected; waits while the consumer is behind.
    fn send(&mut self) -> std::result::Result<(), End> {
        self.count()?;
        let batch = self.batch.take().map_err(DataFusionError::from)?;
        let Some(batch) = batch else { return Ok(()) };
        let batch = batch.record_output(&self.baseline);
        self.batches.blocking_send(Ok(batch)).map_err(|_| End::Enough)
    }

    fn count(&self) -> Result<()> {
        let (rows, bytes) = (self.batch.rows(), self.batch.bytes());
        self.rows.add(rows);
        self.bytes.add(bytes);
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let more = ScanTotals { rows: wide(rows), bytes: wide(bytes), ..ScanTotals::default() };
        self.meter.add(more).map_err(own_error)
    }
}

fn own_error(error: QueryError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
