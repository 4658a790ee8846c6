//! Every limit of this crate, in one place.

/// Waits for tokens that one model admits at a time, unless set otherwise.
pub const WAITS_MAX: usize = 1024;
/// Outcomes other than [`Applied::Changed`](crate::Applied::Changed) that a model remembers.
pub const OUTCOMES_MAX: usize = 65_536;
/// Skipped events that a model remembers; all are counted.
pub const SKIPPED_MAX: usize = 10_000;
/// Changes that are kept for watchers who are behind; who is further behind begins again with the whole state.
pub const CHANGES_MAX: usize = 65_536;
/// Entries that a fold may be behind the visible position before its model's writers help it.
pub const LAG_MAX: u64 = 1024;
