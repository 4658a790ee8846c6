//! The crate as its users see it.

mod cut;
mod errors;
mod fixture;
mod limits;
mod output;
mod pushdown;
mod refusals;
mod slt;
