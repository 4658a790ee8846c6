//! A server on real sockets of this machine, as its clients meet it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "tests prepare and look at real files")]

mod access;
mod append;
mod bad_input;
mod blobs;
mod clients;
mod health;
mod limits;
mod read;
mod sql;
mod state;
mod stop;
mod support;
mod tail;
mod tls;
