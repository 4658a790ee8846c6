//! Tests of the crate from outside, over a simulated disk.

mod blobs;
mod crash;
mod damage;
mod support;
