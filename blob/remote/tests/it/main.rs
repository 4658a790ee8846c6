//! Tests of the crate from outside: in memory, in directories, over a server of S3 and over one that answers as it is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "looks at real directories, behind the adapter's back")]

mod bucket;
mod directory;
mod overflow;
mod scripted;
mod support;
