//! What readers see is the same everywhere.

use super::Invariant;
use crate::known::Committed;
use crate::moment::Moment;

/// What is visible at a place on some node is what was ever visible there on any.
#[derive(Debug, Default)]
pub struct StateMachineSafety {
    committed: Committed,
}

impl Invariant for StateMachineSafety {
    fn name(&self) -> &'static str {
        "state machine safety"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        self.committed.learn(moment);
        for node in moment.nodes.values().filter(|node| node.up) {
            let Some(last) = usize::try_from(node.visible).ok().and_then(|visible| visible.checked_sub(1))
            else {
                continue;
            };
            let (shown, known) = (node.log.get(last), self.committed.0.get(last));
            if shown.is_some() && shown.map(|record| record.chain) != known.map(|record| record.chain) {
                return Err(format!("node {} shows another entry at {last}", node.id));
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
    fn different_visible_entries_are_noticed() {
        let mut moment = sound(&[(1, 1), (1, 1)]);
        moment.nodes.get_mut(&2).unwrap().log = log(&[(1, 1), (2, 2)]);
        assert!(StateMachineSafety::default().see(&moment).is_err());
    }
}
