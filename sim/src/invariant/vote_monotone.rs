//! Votes only grow.

use std::collections::BTreeMap;

use super::Invariant;
use crate::moment::Moment;

/// From one start of a node to the next, its vote never goes back; nor does its term below that of its durable log.
#[derive(Debug, Default)]
pub struct VoteMonotone {
    votes: BTreeMap<u64, (u32, (u64, u64, bool))>,
}

impl Invariant for VoteMonotone {
    fn name(&self) -> &'static str {
        "vote monotone"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            let Some((term, voted, leads)) = node.vote else { continue };
            let vote = (term, voted, leads);
            let before = self.votes.insert(node.id, (node.boot, vote));
            if let Some((_, before)) = before.filter(|(boot, before)| *boot == node.boot && *before > vote) {
                return Err(format!("the vote of node {} goes from {before:?} to {vote:?}", node.id));
            }
            let last = node.log.last().map_or(0, |record| record.slot.term.0);
            if term < last {
                return Err(format!("node {} voted in term {term}, and has entries of {last}", node.id));
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
    fn a_vote_that_goes_back_and_one_behind_the_log_are_noticed() {
        let mut invariant = VoteMonotone::default();
        let mut moment = sound(&[(1, 1)]);
        moment.nodes.get_mut(&2).unwrap().vote = Some((2, 1, false));
        assert_eq!(invariant.see(&moment), Ok(()));
        moment.nodes.get_mut(&2).unwrap().vote = Some((1, 1, true));
        assert!(invariant.see(&moment).is_err());
        assert!(VoteMonotone::default().see(&sound(&[(2, 1)])).is_err());
    }
}
