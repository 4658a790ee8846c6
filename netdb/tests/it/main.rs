//! Checks on the workspace itself: what stands in the lock file, which crate may know which, and the style that
//! can be tested. They read files only and need nothing of the crate under test.
#![allow(clippy::disallowed_methods, reason = "reads the tree's sources, which no simulated disk holds")]

mod arrows;
mod lock;
mod tidy;
mod workspace;
