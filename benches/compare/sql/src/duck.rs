//! DuckDB, asked through its Python package in a process that stays.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use netdb_benches::beside::Skipped;
use netdb_benches::{Failure, Result};

const PROGRAM: &str = include_str!("duckdb.py");

/// A process that has the package.
pub(crate) struct Duck {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The version of the package.
    pub version: String,
}

impl Duck {
    /// Starts it for a file of NDJSON.
    ///
    /// # Errors
    ///
    /// [`Skipped`] when the interpreter or the package is not there.
    pub(crate) fn start(python: &Path, file: &Path) -> Result<Self> {
        let skipped = |cause: &str| {
            Failure::from(Skipped(format!("{cause} (benches/compare/sql/run installs the package duckdb)")))
        };
        let mut child = Command::new(python)
            .args(["-c", PROGRAM])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|cause| skipped(&format!("no Python at {}: {cause}", python.display())))?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut duck = Self { child, questions, answers, version: String::new() };
        let line = duck.line()?;
        match line.strip_prefix("ready ") {
            Some(version) => duck.version = version.to_owned(),
            None => return Err(skipped("Python has no package duckdb")),
        }
        Ok(duck)
    }

    /// Asks in a form; gives milliseconds and the rows in order, each as `carrier,flights`.
    pub(crate) fn ask(&mut self, form: &str) -> Result<(f64, Vec<String>)> {
        let questions = self.questions.as_mut().ok_or("no input")?;
        writeln!(questions, "{form}")?;
        let line = self.line()?;
        answer(&line)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err("DuckDB's process has ended".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        // It ends with its input.
        self.questions.take();
        if let Err(cause) = self.child.wait() {
            eprintln!("DuckDB's process was not ended: {cause}");
        }
    }
}

fn answer(line: &str) -> Result<(f64, Vec<String>)> {
    let mut words = line.split(' ');
    let milliseconds = words.next().unwrap_or_default().parse()?;
    Ok((milliseconds, words.map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_time_and_rows() {
        assert_eq!(answer("1.5 UA,2 B6,1").unwrap(), (1.5, vec!["UA,2".to_owned(), "B6,1".to_owned()]));
        assert!(answer("").is_err());
    }

    #[test]
    fn an_interpreter_that_is_not_there_is_a_reason_to_skip() {
        let failure = Duck::start("no such program".as_ref(), "x".as_ref()).err().unwrap();
        assert!(failure.downcast_ref::<Skipped>().is_some(), "{failure}");
    }
}
