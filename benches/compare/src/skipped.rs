//! Sides that cannot be run on a machine.

/// Why a side was not run, and what to do about it; the other sides of the contest run, and the table says so.
#[derive(Debug, Clone)]
pub(crate) struct Skipped(pub String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SKIPPED: {}", self.0)
    }
}

impl std::error::Error for Skipped {}
