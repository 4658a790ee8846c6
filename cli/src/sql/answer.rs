//! Writing the rows of a statement.

use std::io::{self, BufWriter};

use netdb::meshdb::output::{self, Output};
use netdb::meshdb::{QueryResult, RecordBatch, SchemaRef};

use crate::exit::Failure;
use crate::output::Format;

/// Writes all rows to standard output as they come.
pub(super) async fn write(mut rows: QueryResult, format: Format) -> Result<(), Failure> {
    let mut output = begin(&rows.schema(), format);
    while let Some(batch) = rows.next().await {
        output.write(&batch?)?;
    }
    Ok(output.finish()?)
}

/// Writes rows to standard output that are there.
pub(super) fn write_all(schema: &SchemaRef, batches: &[RecordBatch], format: Format) -> Result<(), Failure> {
    let mut output = begin(schema, format);
    batches.iter().try_for_each(|batch| output.write(batch))?;
    Ok(output.finish()?)
}

fn begin(schema: &SchemaRef, format: Format) -> Output<BufWriter<io::Stdout>> {
    let format = match format {
        Format::Table => output::Format::Table,
        Format::Json => output::Format::Json,
        Format::Ndjson => output::Format::Ndjson,
        Format::Csv => output::Format::Csv,
    };
    Output::new(format, schema, BufWriter::with_capacity(64 << 10, io::stdout()))
}

/// Returns the texts of a statement's first two columns, joined as a qualified name.
pub(super) async fn names(mut rows: QueryResult) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    let mut output = Output::new(output::Format::Ndjson, &rows.schema(), &mut lines);
    while let Some(batch) = rows.next().await {
        output.write(&batch?)?;
    }
    output.finish()?;
    let texts = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(texts.filter_map(name).collect())
}

fn name(line: &[u8]) -> Option<String> {
    let row: serde_json::Value = serde_json::from_slice(line).ok()?;
    let text = |column: &str| row.get(column)?.as_str().map(str::to_owned);
    let (schema, table) = (text("table_schema")?, text("table_name")?);
    let is_plain = table.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && table.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let table = if is_plain { table } else { format!("\"{table}\"") };
    Some(if schema == "public" { table } else { format!("{schema}.{table}") })
}
