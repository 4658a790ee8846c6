//! Rows as text, tables for people, JSON and CSV for programs; and as Arrow's own stream.
//!
//! Alike in all texts: times are RFC 3339 in UTC; bytes are hexadecimal digits; headers are a JSON object,
//! in which a value is a text where its bytes are UTF-8 and else `{"hex": ".."}`; other nested values are JSON
//! too. In the JSON formats what `->` gives stands as the JSON that it is; in the others as its text.
//!
//! Writing blocks for as long as the output does.

use std::io::{self, Read, Write};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::Writer as JsonWriter;
use datafusion::arrow::json::writer::{JsonArray, LineDelimited, WriterBuilder};

mod json;
mod table;
mod text;

use json::Encoders;
use table::Table;

/// A form of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A table with a frame. The first 1,000 rows decide how wide its columns are, and are held until then.
    Table,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header line. NULL and an empty text are both nothing.
    Csv,
    /// The streaming format of Arrow IPC: binary, with the schema in front, types as they are.
    Arrow,
}

/// Writes batches of rows to `out` as they come.
pub struct Output<W: Write> {
    schema: SchemaRef,
    encoder: Encoder<W>,
}

enum Encoder<W: Write> {
    Table {
        table: Table,
        out: W,
    },
    Json(Box<JsonWriter<W, JsonArray>>),
    Ndjson(Box<JsonWriter<W, LineDelimited>>),
    Csv(Box<csv::Writer<W>>),
    /// What went wrong with the schema is told by the first call that can.
    Arrow(Result<Box<StreamWriter<W>>, ArrowError>),
}

impl<W: Write> Output<W> {
    /// Begins output of rows with the columns of `schema`.
    pub fn new(format: Format, schema: &SchemaRef, out: W) -> Self {
        let json = || WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(Encoders));
        let encoder = match format {
            Format::Table => Encoder::Table { table: Table::new(schema), out },
            Format::Json => Encoder::Json(Box::new(json().build(out))),
            Format::Ndjson => Encoder::Ndjson(Box::new(json().build(out))),
            Format::Csv => Encoder::Csv(Box::new(csv::WriterBuilder::new().with_header(true).build(out))),
            Format::Arrow => Encoder::Arrow(StreamWriter::try_new(out, schema).map(Box::new)),
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
            Encoder::Table { table, out } => table.write(batch, out),
            Encoder::Json(writer) => writer.write(batch).map_err(from_arrow),
            Encoder::Ndjson(writer) => writer.write(batch).map_err(from_arrow),
            Encoder::Csv(writer) => writer.write(&text::flat(batch).map_err(from_arrow)?).map_err(from_arrow),
            Encoder::Arrow(Ok(writer)) => writer.write(batch).map_err(from_arrow),
            Encoder::Arrow(Err(error)) => Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
        }
    }

    /// Writes what is left, the header too where there were no rows, and flushes the output.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn finish(self) -> io::Result<()> {
        match self.encoder {
            Encoder::Table { mut table, mut out } => {
                table.finish(&mut out)?;
                out.flush()
            }
            Encoder::Json(mut writer) => {
                writer.finish().map_err(from_arrow)?;
                let mut out = writer.into_inner();
                out.write_all(b"\n")?;
                out.flush()
            }
            Encoder::Ndjson(mut writer) => {
                writer.finish().map_err(from_arrow)?;
                writer.into_inner().flush()
            }
            Encoder::Csv(mut writer) => {
                let none = RecordBatch::new_empty(text::flat_schema(&self.schema));
                writer.write(&none).map_err(from_arrow)?;
                writer.into_inner().flush()
            }
            Encoder::Arrow(writer) => {
                let mut writer = writer.map_err(from_arrow)?;
                writer.finish().map_err(from_arrow)?;
                writer.into_inner().map_err(from_arrow)?.flush()
            }
        }
    }
}

impl<W: Write> std::fmt::Debug for Output<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Reads rows that were written as [`Format::Arrow`].
///
/// # Errors
///
/// Kind `InvalidData` for anything else; what the source said.
pub fn read_arrow(source: impl Read) -> io::Result<(SchemaRef, Vec<RecordBatch>)> {
    let failed = |error: ArrowError| match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    };
    let reader = StreamReader::try_new(source, None).map_err(failed)?;
    Ok((reader.schema(), reader.collect::<Result<_, _>>().map_err(failed)?))
}

/// Writes rows as a table.
///
/// # Errors
///
/// As [`Output::write`].
pub fn table(schema: &SchemaRef, batches: &[RecordBatch], out: &mut impl Write) -> io::Result<()> {
    let mut output = Output::new(Format::Table, schema, out);
    batches.iter().try_for_each(|batch| output.write(batch))?;
    output.finish()
}

fn from_arrow(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, source) => source,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
