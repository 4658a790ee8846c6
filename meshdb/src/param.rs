//! Values that are passed beside a statement.

use base::Timestamp;
use datafusion::common::ScalarValue;

use crate::tables::UTC;

/// A value for a placeholder: the first stands for `$1`, the second for `$2`, and so on.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// SQL NULL of no particular type.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number, such as a sequence number.
    UInt(u64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A point in time.
    Time(Timestamp),
}

impl Param {
    pub(crate) fn to_scalar(&self) -> ScalarValue {
        match self {
            Self::Null => ScalarValue::Null,
            Self::Bool(value) => ScalarValue::from(*value),
            Self::Int(value) => ScalarValue::from(*value),
            Self::UInt(value) => ScalarValue::from(*value),
            Self::Float(value) => ScalarValue::from(*value),
            Self::Text(value) => ScalarValue::Utf8View(Some(value.clone())),
            Self::Bytes(value) => ScalarValue::BinaryView(Some(value.clone())),
            Self::Time(value) => ScalarValue::TimestampNanosecond(Some(value.as_nanos()), Some(UTC.into())),
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),* $(,)?) => {
        $(impl From<$type> for Param {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! {
    bool => Bool, i64 => Int, i32 => Int, u64 => UInt, u32 => UInt, f64 => Float,
    String => Text, &str => Text, Vec<u8> => Bytes, &[u8] => Bytes, Timestamp => Time,
}
