//! The plan node that reads events: parts of logs, on threads that may block.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err, stats::Precision};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column as ColumnExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sort_pushdown::SortOrderPushdownResult;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use redex::Selection;

use super::schema::{Column, schema};
use crate::cut::PinnedLog;
use crate::limits::BATCHES_AHEAD;
use crate::pushdown::{Pushed, Span};
use crate::result::Meter;

mod producer;

use producer::Producer;

/// What is scanned, as the plan shows it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub columns: Vec<Column>,
    pub pushed: Pushed,
    pub limit: Option<u64>,
}

impl Plan {
    /// The schema of the chosen columns.
    pub(super) fn schema(&self) -> Result<SchemaRef> {
        let all = schema();
        let fields = self.columns.iter().map(|column| all.field_with_name(column.name()).cloned());
        Ok(Arc::new(Schema::new(fields.collect::<std::result::Result<Vec<_>, _>>()?)))
    }
}

/// A stretch of one log and what is wanted of it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub log: Arc<PinnedLog>,
    /// Indexes of entries to read, in ascending order. Between two windows the thread can be stopped.
    pub windows: Vec<Span>,
    /// What is wanted of each window.
    pub selection: Selection,
    /// The sequence numbers in the stretch, if it is one channel's.
    pub events: Option<Span>,
}

/// Reads events. Each partition reads its parts one after the other.
#[derive(Debug, Clone)]
pub(super) struct EventScan {
    plan: Plan,
    partitions: Vec<Vec<Part>>,
    meter: Arc<Meter>,
    reverse: bool,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl EventScan {
    pub(super) fn new(plan: Plan, partitions: Vec<Vec<Part>>, meter: Arc<Meter>) -> Result<Self> {
        let properties = properties(&plan, &partitions, false)?;
        Ok(Self {
            plan,
            partitions,
            meter,
            reverse: false,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same scan, newest first.
    fn reversed(&self) -> Result<Self> {
        let mut scan = self.clone();
        scan.reverse = !self.reverse;
        for part in scan.partitions.iter_mut().flatten() {
            part.selection.reverse = scan.reverse;
        }
        scan.properties = properties(&scan.plan, &scan.partitions, scan.reverse)?;
        scan.metrics = ExecutionPlanMetricsSet::new();
        Ok(scan)
    }

    /// About how many events the chosen partitions have, if they are of one channel.
    fn estimate(&self, partition: Option<usize>) -> Precision<usize> {
        let chosen =
            self.partitions.iter().enumerate().filter(|(place, _)| partition.is_none_or(|p| p == *place));
        let lengths =
            chosen.flat_map(|(_, parts)| parts).map(|part| part.events.map(|span| span.to - span.from));
        let total = lengths.sum::<Option<i128>>().and_then(|total| usize::try_from(total).ok());
        let limit = self.fetch().unwrap_or(usize::MAX);
        total.map_or(Precision::Absent, |total| Precision::Inexact(total.min(limit)))
    }
}

/// What the planner may rely on: partitions, and the order of rows in each.
fn properties(plan: &Plan, partitions: &[Vec<Part>], reverse: bool) -> Result<Arc<PlanProperties>> {
    let schema = plan.schema()?;
    let options = SortOptions { descending: reverse, nulls_first: reverse };
    let expr = |column: &Column| {
        let place = plan.columns.iter().position(|chosen| chosen == column)?;
        let expr = Arc::new(ColumnExpr::new(column.name(), place)) as Arc<dyn PhysicalExpr>;
        Some(PhysicalSortExpr::new(expr, options))
    };
    let orders = orders(plan, partitions).iter();
    let orderings = orders.map(|columns| columns.iter().map_while(&expr).collect::<Vec<_>>());
    let properties = PlanProperties::new(
        EquivalenceProperties::new_with_orderings(
            Arc::clone(&schema),
            orderings.filter(|ordering| !ordering.is_empty()),
        ),
        Partitioning::UnknownPartitioning(partitions.len()),
        EmissionType::Incremental,
        Boundedness::Bounded,
    );
    // The channel between the threads and the stream takes part in the runtime's cooperative budget.
    Ok(Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative)))
}

/// The orders that the rows of each partition have, all at once, or the reverse of them.
fn orders(plan: &Plan, partitions: &[Vec<Part>]) -> &'static [&'static [Column]] {
    const IN_A_LOG: &[&[Column]] = &[
        &[Column::Position, Column::Ordinal],
        // Recording times do not decrease in a log.
        &[Column::RecordedAt, Column::Position, Column::Ordinal],
    ];
    const IN_A_CHANNEL: &[&[Column]] = &[&[Column::Seq], IN_A_LOG[0], IN_A_LOG[1]];
    let mut logs = partitions.iter().flatten().map(|part| &part.log);
    let one_log = logs.next().is_some_and(|first| logs.all(|log| Arc::ptr_eq(first, log)));
    let one_part_each = partitions.iter().all(|parts| parts.len() == 1);
    let one_channel = plan.pushed.channels.as_ref().is_some_and(|names| names.len() == 1);
    match (one_log && one_part_each, one_channel) {
        (false, _) => &[],
        (true, false) => IN_A_LOG,
        (true, true) => IN_A_CHANNEL,
    }
}

impl DisplayAs for EventScan {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> = self.plan.columns.iter().map(|column| column.name()).collect();
        let pushed = self.plan.pushed.to_string();
        let mut parts = Vec::new();
        parts.extend(self.plan.pushed.channels.is_none().then(|| "channels=all".to_owned()));
        parts.extend((!pushed.is_empty()).then_some(pushed));
        parts.extend(self.plan.limit.map(|limit| format!("limit={limit}")));
        parts.extend(self.reverse.then(|| "newest first".to_owned()));
        parts.push(format!("columns=[{}]", columns.join(", ")));
        match kind {
            DisplayFormatType::TreeRender => f.write_str(&parts.join("\n")),
            _ => write!(f, "EventScan: {}", parts.join(", ")),
        }
    }
}

impl ExecutionPlan for EventScan {
    fn name(&self) -> &'static str {
        "EventScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a scan of events has no children"),
        }
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(parts) = self.partitions.get(partition) else {
            return internal_err!("a scan of events has no partition {partition}");
        };
        let mut stream = RecordBatchReceiverStream::builder(self.schema(), BATCHES_AHEAD);
        let producer = Producer::new(
            &self.plan,
            self.schema(),
            Arc::clone(&self.meter),
            producer::Counters::new(&self.metrics, partition),
            stream.tx(),
        );
        let parts = parts.clone();
        stream.spawn_blocking(move || producer.run(&parts));
        Ok(stream.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = self.estimate(args.partition());
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let mut scan = self.clone();
        scan.plan.limit = limit.and_then(|limit| u64::try_from(limit).ok());
        scan.metrics = ExecutionPlanMetricsSet::new();
        Some(Arc::new(scan))
    }

    fn fetch(&self) -> Option<usize> {
        self.plan.limit.and_then(|limit| usize::try_from(limit).ok())
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let satisfies =
            |scan: &Self| scan.properties.equivalence_properties().ordering_satisfy(order.to_vec());
        if satisfies(self)? {
            return Ok(SortOrderPushdownResult::Exact { inner: Arc::new(self.clone()) });
        }
        // A limit chose the oldest rows already; the newest would be others.
        if self.plan.limit.is_none() {
            let reversed = self.reversed()?;
            if satisfies(&reversed)? {
                return Ok(SortOrderPushdownResult::Exact { inner: Arc::new(reversed) });
            }
        }
        Ok(SortOrderPushdownResult::Unsupported)
    }
}
