//! `system.forks`.

mod rows;
mod schema;
mod table;

pub(crate) use table::table;
