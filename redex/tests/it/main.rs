//! The public API of the log, as its users meet it.

mod append;
mod roll;
mod store;
mod support;
