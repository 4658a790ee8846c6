//! Who leads has the votes of a majority.

use std::collections::{BTreeMap, BTreeSet};

use super::Invariant;
use crate::moment::Moment;

/// A leadership belongs to the node that it names, and a majority of each set of voters has voted for it or for a later
/// one when it is first seen.
#[derive(Debug, Default)]
pub struct ElectionSafety {
    /// The highest vote of each node.
    votes: BTreeMap<u64, (u64, u64)>,
    seen: BTreeSet<(u64, u64)>,
}

impl Invariant for ElectionSafety {
    fn name(&self) -> &'static str {
        "election safety"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values() {
            if let Some((term, voted, _)) = node.vote {
                let highest = self.votes.entry(node.id).or_default();
                *highest = (*highest).max((term, voted));
            }
        }
        for node in moment.nodes.values() {
            let Some(leads) = node.leadership() else { continue };
            if leads.1 != node.id {
                return Err(format!("node {} leads as node {} in term {}", node.id, leads.1, leads.0));
            }
            if !self.seen.insert(leads) {
                continue;
            }
            // It was elected by the newest membership, or by the one before if it has changed that since.
            let votes = |set: &Vec<u64>| {
                let voted = |id: &&u64| self.votes.get(*id).is_some_and(|vote| *vote >= leads);
                set.iter().filter(voted).count() * 2 > set.len()
            };
            if !node.memberships.iter().any(|(_, sets)| sets.iter().all(votes)) {
                let (term, memberships) = (leads.0, &node.memberships);
                return Err(format!(
                    "node {} leads in term {term} without the votes of {memberships:?}",
                    node.id
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::samples::sound;

    #[test]
    fn a_leader_without_a_majority_and_one_in_the_name_of_another_are_noticed() {
        let mut few = sound(&[(1, 1)]);
        few.nodes.values_mut().skip(1).for_each(|node| node.vote = Some((0, 2, false)));
        assert!(ElectionSafety::default().see(&few).is_err());
        let mut other = sound(&[(1, 1)]);
        other.nodes.get_mut(&1).unwrap().leads = Some((1, 2));
        assert!(ElectionSafety::default().see(&other).is_err());
    }
}
