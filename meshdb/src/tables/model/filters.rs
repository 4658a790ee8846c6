//! Which part of a WHERE clause a model can answer: equalities and sets, over columns by which it finds rows.
//!
//! Every predicate is judged alone. What is understood of it holds for every row that it accepts; the engine
//! filters again, so it need not hold for no other row.

use std::collections::BTreeSet;

use base::Timestamp;
use cortex::{Access, Column, Literal, RowsRequest, ValueType};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};

use crate::pushdown::{nanoseconds, whole};

/// Tells the planner whether a model can make use of `filter`.
pub(super) fn support(columns: &[Column], filter: &Expr) -> TableProviderFilterPushDown {
    match translate(columns, filter) {
        Some(_) => TableProviderFilterPushDown::Inexact,
        None => TableProviderFilterPushDown::Unsupported,
    }
}

/// Collects what a model can use of `filters`.
pub(super) fn collect(columns: &[Column], filters: &[Expr]) -> RowsRequest {
    let mut request = RowsRequest::all();
    for found in filters.iter().filter_map(|filter| translate(columns, filter)) {
        request.keep(found.column, found.values);
    }
    request
}

/// The values that a predicate accepts in a column.
struct Found {
    column: usize,
    values: BTreeSet<Literal>,
}

fn translate(columns: &[Column], filter: &Expr) -> Option<Found> {
    let translate = |filter| translate(columns, filter);
    match filter {
        Expr::Alias(alias) => translate(&alias.expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            either(translate(left)?, translate(right)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            both(translate(left), translate(right))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _))
            | (Expr::Literal(value, _), Expr::Column(column)) => equal(columns, &column.name, value),
            _ => None,
        },
        // What is left of comparisons with true and false.
        Expr::Column(column) => equal(columns, &column.name, &ScalarValue::from(true)),
        Expr::Not(inner) => match &**inner {
            Expr::Column(column) => equal(columns, &column.name, &ScalarValue::from(false)),
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = &**expr else { return None };
            let mut found = list.iter().map(|item| match item {
                Expr::Literal(value, _) => equal(columns, &column.name, value),
                _ => None,
            });
            let first = found.next()??;
            found.try_fold(first, |sum, next| either(sum, next?))
        }
        _ => None,
    }
}

fn equal(columns: &[Column], name: &str, value: &ScalarValue) -> Option<Found> {
    let place = columns.iter().position(|column| column.name == name)?;
    let column = columns.get(place).filter(|column| column.access != Access::Scan)?;
    Some(Found { column: place, values: literal(column.value_type, value)?.into_iter().collect() })
}

/// The literal that a value is in a column: `Some(None)` if the column cannot hold it, `None` if that is not
/// known.
fn literal(value_type: ValueType, value: &ScalarValue) -> Option<Option<Literal>> {
    Some(match value_type {
        ValueType::U64 => u64::try_from(whole(value)?).ok().map(Literal::U64),
        ValueType::I64 => i64::try_from(whole(value)?).ok().map(Literal::I64),
        ValueType::Bool => match value {
            ScalarValue::Boolean(value) => Some(Literal::Bool((*value)?)),
            _ => return None,
        },
        ValueType::Text => Some(Literal::Text(value.try_as_str()??.to_owned())),
        ValueType::Time => {
            let nanos = i64::try_from(nanoseconds(value)?).ok();
            nanos.map(|nanos| Literal::Time(Timestamp::from_nanos(nanos)))
        }
        ValueType::F64 | ValueType::Texts => return None,
    })
}

fn either(mut left: Found, right: Found) -> Option<Found> {
    left.values.extend(right.values);
    (left.column == right.column).then_some(left)
}

/// Both of two predicates. Of two columns one is enough, since the engine filters again.
fn both(left: Option<Found>, right: Option<Found>) -> Option<Found> {
    match (left, right) {
        (Some(mut left), Some(right)) if left.column == right.column => {
            left.values.retain(|value| right.values.contains(value));
            Some(left)
        }
        (left, right) => left.or(right),
    }
}
