//! Walks over a part of the map, from both ends.

use std::iter::FusedIterator;
use std::ops::{Bound, RangeBounds};

use super::node::{Branch, Leaf, Node};

/// The entries of an [`OrderedMap`](super::OrderedMap) between two bounds, in ascending order of their keys; from
/// the back in descending order.
///
/// Cost: O(log n) to make, without allocation; a step takes constant time, and O(log n) about every 2,000 entries.
pub struct Range<'a, K, V> {
    root: &'a Node<K, V>,
    front: Cursor<'a, K, V>,
    back: Cursor<'a, K, V>,
}

/// All entries of an [`OrderedMap`](super::OrderedMap), like [`Range`], with a known length.
pub struct Iter<'a, K, V> {
    range: Range<'a, K, V>,
    remaining: usize,
}

/// A place between two entries: before the entry `index` of `leaf`, which is the child `child` of `parent`.
struct Cursor<'a, K, V> {
    parent: Option<&'a Branch<K, V>>,
    child: usize,
    leaf: &'a Leaf<K, V>,
    index: usize,
}

impl<'a, K: Ord, V> Range<'a, K, V> {
    pub(super) fn all(root: &'a Node<K, V>) -> Self {
        Range { root, front: Cursor::first(root), back: Cursor::last(root) }
    }

    pub(super) fn new(root: &'a Node<K, V>, bounds: &impl RangeBounds<K>) -> Self {
        let front = match bounds.start_bound() {
            Bound::Unbounded => Cursor::first(root),
            Bound::Included(key) => Cursor::at(root, key, false),
            Bound::Excluded(key) => Cursor::at(root, key, true),
        };
        let back = match bounds.end_bound() {
            _ if is_inverted(bounds) => front.clone(),
            Bound::Unbounded => Cursor::last(root),
            Bound::Included(key) => Cursor::at(root, key, true),
            Bound::Excluded(key) => Cursor::at(root, key, false),
        };
        Range { root, front, back }
    }
}

/// Whether the start is behind the end. Both cursors are then one, since a start behind the end would walk to the
/// end of the map.
fn is_inverted<K: Ord>(bounds: &impl RangeBounds<K>) -> bool {
    let (Bound::Included(start) | Bound::Excluded(start)) = bounds.start_bound() else { return false };
    let (Bound::Included(end) | Bound::Excluded(end)) = bounds.end_bound() else { return false };
    start > end
}

impl<'a, K: Ord, V> Iterator for Range<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let leaf = self.front.leaf;
            let is_last = std::ptr::eq(leaf, self.back.leaf);
            let end = if is_last { self.back.index } else { leaf.keys.len() };
            let index = self.front.index;
            if index < end {
                self.front.index += 1;
                return Some((&leaf.keys[index], &leaf.values[index]));
            }
            if is_last {
                return None;
            }
            self.front.move_to_next_leaf(self.root);
        }
    }
}

impl<K: Ord, V> DoubleEndedIterator for Range<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let leaf = self.back.leaf;
            let is_last = std::ptr::eq(leaf, self.front.leaf);
            let start = if is_last { self.front.index } else { 0 };
            if self.back.index > start {
                self.back.index -= 1;
                return Some((&leaf.keys[self.back.index], &leaf.values[self.back.index]));
            }
            if is_last {
                return None;
            }
            self.back.move_to_previous_leaf(self.root);
        }
    }
}

impl<K: Ord, V> FusedIterator for Range<'_, K, V> {}

impl<'a, K: Ord, V> Iter<'a, K, V> {
    pub(super) fn new(root: &'a Node<K, V>, len: usize) -> Self {
        Iter { range: Range::all(root), remaining: len }
    }
}

impl<'a, K: Ord, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.range.next()?;
        self.remaining -= 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl<K: Ord, V> DoubleEndedIterator for Iter<'_, K, V> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let entry = self.range.next_back()?;
        self.remaining -= 1;
        Some(entry)
    }
}

impl<K: Ord, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K: Ord, V> FusedIterator for Iter<'_, K, V> {}

impl<'a, K: Ord, V> Cursor<'a, K, V> {
    /// Before the first entry below the node.
    fn first(node: &'a Node<K, V>) -> Self {
        Self::descend(node, |_| 0, |_| 0)
    }

    /// Behind the last entry below the node.
    fn last(node: &'a Node<K, V>) -> Self {
        Self::descend(node, |branch| branch.separators.len(), |leaf| leaf.keys.len())
    }

    /// Before the entry with the key, or behind it; where it would be if there is none.
    fn at(node: &'a Node<K, V>, key: &K, is_behind: bool) -> Self {
        let index = |leaf: &Leaf<K, V>| match leaf.find(key) {
            Ok(at) => at + usize::from(is_behind),
            Err(at) => at,
        };
        Self::descend(node, |branch| branch.child_of(key), index)
    }

    fn descend(
        mut node: &'a Node<K, V>,
        child_of: impl Fn(&Branch<K, V>) -> usize,
        index: impl Fn(&Leaf<K, V>) -> usize,
    ) -> Self {
        let (mut parent, mut child) = (None, 0);
        loop {
            match node {
                Node::Leaf(leaf) => return Cursor { parent, child, leaf, index: index(leaf) },
                Node::Branch(branch) => {
                    child = child_of(branch);
                    parent = Some(branch);
                    node = &branch.children[child];
                }
            }
        }
    }

    /// To the start of the next leaf; the caller knows that there is one.
    fn move_to_next_leaf(&mut self, root: &'a Node<K, V>) {
        match self.sibling(self.child.wrapping_add(1)) {
            Some(leaf) => {
                self.child += 1;
                (self.leaf, self.index) = (leaf, 0);
            }
            None => {
                let turn = self.turn(root, |branch, index| branch.children.get(index + 1));
                *self = Cursor::first(turn);
            }
        }
    }

    /// To the end of the previous leaf; the caller knows that there is one.
    fn move_to_previous_leaf(&mut self, root: &'a Node<K, V>) {
        match self.sibling(self.child.wrapping_sub(1)) {
            Some(leaf) => {
                self.child -= 1;
                (self.leaf, self.index) = (leaf, leaf.keys.len());
            }
            None => {
                let turn = self.turn(root, |branch, index| branch.children.get(index.wrapping_sub(1)));
                *self = Cursor::last(turn);
            }
        }
    }

    fn sibling(&self, child: usize) -> Option<&'a Leaf<K, V>> {
        self.parent?.children.get(child)?.as_leaf()
    }

    /// The neighbour of the lowest node above this leaf that has one in its branch.
    fn turn(
        &self,
        root: &'a Node<K, V>,
        neighbour: impl Fn(&'a Branch<K, V>, usize) -> Option<&'a std::sync::Arc<Node<K, V>>>,
    ) -> &'a Node<K, V> {
        let key = &self.leaf.keys[0];
        let (mut node, mut turn) = (root, root);
        while let Node::Branch(branch) = node {
            let index = branch.child_of(key);
            if let Some(other) = neighbour(branch, index) {
                turn = other;
            }
            node = &branch.children[index];
        }
        turn
    }
}

impl<K, V> Clone for Cursor<'_, K, V> {
    fn clone(&self) -> Self {
        Cursor { parent: self.parent, child: self.child, leaf: self.leaf, index: self.index }
    }
}

impl<K, V> Clone for Range<'_, K, V> {
    fn clone(&self) -> Self {
        Range { root: self.root, front: self.front.clone(), back: self.back.clone() }
    }
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter { range: self.range.clone(), remaining: self.remaining }
    }
}
