//! The values in a model's table.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use base::Timestamp;

/// The type of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number from 0.
    U64,
    /// A whole number.
    I64,
    /// A number with a fraction.
    F64,
    /// True or false.
    Bool,
    /// A text.
    Text,
    /// A point in time.
    Time,
    /// A list of texts.
    Texts,
}

/// A value in a row.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// None, in a column that may be without.
    Null,
    /// A number from 0.
    U64(u64),
    /// A whole number.
    I64(i64),
    /// A number with a fraction.
    F64(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(Cow<'a, str>),
    /// A point in time.
    Time(Timestamp),
    /// A list of texts.
    Texts(&'a dyn TextList),
}

impl Value<'_> {
    /// Returns the type; `None` for [`Value::Null`], which fits every one.
    pub fn value_type(&self) -> Option<ValueType> {
        Some(match self {
            Self::Null => return None,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
            Self::Bool(_) => ValueType::Bool,
            Self::Text(_) => ValueType::Text,
            Self::Time(_) => ValueType::Time,
            Self::Texts(_) => ValueType::Texts,
        })
    }
}

/// Texts in their order, however they are kept.
pub trait TextList {
    /// Gives each text to `look`.
    fn each(&self, look: &mut dyn FnMut(&str));
}

impl fmt::Debug for dyn TextList + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        self.each(&mut |text| {
            list.entry(&text);
        });
        list.finish()
    }
}

impl<T: AsRef<str>> TextList for Vec<T> {
    fn each(&self, look: &mut dyn FnMut(&str)) {
        self.iter().for_each(|text| look(text.as_ref()));
    }
}

impl<T: AsRef<str>> TextList for BTreeSet<T> {
    fn each(&self, look: &mut dyn FnMut(&str)) {
        self.iter().for_each(|text| look(text.as_ref()));
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::U64(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Cow::Owned(value))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Time(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
            Self::Bool => "bool",
            Self::Text => "text",
            Self::Time => "time",
            Self::Texts => "texts",
        })
    }
}
