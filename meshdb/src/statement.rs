//! From text to a statement that only reads.

use datafusion::error::DataFusionError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

use crate::QueryError;
use crate::error::from_parser;
use crate::limits::{CALL_DEPTH_MAX, STATEMENT_BYTES_MAX, STATEMENT_DEPTH_MAX};

mod admission;
mod depth;

/// Nested brackets that the parser follows; what is deeper is [`QueryError::TooDeep`].
const PARSER_DEPTH_MAX: usize = 200;

const DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// Parses one statement and admits it if it only reads.
pub(crate) fn parse(sql: &str) -> Result<Statement, QueryError> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(QueryError::TooLong { bytes: sql.len(), max: STATEMENT_BYTES_MAX });
    }
    let tokens = Tokenizer::new(&DIALECT, sql)
        .tokenize_with_location()
        .map_err(|error| from_parser(&ParserError::from(error)))?;
    if depth::of(&tokens) > STATEMENT_DEPTH_MAX {
        return Err(QueryError::TooDeep { max: STATEMENT_DEPTH_MAX });
    }
    if depth::of_calls(&tokens) > CALL_DEPTH_MAX {
        return Err(QueryError::TooDeep { max: CALL_DEPTH_MAX });
    }
    let mut statements = DFParserBuilder::new(tokens)
        .with_dialect(&DIALECT)
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| parse_error(&error))?;
    let first = statements
        .pop_front()
        .ok_or_else(|| QueryError::Syntax { message: "there is no statement".to_owned(), at: None })?;
    admission::check(&first)?;
    if !statements.is_empty() {
        return Err(admission::several_statements());
    }
    Ok(first)
}

fn parse_error(error: &DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::SQL(parser, _) => from_parser(parser),
        other => QueryError::Syntax { message: other.message().into_owned(), at: None },
    }
}

#[cfg(test)]
mod tests;
