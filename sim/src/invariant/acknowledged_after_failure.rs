//! Nothing is acknowledged behind a failed sync.

use std::collections::BTreeMap;

use replication::Role;

use super::Invariant;
use crate::moment::Moment;

/// A log of which nobody knows what the disk holds, has nothing further durable until it is opened again; and no node stops
/// but over its disk.
#[derive(Debug, Default)]
pub struct AcknowledgedAfterFailure {
    stopped: BTreeMap<u64, (u32, u64)>,
}

impl Invariant for AcknowledgedAfterFailure {
    fn name(&self) -> &'static str {
        "acknowledged after failure"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            if !node.harmed && (node.poisoned || node.role == Role::Idle) {
                return Err(format!("node {} stopped, and its disk did not fail", node.id));
            }
            if !node.poisoned {
                continue;
            }
            let (boot, durable) = *self.stopped.entry(node.id).or_insert((node.boot, node.durable));
            if boot != node.boot {
                self.stopped.insert(node.id, (node.boot, node.durable));
            } else if node.durable > durable {
                let now = node.durable;
                return Err(format!("node {} stopped at {durable}, and has {now} durable", node.id));
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
    fn a_node_that_goes_on_behind_a_failure_is_noticed() {
        let mut invariant = AcknowledgedAfterFailure::default();
        let mut moment = sound(&[(1, 1), (1, 1)]);
        let node = moment.nodes.get_mut(&2).unwrap();
        (node.poisoned, node.harmed, node.durable) = (true, true, 1);
        assert_eq!(invariant.see(&moment), Ok(()));
        moment.nodes.get_mut(&2).unwrap().durable = 2;
        assert!(invariant.see(&moment).is_err());
        moment.nodes.get_mut(&2).unwrap().harmed = false;
        assert!(AcknowledgedAfterFailure::default().see(&moment).is_err());
    }
}
