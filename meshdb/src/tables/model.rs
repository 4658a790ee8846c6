//! The tables of models: one row for each thing that a model knows.

mod filters;
mod rows;
mod scan;
mod schema;
mod table;

pub(crate) use table::RowsTable;
