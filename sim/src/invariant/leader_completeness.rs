//! A leader has everything that is committed.

use super::Invariant;
use crate::known::Committed;
use crate::moment::Moment;

/// The newest leader's log begins with everything that was committed under leaders before it.
#[derive(Debug, Default)]
pub struct LeaderCompleteness {
    committed: Committed,
    newest: (u64, u64),
}

impl Invariant for LeaderCompleteness {
    fn name(&self) -> &'static str {
        "leader completeness"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        self.committed.learn(moment);
        for node in moment.nodes.values() {
            let vote = node.vote.map_or((0, 0), |(term, node, _)| (term, node));
            self.newest = self.newest.max(vote);
        }
        // Chained to it is everything before.
        let Some((last, record)) = self.committed.0.iter().enumerate().next_back() else { return Ok(()) };
        for node in moment.nodes.values().filter(|node| node.leadership() == Some(self.newest)) {
            if node.log.get(last).is_none_or(|found| found.chain != record.chain) {
                return Err(format!("node {} leads without committed entry {}", node.id, record.slot));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::samples::{log, sound};

    #[test]
    fn a_leader_that_lacks_something_is_noticed() {
        let mut moment = sound(&[(1, 1), (1, 1)]);
        let leader = moment.nodes.get_mut(&1).unwrap();
        leader.log = log(&[(1, 1)]);
        leader.visible = 1;
        assert!(LeaderCompleteness::default().see(&moment).is_err());
    }
}
