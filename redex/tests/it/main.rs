//! The public API of the log, as its users meet it.

mod append;
mod crash;
mod faults;
mod holes;
mod ledger;
mod model;
mod reads;
mod roll;
mod store;
mod support;
