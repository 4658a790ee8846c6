//! Tests of the crate from outside, over a simulated disk.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod adapters;
mod blobs;
mod collect;
mod crash;
mod damage;
mod golden;
mod overflow;
mod slices;
mod support;
mod trees;
