//! What the simulation promises of itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod determinism;
mod faults;
