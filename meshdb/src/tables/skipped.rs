//! `system.skipped`.

mod rows;
mod schema;
mod table;

pub(crate) use table::table;
