//! Nodes that meet over the machine's own network.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod datagrams;
mod endpoints;
mod exchanges;
mod gossip;
mod joining;
mod nodes;
mod simulated;
