//! What a group counts on one node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::NodeId;
use tokio::time::Instant;

use crate::raft::{Role, StandingWatch};

/// Elections that follow each other in less time are too many.
const THRASHES_WITHIN: Duration = Duration::from_secs(30);

/// What a group counted on a node since it was started there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupCounts {
    /// How often another node was seen to lead than before.
    pub leader_changes: u64,
    /// How often this node stood for election.
    pub elections: u64,
    /// How often another one followed in less than 30 s after an election that this node stood for.
    pub election_thrash: u64,
    /// Bytes of messages of consensus that were sent to other members, sent again or not.
    pub sync_bytes: u64,
    /// How often it began to wait for room on the disk.
    pub under_capacity: u64,
}

/// Counts for one group. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    leader_changes: AtomicU64,
    elections: AtomicU64,
    election_thrash: AtomicU64,
    sync_bytes: AtomicU64,
    under_capacity: AtomicU64,
}

impl Counters {
    pub(crate) fn sent(&self, bytes: usize) {
        self.0.sync_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn waits_for_room(&self) {
        self.0.under_capacity.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn all(&self) -> GroupCounts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Inner { leader_changes, elections, election_thrash, sync_bytes, under_capacity } = &*self.0;
        GroupCounts {
            leader_changes: of(leader_changes),
            elections: of(elections),
            election_thrash: of(election_thrash),
            sync_bytes: of(sync_bytes),
            under_capacity: of(under_capacity),
        }
    }

    /// Counts leaders and elections until the group stops.
    pub(crate) async fn follow(self, mut watch: StandingWatch) {
        let mut seen = Seen::default();
        loop {
            let standing = watch.standing();
            let changed = seen.note(standing.leader, standing.role == Role::Candidate, Instant::now());
            let add = |count: &AtomicU64, is: bool| count.fetch_add(u64::from(is), Ordering::Relaxed);
            add(&self.0.leader_changes, changed.leader);
            add(&self.0.elections, changed.stands);
            add(&self.0.election_thrash, changed.thrashes);
            if watch.changed().await.is_err() {
                return;
            }
        }
    }
}

/// What was seen last of leaders and elections.
#[derive(Debug, Default)]
struct Seen {
    leader: Option<NodeId>,
    stands: bool,
    stood_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Changed {
    leader: bool,
    stands: bool,
    thrashes: bool,
}

impl Seen {
    fn note(&mut self, leader: Option<NodeId>, stands: bool, now: Instant) -> Changed {
        // The first one that is seen, and one that was not seen for a while, is no other one.
        let other = matches!((self.leader, leader), (Some(before), Some(now)) if before != now);
        self.leader = leader.or(self.leader);
        let begins = stands && !self.stands;
        self.stands = stands;
        let before = if begins { self.stood_at.replace(now) } else { None };
        let thrashes = before.is_some_and(|at| now.saturating_duration_since(at) < THRASHES_WITHIN);
        Changed { leader: other, stands: begins, thrashes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_leaders_and_elections_that_follow_each_other_are_counted() {
        let mut seen = Seen::default();
        let begun = Instant::now();
        let mut note = |leader: Option<u64>, stands, after: u64| {
            let Changed { leader, stands, thrashes } =
                seen.note(leader.map(NodeId), stands, begun + Duration::from_secs(after));
            (leader, stands, thrashes)
        };
        assert_eq!(note(Some(1), false, 0), (false, false, false));
        assert_eq!(note(None, false, 1), (false, false, false));
        assert_eq!(note(Some(1), false, 2), (false, false, false), "the same one again");
        assert_eq!(note(None, true, 3), (false, true, false));
        assert_eq!(note(None, true, 4), (false, false, false), "the same election");
        assert_eq!(note(Some(2), false, 5), (true, false, false));
        assert_eq!(note(None, true, 32), (false, true, true));
        assert_eq!(note(Some(3), false, 33), (true, false, false));
        assert_eq!(note(None, true, 63), (false, true, false));
    }
}
