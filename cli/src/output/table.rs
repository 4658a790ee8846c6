//! Columns for people.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Cell;
use crate::limits::TABLE_SAMPLE_ROWS;

/// No column is cut below this many characters.
const COLUMN_WIDTH_MIN: usize = 8;
/// The last column is not cut below this many characters before others are.
const LAST_COLUMN_WIDTH_MIN: usize = 16;
/// Characters between two columns, and at both ends together.
const SEPARATOR_WIDTH: usize = 3;

/// A table whose first rows decide the widths of its columns; later rows are written at once.
pub(super) struct Table {
    header: Vec<String>,
    widths: Vec<usize>,
    width_max: Option<usize>,
    waiting: Vec<Vec<Field>>,
    settled: bool,
}

struct Field {
    text: String,
    right: bool,
}

impl Table {
    pub(super) fn new(columns: &[String], width_max: Option<usize>) -> Self {
        let header: Vec<String> = columns.iter().map(|column| printable(column)).collect();
        let widths = header.iter().map(|name| name.width()).collect();
        Self { header, widths, width_max, waiting: Vec::new(), settled: false }
    }

    pub(super) fn row(&mut self, cells: &[Cell<'_>], out: &mut impl Write) -> io::Result<()> {
        let fields: Vec<Field> = cells
            .iter()
            .map(|cell| Field { text: printable(&cell.as_text()), right: cell.is_number() })
            .collect();
        if self.settled {
            return self.write(&fields, out);
        }
        for (width, field) in self.widths.iter_mut().zip(&fields) {
            *width = (*width).max(field.text.width());
        }
        self.waiting.push(fields);
        if self.waiting.len() == TABLE_SAMPLE_ROWS { self.settle(out) } else { Ok(()) }
    }

    /// Decides the widths and writes what waited for them.
    pub(super) fn settle(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.settled {
            return Ok(());
        }
        self.settled = true;
        if let Some(width_max) = self.width_max {
            shrink(&mut self.widths, width_max);
        }
        let header: Vec<Field> =
            self.header.iter().map(|name| Field { text: name.clone(), right: false }).collect();
        self.write(&header, out)?;
        let rules: Vec<String> = self.widths.iter().map(|width| "-".repeat(width + 2)).collect();
        writeln!(out, "{}", rules.join("+"))?;
        for fields in std::mem::take(&mut self.waiting) {
            self.write(&fields, out)?;
        }
        Ok(())
    }

    fn write(&self, fields: &[Field], out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        for (field, width) in fields.iter().zip(&self.widths) {
            let text = cut(&field.text, self.width_max.map(|_| *width));
            let padding = " ".repeat(width.saturating_sub(text.width()));
            line.push_str(if line.is_empty() { " " } else { " | " });
            if field.right {
                line.push_str(&padding);
            }
            line.push_str(&text);
            if !field.right {
                line.push_str(&padding);
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// Takes from the last column, which tends to hold the content, and then from the widest one until all fit, as
/// far as the least widths allow.
fn shrink(widths: &mut [usize], width_max: usize) {
    let excess = |widths: &[usize]| {
        (widths.iter().sum::<usize>() + widths.len() * SEPARATOR_WIDTH).saturating_sub(width_max)
    };
    let too_much = excess(widths);
    if let Some(last) = widths.last_mut().filter(|last| **last > LAST_COLUMN_WIDTH_MIN) {
        *last = last.saturating_sub(too_much).max(LAST_COLUMN_WIDTH_MIN);
    }
    while excess(widths) > 0 {
        match widths.iter_mut().max() {
            Some(widest) if *widest > COLUMN_WIDTH_MIN => *widest -= 1,
            _ => return,
        }
    }
}

/// Replaces what would move the cursor or change the terminal.
fn printable(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

fn cut(text: &str, width_max: Option<usize>) -> String {
    let Some(width_max) = width_max.filter(|width_max| text.width() > *width_max) else {
        return text.to_owned();
    };
    let mut width = 1;
    let fits = |c: &char| {
        width += c.width().unwrap_or(0);
        width <= width_max
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.push('\u{2026}');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width_max: Option<usize>, rows: &[(u64, &str)]) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(&["seq".to_owned(), "text".to_owned()], width_max);
        for (number, text) in rows {
            table.row(&[Cell::Number(*number), Cell::Text((*text).into())], &mut out).unwrap();
        }
        table.settle(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_values() {
        let expected = " seq  | text\n------+------\n    1 | a\n 1000 | b\u{df}\n";
        assert_eq!(table(None, &[(1, "a"), (1000, "b\u{df}")]), expected);
    }

    #[test]
    fn a_narrow_terminal_cuts_the_widest_column() {
        let text = table(Some(30), &[(1, &"x".repeat(100)), (2, "\u{6f22}".repeat(20).as_str())]);
        assert!(text.lines().all(|line| line.width() <= 30), "{text}");
        assert_eq!(text.matches('\u{2026}').count(), 2);
    }

    #[test]
    fn the_last_column_is_cut_first() {
        let mut widths = [20, 30, 100];
        shrink(&mut widths, 100);
        assert_eq!(widths, [20, 30, 41]);
        shrink(&mut widths, 65);
        assert_eq!(widths, [20, 20, 16]);
        shrink(&mut widths, 10);
        assert_eq!(widths, [8, 8, 8]);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(table(None, &[(1, "a\n\u{1b}[31mb")]).contains("a\\n\\u{1b}[31mb"));
    }

    #[test]
    fn rows_behind_the_sample_are_written_at_once() {
        let mut out = Vec::new();
        let mut table = Table::new(&["n".to_owned()], None);
        for number in 0..TABLE_SAMPLE_ROWS as u64 + 1 {
            table.row(&[Cell::Number(number)], &mut out).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), TABLE_SAMPLE_ROWS + 3);
    }
}
