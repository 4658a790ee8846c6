//! What a table of rows answers the planner.

use std::sync::Arc;

use async_trait::async_trait;
use cortex::PinnedTable;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::filters;
use super::scan::{ModelScan, Plan};
use super::schema::schema;
use crate::cut::TableAtCut;
use crate::result::Meter;

/// The rows of a model, or of what stands beside the logs, at one cut.
pub(crate) struct RowsTable {
    model: TableAtCut,
    schema: SchemaRef,
    meter: Arc<Meter>,
}

impl RowsTable {
    pub(crate) fn new(model: TableAtCut, meter: Arc<Meter>) -> Self {
        let schema = schema(model.table.columns());
        Self { model, schema, meter }
    }

    fn pinned(&self) -> Result<Arc<dyn PinnedTable>> {
        match &self.model.pinned {
            Some(Ok(pinned)) => Ok(Arc::clone(pinned)),
            Some(Err(error)) => Err(DataFusionError::External(Box::new(error.clone()))),
            None => internal_err!("table {} is read without being named", self.model.table.name()),
        }
    }
}

impl std::fmt::Debug for RowsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowsTable").field("table", &self.model.table.name()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let columns = self.model.table.columns();
        Ok(filters.iter().map(|filter| filters::support(columns, filter)).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.pinned()?;
        let columns = self.model.table.columns();
        let places = projection.cloned().unwrap_or_else(|| (0..columns.len()).collect());
        let schema = Arc::new(self.schema.project(&places)?);
        let request = filters::collect(columns, filters);
        if request.is_contradiction() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let table = self.model.table.clone();
        let plan = Plan { table, rows, places, request, limit };
        Ok(Arc::new(ModelScan::new(plan, schema, Arc::clone(&self.meter))))
    }
}
