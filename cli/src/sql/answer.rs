//! Writing the rows of a statement.

use std::io::{self, BufWriter};

use netdb::meshdb::QueryResult;
use netdb::meshdb::output::{self, Output};

use crate::exit::Failure;
use crate::output::Format;

/// Writes all rows to standard output as they come.
pub(super) async fn write(mut rows: QueryResult, format: Format) -> Result<(), Failure> {
    let format = match format {
        Format::Table => output::Format::Table,
        Format::Json => output::Format::Json,
        Format::Ndjson => output::Format::Ndjson,
        Format::Csv => output::Format::Csv,
    };
    let out = BufWriter::with_capacity(64 << 10, io::stdout());
    let mut output = Output::new(format, &rows.schema(), out);
    while let Some(batch) = rows.next().await {
        output.write(&batch?)?;
    }
    Ok(output.finish()?)
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
