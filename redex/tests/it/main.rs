//! The public API of the log, as its users meet it.

mod append;
mod crash;
mod faults;
mod ledger;
mod model;
mod roll;
mod store;
mod support;
