//! The binary `net-db` as a user runs it: exit codes, outputs, and what survives a kill.

mod crash;
mod export;
mod import;
mod log;
mod sql;
mod support;
mod usage;
