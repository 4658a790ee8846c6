//! A leadership does not outlast its node.

use std::collections::BTreeMap;

use super::Invariant;
use crate::moment::Moment;

/// A node that starts again leads in a later term, if it does: what it had proposed and not synced may be committed by
/// others under the numbers that it would give out again.
#[derive(Debug, Default)]
pub struct LeadershipOfOneStart {
    starts: BTreeMap<(u64, u64), u32>,
}

impl Invariant for LeadershipOfOneStart {
    fn name(&self) -> &'static str {
        "leadership of one start"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values() {
            let Some(leads) = node.leadership() else { continue };
            let start = *self.starts.entry(leads).or_insert(node.boot);
            if start != node.boot {
                return Err(format!("node {} leads in term {} after its restart", node.id, leads.0));
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
    fn a_leader_that_goes_on_after_its_restart_is_noticed() {
        let mut invariant = LeadershipOfOneStart::default();
        let mut moment = sound(&[(1, 1)]);
        assert_eq!(invariant.see(&moment), Ok(()));
        moment.nodes.get_mut(&1).unwrap().boot = 2;
        assert!(invariant.see(&moment).is_err());
    }
}
