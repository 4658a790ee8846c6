//! Ordered maps and sets whose snapshots take constant time: what folded state is held in.
//!
//! A map is a B+ tree: entries in leaves, all at one depth, under branches of up to 64 children. Nodes are counted
//! references. [`Clone`] takes another reference to the root: that is a snapshot, and stays as it is. A writer
//! copies a node before it changes it if, and only if, a snapshot holds it too; so without living snapshots
//! everything is changed in place.
//!
//! Measurements, alternatives and reasons are in `docs/state-spike.md`.

mod insert;
mod node;
mod range;
mod remove;
mod set;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use insert::Placed;
use node::{Leaf, Node};
pub use range::{Iter, Range};
pub use set::OrderedSet;

/// An ordered map with snapshots in constant time.
///
/// Cost: `get`, `insert`, `remove`, `get_mut` O(log n); `clone`, `len` and `is_empty` O(1). The first change of a
/// leaf after a snapshot copies that leaf (up to 64 entries; 32 if values own memory) and the branches above it.
/// Dropping a map drops what no snapshot holds, with a stack as deep as the tree is high.
///
/// Memory: keys that arrive in ascending order, of all keys or within a range of them, fill the leaves; in random
/// order two thirds of the room are used. Leaves that fall below a third are merged.
pub struct OrderedMap<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

impl<K, V> OrderedMap<K, V> {
    /// Makes an empty map.
    pub fn new() -> Self {
        OrderedMap { root: Arc::new(Node::Leaf(Leaf::new())), len: 0 }
    }

    /// Counts the entries, in constant time.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes everything; snapshots keep what they have.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

impl<K: Ord, V> OrderedMap<K, V> {
    /// Gives the value of the key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Branch(branch) => node = &branch.children[branch.child_of(key)],
                Node::Leaf(leaf) => return leaf.find(key).ok().map(|at| &leaf.values[at]),
            }
        }
    }

    /// Whether the key is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Gives the entry with the lowest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    /// Gives the entry with the highest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        self.iter().next_back()
    }

    /// Walks over all entries in ascending order of their keys, and from the back in descending order.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.root, self.len)
    }

    /// Walks over the entries between two bounds, each included, excluded or open, from both ends. A start behind
    /// the end gives nothing.
    pub fn range(&self, bounds: impl RangeBounds<K>) -> Range<'_, K, V> {
        Range::new(&self.root, &bounds)
    }

    /// Walks over the keys in ascending order, and from the back in descending order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Walks over the values in ascending order of their keys, and from the back in descending order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord + Clone, V: Clone> OrderedMap<K, V> {
    /// Puts a value; gives the one that the key had. The key that was there stays.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match insert::place(&mut self.root, key, value) {
            Placed::Replaced(value) => return Some(value),
            Placed::Added => {}
            Placed::Full(key, value) => insert::make_room(&mut self.root, key, value),
        }
        self.len += 1;
        None
    }

    /// Removes the entry; gives its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let taken = remove::take(&mut self.root, key)?;
        if taken.is_sparse {
            remove::mend(&mut self.root, key);
        }
        self.len -= 1;
        Some(taken.value)
    }

    /// Gives the value of the key to be changed; snapshots keep the value that they have.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let mut node = Arc::make_mut(&mut self.root);
        loop {
            match node {
                Node::Branch(branch) => {
                    let index = branch.child_of(key);
                    node = Arc::make_mut(&mut branch.children[index]);
                }
                Node::Leaf(leaf) => return leaf.find(key).ok().map(|at| &mut leaf.values[at]),
            }
        }
    }
}

impl<K, V> Clone for OrderedMap<K, V> {
    /// Takes a snapshot, in constant time.
    fn clone(&self) -> Self {
        OrderedMap { root: Arc::clone(&self.root), len: self.len }
    }
}

impl<K, V> Default for OrderedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for OrderedMap<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for OrderedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord, V: Eq> Eq for OrderedMap<K, V> {}

impl<K: Ord + Clone, V: Clone> Extend<(K, V)> for OrderedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for OrderedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<'a, K: Ord, V> IntoIterator for &'a OrderedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}
