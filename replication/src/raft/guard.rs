//! What is looked at before a group starts.

use base::{Position, Slot};
use redex::ReplicaState;

/// What a fold that stands at some slot has to do before its group starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: the log holds everything that was folded.
    Within,
    /// Fold again from the beginning of the log, or from a checkpoint at or below the position: what was folded beyond
    /// it is not in this replica's log, and may be something else in the others'.
    FoldAgain {
        /// Up to where the log is durable.
        durable: Position,
    },
}

/// Compares what was folded with what the replica's log holds. Openraft takes a fold that is ahead of the log for a
/// snapshot that was installed, and purges the log up to there.
pub fn check_applied(applied: Option<Slot>, log: &ReplicaState) -> Applied {
    let ahead = applied.is_some_and(|applied| log.last.is_none_or(|last| applied.index > last.index));
    if ahead { Applied::FoldAgain { durable: log.durable } } else { Applied::Within }
}
