//! Rows as text: tables for people, JSON and CSV for programs.
//!
//! Times are RFC 3339 in UTC. Headers, and whatever else is nested, stand as JSON objects; bytes stand as
//! hexadecimal digits. In CSV nested values are texts.

use std::io::{self, Write};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::Writer as JsonWriter;
use datafusion::arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::util::pretty::pretty_format_batches_with_schema;

/// A form of rows as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A table with a frame; all rows are held in memory until the end.
    Table,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
}

/// Writes batches of rows to `out` as they come.
pub struct Output<W: Write> {
    schema: SchemaRef,
    encoder: Encoder<W>,
}

enum Encoder<W: Write> {
    Table { out: W, batches: Vec<RecordBatch> },
    Json(Box<JsonWriter<W, JsonArray>>),
    Ndjson(Box<JsonWriter<W, LineDelimited>>),
    Csv(Box<csv::Writer<W>>),
}

impl<W: Write> Output<W> {
    /// Begins output of rows with the columns of `schema`.
    pub fn new(format: Format, schema: &SchemaRef, out: W) -> Self {
        let json = || WriterBuilder::new().with_explicit_nulls(true);
        let encoder = match format {
            Format::Table => Encoder::Table { out, batches: Vec::new() },
            Format::Json => Encoder::Json(Box::new(json().build(out))),
            Format::Ndjson => Encoder::Ndjson(Box::new(json().build(out))),
            Format::Csv => Encoder::Csv(Box::new(csv::WriterBuilder::new().with_header(true).build(out))),
        };
        Self { schema: Arc::clone(schema), encoder }
    }

    /// Writes a batch.
    ///
    /// # Errors
    ///
    /// What the output said; kind `InvalidData` for values that have no text in the format.
    pub fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Table { batches, .. } => {
                batches.push(batch.clone());
                Ok(())
            }
            Encoder::Json(writer) => writer.write(batch).map_err(from_arrow),
            Encoder::Ndjson(writer) => writer.write(batch).map_err(from_arrow),
            Encoder::Csv(writer) => writer.write(&flat(batch)?).map_err(from_arrow),
        }
    }

    /// Ends the output and gives back where it went.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(self) -> io::Result<()> {
        match self.encoder {
            Encoder::Table { mut out, batches } => table(&self.schema, &batches, &mut out)?,
            Encoder::Json(mut writer) => {
                writer.finish().map_err(from_arrow)?;
                let mut out = writer.into_inner();
                out.write_all(b"\n")?;
                out.flush()?;
            }
            Encoder::Ndjson(mut writer) => {
                writer.finish().map_err(from_arrow)?;
                writer.into_inner().flush()?;
            }
            Encoder::Csv(mut writer) => {
                // The header is written with the first batch, so that no rows need an empty one.
                let empty = RecordBatch::new_empty(flat_schema(&self.schema));
                writer.write(&empty).map_err(from_arrow)?;
                writer.into_inner().flush()?;
            }
        }
        Ok(())
    }
}

impl<W: Write> std::fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Writes rows as a table.
///
/// # Errors
///
/// As [`Output::write`].
pub fn table(schema: &SchemaRef, batches: &[RecordBatch], out: &mut impl Write) -> io::Result<()> {
    let text = pretty_format_batches_with_schema(Arc::clone(schema), batches).map_err(from_arrow)?;
    writeln!(out, "{text}")?;
    out.flush()
}

/// Returns a batch with texts in place of nested values, and of bytes.
fn flat(batch: &RecordBatch) -> io::Result<RecordBatch> {
    let columns = batch.columns().iter().map(text_of_nested).collect::<Result<_, _>>().map_err(from_arrow)?;
    RecordBatch::try_new(flat_schema(batch.schema_ref()), columns).map_err(from_arrow)
}

fn flat_schema(schema: &SchemaRef) -> SchemaRef {
    let field = |field: &Arc<Field>| match is_flat(field.data_type()) {
        true => field.as_ref().clone(),
        false => Field::new(field.name(), DataType::Utf8, true),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn is_flat(data_type: &DataType) -> bool {
    use DataType as T;
    let bytes = matches!(data_type, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_));
    !data_type.is_nested() && !bytes
}

fn text_of_nested(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if is_flat(column.data_type()) {
        return Ok(Arc::clone(column));
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let texts = (0..column.len())
        .map(|row| match column.is_null(row) {
            true => Ok(None),
            false => formatter.value(row).try_to_string().map(Some),
        })
        .collect::<Result<StringArray, _>>()?;
    Ok(Arc::new(texts))
}

fn from_arrow(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, source) => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
