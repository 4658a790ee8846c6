//! The crate as its users see it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beside;
mod cut;
mod errors;
mod fixture;
mod limits;
mod logs;
mod models;
mod output;
mod pushdown;
mod refusals;
mod slt;
