//! Nothing committed is lost.

use super::Invariant;
use crate::known::Committed;
use crate::moment::Moment;

/// A node that ever had a committed entry durable never has another one, or none, at its place.
#[derive(Debug, Default)]
pub struct CommittedKept {
    committed: Committed,
    /// Up to where each node had the committed log durable.
    had: std::collections::BTreeMap<u64, usize>,
}

impl Invariant for CommittedKept {
    fn name(&self) -> &'static str {
        "committed kept"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        self.committed.learn(moment);
        let committed = &self.committed.0;
        for node in moment.nodes.values().filter(|node| node.up) {
            let had = self.had.entry(node.id).or_default();
            if let Some(last) = had.checked_sub(1)
                && node.log.get(last).is_none_or(|record| record.chain != committed[last].chain)
            {
                return Err(format!("node {} lost committed entry {}", node.id, committed[last].slot));
            }
            let durable = usize::try_from(node.durable).unwrap_or(usize::MAX).min(node.log.len());
            let durable = durable.min(committed.len());
            if let Some(last) = durable.checked_sub(1).filter(|last| durable > *had && *last >= *had)
                && node.log[last].chain == committed[last].chain
            {
                *had = durable;
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
    fn a_node_that_loses_a_committed_entry_is_noticed() {
        let mut invariant = CommittedKept::default();
        let mut moment = sound(&[(1, 1), (1, 1)]);
        assert_eq!(invariant.see(&moment), Ok(()));
        let node = moment.nodes.get_mut(&3).unwrap();
        (node.log, node.boot, node.visible) = (log(&[(1, 1)]), 2, 1);
        assert!(invariant.see(&moment).is_err());
    }
}
