//! A slot is given out once.

use std::collections::BTreeMap;

use base::{Hash, Slot};

use super::Invariant;
use crate::moment::Moment;

/// Wherever and whenever an entry stands at a slot, it is the same entry.
#[derive(Debug, Default)]
pub struct SlotUnique {
    entries: BTreeMap<Slot, Hash>,
}

impl Invariant for SlotUnique {
    fn name(&self) -> &'static str {
        "slot unique"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            for record in node.log.iter().skip(node.changed_from) {
                let hash = *self.entries.entry(record.slot).or_insert(record.hash);
                if hash != record.hash {
                    return Err(format!("node {} has another entry at {}", node.id, record.slot));
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
    fn another_entry_at_the_same_slot_is_noticed_also_later() {
        let mut unique = SlotUnique::default();
        let mut moment = sound(&[(1, 1), (1, 1)]);
        assert_eq!(unique.see(&moment), Ok(()));
        moment.nodes.get_mut(&2).unwrap().log[1].hash = Hash::of(b"another");
        assert!(unique.see(&moment).is_err());
    }
}
