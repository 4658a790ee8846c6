//! Memberships that follow each other have majorities in common.

use std::collections::BTreeMap;

use super::Invariant;
use crate::moment::{Moment, Voters};

/// There is always somebody who votes, and from one committed membership to the next, one set of voters stays.
#[derive(Debug, Default)]
pub struct MembershipSanity {
    committed: BTreeMap<u64, Voters>,
}

impl Invariant for MembershipSanity {
    fn name(&self) -> &'static str {
        "membership sanity"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            for (index, voters) in &node.memberships {
                if voters.is_empty() || voters.iter().any(Vec::is_empty) {
                    return Err(format!("nobody votes by entry {index} of node {}", node.id));
                }
                if *index < node.visible {
                    let known = self.committed.entry(*index).or_insert_with(|| voters.clone());
                    if known != voters {
                        return Err(format!("entry {index} says {known:?} and {voters:?}"));
                    }
                }
            }
            // The two that a node shows follow each other.
            if let [(_, older), (index, newer)] = node.memberships.as_slice()
                && !older.iter().any(|set| newer.contains(set))
            {
                return Err(format!("entry {index} goes from {older:?} to {newer:?} at once"));
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
    fn memberships_without_voters_or_without_a_common_set_are_noticed() {
        let mut moment = sound(&[(1, 1), (1, 1)]);
        moment.nodes.get_mut(&1).unwrap().memberships = vec![(0, vec![vec![]])];
        assert!(MembershipSanity::default().see(&moment).is_err());
        let leap = vec![(0, vec![vec![1, 2, 3]]), (1, vec![vec![3, 4, 5]])];
        moment.nodes.get_mut(&1).unwrap().memberships = leap;
        assert!(MembershipSanity::default().see(&moment).is_err());
        let joint = vec![(0, vec![vec![1, 2, 3]]), (1, vec![vec![1, 2, 3], vec![3, 4, 5]])];
        moment.nodes.get_mut(&1).unwrap().memberships = joint;
        assert!(MembershipSanity::default().see(&moment).is_ok());
    }
}
