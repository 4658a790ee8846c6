//! What clients asked, and what they were told: one line of JSON for each, and what the log held in the end.

mod check;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Hash;
use serde::{Deserialize, Serialize};

pub use check::{Checked, check};

/// What somebody asked, and was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Who asked.
    pub client: String,
    /// Of which node.
    pub node: u64,
    /// When, in nanoseconds of simulated time.
    pub begun: u64,
    /// When the answer came; none for one that never came.
    pub ended: Option<u64>,
    /// What was asked.
    pub asked: Asked,
    /// What was told.
    pub told: Told,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// To append events to a channel.
    Append {
        /// The channel.
        channel: String,
        /// What names each event.
        events: Vec<String>,
        /// The number that the first is to get, if that matters.
        expect: Option<u64>,
    },
    /// What a channel holds, as of no earlier than the question.
    Read {
        /// The channel.
        channel: String,
    },
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The events are in the log, from this number on.
    Appended(u64),
    /// They are surely not in the log.
    Rejected,
    /// The channel holds so many events, which hash to this.
    Read(u64, String),
    /// Nobody knows.
    Unknown,
}

/// A history: what was asked in order of the answers, and what each channel held in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// What was asked and told.
    pub operations: Vec<Operation>,
    /// What each channel held in the end, by what names each event.
    pub channels: BTreeMap<String, Vec<String>>,
}

/// A line of a history.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Operation(Operation),
    Channel { name: String, events: Vec<String> },
}

impl History {
    /// Returns it as lines of JSON.
    pub fn to_lines(&self) -> String {
        let operations = self.operations.iter().cloned().map(Line::Operation);
        let channels = self.channels.iter();
        let channels =
            channels.map(|(name, events)| Line::Channel { name: name.clone(), events: events.clone() });
        let line = |line: Line| serde_json::to_string(&line).unwrap_or_default() + "\n";
        operations.chain(channels).map(line).collect()
    }

    /// Reads lines of JSON.
    ///
    /// # Errors
    ///
    /// The number of the first line that does not read, and why.
    pub fn from_lines(lines: &str) -> Result<Self, String> {
        let mut history = Self::default();
        for (number, line) in lines.lines().enumerate() {
            match serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))? {
                Line::Operation(operation) => history.operations.push(operation),
                Line::Channel { name, events } => drop(history.channels.insert(name, events)),
            }
        }
        Ok(history)
    }
}

/// Returns the hash of what a channel holds.
pub fn digest<'a>(events: impl IntoIterator<Item = &'a str>) -> String {
    events.into_iter().fold(Hash::ZERO, then).to_string()
}

fn then(before: Hash, event: &str) -> Hash {
    Hash::of(&[before.as_bytes(), event.as_bytes()].concat())
}

/// Returns the hashes of what a channel held after each number of events, from none on.
pub fn prefixes<'a>(events: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut hash = Hash::ZERO;
    let mut all = vec![hash.to_string()];
    for event in events {
        hash = then(hash, event);
        all.push(hash.to_string());
    }
    all
}

/// Takes operations from all clients.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Operation>>);

impl Recorder {
    /// Takes an operation that ended.
    pub fn note(&self, operation: Operation) {
        self.all().push(operation);
    }

    /// Returns all of them.
    pub fn operations(&self) -> Vec<Operation> {
        self.all().clone()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns nanoseconds.
pub fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
