//! `system.quarantine`.

mod rows;
mod schema;
mod table;

pub(crate) use table::table;
