//! Inserting: first a walk down to a leaf, which suffices mostly; if the leaf is full, a second one that makes
//! room.

use std::sync::Arc;

use super::node::{Branch, CHILDREN_MAX, Leaf, Node};

/// What came of an entry.
pub(super) enum Placed<K, V> {
    Added,
    Replaced(V),
    /// The leaf has no room; nothing was changed.
    Full(K, V),
}

/// A new right neighbour of a node, with the separator between the two.
type Neighbour<K, V> = Option<(K, Arc<Node<K, V>>)>;

/// Puts the entry into its leaf if that has room, or replaces the value if the key is there.
pub(super) fn place<K: Ord + Clone, V: Clone>(root: &mut Arc<Node<K, V>>, key: K, value: V) -> Placed<K, V> {
    let mut node = Arc::make_mut(root);
    loop {
        match node {
            Node::Branch(branch) => {
                let index = branch.child_of(&key);
                node = Arc::make_mut(&mut branch.children[index]);
            }
            Node::Leaf(leaf) => return place_in_leaf(leaf, key, value),
        }
    }
}

fn place_in_leaf<K: Ord, V>(leaf: &mut Leaf<K, V>, key: K, value: V) -> Placed<K, V> {
    match leaf.find(&key) {
        Ok(at) => Placed::Replaced(std::mem::replace(&mut leaf.values[at], value)),
        Err(_) if leaf.is_full() => Placed::Full(key, value),
        Err(at) => {
            leaf.put(at, key, value);
            Placed::Added
        }
    }
}

/// Puts an entry whose leaf is full: splits what has to be split, up to the root.
pub(super) fn make_room<K: Ord + Clone, V: Clone>(root: &mut Arc<Node<K, V>>, key: K, value: V) {
    let neighbour = match Arc::make_mut(root) {
        Node::Leaf(leaf) => split_leaf(leaf, key, value, true),
        Node::Branch(branch) => make_room_below(branch, key, value, true),
    };
    if let Some((separator, right)) = neighbour {
        let left = Arc::clone(root);
        *root = Arc::new(Node::Branch(Branch::two(left, separator, right)));
    }
}

/// `at_edge`: the branch is the last one of its level.
fn make_room_below<K: Ord + Clone, V: Clone>(
    branch: &mut Branch<K, V>,
    key: K,
    value: V,
    at_edge: bool,
) -> Neighbour<K, V> {
    let index = branch.child_of(&key);
    let is_last = index + 1 == branch.children.len();
    let neighbour = match Arc::make_mut(&mut branch.children[index]) {
        Node::Branch(child) => make_room_below(child, key, value, at_edge && is_last),
        Node::Leaf(leaf) if is_last || !leaf.ends_before(&key) => {
            split_leaf(leaf, key, value, at_edge && is_last)
        }
        Node::Leaf(_) => put_behind(branch, index, key, value),
    };
    let (separator, right) = neighbour?;
    branch.separators.insert(index, separator);
    branch.children.insert(index + 1, right);
    if branch.children.len() <= CHILDREN_MAX {
        return None;
    }
    // What grows at the right edge leaves full nodes behind; two children stay together in every branch.
    let at = if at_edge && is_last { CHILDREN_MAX - 1 } else { CHILDREN_MAX / 2 };
    let (separator, right) = branch.split_off(at);
    Some((separator, Arc::new(Node::Branch(right))))
}

/// Splits a full leaf and puts the entry into its half. At the right edge a key behind all others starts a leaf
/// of its own instead, so that growing keys fill the leaves.
fn split_leaf<K: Ord + Clone, V>(leaf: &mut Leaf<K, V>, key: K, value: V, at_edge: bool) -> Neighbour<K, V> {
    if at_edge && leaf.ends_before(&key) {
        return Some((key.clone(), Arc::new(Node::Leaf(Leaf::one(key, value)))));
    }
    let mut right = leaf.split_off(leaf.keys.len() / 2);
    let half = if leaf.ends_before(&key) && right.keys[0] < key { &mut right } else { leaf };
    let at = half.find(&key).unwrap_or_else(|at| at);
    half.put(at, key, value);
    Some((right.keys[0].clone(), Arc::new(Node::Leaf(right))))
}

/// Puts an entry that belongs behind the last one of a full leaf: into the next leaf, or, when that is full too,
/// into a new one between the two. So keys that grow within a range of keys (one status, say) fill the leaves,
/// and a nearly empty leaf comes only between two full ones.
fn put_behind<K: Ord + Clone, V: Clone>(
    branch: &mut Branch<K, V>,
    index: usize,
    key: K,
    value: V,
) -> Neighbour<K, V> {
    let next = &mut branch.children[index + 1];
    if next.as_leaf().is_some_and(Leaf::is_full) {
        return Some((key.clone(), Arc::new(Node::Leaf(Leaf::one(key, value)))));
    }
    if let Node::Leaf(next) = Arc::make_mut(next) {
        branch.separators[index] = key.clone();
        next.put(0, key, value);
    }
    None
}

impl<K: Ord, V> Leaf<K, V> {
    fn ends_before(&self, key: &K) -> bool {
        self.keys.last().is_none_or(|last| last < key)
    }
}
