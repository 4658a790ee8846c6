//! Groups of several nodes in one process, in simulated time, on simulated disks, over a network of memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod control;
mod failover;
mod forks;
mod heartbeats;
mod members;
mod remote;
mod repair;
mod requests;
mod retention;
mod support;
mod turning;
mod writer;
