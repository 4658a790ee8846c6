//! What is wrong with a configuration.

use std::fmt;

use netdb::base::{Classify, ErrorKind};

use super::Source;
use crate::limits::FAULTS_TOLD_MAX;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where the value comes from.
    pub source: Source,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The faults: those of the file by line, then those of the environment and the flags, then what does not fit
    /// together.
    pub faults: Vec<Fault>,
}

impl Fault {
    pub(super) fn new(source: Source, message: impl Into<String>) -> Self {
        Self { source, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Default => f.write_str(&self.message),
            source => write!(f, "{source}: {}", self.message),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        write!(f, "the configuration has {count} fault{}", if count == 1 { "" } else { "s" })?;
        for fault in self.faults.iter().take(FAULTS_TOLD_MAX) {
            write!(f, "\n  {fault}")?;
        }
        match count.saturating_sub(FAULTS_TOLD_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
