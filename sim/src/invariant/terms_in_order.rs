//! Leaders come one after the other.

use super::Invariant;
use crate::moment::Moment;

/// In every log, terms never decrease; nor do nodes within a term, of which the last one leads.
#[derive(Debug, Default)]
pub struct TermsInOrder;

impl Invariant for TermsInOrder {
    fn name(&self) -> &'static str {
        "terms in order"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            let changed = &node.log[node.changed_from.saturating_sub(1).min(node.log.len())..];
            for pair in changed.windows(2) {
                let leader = |at: usize| (pair[at].slot.term, pair[at].slot.node);
                if leader(0) > leader(1) {
                    return Err(format!("node {} has {} behind {}", node.id, pair[1].slot, pair[0].slot));
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
    fn an_earlier_leader_behind_a_later_one_is_noticed() {
        assert!(TermsInOrder.see(&sound(&[(2, 1), (1, 1)])).is_err());
        assert!(TermsInOrder.see(&sound(&[(1, 2), (1, 1)])).is_err());
        assert!(TermsInOrder.see(&sound(&[(1, 1), (1, 2)])).is_ok());
    }
}
