//! From text to a statement that only reads.

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use crate::error::from_parser;
use crate::limits::{QUERIES_NESTED_MAX, STATEMENT_BYTES_MAX, STATEMENT_DEPTH_MAX};
use crate::{QueryError, SqlPosition};

mod admission;
mod depth;
mod dialect;

use dialect::Dialect;

/// Calls of itself that the parser makes; brackets take up to three, so the bound on depth comes first.
const PARSER_CALLS_MAX: usize = 4 * STATEMENT_DEPTH_MAX;

/// Parses one statement and admits it if it only reads.
pub(crate) fn parse(sql: &str) -> Result<Statement, QueryError> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(QueryError::TooLong { bytes: sql.len(), max: STATEMENT_BYTES_MAX });
    }
    let tokens = Tokenizer::new(&Dialect, sql)
        .tokenize_with_location()
        .map_err(|error| from_parser(&ParserError::from(error)))?;
    let depth = depth::of(&tokens);
    if depth.levels > STATEMENT_DEPTH_MAX || depth.queries > QUERIES_NESTED_MAX {
        return Err(QueryError::TooDeep { levels: STATEMENT_DEPTH_MAX, queries: QUERIES_NESTED_MAX });
    }
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&Dialect)
        .with_recursion_limit(PARSER_CALLS_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| parse_error(&error, sql))?;
    let first = statements
        .pop_front()
        .ok_or_else(|| QueryError::Syntax { message: "there is no statement".to_owned(), at: None })?;
    admission::check(&first)?;
    if !statements.is_empty() {
        return Err(admission::several_statements());
    }
    Ok(first)
}

fn parse_error(error: &DataFusionError, sql: &str) -> QueryError {
    let error = match error.find_root() {
        DataFusionError::SQL(parser, _) => from_parser(parser),
        other => QueryError::Syntax { message: other.message().into_owned(), at: None },
    };
    match error {
        // The parser gives no place for the end of the text.
        QueryError::Syntax { message, at: None } if message.ends_with("found: EOF") => {
            QueryError::Syntax { message, at: Some(end_of(sql)) }
        }
        other => other,
    }
}

fn end_of(sql: &str) -> SqlPosition {
    let last = sql.rsplit('\n').next().unwrap_or_default();
    let place = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    SqlPosition { line: place(sql.matches('\n').count() + 1), column: place(last.chars().count() + 1) }
}

#[cfg(test)]
mod tests;
