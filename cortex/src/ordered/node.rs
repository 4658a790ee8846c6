//! The nodes of the tree: what they hold, how a key is found in them, how they are copied.

use std::borrow::Borrow;
use std::sync::Arc;

/// Children that a branch holds at most.
pub(super) const CHILDREN_MAX: usize = 64;

/// A branch with fewer children, unless it is the root or at the right edge, is merged or filled up.
pub(super) const CHILDREN_MIN: usize = CHILDREN_MAX / 3;

/// A subtree. Every way from the root to a leaf has the same length.
#[derive(Clone)]
pub(super) enum Node<K, V> {
    Leaf(Leaf<K, V>),
    Branch(Branch<K, V>),
}

/// Entries in ascending order of their keys. Only the leaf that is the whole tree may be empty.
pub(super) struct Leaf<K, V> {
    pub(super) keys: Vec<K>,
    pub(super) values: Vec<V>,
}

/// Two children or more. `separators[i]` is above all keys of `children[i]` and not above any of
/// `children[i + 1]`; it need not be the key of an entry.
pub(super) struct Branch<K, V> {
    pub(super) separators: Vec<K>,
    pub(super) children: Vec<Arc<Node<K, V>>>,
}

impl<K, V> Node<K, V> {
    pub(super) fn as_leaf(&self) -> Option<&Leaf<K, V>> {
        match self {
            Node::Leaf(leaf) => Some(leaf),
            Node::Branch(_) => None,
        }
    }

    pub(super) fn is_sparse(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.is_sparse(),
            Node::Branch(branch) => branch.children.len() < CHILDREN_MIN,
        }
    }
}

impl<K, V> Leaf<K, V> {
    /// Entries that a leaf holds at most. The copy of a value that owns memory touches that memory (an `Arc` its
    /// counter), which is most of the cost of copying a leaf: such leaves are smaller.
    pub(super) const ENTRIES_MAX: usize = if std::mem::needs_drop::<V>() { 32 } else { 64 };

    /// A leaf with fewer entries, unless it is the root or at the right edge, is merged or filled up.
    pub(super) const ENTRIES_MIN: usize = Self::ENTRIES_MAX / 3;

    pub(super) fn new() -> Self {
        Leaf { keys: Vec::new(), values: Vec::new() }
    }

    pub(super) fn one(key: K, value: V) -> Self {
        let mut leaf = Self::with_capacity(Self::ENTRIES_MAX);
        leaf.keys.push(key);
        leaf.values.push(value);
        leaf
    }

    fn with_capacity(entries: usize) -> Self {
        Leaf { keys: Vec::with_capacity(entries), values: Vec::with_capacity(entries) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= Self::ENTRIES_MAX
    }

    pub(super) fn is_sparse(&self) -> bool {
        self.keys.len() < Self::ENTRIES_MIN
    }

    /// The place of the key, or the place where it would be.
    pub(super) fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // Keys mostly grow: a search that ends behind the last key takes one comparison.
        match self.keys.last() {
            Some(last) if last.borrow() < key => Err(self.keys.len()),
            _ => self.keys.binary_search_by(|other| other.borrow().cmp(key)),
        }
    }

    pub(super) fn put(&mut self, at: usize, key: K, value: V) {
        self.keys.insert(at, key);
        self.values.insert(at, value);
    }

    /// Moves the entries from `at` on into a new leaf.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        let mut right = Self::with_capacity(Self::ENTRIES_MAX);
        right.keys.extend(self.keys.drain(at..));
        right.values.extend(self.values.drain(at..));
        right
    }
}

impl<K, V> Branch<K, V> {
    pub(super) fn two(left: Arc<Node<K, V>>, separator: K, right: Arc<Node<K, V>>) -> Self {
        let mut branch = Self::with_capacity(CHILDREN_MAX);
        branch.separators.push(separator);
        branch.children.extend([left, right]);
        branch
    }

    // One child more than the most fits: a branch is split after it has got it.
    fn with_capacity(children: usize) -> Self {
        Branch { separators: Vec::with_capacity(children), children: Vec::with_capacity(children + 1) }
    }

    /// The index of the child that holds the key if any does.
    pub(super) fn child_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        match self.separators.last() {
            Some(last) if last.borrow() <= key => self.separators.len(),
            _ => self.separators.partition_point(|separator| separator.borrow() <= key),
        }
    }

    /// Moves the children from `at` on into a new branch; the separator between the two is given back.
    ///
    /// # Panics
    ///
    /// If one of the two would have no child.
    pub(super) fn split_off(&mut self, at: usize) -> (K, Self) {
        let mut right = Self::with_capacity(CHILDREN_MAX);
        right.separators.extend(self.separators.drain(at..));
        right.children.extend(self.children.drain(at..));
        let separator = self.separators.pop().expect("a branch is split between two children");
        (separator, right)
    }
}

impl<K: Clone, V: Clone> Clone for Leaf<K, V> {
    /// Copies with room for one entry more, since a leaf is copied to be changed.
    fn clone(&self) -> Self {
        let room = (self.keys.len() + 1).next_power_of_two().min(Self::ENTRIES_MAX);
        let mut copy = Self::with_capacity(room);
        copy.keys.extend_from_slice(&self.keys);
        copy.values.extend_from_slice(&self.values);
        copy
    }
}

impl<K: Clone, V> Clone for Branch<K, V> {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(CHILDREN_MAX);
        copy.separators.extend_from_slice(&self.separators);
        copy.children.extend_from_slice(&self.children);
        copy
    }
}
