//! Values as texts of one line, for tables and CSV.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::{EncoderOptions, writer::make_encoder};

use super::json::Encoders;

/// Returns a batch with JSON texts in place of nested values.
pub(super) fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| match field.data_type().is_nested() {
        true => json_texts(field, column),
        false => Ok(Arc::clone(column)),
    });
    RecordBatch::try_new(flat_schema(batch.schema_ref()), columns.collect::<Result<_, _>>()?)
}

/// The schema of [`flat`] batches.
pub(super) fn flat_schema(schema: &SchemaRef) -> SchemaRef {
    let field = |field: &FieldRef| match field.data_type().is_nested() {
        true => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
        false => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn json_texts(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options =
        EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(Arc::new(Encoders));
    let mut encoder = make_encoder(field, column, &options)?;
    let texts = (0..column.len()).map(|row| {
        (!encoder.is_null(row)).then(|| {
            let mut json = Vec::new();
            encoder.encode(row, &mut json);
            String::from_utf8_lossy(&json).into_owned()
        })
    });
    Ok(Arc::new(texts.collect::<StringArray>()))
}

/// Writes control characters, which would change the terminal or the layout, as escapes.
pub(super) fn printable(text: String) -> String {
    match text.contains(char::is_control) {
        true => text
            .chars()
            .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
            .collect(),
        false => text,
    }
}
