//! The database as applications use it; and checks on the workspace itself: what stands in the lock file, which
//! crate may know which, and the style that can be tested.
#![allow(clippy::disallowed_methods, reason = "reads the tree's sources, which no simulated disk holds")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arrows;
mod blobs;
#[cfg(feature = "cluster")]
mod cluster;
mod lock;
#[cfg(feature = "sql")]
mod logs;
mod models;
mod parity;
#[cfg(feature = "sql")]
mod sql_twin;
mod tidy;
mod workspace;
