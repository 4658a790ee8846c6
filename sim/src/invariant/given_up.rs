//! Only what is committed, and nobody is to keep, is given up.

use std::collections::BTreeMap;

use base::{Hash, Slot};

use super::Invariant;
use crate::known::Committed;
use crate::moment::{Moment, NodeView};

/// A node begins behind an entry that was committed, and that a committed record in the log gives up. Where readers see
/// equally much, they see the same beginning; and where two logs end with the same entry, they have one root, whatever
/// each of them holds of it.
#[derive(Debug, Default)]
pub struct GivenUp {
    committed: Committed,
    /// Up to where the log's beginning was given up, as far as any node has shown.
    trimmed: u64,
    /// Where the log begins for readers who see it up to a position.
    begins: BTreeMap<u64, u64>,
    roots: BTreeMap<Slot, Hash>,
}

impl Invariant for GivenUp {
    fn name(&self) -> &'static str {
        "given up"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        self.committed.learn(moment);
        let up = || moment.nodes.values().filter(|node| node.up);
        self.trimmed = self.trimmed.max(up().map(|node| node.trimmed).max().unwrap_or(0));
        for node in up() {
            self.check_beginning(node)?;
            let begins = *self.begins.entry(node.visible).or_insert(node.trimmed);
            if begins != node.trimmed {
                let NodeView { id, visible, trimmed, .. } = node;
                return Err(format!("up to {visible} the log begins at {begins}, on node {id} at {trimmed}"));
            }
            let Some((last, root)) = node.root else { continue };
            if *self.roots.entry(last).or_insert(root) != root {
                return Err(format!("node {} has another root up to {last}", node.id));
            }
        }
        Ok(())
    }
}

impl GivenUp {
    fn check_beginning(&self, node: &NodeView) -> Result<(), String> {
        let (Some(purged), id) = (node.purged, node.id) else { return Ok(()) };
        let committed = &self.committed.0;
        let known = usize::try_from(purged.index.0).ok().and_then(|at| committed.get(at));
        if known.is_none_or(|record| record.slot != purged) {
            return Err(format!("node {id} gave up {purged}, and committed there is {known:?}"));
        }
        match node.begins() > self.trimmed {
            true => Err(format!("node {id} gave up {purged}, and the log begins at {}", self.trimmed)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::samples::{log, sound};

    const ENTRIES: [(u64, u64); 3] = [(1, 1), (1, 1), (1, 1)];

    /// Three nodes, of which all have shown that the first entry is given up, and one has given it up.
    fn given_up() -> Moment {
        let mut moment = sound(&ENTRIES);
        moment.nodes.values_mut().for_each(|node| node.trimmed = 1);
        moment.nodes.get_mut(&2).unwrap().purged = Some(log(&ENTRIES)[0].slot);
        moment
    }

    #[test]
    fn what_is_given_up_without_a_record_or_before_it_is_committed_is_noticed() {
        assert_eq!(GivenUp::default().see(&given_up()), Ok(()));
        let mut moment = given_up();
        moment.nodes.get_mut(&2).unwrap().purged = Some(log(&ENTRIES)[1].slot);
        assert!(GivenUp::default().see(&moment).is_err(), "nothing gives that entry up");
        let mut moment = given_up();
        moment.nodes.values_mut().for_each(|node| node.visible = 0);
        assert!(GivenUp::default().see(&moment).is_err(), "it is not committed");
        let mut moment = given_up();
        moment.nodes.get_mut(&2).unwrap().purged = Some(log(&[(2, 1)])[0].slot);
        assert!(GivenUp::default().see(&moment).is_err(), "another entry is committed there");
    }

    #[test]
    fn logs_that_begin_or_sum_up_differently_are_noticed() {
        let mut moment = given_up();
        moment.nodes.get_mut(&3).unwrap().trimmed = 0;
        assert!(GivenUp::default().see(&moment).is_err());
        let mut moment = given_up();
        let last = log(&ENTRIES)[2].slot;
        moment.nodes.get_mut(&1).unwrap().root = Some((last, Hash::ZERO));
        assert_eq!(GivenUp::default().see(&moment), Ok(()));
        moment.nodes.get_mut(&3).unwrap().root = Some((last, Hash::of(b"another")));
        assert!(GivenUp::default().see(&moment).is_err());
    }
}
