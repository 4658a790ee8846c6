//! Which part of a WHERE clause the log itself can answer.
//!
//! Every predicate is judged alone, without knowing the others, because the planner asks about them in any
//! grouping: it is either not understood, or becomes a [`Constraint`] that holds for every row that the
//! predicate accepts, and is exact when the reverse holds too.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, TableProviderFilterPushDown};

use crate::tables::events::Column;

mod constraint;

pub(crate) use constraint::{Constraint, Pushed, Span};

/// Tells the planner how much of `filter` a scan takes off it.
pub(crate) fn support(filter: &Expr) -> TableProviderFilterPushDown {
    match translate(filter) {
        None => TableProviderFilterPushDown::Unsupported,
        Some(found) if found.exact => TableProviderFilterPushDown::Exact,
        Some(_) => TableProviderFilterPushDown::Inexact,
    }
}

/// Collects what a scan can use of `filters`.
pub(crate) fn collect(filters: &[Expr]) -> Pushed {
    let mut pushed = Pushed::default();
    for found in filters.iter().filter_map(translate) {
        pushed.add(found.column, found.constraint);
    }
    pushed
}

/// What a predicate says about a column.
struct Found {
    column: Column,
    constraint: Constraint,
    exact: bool,
}

fn translate(filter: &Expr) -> Option<Found> {
    match filter {
        Expr::Alias(alias) => translate(&alias.expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            either(translate(left)?, translate(right)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            both(translate(left)?, translate(right)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _)) => compare(&column.name, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => compare(&column.name, op.swap()?, value),
            _ => None,
        },
        Expr::Between(Between { expr, negated: false, low, high }) => match (&**expr, &**low, &**high) {
            (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                let from = compare(&column.name, Operator::GtEq, low)?;
                both(from, compare(&column.name, Operator::LtEq, high)?)
            }
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = &**expr else { return None };
            let mut found = list.iter().map(|item| match item {
                Expr::Literal(value, _) => compare(&column.name, Operator::Eq, value),
                _ => None,
            });
            let first = found.next()??;
            found.try_fold(first, |sum, next| either(sum, next?))
        }
        _ => None,
    }
}

/// The constraint of `column op value`.
fn compare(column: &str, op: Operator, value: &ScalarValue) -> Option<Found> {
    let column = Column::named(column)?;
    let constraint = match column {
        Column::Log | Column::Channel | Column::Origin | Column::Kind | Column::Key => {
            let text = value.try_as_str()??.to_owned();
            (op == Operator::Eq).then(|| Constraint::OneOf(BTreeSet::from([text])))?
        }
        Column::Seq | Column::Position => Constraint::Within(span(op, whole(value)?)?),
        Column::RecordedAt => Constraint::Within(span(op, nanoseconds(value)?)?),
        _ => return None,
    };
    Some(Found { column, constraint, exact: true })
}

fn either(left: Found, right: Found) -> Option<Found> {
    if left.column != right.column {
        return None;
    }
    let (constraint, exact) = left.constraint.union(right.constraint)?;
    Some(Found { column: left.column, constraint, exact: exact && left.exact && right.exact })
}

/// Both of two predicates on one column; on two columns they are not one constraint.
fn both(left: Found, right: Found) -> Option<Found> {
    if left.column != right.column {
        return None;
    }
    let constraint = left.constraint.intersection(right.constraint)?;
    Some(Found { column: left.column, constraint, exact: left.exact && right.exact })
}

fn span(op: Operator, value: i128) -> Option<Span> {
    Some(match op {
        Operator::Eq => Span { from: value, to: value + 1 },
        Operator::Lt => Span { to: value, ..Span::ALL },
        Operator::LtEq => Span { to: value + 1, ..Span::ALL },
        Operator::Gt => Span { from: value + 1, ..Span::ALL },
        Operator::GtEq => Span { from: value, ..Span::ALL },
        _ => return None,
    })
}

/// The whole number that a literal is.
pub(crate) fn whole(value: &ScalarValue) -> Option<i128> {
    Some(match value {
        ScalarValue::UInt64(value) => i128::from((*value)?),
        ScalarValue::UInt32(value) => i128::from((*value)?),
        ScalarValue::Int64(value) => i128::from((*value)?),
        ScalarValue::Int32(value) => i128::from((*value)?),
        ScalarValue::Decimal128(value, _, 0) => (*value)?.clamp(i128::MIN / 2, i128::MAX / 2),
        _ => return None,
    })
}

/// The nanoseconds since the epoch that a literal is.
pub(crate) fn nanoseconds(value: &ScalarValue) -> Option<i128> {
    let (value, unit) = match value {
        ScalarValue::TimestampNanosecond(value, _) => (value, 1),
        ScalarValue::TimestampMicrosecond(value, _) => (value, 1_000),
        ScalarValue::TimestampMillisecond(value, _) => (value, 1_000_000),
        ScalarValue::TimestampSecond(value, _) => (value, 1_000_000_000),
        _ => return None,
    };
    Some(i128::from((*value)?) * unit)
}

#[cfg(test)]
mod tests;
