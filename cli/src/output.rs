//! Results on standard output, in one of the formats.

use std::io::{self, BufWriter, Write};

mod cell;
mod table;

pub(crate) use cell::Cell;
use table::Table;

use records::json;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people; the default on a terminal.
    Table,
    /// One array of objects.
    Json,
    /// One object a line; the default elsewhere.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
}

/// Writes rows with the same columns, one after the other.
pub(crate) struct Rows<W: Write> {
    out: BufWriter<W>,
    columns: Vec<String>,
    encoder: Encoder,
}

enum Encoder {
    Table(Table),
    Json { empty: bool },
    Ndjson,
    Csv,
}

impl Rows<io::Stdout> {
    /// Begins the results of a command on standard output.
    pub(crate) fn begin(format: Format, columns: &[&str]) -> io::Result<Self> {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self::new(io::stdout(), format, columns, terminal_width())
    }
}

impl<W: Write> Rows<W> {
    /// Begins results on `out`; tables are cut to `width` columns of a terminal, if given.
    pub(crate) fn new(
        out: W,
        format: Format,
        columns: Vec<String>,
        width: Option<usize>,
    ) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(64 << 10, out);
        let encoder = match format {
            Format::Table => Encoder::Table(Table::new(&columns, width)),
            Format::Json => {
                out.write_all(b"[")?;
                Encoder::Json { empty: true }
            }
            Format::Ndjson => Encoder::Ndjson,
            Format::Csv => {
                write_csv(&mut out, columns.iter().map(String::as_str))?;
                Encoder::Csv
            }
        };
        Ok(Self { out, columns, encoder })
    }

    /// Writes one row; `cells` are in the order of the columns.
    pub(crate) fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        debug_assert_eq!(cells.len(), self.columns.len());
        match &mut self.encoder {
            Encoder::Table(table) => table.row(cells, &mut self.out),
            Encoder::Json { empty } => {
                self.out.write_all(if std::mem::take(empty) { b"\n" } else { b",\n" })?;
                write_object(&mut self.out, &self.columns, cells)
            }
            Encoder::Ndjson => {
                write_object(&mut self.out, &self.columns, cells)?;
                self.out.write_all(b"\n")
            }
            Encoder::Csv => write_csv(&mut self.out, cells.iter().map(Cell::as_text)),
        }
    }

    /// Sets these results apart from those before them; for tables.
    pub(crate) fn blank_line(&mut self) -> io::Result<()> {
        self.out.write_all(b"\n")
    }

    /// Makes all rows so far appear.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Encoder::Table(table) = &mut self.encoder {
            table.settle(&mut self.out)?;
        }
        self.out.flush()
    }

    /// Ends the results.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match &self.encoder {
            Encoder::Json { empty: true } => self.out.write_all(b"]\n")?,
            Encoder::Json { empty: false } => self.out.write_all(b"\n]\n")?,
            _ => {}
        }
        self.flush()
    }
}

/// The width of the terminal that standard output is, if it is one.
fn terminal_width() -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width.0))
}

fn write_object(out: &mut impl Write, columns: &[String], cells: &[Cell<'_>]) -> io::Result<()> {
    let mut line = Vec::with_capacity(256);
    line.push(b'{');
    for (column, cell) in columns.iter().zip(cells) {
        if matches!(cell, Cell::Absent) {
            continue;
        }
        if line.len() > 1 {
            line.push(b',');
        }
        json::push_string(&mut line, column);
        line.push(b':');
        cell.push_json(&mut line);
    }
    line.push(b'}');
    out.write_all(&line)
}

fn write_csv<T: AsRef<str>>(out: &mut impl Write, fields: impl Iterator<Item = T>) -> io::Result<()> {
    for (place, field) in fields.enumerate() {
        if place > 0 {
            out.write_all(b",")?;
        }
        let field = field.as_ref();
        if field.contains(['"', ',', '\n', '\r']) {
            write!(out, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            out.write_all(field.as_bytes())?;
        }
    }
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, rows: &[[Cell<'_>; 3]]) -> String {
        let columns = ["seq", "key", "payload"].map(str::to_owned).to_vec();
        let mut bytes = Vec::new();
        let mut writer = Rows::new(&mut bytes, format, columns, None).unwrap();
        rows.iter().for_each(|row| writer.row(row).unwrap());
        writer.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn rows() -> Vec<[Cell<'static>; 3]> {
        vec![
            [Cell::Number(0), Cell::Text("a,\"b\"".into()), Cell::Json("{\"n\":\n1}".into())],
            [Cell::Number(10), Cell::Null, Cell::Absent],
        ]
    }

    #[test]
    fn ndjson_is_one_object_a_line() {
        let expected =
            "{\"seq\":0,\"key\":\"a,\\\"b\\\"\",\"payload\":{\"n\": 1}}\n{\"seq\":10,\"key\":null}\n";
        assert_eq!(written(Format::Ndjson, &rows()), expected);
    }

    #[test]
    fn json_is_one_array() {
        let text = written(Format::Json, &rows());
        let values: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(values.len(), 2);
        assert_eq!(written(Format::Json, &[]), "[]\n");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let expected = "seq,key,payload\r\n0,\"a,\"\"b\"\"\",\"{\"\"n\"\":\n1}\"\r\n10,,\r\n";
        assert_eq!(written(Format::Csv, &rows()), expected);
    }

    #[test]
    fn a_table_has_a_header_even_when_it_is_empty() {
        assert_eq!(written(Format::Table, &[]), " seq | key | payload\n-----+-----+---------\n");
    }
}
