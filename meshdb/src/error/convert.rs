//! From the engine's errors to ours.

use std::error::Error;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

use super::{QueryError, SqlPosition, similar};
use crate::limits::{Limits, QUERIES_NESTED_MAX, STATEMENT_DEPTH_MAX};

/// What the engine says of a function that it does not know, up to the name; behind it stands a similar one.
const UNKNOWN_FUNCTION: &str = "invalid function '";

/// Classifies an error of the engine by its deepest cause.
pub(crate) fn from_engine(error: &DataFusionError, limits: &Limits) -> QueryError {
    if let Some(own) = own_error(error) {
        return own;
    }
    let root = match error.find_root() {
        DataFusionError::Collection(errors) => errors.first().map_or(error, DataFusionError::find_root),
        root => root,
    };
    let message = || text(root);
    match root {
        DataFusionError::SQL(parser, _) => from_parser(parser),
        DataFusionError::SchemaError(schema, _) => from_schema(schema),
        DataFusionError::Plan(_) => {
            unknown_function(&message()).unwrap_or(QueryError::Invalid { message: message() })
        }
        DataFusionError::NotImplemented(_) | DataFusionError::Configuration(_) => {
            QueryError::Invalid { message: message() }
        }
        DataFusionError::ArrowError(arrow, _) => from_arrow(arrow, limits),
        DataFusionError::Execution(_) => QueryError::Value { message: message() },
        DataFusionError::ResourcesExhausted(_) => {
            QueryError::TooMuchMemory { max: limits.memory_bytes, message: message() }
        }
        _ => QueryError::Internal { message: message() },
    }
}

/// The error of this crate that travelled through the engine, if there is one.
fn own_error(error: &DataFusionError) -> Option<QueryError> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<QueryError>() {
            return Some(own.clone());
        }
        next = error.source();
    }
    None
}

pub(crate) fn from_parser(error: &ParserError) -> QueryError {
    match error {
        ParserError::RecursionLimitExceeded => {
            QueryError::TooDeep { levels: STATEMENT_DEPTH_MAX, queries: QUERIES_NESTED_MAX }
        }
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
            let (message, at) = split_position(message);
            QueryError::Syntax { message: lower_first(message), at }
        }
    }
}

fn from_schema(error: &SchemaError) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => QueryError::ColumnNotFound {
            name: field.flat_name(),
            similar: similar(&field.name, valid_fields.iter().map(Column::name)),
        },
        other => QueryError::Invalid { message: lower_first(&other.to_string()) },
    }
}

fn from_arrow(error: &ArrowError, limits: &Limits) -> QueryError {
    match error {
        ArrowError::MemoryError(message) => {
            QueryError::TooMuchMemory { max: limits.memory_bytes, message: message.clone() }
        }
        ArrowError::DivideByZero => QueryError::Value { message: "division by zero".to_owned() },
        ArrowError::CastError(message)
        | ArrowError::ParseError(message)
        | ArrowError::ComputeError(message)
        | ArrowError::ArithmeticOverflow(message)
        | ArrowError::InvalidArgumentError(message) => QueryError::Value { message: lower_first(message) },
        ArrowError::NotYetImplemented(message) => QueryError::Invalid { message: lower_first(message) },
        other => QueryError::Internal { message: other.to_string() },
    }
}

fn unknown_function(message: &str) -> Option<QueryError> {
    let (name, rest) = message.strip_prefix(UNKNOWN_FUNCTION)?.split_once('\'')?;
    let similar = similar(name, rest.split('\'').nth(1));
    Some(QueryError::FunctionNotFound { name: name.to_owned(), similar })
}

/// The text of an error without what its kind adds, beginning in lower case.
fn text(error: &DataFusionError) -> String {
    let message = error.message();
    let message = message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or_default();
    lower_first(message.trim_end())
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), second) if !second.is_some_and(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}

/// Takes the place that the parser appends to its messages off them.
fn split_position(message: &str) -> (&str, Option<SqlPosition>) {
    let split = || {
        let (rest, place) = message.rsplit_once(" at Line: ")?;
        let (line, column) = place.split_once(", Column: ")?;
        Some((rest, SqlPosition { line: line.parse().ok()?, column: column.parse().ok()? }))
    };
    split().map_or((message, None), |(rest, at)| (rest, Some(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_taken_off_the_parsers_messages() {
        let at = |line, column| Some(SqlPosition { line, column });
        assert_eq!(
            split_position("Expected: x, found: y at Line: 2, Column: 15"),
            ("Expected: x, found: y", at(2, 15))
        );
        assert_eq!(split_position("No place"), ("No place", None));
        assert_eq!(split_position("odd at Line: x, Column: 1").1, None);
    }

    #[test]
    fn our_own_errors_survive_the_engine() {
        let own = QueryError::TooManyBytes { max: 7 };
        let wrapped = DataFusionError::External(Box::new(own)).context("a").context("b");
        let shared = DataFusionError::Shared(std::sync::Arc::new(wrapped));
        let error = from_engine(&shared, &Limits::default());
        assert!(matches!(error, QueryError::TooManyBytes { max: 7 }), "{error}");
    }

    #[test]
    fn a_message_begins_in_lower_case_unless_it_begins_with_an_acronym() {
        assert_eq!(lower_first("Cast error"), "cast error");
        assert_eq!(lower_first("SQL is odd"), "SQL is odd");
    }
}
