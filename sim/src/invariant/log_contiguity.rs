//! Logs have no gaps.

use super::Invariant;
use crate::moment::Moment;

/// In every log, each entry stands where the one before ends.
#[derive(Debug, Default)]
pub struct LogContiguity;

impl Invariant for LogContiguity {
    fn name(&self) -> &'static str {
        "log contiguity"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            for (at, record) in node.log.iter().enumerate().skip(node.changed_from) {
                if record.slot.index.0 != at as u64 {
                    return Err(format!("node {} has entry {} at {at}", node.id, record.slot));
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
    fn a_gap_is_noticed() {
        let mut moment = sound(&[(1, 1), (1, 1), (1, 1)]);
        moment.nodes.get_mut(&1).unwrap().log.remove(1);
        assert!(LogContiguity.see(&moment).is_err());
    }
}
