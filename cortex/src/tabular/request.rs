//! Which rows are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base::Timestamp;

/// Which rows of a table are wanted, as far as its model can make use of it: for some of the columns that are
/// not found by [`Access::Scan`](super::Access::Scan), the values that are. A row is wanted if it has one of the
/// values in each of these columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowsRequest {
    wanted: BTreeMap<usize, BTreeSet<Literal>>,
}

/// A value that a column is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Literal {
    /// A number from 0.
    U64(u64),
    /// A whole number.
    I64(i64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
    /// A point in time.
    Time(Timestamp),
}

impl RowsRequest {
    /// Asks for all rows.
    pub fn all() -> Self {
        Self::default()
    }

    /// Leaves of what is wanted the rows that have one of `values` in a column, named by its place.
    pub fn keep(&mut self, column: usize, mut values: BTreeSet<Literal>) {
        if let Some(known) = self.wanted.get(&column) {
            values.retain(|value| known.contains(value));
        }
        self.wanted.insert(column, values);
    }

    /// Tells whether no row is wanted.
    pub fn is_contradiction(&self) -> bool {
        self.wanted.values().any(BTreeSet::is_empty)
    }

    /// Returns the columns, by their places, of which only some values are wanted, and these.
    pub fn wanted(&self) -> impl Iterator<Item = (usize, &BTreeSet<Literal>)> {
        self.wanted.iter().map(|(column, values)| (*column, values))
    }

    /// Returns the wanted values of a column; `None` when all are.
    pub fn values(&self, column: usize) -> Option<&BTreeSet<Literal>> {
        self.wanted.get(&column)
    }

    /// Returns the wanted numbers of a column of [`ValueType::U64`](super::ValueType::U64), in ascending order;
    /// `None` when all are.
    pub fn numbers(&self, column: usize) -> Option<impl Iterator<Item = u64>> {
        let values = self.values(column)?.iter();
        Some(values.filter_map(|value| match value {
            Literal::U64(number) => Some(*number),
            _ => None,
        }))
    }

    /// Returns the wanted texts of a column of [`ValueType::Text`](super::ValueType::Text), in ascending order;
    /// `None` when all are.
    pub fn texts(&self, column: usize) -> Option<impl Iterator<Item = &str>> {
        let values = self.values(column)?.iter();
        Some(values.filter_map(|value| match value {
            Literal::Text(text) => Some(text.as_str()),
            _ => None,
        }))
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U64(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Time(value) => value.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Literal, RowsRequest};

    fn numbers(numbers: &[u64]) -> BTreeSet<Literal> {
        numbers.iter().map(|number| Literal::U64(*number)).collect()
    }

    #[test]
    fn conditions_on_one_column_leave_what_all_of_them_want() {
        let mut request = RowsRequest::all();
        assert!(request.numbers(0).is_none());
        request.keep(0, numbers(&[7, 8, 9]));
        request.keep(0, numbers(&[9, 7, 1]));
        assert_eq!(request.numbers(0).unwrap().collect::<Vec<_>>(), [7, 9]);
        assert!(!request.is_contradiction());
        request.keep(0, numbers(&[2]));
        assert!(request.is_contradiction());
    }
}
