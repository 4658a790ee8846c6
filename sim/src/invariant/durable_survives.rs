//! What is durable survives.

use std::collections::BTreeMap;

use base::Slot;

use super::Invariant;
use crate::moment::Moment;

/// A node that starts again has everything that was durable when it ended, unless its disk lost something.
#[derive(Debug, Default)]
pub struct DurableSurvives {
    /// Of each node: start, and the last slot that was durable.
    durable: BTreeMap<u64, (u32, Option<Slot>)>,
}

impl Invariant for DurableSurvives {
    fn name(&self) -> &'static str {
        "durable survives"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            if let Some((boot, Some(last))) = self.durable.get(&node.id)
                && *boot != node.boot
                && !node.repaired
                && !node.opened.held(*last)
            {
                let end = node.opened.slots.len();
                return Err(format!("node {} had {last} durable, and started with {end} entries", node.id));
            }
            // A truncation that failed may have cut off what was durable and not committed.
            let durable = if node.poisoned { node.visible } else { node.durable };
            let durable = usize::try_from(durable).unwrap_or(usize::MAX).min(node.log.len());
            let last = durable.checked_sub(1).map(|last| node.log[last].slot);
            self.durable.insert(node.id, (node.boot, last));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::samples::{log, sound};
    use crate::node::Opened;

    #[test]
    fn a_node_that_starts_with_less_than_was_durable_is_noticed() {
        let mut invariant = DurableSurvives::default();
        let mut moment = sound(&[(1, 1), (1, 1)]);
        assert_eq!(invariant.see(&moment), Ok(()));
        let node = moment.nodes.get_mut(&2).unwrap();
        let opened = |purged: Option<usize>, entries: &[(u64, u64)]| {
            let slots: Vec<_> = log(entries).iter().map(|record| record.slot).collect();
            let begins = purged.map_or(0, |at| at + 1);
            Opened { purged: purged.map(|at| slots[at]), slots: slots[begins..].to_vec() }.into()
        };
        (node.boot, node.opened) = (2, opened(None, &[(1, 1)]));
        assert!(invariant.see(&moment).is_err());
        // What was given up is no loss, where another entry did not stand in its place.
        for (entries, is_sound) in [([(1, 1), (1, 1)], true), ([(1, 1), (2, 1)], false)] {
            moment.nodes.get_mut(&2).unwrap().opened = opened(Some(1), &entries);
            let mut invariant = DurableSurvives::default();
            assert_eq!(invariant.see(&sound(&[(1, 1), (1, 1)])), Ok(()));
            assert_eq!(invariant.see(&moment).is_ok(), is_sound);
        }
    }
}
