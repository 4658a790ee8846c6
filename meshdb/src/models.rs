//! The models that a gateway shows as tables.

use std::sync::Arc;

use base::{Classify, ErrorKind};
use cortex::{ModelTable, Runner};

use crate::QueryError;
use crate::catalog::{EVENTS, is_name};
use crate::cut::Wanted;

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

/// Why a model cannot be a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelTableError {
    /// A table's name needs quotes, or is that of the events.
    #[error(
        "`{table}` cannot name a model's table: use lower-case letters, digits and `_`, no digit first, and not `events`"
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
pub(crate) fn check(others: &[Models], tables: &[Arc<dyn ModelTable>]) -> Result<(), ModelTableError> {
    let mut names: Vec<&str> =
        others.iter().flat_map(|models| &models.tables).map(|table| table.table()).collect();
    for table in tables {
        let name = table.table();
        if !is_name(name) || name == EVENTS {
            return Err(ModelTableError::Name { table: name.to_owned() });
        }
        if names.contains(&name) {
            return Err(ModelTableError::Twice { table: name.to_owned() });
        }
        names.push(name);
        check_columns(&**table)?;
    }
    Ok(())
}

fn check_columns(table: &dyn ModelTable) -> Result<(), ModelTableError> {
    let mut names = Vec::new();
    for column in table.columns() {
        if !is_name(column.name) || names.contains(&column.name) {
            let (table, column) = (table.table().to_owned(), column.name.to_owned());
            return Err(ModelTableError::Column { table, column });
        }
        names.push(column.name);
    }
    Ok(())
}
