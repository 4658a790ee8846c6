//! The public API of the log, as its users meet it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod append;
mod big;
mod compression;
mod crash;
mod damage;
mod faults;
mod follow;
mod golden;
mod holes;
mod keyed;
mod ledger;
mod logs;
mod lookups;
mod model;
mod reads;
mod redaction;
mod references;
mod replica;
mod retention;
mod roll;
mod store;
mod support;
mod tails;
mod typed;
mod volatile;
