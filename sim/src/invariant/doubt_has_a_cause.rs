//! Nobody loses anything but by a disk that does.

use super::Invariant;
use crate::moment::Moment;

/// A node that missed something when it started, which the others had to give back, has a disk that was damaged, or made to
/// fail: no crash alone leads there, wherever it comes.
#[derive(Debug, Default)]
pub struct DoubtHasACause;

impl Invariant for DoubtHasACause {
    fn name(&self) -> &'static str {
        "doubt has a cause"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        let all = moment.nodes.values().filter(|node| node.up);
        match all.filter(|node| node.repaired && !node.damaged).map(|node| node.id).next() {
            Some(id) => Err(format!("node {id} missed something when it started, and its disk lost nothing")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::samples::sound;

    #[test]
    fn a_node_that_misses_something_after_a_mere_crash_is_noticed() {
        let mut moment = sound(&[(1, 1)]);
        let node = moment.nodes.get_mut(&2).unwrap();
        (node.repaired, node.damaged) = (true, true);
        assert_eq!(DoubtHasACause.see(&moment), Ok(()));
        moment.nodes.get_mut(&2).unwrap().damaged = false;
        assert!(DoubtHasACause.see(&moment).is_err());
    }
}
