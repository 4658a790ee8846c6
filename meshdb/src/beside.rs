//! Tables of what stands beside the logs.

use std::sync::Arc;

use base::{Classify, ErrorKind};
use cortex::{Column, PinnedTable};

use crate::catalog::{PUBLIC, SYSTEM};

/// A table of what a node keeps beside its logs. Its rows belong to no cut: a statement sees what is there while it reads them.
pub trait BesideTable: Send + Sync + 'static {
    /// Returns where the table's name stands.
    fn schema(&self) -> BesideSchema;

    /// Returns the table's name: lower-case letters, digits and `_`, no digit first.
    fn table(&self) -> &str;

    /// Returns the columns, in the order of the table.
    fn columns(&self) -> &[Column];

    /// Begins to read the rows, which have no [position](PinnedTable::position); their count may be about right. Called when a
    /// statement begins that names the table, on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`BesideError`] with the reason.
    fn open(&self) -> Result<Arc<dyn PinnedTable>, BesideError>;
}

/// Where the name of a table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BesideSchema {
    /// With the models; a channel of the same name is hidden and stays reachable in `channels`.
    Public,
    /// With what describes the database.
    System,
}

impl BesideSchema {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => PUBLIC,
            Self::System => SYSTEM,
        }
    }
}

/// Why a table of what stands beside the logs cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BesideError {
    /// What kind of error it is.
    pub kind: ErrorKind,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Classify for BesideError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}
