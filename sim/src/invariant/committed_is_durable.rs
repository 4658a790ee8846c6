//! What is committed is durable on a majority.

use super::Invariant;
use crate::known::Committed;
use crate::moment::{Moment, Voters};

/// When readers first see an entry somewhere, a majority of those who vote have it durable. Not looked at while
/// nodes differ in who votes, or that was settled behind the entry.
#[derive(Debug, Default)]
pub struct CommittedIsDurable {
    committed: Committed,
}

impl Invariant for CommittedIsDurable {
    fn name(&self) -> &'static str {
        "committed is durable"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        let known = self.committed.learn(moment);
        let committed = &self.committed.0;
        let Some(last) = committed.len().checked_sub(1).filter(|last| *last >= known) else { return Ok(()) };
        let Some(sets) = agreed(moment, last as u64) else { return Ok(()) };
        for set in sets {
            let holds = |id: &&u64| {
                let node = moment.nodes.get(*id);
                node.is_some_and(|node| {
                    node.durable > last as u64
                        && node.log.get(last).is_some_and(|record| record.chain == committed[last].chain)
                })
            };
            let durable = set.iter().filter(holds).count();
            if durable * 2 <= set.len() {
                let slot = committed[last].slot;
                return Err(format!("{slot} is committed, and durable on {durable} of {set:?}"));
            }
        }
        Ok(())
    }
}

/// Returns who votes on an entry, where all nodes say the same.
fn agreed(moment: &Moment, entry: u64) -> Option<&Voters> {
    let mut all = moment.nodes.values().filter_map(|node| node.memberships.last());
    let first = all.next().filter(|(index, _)| *index <= entry)?;
    all.all(|newest| newest == first).then_some(&first.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::samples::sound;

    #[test]
    fn what_a_majority_did_not_sync_is_noticed() {
        let mut moment = sound(&[(1, 1), (1, 1)]);
        moment.nodes.get_mut(&2).unwrap().durable = 1;
        assert!(CommittedIsDurable::default().see(&moment).is_ok());
        moment.nodes.get_mut(&3).unwrap().durable = 1;
        assert!(CommittedIsDurable::default().see(&moment).is_err());
    }
}
