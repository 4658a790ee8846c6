//! Nobody is accused of a fork: all leaders are honest.

use super::Invariant;
use crate::moment::Moment;

/// No node has a proof that somebody signed two entries for one place, nor finds others that count other entries as committed.
#[derive(Debug, Default)]
pub struct NobodyForks;

impl Invariant for NobodyForks {
    fn name(&self) -> &'static str {
        "nobody forks"
    }

    fn see(&mut self, moment: &Moment) -> Result<(), String> {
        for node in moment.nodes.values().filter(|node| node.up) {
            if (node.forks, node.diverges_from.len()) != (0, 0) {
                let (id, forks, others) = (node.id, node.forks, &node.diverges_from);
                return Err(format!("node {id} found {forks} forks, and other entries on nodes {others:?}"));
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
    fn a_fork_and_a_divergence_are_noticed() {
        let sees = |moment: &Moment| NobodyForks.see(moment);
        let mut forked = sound(&[(1, 1)]);
        assert_eq!(sees(&forked), Ok(()));
        let mut diverged = forked.clone();
        forked.nodes.get_mut(&2).unwrap().forks = 1;
        assert!(sees(&forked).is_err());
        diverged.nodes.get_mut(&3).unwrap().diverges_from.push(1);
        assert!(sees(&diverged).is_err());
    }
}
