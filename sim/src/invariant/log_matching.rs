//! Equal places mean equal logs.

use std::collections::BTreeMap;

use base::{Hash, Slot};

use super::Invariant;
use crate::moment::Moment;

/// Wherever an entry stands at its slot, what is before it is the same.
#[derive(Debug, Default)]
pub struct LogMatching {
    chains: BTreeMap<Slot, Hash>,
}

impl Invariant for LogMatching {
    fn name(&self) -> &'static str {
        "log matching"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            for record in node.log.iter().skip(node.changed_from) {
                let chain = *self.chains.entry(record.slot).or_insert(record.chain);
                if chain != record.chain {
                    return Err(format!("node {} has another log before {}", node.id, record.slot));
                }
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
    fn another_log_before_the_same_entry_is_noticed() {
        let mut moment = sound(&[(1, 1), (1, 1)]);
        moment.nodes.get_mut(&2).unwrap().log[1].chain = Hash::of(b"another");
        assert!(LogMatching::default().see(&moment).is_err());
    }
}
