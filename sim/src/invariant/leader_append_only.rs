//! A leader cuts nothing off.

use std::collections::BTreeMap;

use super::Invariant;
use crate::moment::Moment;

/// While a node leads, its log only grows.
#[derive(Debug, Default)]
pub struct LeaderAppendOnly {
    /// Of each node that led: start, leadership, end of its log.
    led: BTreeMap<u64, (u32, (u64, u64), usize)>,
}

impl Invariant for LeaderAppendOnly {
    fn name(&self) -> &'static str {
        "leader append only"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values() {
            let Some(leads) = node.leadership() else {
                self.led.remove(&node.id);
                continue;
            };
            let before = self.led.insert(node.id, (node.boot, leads, node.log.len()));
            if let Some((boot, led, end)) = before
                && (boot, led) == (node.boot, leads)
                && (node.changed_from < end || node.log.len() < end)
            {
                return Err(format!("node {} cut its log while it led, at {}", node.id, node.changed_from));
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
    fn a_leader_that_cuts_its_log_is_noticed() {
        let mut invariant = LeaderAppendOnly::default();
        let mut moment = sound(&[(1, 1), (1, 1)]);
        assert_eq!(invariant.see(&moment), Ok(()));
        moment.nodes.get_mut(&1).unwrap().log = log(&[(1, 1)]);
        moment.nodes.values_mut().for_each(|node| node.changed_from = node.log.len());
        assert!(invariant.see(&moment).is_err());
    }
}
