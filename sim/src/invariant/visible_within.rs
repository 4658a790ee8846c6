//! Readers see what is committed and durable, and nothing else.

use super::Invariant;
use crate::moment::Moment;

/// What is visible on a node is committed as far as it knows, durable there, and within its log.
#[derive(Debug, Default)]
pub struct VisibleWithin;

impl Invariant for VisibleWithin {
    fn name(&self) -> &'static str {
        "visible within"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            let (visible, end) = (node.visible, node.log.len() as u64);
            if visible > node.committed || visible > node.durable || node.durable > end {
                let (committed, durable) = (node.committed, node.durable);
                let where_ = format!("committed {committed}, durable {durable}, end {end}");
                return Err(format!("node {} shows its readers {visible}: {where_}", node.id));
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
    fn readers_that_see_more_than_is_committed_or_durable_are_noticed() {
        let mut moment = sound(&[(1, 1), (1, 1)]);
        moment.nodes.get_mut(&1).unwrap().committed = 1;
        assert!(VisibleWithin.see(&moment).is_err());
        let mut moment = sound(&[(1, 1), (1, 1)]);
        moment.nodes.get_mut(&1).unwrap().durable = 1;
        assert!(VisibleWithin.see(&moment).is_err());
    }
}
