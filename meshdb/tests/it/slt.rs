//! Statements and their answers, kept as data in `tests/slt`.

#![allow(clippy::disallowed_methods, reason = "the statements are part of the tree")]

use std::path::Path;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use meshdb::{QueryError, RecordBatch};
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use crate::fixture::{Fixture, shop};

struct Session(Fixture);

impl DB for Session {
    type Error = QueryError;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, QueryError> {
        let batches = self.0.run(sql)?;
        let types = batches
            .first()
            .map(|batch| vec![DefaultColumnType::Any; batch.num_columns()])
            .unwrap_or_default();
        Ok(DBOutput::Rows { types, rows: batches.iter().flat_map(rows).collect() })
    }
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let cell = |column: &ArrayFormatter<'_>, row: usize| match column.value(row).to_string() {
        text if text.is_empty() => "(empty)".to_owned(),
        text => text,
    };
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(column, row)).collect()).collect()
}

fn run(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt").join(name);
    let mut runner = Runner::new(|| async { Ok(Session(shop())) });
    runner.run_file(file).unwrap();
}

#[test]
fn events_and_channels_read_as_documented() {
    run("events.slt");
}

#[test]
fn payloads_are_reached_into() {
    run("json.slt");
}

#[test]
fn the_system_describes_itself() {
    run("system.slt");
}

#[test]
fn every_statement_file_has_a_test() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["events.slt", "json.slt", "system.slt"]);
}
