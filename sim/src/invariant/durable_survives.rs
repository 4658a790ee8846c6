//! What is durable survives.

use std::collections::BTreeMap;

use base::Hash;

use super::Invariant;
use crate::moment::Moment;

/// A node that starts again has everything that was durable when it ended.
#[derive(Debug, Default)]
pub struct DurableSurvives {
    /// Of each node: start, and chain up to where it was durable.
    durable: BTreeMap<u64, (u32, usize, Hash)>,
}

impl Invariant for DurableSurvives {
    fn name(&self) -> &'static str {
        "durable survives"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            if let Some((boot, position, chain)) = self.durable.get(&node.id)
                && *boot != node.boot
                && let Some(last) = position.checked_sub(1)
                && node.log.get(last).is_none_or(|record| record.chain != *chain)
            {
                let end = node.log.len();
                return Err(format!("node {} had {position} entries durable, and has {end}", node.id));
            }
            let durable = usize::try_from(node.durable).unwrap_or(usize::MAX).min(node.log.len());
            let chain = durable.checked_sub(1).map_or(Hash::ZERO, |last| node.log[last].chain);
            self.durable.insert(node.id, (node.boot, durable, chain));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::samples::{log, sound};

    #[test]
    fn a_node_that_starts_with_less_than_was_durable_is_noticed() {
        let mut invariant = DurableSurvives::default();
        let mut moment = sound(&[(1, 1), (1, 1)]);
        assert_eq!(invariant.see(&moment), Ok(()));
        let node = moment.nodes.get_mut(&2).unwrap();
        (node.boot, node.log) = (2, log(&[(1, 1)]));
        assert!(invariant.see(&moment).is_err());
    }
}
