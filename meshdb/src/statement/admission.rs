//! Which statements are admitted: those that only read.
//!
//! What is not known to read is refused. The plan is checked once more by the engine's own options, and no
//! session has anything that could be written to: neither tables, nor files, nor settings.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    self, ObjectName, ObjectNamePart, Query, Select, SetExpr, Statement as Sql, TableFactor, Visit, Visitor,
};

use crate::QueryError;

const APPEND: &str = "append events to a channel of the log instead";
const CHANNELS: &str = "tables are channels, and channels are created in the log";
const SETTINGS: &str = "limits and formats are arguments of the call";
const FILES: &str = "write the result of a SELECT where you need it";
const NO_FILES: &str = "import the file into a channel and query that";
const PARAMETERS: &str = "pass $1, $2, .. as parameters of the call";
const CUT: &str = "each statement sees one cut of all logs";
const ONE: &str = "send one at a time";
const READ: &str = "use SELECT, EXPLAIN, SHOW or DESCRIBE";

/// Table functions of other systems that read files, by the beginning of their names.
const FILE_FUNCTIONS: &[&str] = &["read_", "scan_", "parquet_", "csv", "json_scan", "glob", "url", "file"];

/// Endings and schemes of names that mean a file in other systems.
const FILE_NAMES: &[&str] =
    &[".csv", ".tsv", ".json", ".ndjson", ".parquet", ".arrow", ".avro", ".gz", ".zst", "://"];

/// Refuses everything that does more than read.
pub(super) fn check(statement: &Statement) -> Result<(), QueryError> {
    match statement {
        Statement::Statement(sql) => check_sql(sql),
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CreateExternalTable(_) => refuse("CREATE EXTERNAL TABLE", NO_FILES),
        Statement::CopyTo(_) => refuse("COPY", FILES),
        Statement::Reset(_) => refuse("RESET", SETTINGS),
    }
}

/// The refusal of a text with more than one statement.
pub(super) fn several_statements() -> QueryError {
    refusal("more than one statement", ONE)
}

fn check_sql(statement: &Sql) -> Result<(), QueryError> {
    match statement {
        Sql::Query(_)
        | Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. }
        | Sql::ShowVariables { .. }
        | Sql::ShowCreate { .. }
        | Sql::ShowSchemas { .. }
        | Sql::ShowDatabases { .. } => {}
        Sql::Explain { statement, .. } => check_sql(statement)?,
        other => return Err(refused(other)),
    }
    match statement.visit(&mut Inner) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

/// Looks for what may not stand inside an admitted statement.
struct Inner;

impl Visitor for Inner {
    type Break = Box<QueryError>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let clause = match &*query.body {
            SetExpr::Insert(inner)
            | SetExpr::Update(inner)
            | SetExpr::Delete(inner)
            | SetExpr::Merge(inner) => {
                return ControlFlow::Break(Box::new(refused(inner)));
            }
            _ if !query.locks.is_empty() => Some(("FOR UPDATE", CUT)),
            _ if query.settings.is_some() => Some(("SETTINGS", SETTINGS)),
            _ if query.format_clause.is_some() => Some(("FORMAT", SETTINGS)),
            _ => None,
        };
        clause.map_or(ControlFlow::Continue(()), |(what, instead)| break_with(what, instead))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        match select.into {
            Some(_) => break_with("SELECT INTO", CHANNELS),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        let (name, is_function) = match factor {
            TableFactor::Table { name, args, .. } => (name.clone(), args.is_some()),
            TableFactor::Function { name, .. } => (name.clone(), true),
            TableFactor::TableFunction { expr: ast::Expr::Function(function), .. } => {
                (function.name.clone(), true)
            }
            _ => return ControlFlow::Continue(()),
        };
        match reads_a_file(&name, is_function) {
            true => break_with(&format!("reading a file or an address ({name})"), NO_FILES),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Tells whether a name in FROM means something outside of the database in other systems.
fn reads_a_file(name: &ObjectName, is_function: bool) -> bool {
    let last = name.0.last().and_then(ObjectNamePart::as_ident);
    let Some(ident) = last else { return false };
    let value = ident.value.to_lowercase();
    if is_function {
        return FILE_FUNCTIONS.iter().any(|prefix| value.starts_with(prefix));
    }
    let looks_like_a_file =
        FILE_NAMES.iter().any(|part| value.contains(part)) || value.starts_with(['/', '.', '~']);
    ident.quote_style == Some('\'') || (name.0.len() == 1 && looks_like_a_file)
}

fn refused(statement: &Sql) -> QueryError {
    let (what, instead) = match statement {
        Sql::Insert(_) => ("INSERT", APPEND),
        Sql::Update(_) => ("UPDATE", APPEND),
        Sql::Delete(_) => ("DELETE", APPEND),
        Sql::Merge(_) => ("MERGE", APPEND),
        Sql::Truncate(_) => ("TRUNCATE", APPEND),
        Sql::Copy { .. } => ("COPY", FILES),
        Sql::CreateTable(_) => ("CREATE TABLE", CHANNELS),
        Sql::CreateView(_) => ("CREATE VIEW", CHANNELS),
        Sql::CreateSchema { .. } => ("CREATE SCHEMA", CHANNELS),
        Sql::CreateDatabase { .. } => ("CREATE DATABASE", CHANNELS),
        Sql::CreateFunction(_) => ("CREATE FUNCTION", CHANNELS),
        Sql::CreateIndex(_) => ("CREATE INDEX", CHANNELS),
        Sql::AlterTable(_) => ("ALTER TABLE", CHANNELS),
        Sql::Drop { .. } => ("DROP", CHANNELS),
        Sql::Set(_) => ("SET", SETTINGS),
        Sql::Reset(_) => ("RESET", SETTINGS),
        Sql::Use(_) => ("USE", SETTINGS),
        Sql::Prepare { .. } => ("PREPARE", PARAMETERS),
        Sql::Execute { .. } => ("EXECUTE", PARAMETERS),
        Sql::Deallocate { .. } => ("DEALLOCATE", PARAMETERS),
        Sql::StartTransaction { .. } => ("a transaction", CUT),
        Sql::Commit { .. } => ("COMMIT", CUT),
        Sql::Rollback { .. } => ("ROLLBACK", CUT),
        Sql::Savepoint { .. } => ("SAVEPOINT", CUT),
        Sql::Lock(_) | Sql::LockTables { .. } => ("LOCK", CUT),
        other => return refusal(&first_word(other), READ),
    };
    refusal(what, instead)
}

/// The first word of a statement that has no name here.
fn first_word(statement: &Sql) -> String {
    let text = statement.to_string();
    text.split_whitespace().next().unwrap_or("this statement").to_owned()
}

fn refusal(what: &str, instead: &'static str) -> QueryError {
    QueryError::Refused { what: what.to_owned(), instead }
}

fn refuse(what: &str, instead: &'static str) -> Result<(), QueryError> {
    Err(refusal(what, instead))
}

fn break_with(what: &str, instead: &'static str) -> ControlFlow<Box<QueryError>> {
    ControlFlow::Break(Box::new(refusal(what, instead)))
}
