//! The binary `net-db` as a user runs it: exit codes, outputs, and what survives a kill.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "a user of the binary has files and a clock")]

mod blob;
mod crash;
mod export;
mod faults;
mod import;
mod log;
mod logs;
mod machine;
mod serve;
mod sql;
mod state;
mod support;
mod usage;
