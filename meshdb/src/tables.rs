//! The tables, a folder each: its columns (`schema`), how its rows are made (`rows`), and what it answers the
//! planner (`table`).

pub(crate) mod channels;
pub(crate) mod events;
pub(crate) mod forks;
pub(crate) mod incarnations;
pub(crate) mod listing;
pub(crate) mod logs;
pub(crate) mod model;
pub(crate) mod models;
pub(crate) mod quarantine;
pub(crate) mod segments;
pub(crate) mod skipped;

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

/// The time zone of every timestamp column.
pub(crate) const UTC: &str = "UTC";

/// The type of every timestamp column: nanoseconds, UTC.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()))
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}
