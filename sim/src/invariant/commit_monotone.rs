//! What is committed stays committed.

use std::collections::BTreeMap;

use super::Invariant;
use crate::moment::Moment;

/// While a node is up, what it knows to be committed, and what its readers see, only grow.
#[derive(Debug, Default)]
pub struct CommitMonotone {
    seen: BTreeMap<u64, (u32, u64, u64)>,
}

impl Invariant for CommitMonotone {
    fn name(&self) -> &'static str {
        "commit monotone"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            let now = (node.boot, node.committed, node.visible);
            let before = self.seen.insert(node.id, now);
            if let Some(before) = before.filter(|before| before.0 == now.0)
                && (before.1 > now.1 || before.2 > now.2)
            {
                return Err(format!("node {} goes back from {before:?} to {now:?}", node.id));
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
    fn a_node_whose_readers_see_less_is_noticed() {
        let mut invariant = CommitMonotone::default();
        let mut moment = sound(&[(1, 1), (1, 1)]);
        assert_eq!(invariant.see(&moment), Ok(()));
        moment.nodes.get_mut(&2).unwrap().visible = 1;
        assert!(invariant.see(&moment).is_err());
    }
}
