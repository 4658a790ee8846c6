//! What changes of a group's standing, for whoever follows it.

use std::collections::VecDeque;
use std::sync::Arc;

use base::NodeId;
use tokio::sync::watch;

use crate::group::{Run, Running};
use crate::raft::{Role, Standing, StandingWatch};

/// Something that changed of how a group stands, as one of its nodes sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StandingChange {
    /// This node leads from now on.
    BecameLeader,
    /// This node is something else from now on: a replica, a candidate or a learner.
    Became(Role),
    /// This node takes no part any more: the group stopped here, if only to start anew with other times.
    Idled,
    /// A node leads that did not; the one that led last, too, when it was lost meanwhile.
    LeaderChanged {
        /// Who led last, as far as this node knew.
        from: Option<NodeId>,
        /// Who leads now: this node, or another one.
        to: NodeId,
    },
    /// Nobody is known to lead any more.
    LeaderLost {
        /// Who did.
        was: NodeId,
    },
}

/// The changes of how a group stands on this node, from when they were asked for. What comes and goes faster than it is looked
/// at is seen as what it came to: so a stream holds nothing up, and is never far behind.
pub struct StandingChanges {
    runs: watch::Receiver<Run>,
    running: Arc<Running>,
    watch: StandingWatch,
    seen: Seen,
    due: VecDeque<StandingChange>,
}

impl std::fmt::Debug for StandingChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StandingChanges").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl StandingChanges {
    pub(crate) fn new(mut runs: watch::Receiver<Run>) -> Self {
        let running = Arc::clone(&runs.borrow_and_update().running);
        let mut watch = running.consensus.watch();
        let seen = Seen::of(&watch.standing());
        Self { runs, running, watch, seen, due: VecDeque::new() }
    }

    /// Waits for the next change; `None` once the group was stopped for good on this node.
    ///
    /// *Cancel safety*: no change is lost when this is dropped before it returns.
    pub async fn next(&mut self) -> Option<StandingChange> {
        loop {
            if let Some(change) = self.due.pop_front() {
                return Some(change);
            }
            self.due.extend(self.seen.note(&self.watch.standing()));
            if !self.due.is_empty() {
                continue;
            }
            if self.watch.changed().await.is_ok() {
                continue;
            }
            // It stopped, which is told first; another run of it may follow.
            self.due.extend(self.seen.note(&self.watch.standing()));
            if !self.due.is_empty() {
                continue;
            }
            let now = Arc::clone(&self.running);
            let next = self.runs.wait_for(|run| run.closed || !Arc::ptr_eq(&run.running, &now));
            self.running = match next.await {
                Ok(run) if !Arc::ptr_eq(&run.running, &now) => Arc::clone(&run.running),
                _ => return None,
            };
            self.watch = self.running.consensus.watch();
        }
    }
}

/// What was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    role: Role,
    leader: Option<NodeId>,
    /// Who led last, whether anybody does now or not.
    last: Option<NodeId>,
}

impl Seen {
    fn of(standing: &Standing) -> Self {
        Self { role: standing.role, leader: standing.leader, last: standing.leader }
    }

    /// Takes up how the group stands now, and tells what changed.
    fn note(&mut self, standing: &Standing) -> Vec<StandingChange> {
        let before = *self;
        self.role = standing.role;
        self.leader = standing.leader;
        self.last = standing.leader.or(before.last);
        let leader = match (before.leader, standing.leader) {
            (Some(was), None) => Some(StandingChange::LeaderLost { was }),
            (before_now, Some(to)) if before_now != Some(to) => {
                Some(StandingChange::LeaderChanged { from: before.last, to })
            }
            _ => None,
        };
        let role = (before.role != standing.role).then_some(match standing.role {
            Role::Leader => StandingChange::BecameLeader,
            Role::Idle => StandingChange::Idled,
            role @ (Role::Replica | Role::Candidate | Role::Learner) => StandingChange::Became(role),
        });
        leader.into_iter().chain(role).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use base::Term;

    use super::*;

    #[test]
    fn each_difference_is_told_once_and_equal_standings_tell_nothing() {
        let standing = |role, leader: Option<u64>| {
            let leader = leader.map(NodeId);
            Standing { role, term: Term(1), leader, voters: BTreeSet::new(), members: BTreeMap::new() }
        };
        let mut seen = Seen::of(&standing(Role::Replica, None));
        let changed =
            |from: Option<u64>, to| StandingChange::LeaderChanged { from: from.map(NodeId), to: NodeId(to) };
        let lost = |was| StandingChange::LeaderLost { was: NodeId(was) };
        let became = StandingChange::Became;
        for (role, leader, wanted) in [
            (Role::Replica, None, vec![]),
            (Role::Replica, Some(2), vec![changed(None, 2)]),
            (Role::Replica, Some(2), vec![]),
            (Role::Candidate, None, vec![lost(2), became(Role::Candidate)]),
            (Role::Leader, Some(1), vec![changed(Some(2), 1), StandingChange::BecameLeader]),
            (Role::Replica, Some(3), vec![changed(Some(1), 3), became(Role::Replica)]),
            (Role::Replica, None, vec![lost(3)]),
            (Role::Replica, Some(3), vec![changed(Some(3), 3)]),
            (Role::Idle, None, vec![lost(3), StandingChange::Idled]),
            (Role::Learner, None, vec![became(Role::Learner)]),
        ] {
            assert_eq!(seen.note(&standing(role, leader)), wanted, "{role} {leader:?}");
        }
    }
}
