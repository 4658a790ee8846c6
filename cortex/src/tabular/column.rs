//! The columns of a model's table.

use super::ValueType;

/// A column of a model's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Its name: lower-case letters, digits and `_`, no digit first.
    pub name: &'static str,
    /// What its values are.
    pub value_type: ValueType,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// How its rows are found by a value.
    pub access: Access,
    /// What stands in it, for people.
    pub doc: &'static str,
}

/// How the rows are found that have one value in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// By looking at all rows.
    #[default]
    Scan,
    /// By the model, which may know them without looking at all others.
    Index,
    /// By the model; there is at most one.
    Key,
}

impl Column {
    /// Makes a column that always has a value, and is found by looking at all rows.
    pub const fn new(name: &'static str, value_type: ValueType, doc: &'static str) -> Self {
        Self { name, value_type, nullable: false, access: Access::Scan, doc }
    }

    /// The same column, whose value may be missing.
    #[must_use]
    pub const fn or_null(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The same column, by whose values the model finds rows: a [`RowsRequest`](super::RowsRequest) names those
    /// that are wanted.
    #[must_use]
    pub const fn indexed(self) -> Self {
        Self { access: Access::Index, ..self }
    }

    /// The same column, by whose values the model finds rows, at most one by each.
    #[must_use]
    pub const fn key(self) -> Self {
        Self { access: Access::Key, ..self }
    }
}
