//! The log root: a Merkle mountain range over (slot, entry hash).
//!
//! Source: the range as described for hash-timestamping by Todd, and for certificate logs in RFC 6962 2.1; the
//! root hashes the position and the peaks from the largest tree to the smallest.

use base::{Hash, Index, Position, Slot};

use crate::hashing::LogHasher;

/// The peaks of the range over all entries below a position; at most 64 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogRoot {
    leaves: u64,
    peaks: Vec<Hash>,
}

impl LogRoot {
    pub(crate) fn from_parts(leaves: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == leaves.count_ones() as usize).then_some(Self { leaves, peaks })
    }

    pub(crate) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    pub(crate) fn position(&self) -> Position {
        Position(self.leaves)
    }

    pub(crate) fn push(&mut self, hasher: &LogHasher, slot: Slot, entry: &Hash) {
        let mut peak = hasher.leaf(slot, entry);
        let mut leaves = self.leaves;
        while leaves & 1 == 1 {
            let left = self.peaks.pop().expect("there is a peak for every set bit of the leaf count");
            peak = hasher.node(&left, &peak);
            leaves >>= 1;
        }
        self.peaks.push(peak);
        self.leaves += 1;
    }

    /// Stands in for entries that were lost: a leaf without slot and hash for each index below `next`.
    pub(crate) fn skip_to(&mut self, hasher: &LogHasher, next: Index) {
        while self.leaves < next.0 {
            let slot = Slot { term: base::Term(0), node: base::NodeId(0), index: Index(self.leaves) };
            self.push(hasher, slot, &Hash::ZERO);
        }
    }

    pub(crate) fn hash(&self, hasher: &LogHasher) -> Hash {
        hasher.root(self.position(), &self.peaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{LogId, NodeId, Term};

    fn slot(index: u64) -> Slot {
        Slot { term: Term(1), node: NodeId(0), index: Index(index) }
    }

    /// The definition: split at the largest power of two, from the left.
    fn naive_peaks(hasher: &LogHasher, leaves: &[Hash]) -> Vec<Hash> {
        fn tree(hasher: &LogHasher, leaves: &[Hash]) -> Hash {
            match leaves {
                [leaf] => *leaf,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len() / 2);
                    hasher.node(&tree(hasher, left), &tree(hasher, right))
                }
            }
        }
        let mut rest = leaves;
        let mut peaks = Vec::new();
        while !rest.is_empty() {
            let (left, right) = rest.split_at(1 << rest.len().ilog2());
            peaks.push(tree(hasher, left));
            rest = right;
        }
        peaks
    }

    #[test]
    fn peaks_agree_with_the_definition_at_every_length() {
        let hasher = LogHasher::new(LogId::from_bytes([1; 16]));
        let mut root = LogRoot::default();
        let mut leaves = Vec::new();
        let mut roots = std::collections::BTreeSet::new();
        for index in 0..100 {
            assert_eq!(root.peaks(), naive_peaks(&hasher, &leaves));
            assert!(roots.insert(root.hash(&hasher).to_string()));
            let hash = Hash::of(&[index]);
            leaves.push(hasher.leaf(slot(index.into()), &hash));
            root.push(&hasher, slot(index.into()), &hash);
        }
    }

    #[test]
    fn the_slot_is_part_of_the_root() {
        let hasher = LogHasher::new(LogId::from_bytes([1; 16]));
        let root = |slot| {
            let mut root = LogRoot::default();
            root.push(&hasher, slot, &Hash::of(b"entry"));
            root.hash(&hasher)
        };
        assert_ne!(root(slot(0)), root(Slot { term: Term(2), ..slot(0) }));
    }
}
