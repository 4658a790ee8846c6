//! The columns of a model's table, as the engine knows them.

use std::sync::Arc;

use cortex::{Column, ValueType};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::tables::{required, timestamp};

/// The columns of a table, in its order.
pub(super) fn schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// A text in a list of texts.
pub(super) fn list_item() -> FieldRef {
    Arc::new(required(Field::LIST_FIELD_DEFAULT_NAME, DataType::Utf8View))
}

fn field(column: &Column) -> Field {
    Field::new(column.name, data_type(column.value_type), column.nullable)
}

fn data_type(value_type: ValueType) -> DataType {
    match value_type {
        ValueType::U64 => DataType::UInt64,
        ValueType::I64 => DataType::Int64,
        ValueType::F64 => DataType::Float64,
        ValueType::Bool => DataType::Boolean,
        ValueType::Text => DataType::Utf8View,
        ValueType::Time => timestamp(),
        ValueType::Texts => DataType::List(list_item()),
    }
}
