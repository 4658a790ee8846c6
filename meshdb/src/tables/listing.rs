//! Small tables that are made whole when they are read.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;

use crate::QueryError;
use crate::cut::Cut;

/// Makes all rows of a table. May block.
pub(super) type MakeRows = fn(&Cut) -> std::result::Result<RecordBatch, RowsError>;

/// Why rows could not be made.
pub(super) enum RowsError {
    /// A log could not be read.
    Read(redex::ReadError),
    /// The columns do not fit each other: a defect.
    Columns(ArrowError),
}

impl From<redex::ReadError> for RowsError {
    fn from(error: redex::ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<ArrowError> for RowsError {
    fn from(error: ArrowError) -> Self {
        Self::Columns(error)
    }
}

impl From<RowsError> for DataFusionError {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Read(source) => {
                Self::External(Box::new(QueryError::Read { source: Arc::new(source) }))
            }
            RowsError::Columns(error) => error.into(),
        }
    }
}

/// Makes a table of `schema` whose rows `make` makes of the cut.
pub(super) fn table(cut: &Arc<Cut>, schema: SchemaRef, make: MakeRows) -> Result<Arc<dyn TableProvider>> {
    let listing = Listing { cut: Arc::clone(cut), schema: Arc::clone(&schema), make };
    Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(listing)])?))
}

struct Listing {
    cut: Arc<Cut>,
    schema: SchemaRef,
    make: MakeRows,
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Listing {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 1);
        let (cut, make, batches) = (Arc::clone(&self.cut), self.make, stream.tx());
        stream.spawn_blocking(move || {
            let batch = make(&cut)?;
            // The consumer may be gone already, which ends the statement.
            let _ = batches.blocking_send(Ok(batch));
            Ok(())
        });
        stream.build()
    }
}
