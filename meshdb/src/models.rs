//! The models that a gateway shows as tables.

use std::sync::Arc;

use base::{Classify, ErrorKind};
use cortex::{ModelTable, Runner};

use crate::QueryError;
use crate::catalog::{EVENTS, SYSTEM, SYSTEM_TABLES, is_name};
use crate::cut::{Table, Wanted};

/// Models of one log.
#[derive(Clone)]
pub(crate) struct Models {
    pub runner: Runner,
    pub tables: Vec<Arc<dyn ModelTable>>,
}

/// Tables of models that do not run yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Absent {
    pub tables: Vec<String>,
    /// Why not, and what to wait for.
    pub reason: String,
}

impl Absent {
    /// Refuses a statement that wants one of them.
    pub(crate) fn check(&self, wanted: &Wanted) -> Result<(), QueryError> {
        match self.tables.iter().find(|table| wanted.tables.contains(*table)) {
            Some(table) => Err(QueryError::ModelAbsent { table: table.clone(), reason: self.reason.clone() }),
            None => Ok(()),
        }
    }
}

/// Why something cannot be a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelTableError {
    /// A table's name needs quotes, or is that of the events.
    #[error(
        "`{table}` cannot name a table: use lower-case letters, digits and `_`, no digit first, and not `events`"
    )]
    Name {
        /// The table.
        table: String,
    },
    /// Two tables have one name.
    #[error("there is a table `{table}` already: give the other one another name")]
    Twice {
        /// The table.
        table: String,
    },
    /// A column's name needs quotes, or two columns have it.
    #[error(
        "`{column}` cannot name a column of table `{table}`: use lower-case letters, digits and `_`, no digit first, each name once"
    )]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl Classify for ModelTableError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Checks `tables` beside `others` that are there already.
pub(crate) fn check(
    others: impl Iterator<Item = Table>,
    tables: impl Iterator<Item = Table>,
) -> Result<(), ModelTableError> {
    let mut known: Vec<Table> = others.collect();
    for table in tables {
        let name = table.name();
        let is_own = match table.schema() {
            SYSTEM => SYSTEM_TABLES.contains(&name),
            _ => name == EVENTS,
        };
        if !is_name(name) || is_own {
            return Err(ModelTableError::Name { table: name.to_owned() });
        }
        if known.iter().any(|other| (other.schema(), other.name()) == (table.schema(), name)) {
            return Err(ModelTableError::Twice { table: name.to_owned() });
        }
        check_columns(&table)?;
        known.push(table);
    }
    Ok(())
}

fn check_columns(table: &Table) -> Result<(), ModelTableError> {
    let mut names = Vec::new();
    for column in table.columns() {
        if !is_name(column.name) || names.contains(&column.name) {
            let (table, column) = (table.name().to_owned(), column.name.to_owned());
            return Err(ModelTableError::Column { table, column });
        }
        names.push(column.name);
    }
    Ok(())
}
