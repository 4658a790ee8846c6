//! The plan node that reads a model's rows, on a thread that may block.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cortex::{Access, Literal, PinnedTable, RowsRequest};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err, stats::Precision};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};

use crate::cut::Table;
use crate::limits::BATCHES_AHEAD;
use crate::result::Meter;

mod producer;

use producer::Producer;

/// Values of a column that the plan shows.
const VALUES_SHOWN: usize = 8;

/// What is read.
#[derive(Clone)]
pub(super) struct Plan {
    pub table: Table,
    pub rows: Arc<dyn PinnedTable>,
    /// The chosen columns, by their places.
    pub places: Vec<usize>,
    pub request: RowsRequest,
    pub limit: Option<usize>,
}

/// Reads rows of a model.
#[derive(Clone)]
pub(super) struct ModelScan {
    plan: Plan,
    meter: Arc<Meter>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ModelScan {
    pub(super) fn new(plan: Plan, schema: SchemaRef, meter: Arc<Meter>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        // The channel between the thread and the stream takes part in the runtime's cooperative budget.
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        Self { plan, meter, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// How many rows there are; at most that many, where only some are wanted.
    fn estimate(&self) -> Precision<usize> {
        let limit = self.plan.limit.unwrap_or(usize::MAX);
        let keys = self.plan.request.wanted().filter(|(place, _)| self.access(*place) == Access::Key);
        let most = keys.map(|(_, values)| values.len()).min().unwrap_or(usize::MAX);
        let count = self.plan.rows.count().min(limit).min(most);
        // Rows that stand in no log come and go while they are read.
        match (self.plan.request.wanted().next(), self.plan.rows.position()) {
            (None, Some(_)) => Precision::Exact(count),
            _ => Precision::Inexact(count),
        }
    }

    fn access(&self, place: usize) -> Access {
        self.plan.table.columns().get(place).map(|column| column.access).unwrap_or_default()
    }

    fn column(&self, place: usize) -> &'static str {
        self.plan.table.columns().get(place).map_or("", |column| column.name)
    }
}

fn show(values: &BTreeSet<Literal>) -> String {
    let shown: Vec<String> = values.iter().take(VALUES_SHOWN).map(Literal::to_string).collect();
    let more = values.len().saturating_sub(VALUES_SHOWN);
    let more = if more > 0 { format!(", {more} more") } else { String::new() };
    format!("[{}{more}]", shown.join(", "))
}

impl fmt::Debug for ModelScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        f.debug_struct("ModelScan")
            .field("table", &plan.table.name())
            .field("places", &plan.places)
            .field("request", &plan.request)
            .field("limit", &plan.limit)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for ModelScan {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        let mut parts = vec![format!("table={}", plan.table.name())];
        let wanted = plan.request.wanted();
        parts.extend(wanted.map(|(place, values)| format!("{}={}", self.column(place), show(values))));
        parts.extend(plan.limit.map(|limit| format!("limit={limit}")));
        parts.extend(plan.rows.position().map(|position| format!("position={position}")));
        let columns: Vec<&str> = plan.places.iter().map(|place| self.column(*place)).collect();
        parts.push(format!("columns=[{}]", columns.join(", ")));
        match kind {
            DisplayFormatType::TreeRender => f.write_str(&parts.join("\n")),
            _ => write!(f, "ModelScan: {}", parts.join(", ")),
        }
    }
}

impl ExecutionPlan for ModelScan {
    fn name(&self) -> &'static str {
        "ModelScan"
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
            false => internal_err!("a scan of a model has no children"),
        }
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("a scan of a model has no partition {partition}");
        }
        let mut stream = RecordBatchReceiverStream::builder(self.schema(), BATCHES_AHEAD);
        let meter = Arc::clone(&self.meter);
        let producer = Producer::new(&self.plan, self.schema(), meter, &self.metrics, stream.tx());
        let (rows, request) = (Arc::clone(&self.plan.rows), self.plan.request.clone());
        stream.spawn_blocking(move || producer.run(&*rows, &request));
        Ok(stream.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = self.estimate();
        Ok(Arc::new(statistics))
    }

    fn supports_limit_pushdown(&self) -> bool {
        false
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let mut scan = self.clone();
        scan.plan.limit = limit;
        scan.metrics = ExecutionPlanMetricsSet::new();
        Some(Arc::new(scan))
    }

    fn fetch(&self) -> Option<usize> {
        self.plan.limit
    }
}
