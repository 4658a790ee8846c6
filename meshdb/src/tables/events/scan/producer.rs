//! The thread of one partition: log in, batches out.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, RecordOutput,
};
use redex::{Chunk, ReadError, Scan, Selection};
use tokio::sync::mpsc::Sender;

use super::{Part, Plan};
use crate::QueryError;
use crate::cut::PinnedLog;
use crate::pushdown::Span;
use crate::result::{Meter, ScanTotals};
use crate::tables::events::rows::Rows;

/// What `EXPLAIN ANALYZE` shows of one partition.
pub(super) struct Counters {
    baseline: BaselineMetrics,
    events: Count,
    entries: Count,
    bytes: Count,
    segments: Count,
    index_blocks: Count,
}

impl Counters {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            baseline: BaselineMetrics::new(metrics, partition),
            events: count("events"),
            entries: count("entries"),
            bytes: count("bytes"),
            segments: count("segments"),
            index_blocks: count("index_blocks"),
        }
    }

    fn add(&self, more: ScanTotals) {
        let add = |count: &Count, more: u64| count.add(usize::try_from(more).unwrap_or(usize::MAX));
        add(&self.events, more.events);
        add(&self.entries, more.entries);
        add(&self.bytes, more.bytes);
        add(&self.segments, more.segments);
        add(&self.index_blocks, more.index_blocks);
    }
}

/// Reads the parts of a partition and sends batches until all is read or nobody listens any more.
pub(super) struct Producer {
    rows: Rows,
    left: u64,
    meter: Arc<Meter>,
    counters: Counters,
    batches: Sender<Result<RecordBatch>>,
}

/// Whether to go on.
#[derive(PartialEq)]
enum Next {
    Continue,
    Stop,
}

impl Producer {
    pub(super) fn new(
        plan: &Plan,
        schema: SchemaRef,
        meter: Arc<Meter>,
        counters: Counters,
        batches: Sender<Result<RecordBatch>>,
    ) -> Self {
        let rows = Rows::new(&plan.columns, schema);
        Self { rows, left: plan.limit.unwrap_or(u64::MAX), meter, counters, batches }
    }

    /// Blocks until the partition is read, or its consumer is gone.
    pub(super) fn run(mut self, parts: &[Part]) -> Result<()> {
        for part in parts {
            if self.left > 0 && self.read(part)? == Next::Stop {
                return Ok(());
            }
        }
        self.send()?;
        Ok(())
    }

    fn read(&mut self, part: &Part) -> Result<Next> {
        let mut windows = part.windows.clone();
        if part.selection.reverse {
            windows.reverse();
        }
        for window in windows {
            if self.read_window(part, window)? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Continue)
    }

    fn read_window(&mut self, part: &Part, window: Span) -> Result<Next> {
        let limit = Some(self.left).filter(|left| *left < u64::MAX);
        let selection = Selection { indexes: window.unsigned(), limit, ..part.selection.clone() };
        let mut scan = part.log.view.scan(&selection).map_err(read_error)?;
        let mut counted = ScanTotals::default();
        loop {
            if self.batches.is_closed() {
                return Ok(Next::Stop);
            }
            if self.left == 0 {
                return Ok(Next::Continue);
            }
            let chunk = self.next_chunk(&mut scan, &mut counted)?;
            let Some(chunk) = chunk else { return Ok(Next::Continue) };
            if self.append(&part.log, &chunk)? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
    }

    fn next_chunk(&self, scan: &mut Scan, counted: &mut ScanTotals) -> Result<Option<Chunk>> {
        let chunk = scan.next_chunk().map_err(read_error);
        let totals = ScanTotals::from(scan.statistics());
        let more = totals.since(std::mem::replace(counted, totals));
        self.counters.add(more);
        self.meter.add(more).map_err(|error| DataFusionError::External(Box::new(error)))?;
        chunk
    }

    fn append(&mut self, log: &PinnedLog, chunk: &Chunk) -> Result<Next> {
        for event in chunk.events() {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            self.rows.append(log, &event)?;
            if self.rows.is_full() && self.send()? == Next::Stop {
                return Ok(Next::Stop);
            }
        }
        Ok(Next::Continue)
    }

    /// Sends what was collected; waits while the consumer is behind.
    fn send(&mut self) -> Result<Next> {
        let Some(batch) = self.rows.take()? else { return Ok(Next::Continue) };
        let batch = batch.record_output(&self.counters.baseline);
        Ok(match self.batches.blocking_send(Ok(batch)) {
            Ok(()) => Next::Continue,
            Err(_) => Next::Stop,
        })
    }
}

fn read_error(source: ReadError) -> DataFusionError {
    DataFusionError::External(Box::new(QueryError::Read { source: Arc::new(source) }))
}
