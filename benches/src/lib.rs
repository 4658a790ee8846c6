//! Named workloads of the log and of the whole process, and how they are measured.
//!
//! `netdb-bench` runs them; `compare/`, a workspace of its own, runs the same ones beside other logs. What each
//! figure means, and what it does not, stands in `DESIGN.md`; the figures stand in `RESULTS.md`.
#![allow(
    clippy::disallowed_methods,
    reason = "measures the real machine, which no simulated door stands for"
)]

pub mod append;
pub mod asynchronous;
pub mod beside;
pub mod big;
pub mod blob;
pub mod catalogue;
pub mod fold;
pub mod harness;
pub mod machine;
pub mod payload;
pub mod prepared;
pub mod process;
pub mod quiet;
pub mod read;
pub mod reopen;
pub mod reopened;
pub mod report;
pub mod scratch;
pub mod session;
pub mod tail;
pub mod verify;

/// Why a benchmark could not be run to its end.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a benchmark gives, or why it does not.
pub type Result<T> = std::result::Result<T, Failure>;
