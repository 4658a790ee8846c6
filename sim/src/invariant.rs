//! What always holds: each looks at all nodes at every moment that is looked at, and remembers what it has to.

mod acknowledged_after_failure;
mod commit_monotone;
mod committed_is_durable;
mod committed_kept;
mod doubt_has_a_cause;
mod durable_survives;
mod election_safety;
mod given_up;
mod leader_append_only;
mod leader_completeness;
mod leadership_of_one_start;
mod log_contiguity;
mod log_matching;
mod membership_sanity;
mod nobody_forks;
mod slot_unique;
mod state_machine_safety;
mod terms_in_order;
mod visible_within;
mod vote_monotone;

use std::fmt;

use crate::moment::Moment;

/// Something that always holds.
pub trait Invariant: fmt::Debug + Send {
    /// Returns the name used in output.
    fn name(&self) -> &'static str;

    /// Looks at all nodes.
    ///
    /// # Errors
    ///
    /// What does not hold.
    fn see(&mut self, moment: &Moment) -> Result<(), String>;
}

/// Returns all of them, as they are before anything was seen.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(election_safety::ElectionSafety::default()),
        Box::new(leader_completeness::LeaderCompleteness::default()),
        Box::new(log_matching::LogMatching::default()),
        Box::new(state_machine_safety::StateMachineSafety::default()),
        Box::new(leader_append_only::LeaderAppendOnly::default()),
        Box::new(vote_monotone::VoteMonotone::default()),
        Box::new(commit_monotone::CommitMonotone::default()),
        Box::new(committed_kept::CommittedKept::default()),
        Box::new(terms_in_order::TermsInOrder),
        Box::new(membership_sanity::MembershipSanity::default()),
        Box::new(visible_within::VisibleWithin),
        Box::new(log_contiguity::LogContiguity),
        Box::new(slot_unique::SlotUnique::default()),
        Box::new(nobody_forks::NobodyForks),
        Box::new(leadership_of_one_start::LeadershipOfOneStart::default()),
        Box::new(committed_is_durable::CommittedIsDurable::default()),
        Box::new(durable_survives::DurableSurvives::default()),
        Box::new(doubt_has_a_cause::DoubtHasACause),
        Box::new(given_up::GivenUp::default()),
        Box::new(acknowledged_after_failure::AcknowledgedAfterFailure::default()),
    ]
}

#[cfg(test)]
mod samples {
    use std::time::Duration;

    use base::{Hash, Index, NodeId, Slot, Term};
    use replication::Role;

    use crate::moment::{Moment, NodeView, Record};

    /// Entries by term and node, each with a content of its own place and leader.
    pub fn log(leaders: &[(u64, u64)]) -> Vec<Record> {
        let mut chain = Hash::ZERO;
        let record = |(index, (term, node)): (usize, &(u64, u64))| {
            let slot = Slot { term: Term(*term), node: NodeId(*node), index: Index(index as u64) };
            let hash = Hash::of(format!("{slot:?}").as_bytes());
            chain = Hash::of(&[chain.as_bytes(), hash.as_bytes().as_slice()].concat());
            Record { slot, hash, chain }
        };
        leaders.iter().enumerate().map(record).collect()
    }

    /// A node that is up, with a log that is durable and visible.
    pub fn node(id: u64, leaders: &[(u64, u64)]) -> NodeView {
        let log = log(leaders);
        let end = log.len() as u64;
        NodeView {
            boot: 1,
            up: true,
            role: Role::Replica,
            vote: Some((1, 1, true)),
            committed: end,
            visible: end,
            durable: end,
            log,
            memberships: vec![(0, vec![vec![1, 2, 3]])],
            ..NodeView::new(id)
        }
    }

    /// All of them at one moment.
    pub fn moment(nodes: impl IntoIterator<Item = NodeView>) -> Moment {
        let nodes = nodes.into_iter().map(|node| (node.id, node)).collect();
        Moment { at: Duration::ZERO, nodes }
    }

    /// Three equal nodes, of which the first leads.
    pub fn sound(leaders: &[(u64, u64)]) -> Moment {
        let mut sound = moment((1..=3).map(|id| node(id, leaders)));
        let leader = sound.nodes.get_mut(&1).expect("node 1 is there");
        (leader.role, leader.leads) = (Role::Leader, Some((1, 1)));
        sound
    }

    /// All invariants hold of what is sound.
    #[test]
    fn what_is_sound_breaks_nothing() {
        let mut all = super::all();
        for end in 1..4 {
            let mut sound = sound(&vec![(1, 1); end]);
            sound.nodes.values_mut().for_each(|node| node.changed_from = end - 1);
            for invariant in &mut all {
                assert_eq!(invariant.see(&sound), Ok(()), "{}", invariant.name());
            }
        }
    }
}
