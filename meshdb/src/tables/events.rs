//! `events`, and each channel: one row for an event.

mod rows;
mod scan;
mod schema;
mod split;
mod table;

pub(crate) use schema::Column;
pub(crate) use table::{EventsTable, Scope};
