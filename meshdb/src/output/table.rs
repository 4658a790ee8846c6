//! A table with a frame, written while its rows come.

use std::io::{self, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthStr;

use super::{from_arrow, text};
use crate::limits::TABLE_ROWS_MEASURED;

/// Rows wait until enough are there to decide the widths of the columns; later ones are written at once, and a
/// longer value shifts what is right of it.
pub(super) struct Table {
    header: Vec<String>,
    widths: Vec<usize>,
    waiting: Vec<Vec<String>>,
    begun: bool,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let header: Vec<String> =
            schema.fields().iter().map(|field| text::printable(field.name().clone())).collect();
        let widths = header.iter().map(|name| name.width()).collect();
        Self { header, widths, waiting: Vec::new(), begun: false }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, out: &mut impl Write) -> io::Result<()> {
        let batch = text::flat(batch).map_err(from_arrow)?;
        let options = FormatOptions::default();
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns: Vec<_> = columns.collect::<Result<_, _>>().map_err(from_arrow)?;
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| column.value(row).try_to_string());
            let cells: Vec<String> = cells.collect::<Result<_, ArrowError>>().map_err(from_arrow)?;
            match &*cells {
                [kind, plan] if self.is_plan() => self.plan(kind, plan, out)?,
                _ => self.row(cells.into_iter().map(text::printable).collect(), out)?,
            }
        }
        Ok(())
    }

    /// Tells whether these are the columns of `EXPLAIN`, whose texts have a line for each node.
    fn is_plan(&self) -> bool {
        self.header == ["plan_type", "plan"]
    }

    fn plan(&mut self, kind: &str, plan: &str, out: &mut impl Write) -> io::Result<()> {
        let kinds = std::iter::once(kind).chain(std::iter::repeat(""));
        kinds.zip(plan.lines()).try_for_each(|(kind, line)| {
            self.row(vec![text::printable(kind.to_owned()), text::printable(line.to_owned())], out)
        })
    }

    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.begin(out)?;
        self.line(out)
    }

    fn row(&mut self, cells: Vec<String>, out: &mut impl Write) -> io::Result<()> {
        if self.begun {
            return self.cells(&cells, out);
        }
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.width());
        }
        self.waiting.push(cells);
        if self.waiting.len() >= TABLE_ROWS_MEASURED { self.begin(out) } else { Ok(()) }
    }

    /// Writes the header, and what waited for it.
    fn begin(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        self.line(out)?;
        self.cells(&self.header, out)?;
        self.line(out)?;
        std::mem::take(&mut self.waiting).iter().try_for_each(|cells| self.cells(cells, out))
    }

    fn line(&self, out: &mut impl Write) -> io::Result<()> {
        self.widths.iter().try_for_each(|width| write!(out, "+{:-<1$}", "", width + 2))?;
        writeln!(out, "+")
    }

    fn cells(&self, cells: &[String], out: &mut impl Write) -> io::Result<()> {
        for (width, cell) in self.widths.iter().zip(cells) {
            write!(out, "| {cell}{:1$} ", "", width.saturating_sub(cell.width()))?;
        }
        writeln!(out, "|")
    }
}
