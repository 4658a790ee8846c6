//! What can be wrong with a statement.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::{Classify, ErrorKind};
use cortex::{FoldStopped, ValueType};
use redex::ReadError;

use crate::BesideError;

mod convert;
mod similar;

pub(crate) use convert::{from_engine, from_parser};
pub(crate) use similar::similar;

/// Why a statement was not run, or did not come to its end.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The text is not SQL.
    #[error("syntax error{}: {message}", At(*.at))]
    Syntax {
        /// What the parser expected and found.
        message: String,
        /// Where, if the parser said so.
        at: Option<SqlPosition>,
    },
    /// The statement is longer than the parser is given.
    #[error("the statement has {bytes} bytes, at most {max} are allowed: pass long values as parameters")]
    TooLong {
        /// Bytes of the statement.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The statement nests or chains too much.
    #[error(
        "the statement is too deep: at most {levels} words and operators between two commas, brackets included, and {queries} queries in each other; split it, name subqueries by WITH, or write chains of OR as IN (..)"
    )]
    TooDeep {
        /// Depth allowed.
        levels: usize,
        /// Nested queries allowed.
        queries: usize,
    },
    /// The statement would do more than read.
    #[error("{what} is refused, statements only read: {instead}")]
    Refused {
        /// The refused statement or clause.
        what: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// No table or channel has this name.
    #[error("table `{name}` does not exist{}", DidYouMean(.similar, "`show tables` lists what there is"))]
    TableNotFound {
        /// The name as the statement gives it.
        name: String,
        /// Names like it, best first, ready to be used in a statement.
        similar: Vec<String>,
    },
    /// No column has this name.
    #[error("column `{name}` does not exist{}", DidYouMean(.similar, "`describe <table>` lists a table's columns"))]
    ColumnNotFound {
        /// The name as the statement gives it.
        name: String,
        /// Names like it, best first.
        similar: Vec<String>,
    },
    /// No function has this name.
    #[error("function `{name}` does not exist{}", DidYouMean(.similar, "`show functions` lists what there is"))]
    FunctionNotFound {
        /// The name as the statement gives it.
        name: String,
        /// Names like it, best first.
        similar: Vec<String>,
    },
    /// The statement is SQL, but cannot be run: types that do not fit, ambiguous names, missing parameters,
    /// features that the engine does not have.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
    },
    /// A value met while running the statement cannot be computed with: a cast that does not fit, a division
    /// by zero.
    #[error("{message}")]
    Value {
        /// What is wrong with it.
        message: String,
    },
    /// The result has more rows than asked for.
    #[error("the result has more than {max} rows: add LIMIT, or raise the limit on rows")]
    TooManyRows {
        /// Rows allowed.
        max: u64,
    },
    /// The statement reads more than it may.
    #[error(
        "the statement reads more than {max} bytes of logs and models: narrow it by channel, seq, position or recorded_at, or raise the limit on bytes scanned"
    )]
    TooManyBytes {
        /// Bytes allowed.
        max: u64,
    },
    /// Sorting, grouping or joining needs more memory than the statement may use.
    #[error(
        "the statement needs more than {max} bytes of memory: narrow it, or raise the limit on memory ({message})"
    )]
    TooMuchMemory {
        /// Bytes allowed.
        max: usize,
        /// Who held how much when the limit was met.
        message: String,
    },
    /// The statement was not done in time.
    #[error("the statement was stopped after {limit:?}: narrow it, or raise the limit on time")]
    TimedOut {
        /// Time allowed.
        limit: Duration,
    },
    /// The machine had no thread left to plan on.
    #[error("no thread to plan the statement on, try again: {source}")]
    NoThread {
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// A log could not be read.
    #[error("a log could not be read: {source}")]
    Read {
        /// What the log says.
        source: Arc<ReadError>,
    },
    /// A model that the statement reads has stopped. Statements that do not read it go on.
    #[error("table `{table}` cannot be read: {stopped}")]
    ModelStopped {
        /// The model's table.
        table: String,
        /// Why it stopped.
        #[source]
        stopped: FoldStopped,
    },
    /// A model that the statement reads does not run yet. Statements that do not read it are answered.
    #[error("table `{table}` cannot be read yet: {reason}")]
    ModelAbsent {
        /// The model's table.
        table: String,
        /// Why not, and what to wait for.
        reason: String,
    },
    /// What stands beside the logs, and the statement reads, cannot be read. Statements that do not read it are answered.
    #[error("table `{table}` cannot be read: {source}")]
    Beside {
        /// The table.
        table: String,
        /// Why not.
        source: BesideError,
    },
    /// A model gives other values than it says: a defect of the model.
    #[error(
        "column `{column}` of table `{table}` is to hold {expected}, and its model gave {found}: mend the model"
    )]
    ModelDefect {
        /// The model's table.
        table: String,
        /// The column.
        column: &'static str,
        /// The type of the column.
        expected: ValueType,
        /// What was given.
        found: &'static str,
    },
    /// A defect of the engine or of this crate. The statement ended; nothing else is affected.
    #[error("the engine failed, please report the statement: {message}")]
    Internal {
        /// What the engine says.
        message: String,
    },
}

impl Classify for QueryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax { .. }
            | Self::TooLong { .. }
            | Self::TooDeep { .. }
            | Self::ColumnNotFound { .. }
            | Self::Invalid { .. }
            | Self::Value { .. } => ErrorKind::Invalid,
            Self::TableNotFound { .. } | Self::FunctionNotFound { .. } => ErrorKind::NotFound,
            Self::Refused { .. } | Self::TooManyRows { .. } | Self::TooManyBytes { .. } => ErrorKind::Denied,
            Self::TooMuchMemory { .. }
            | Self::TimedOut { .. }
            | Self::NoThread { .. }
            | Self::ModelAbsent { .. } => ErrorKind::Unavailable,
            Self::Read { source } => source.kind(),
            Self::ModelStopped { stopped, .. } => stopped.kind(),
            Self::Beside { source, .. } => source.kind(),
            Self::ModelDefect { .. } | Self::Internal { .. } => ErrorKind::Internal,
        }
    }
}

/// A place in the text of a statement. Both are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlPosition {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl fmt::Display for SqlPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

struct At(Option<SqlPosition>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |at| write!(f, " at {at}"))
    }
}

/// Names to try, or what to do when there are none.
struct DidYouMean<'a>(&'a [String], &'static str);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => write!(f, ": {}", self.1),
            names => write!(f, ", did you mean {}?", names.join(" or ")),
        }
    }
}
