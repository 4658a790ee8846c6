//! What the crate promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod checkpoint;
mod counter;
mod cut;
mod twin;
mod waits;
