//! From a model's rows to batches.

use std::sync::Arc;

use cortex::{Column, Row, Value, ValueType};
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, RecordBatch, RecordBatchOptions,
    StringViewBuilder, TimestampNanosecondBuilder, UInt64Builder,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;

use super::schema::list_item;
use crate::QueryError;
use crate::limits::{BATCH_BYTES, BATCH_ROWS, VIEW_BLOCK_BYTES};
use crate::tables::UTC;

/// Bytes of a value that is not a text.
const NUMBER_BYTES: usize = 8;

/// Collects rows into batches of the chosen columns.
pub(super) struct Batch {
    table: String,
    schema: SchemaRef,
    columns: Vec<Building>,
    rows: usize,
    bytes: usize,
}

/// A column under construction.
struct Building {
    column: Column,
    /// Its place in the table.
    place: usize,
    values: Builder,
}

impl Batch {
    /// Begins an empty batch with the columns at `places` of `columns`, whose fields are those of `schema`.
    pub(super) fn new(table: &str, columns: &[Column], places: &[usize], schema: SchemaRef) -> Self {
        let building = |place: &usize| {
            let column = *columns.get(*place)?;
            Some(Building { column, place: *place, values: Builder::new(column.value_type) })
        };
        let columns = places.iter().filter_map(building).collect();
        Self { table: table.to_owned(), schema, columns, rows: 0, bytes: 0 }
    }

    /// Adds a row.
    pub(super) fn append(&mut self, row: &dyn Row) -> Result<(), QueryError> {
        for building in &mut self.columns {
            let value = row.value(building.place);
            let found = name(&value);
            match building.values.append(value, building.column.nullable) {
                Some(bytes) => self.bytes += bytes,
                None => {
                    return Err(QueryError::ModelDefect {
                        table: self.table.clone(),
                        column: building.column.name,
                        expected: building.column.value_type,
                        found,
                    });
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells whether the batch should be taken now.
    pub(super) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// Takes what was collected; `None` when there are no rows.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        self.bytes = 0;
        let arrays = self.columns.iter_mut().map(|building| building.values.finish()).collect();
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map(Some)
    }
}

enum Builder {
    U64(UInt64Builder),
    I64(Int64Builder),
    F64(Float64Builder),
    Bool(BooleanBuilder),
    Text(StringViewBuilder),
    Time(TimestampNanosecondBuilder),
    Texts(ListBuilder<StringViewBuilder>),
}

impl Builder {
    fn new(value_type: ValueType) -> Self {
        match value_type {
            ValueType::U64 => Self::U64(UInt64Builder::new()),
            ValueType::I64 => Self::I64(Int64Builder::new()),
            ValueType::F64 => Self::F64(Float64Builder::new()),
            ValueType::Bool => Self::Bool(BooleanBuilder::new()),
            ValueType::Text => Self::Text(texts()),
            ValueType::Time => Self::Time(TimestampNanosecondBuilder::new().with_timezone(UTC)),
            ValueType::Texts => Self::Texts(ListBuilder::new(texts()).with_field(list_item())),
        }
    }

    /// Adds a value; returns its bytes, or `None` if the column cannot hold it.
    fn append(&mut self, value: Value<'_>, nullable: bool) -> Option<usize> {
        match (self, value) {
            (builder, Value::Null) if nullable => builder.append_null(),
            (Self::U64(values), Value::U64(value)) => values.append_value(value),
            (Self::I64(values), Value::I64(value)) => values.append_value(value),
            (Self::F64(values), Value::F64(value)) => values.append_value(value),
            (Self::Bool(values), Value::Bool(value)) => values.append_value(value),
            (Self::Time(values), Value::Time(value)) => values.append_value(value.as_nanos()),
            (Self::Text(values), Value::Text(value)) => {
                values.append_value(&value);
                return Some(value.len());
            }
            (Self::Texts(values), Value::Texts(list)) => {
                let mut bytes = 0;
                list.each(&mut |text| {
                    bytes += text.len();
                    values.values().append_value(text);
                });
                values.append(true);
                return Some(bytes);
            }
            _ => return None,
        }
        Some(NUMBER_BYTES)
    }

    fn append_null(&mut self) {
        match self {
            Self::U64(values) => values.append_null(),
            Self::I64(values) => values.append_null(),
            Self::F64(values) => values.append_null(),
            Self::Bool(values) => values.append_null(),
            Self::Text(values) => values.append_null(),
            Self::Time(values) => values.append_null(),
            Self::Texts(values) => values.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::U64(values) => Arc::new(values.finish()),
            Self::I64(values) => Arc::new(values.finish()),
            Self::F64(values) => Arc::new(values.finish()),
            Self::Bool(values) => Arc::new(values.finish()),
            Self::Text(values) => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::Texts(values) => Arc::new(values.finish()),
        }
    }
}

fn texts() -> StringViewBuilder {
    StringViewBuilder::new().with_fixed_block_size(VIEW_BLOCK_BYTES)
}

/// What a value is, for an error.
fn name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "no value",
        Value::U64(_) => "u64",
        Value::I64(_) => "i64",
        Value::F64(_) => "f64",
        Value::Bool(_) => "bool",
        Value::Text(_) => "text",
        Value::Time(_) => "time",
        Value::Texts(_) => "texts",
    }
}
