//! `netdb-compare-sql`: asks our SQL and DuckDB the same of the same events, and records the ratios.
//!
//! Ours reads its log, DuckDB the file of NDJSON that was imported. What is timed is a statement from its text to
//! all of its rows, in a process that has run it before; neither keeps anything parsed in between.

#![allow(
    clippy::disallowed_methods,
    reason = "measures the real machine, which no simulated door stands for"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use netdb::meshdb::output::{Format, Output};
use netdb::{EventInput, NetDb};
use netdb_benches::beside::{self, Measured, Skipped};
use netdb_benches::harness::Sample;
use netdb_benches::process::decompressed;
use netdb_benches::report::{Spread, Unit};
use netdb_benches::scratch::Scratch;
use netdb_benches::session::{Session, SessionOptions};
use netdb_benches::{Failure, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

mod duck;

use duck::Duck;

const STATEMENT: &str = "select payload->>'carrier' as carrier, count(*) as flights from events \
     where channel = 'flights' group by carrier order by flights desc";

/// The forms of the question to DuckDB: what they are called there and in the table.
const FORMS: [(&str, &str); 3] = [
    ("typed", "DuckDB read_json, columns detected"),
    ("stated", "DuckDB read_json, the one column stated"),
    ("objects", "DuckDB read_ndjson_objects, ->> by path"),
];

/// Executions of a run; its figure is their median.
const EXECUTIONS: usize = 3;

/// Threads of each side.
const THREADS: usize = 2;

/// Events of one append.
const APPENDED_TOGETHER: usize = 1024;

/// Asks our SQL and DuckDB the same on a quiet machine.
#[derive(Debug, Parser)]
#[command(
    name = "netdb-compare-sql",
    after_help = "Example:\n  benches/compare/sql/run --flights flights-2013.ndjson.zst --append"
)]
struct Arguments {
    /// The events: NDJSON, plain or zstd
    #[arg(long, value_name = "FILE")]
    flights: PathBuf,
    /// The Python that has the package duckdb
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    #[command(flatten)]
    session: SessionOptions,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("netdb-compare-sql: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let session = Session::begin(&arguments.session)?;
    let scratch = Scratch::new(&session.setting.dir)?;
    let plain = scratch.path().join("flights.ndjson");
    std::io::copy(&mut decompressed(&arguments.flights)?, &mut std::fs::File::create(&plain)?)?;
    let ours = Ours::import(&plain, &scratch.path().join("netdb"))?;
    let expected = ours.ask()?.1;
    let mut duck = match Duck::start(&arguments.python, &plain) {
        Ok(duck) => Ok(duck),
        Err(failure) => Err(*failure.downcast::<Skipped>()?),
    };
    // The first answers are of processes that have not run the statement yet.
    for (form, name) in FORMS {
        if let Ok(duck) = &mut duck {
            expect(name, &expected, &duck.ask(form)?.1)?;
        }
    }
    let mut sides = vec![Measured::of("ours")];
    sides.extend(FORMS.map(|(_, name)| Measured::of(name)));
    beside::rounds(session.runs(), &mut sides, |side| {
        median(|| {
            let (milliseconds, rows) = match (side.checked_sub(1), &mut duck) {
                (None, _) => ours.ask()?,
                (Some(form), Ok(duck)) => duck.ask(FORMS[form].0)?,
                (_, Err(skipped)) => return Err(skipped.clone().into()),
            };
            expect("one side", &expected, &rows)?;
            Ok(milliseconds)
        })
    })?;
    let version = duck.as_ref().map_or("(not installed)".to_owned(), |duck| duck.version.clone());
    // What its process used is known as ours once it has ended.
    drop(duck);
    let mut table = beside::table();
    beside::add_rows(&mut table, "sql-group-by: flights by carrier, out of JSON", Unit::Milliseconds, &sides);
    let notes = format!(
        "each of {EXECUTIONS} executions, warm, in one process, from the statement's text to its rows, {THREADS} \
         threads; {} events; ours reads its log, DuckDB {version} the file of NDJSON",
        ours.events
    );
    ours.database.close()?;
    session.end("SQL beside DuckDB", &notes, &table.to_string())
}

/// Our side: a database with the events.
struct Ours {
    database: NetDb,
    runtime: Runtime,
    events: usize,
}

/// A line of the input.
#[derive(Deserialize)]
struct Line<'a> {
    r#type: &'a str,
    subject: Option<&'a str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Ours {
    fn import(file: &Path, dir: &Path) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
        let database = NetDb::open(dir)?;
        let channel = database.channel("flights")?;
        let lines =
            BufReader::new(std::fs::File::open(file)?).lines().collect::<std::io::Result<Vec<_>>>()?;
        for chunk in lines.chunks(APPENDED_TOGETHER) {
            let parsed = chunk
                .iter()
                .map(|line| serde_json::from_str(line))
                .collect::<serde_json::Result<Vec<Line<'_>>>>()?;
            let events: Vec<_> = parsed.iter().map(Line::event).collect();
            channel.append_all(&events)?;
        }
        Ok(Self { database, runtime, events: lines.len() })
    }

    /// Asks; gives milliseconds and the rows in order, each as `carrier,flights`.
    fn ask(&self) -> Result<(f64, Vec<String>)> {
        let begun = Instant::now();
        let answer = self.runtime.block_on(self.database.sql(STATEMENT))?;
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        let mut text = Vec::new();
        let mut output = Output::new(Format::Csv, answer.schema(), &mut text);
        for batch in answer.batches() {
            output.write(batch)?;
        }
        output.finish()?;
        // The first line is the heading.
        Ok((milliseconds, String::from_utf8(text)?.lines().skip(1).map(str::to_owned).collect()))
    }
}

impl Line<'_> {
    fn event(&self) -> EventInput<'_> {
        let event = EventInput::new(self.r#type, self.data.get().as_bytes());
        self.subject.map_or(event, |subject| event.with_key(subject))
    }
}

/// Takes the median of several executions.
fn median(mut execute: impl FnMut() -> Result<f64>) -> Result<Sample> {
    let executed = (0..EXECUTIONS).map(|_| execute()).collect::<Result<Vec<_>>>()?;
    Ok(Sample::of(Spread::of(executed).ok_or("nothing was executed")?.median))
}

fn expect(who: &str, expected: &[String], found: &[String]) -> Result<()> {
    if found == expected && !found.is_empty() {
        return Ok(());
    }
    Err(Failure::from(format!("{who} answers {found:?}, expected were {expected:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_imported_is_what_is_asked_for() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let file = scratch.path().join("flights.ndjson");
        let line =
            |carrier: &str| format!(r#"{{"type":"f","subject":"N1","data":{{"carrier":"{carrier}"}}}}"#);
        std::fs::write(&file, ["UA", "B6", "UA"].map(line).join("\n")).unwrap();
        let ours = Ours::import(&file, &scratch.path().join("netdb")).unwrap();
        assert_eq!(ours.ask().unwrap().1, ["UA,2", "B6,1"]);
        assert_eq!(ours.events, 3);
    }

    #[test]
    fn another_answer_is_a_failure() {
        let rows = vec!["UA,2".to_owned()];
        assert!(expect("ours", &rows, &rows).is_ok());
        assert!(expect("ours", &rows, &[]).is_err());
    }
}
