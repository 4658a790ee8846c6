//! Removing: first a walk down to the leaf, which suffices mostly; if the leaf has become sparse, a second one
//! that merges or fills up.

use std::borrow::Borrow;
use std::sync::Arc;

use super::node::{Branch, CHILDREN_MAX, Leaf, Node};

/// What came of a removal.
pub(super) struct Taken<V> {
    pub(super) value: V,
    /// The leaf has become sparse: [`mend`] must follow.
    pub(super) is_sparse: bool,
}

/// Takes the entry out of its leaf.
pub(super) fn take<K, V, Q>(root: &mut Arc<Node<K, V>>, key: &Q) -> Option<Taken<V>>
where
    K: Borrow<Q> + Clone,
    V: Clone,
    Q: Ord + ?Sized,
{
    let mut node = Arc::make_mut(root);
    loop {
        match node {
            Node::Branch(branch) => {
                let index = branch.child_of(key);
                node = Arc::make_mut(&mut branch.children[index]);
            }
            Node::Leaf(leaf) => {
                let at = leaf.find(key).ok()?;
                leaf.keys.remove(at);
                return Some(Taken { value: leaf.values.remove(at), is_sparse: leaf.is_sparse() });
            }
        }
    }
}

/// Merges or fills up the sparse nodes on the way to the key, and lowers the tree if one child is left.
pub(super) fn mend<K, V, Q>(root: &mut Arc<Node<K, V>>, key: &Q)
where
    K: Borrow<Q> + Clone,
    V: Clone,
    Q: Ord + ?Sized,
{
    let Node::Branch(branch) = Arc::make_mut(root) else { return };
    mend_below(branch, key);
    if let [child] = branch.children.as_slice() {
        *root = Arc::clone(child);
    }
}

fn mend_below<K, V, Q>(branch: &mut Branch<K, V>, key: &Q)
where
    K: Borrow<Q> + Clone,
    V: Clone,
    Q: Ord + ?Sized,
{
    let index = branch.child_of(key);
    if let Node::Branch(child) = Arc::make_mut(&mut branch.children[index]) {
        mend_below(child, key);
    }
    if branch.children[index].is_sparse() {
        unite(branch, index.saturating_sub(1));
    }
}

/// Merges the child at `index` with the next one, or shares their content evenly if it is too much for one.
fn unite<K: Clone, V: Clone>(branch: &mut Branch<K, V>, index: usize) {
    let separator = branch.separators.remove(index);
    let right = Arc::unwrap_or_clone(branch.children.remove(index + 1));
    let divided = match (Arc::make_mut(&mut branch.children[index]), right) {
        (Node::Leaf(left), Node::Leaf(right)) => unite_leaves(left, right),
        (Node::Branch(left), Node::Branch(right)) => unite_branches(left, separator, right),
        _ => unreachable!("children of one branch are of one kind"),
    };
    if let Some((separator, right)) = divided {
        branch.separators.insert(index, separator);
        branch.children.insert(index + 1, Arc::new(right));
    }
}

fn unite_leaves<K: Clone, V>(left: &mut Leaf<K, V>, mut right: Leaf<K, V>) -> Option<(K, Node<K, V>)> {
    let entries = left.keys.len() + right.keys.len();
    if entries <= Leaf::<K, V>::ENTRIES_MAX {
        left.keys.append(&mut right.keys);
        left.values.append(&mut right.values);
        return None;
    }
    let half = entries / 2;
    if left.keys.len() > half {
        right.keys.splice(0..0, left.keys.drain(half..));
        right.values.splice(0..0, left.values.drain(half..));
    } else {
        let moved = half - left.keys.len();
        left.keys.extend(right.keys.drain(..moved));
        left.values.extend(right.values.drain(..moved));
    }
    Some((right.keys[0].clone(), Node::Leaf(right)))
}

/// Puts everything into the left branch, then divides that in two if it is too much.
fn unite_branches<K, V>(
    left: &mut Branch<K, V>,
    separator: K,
    mut right: Branch<K, V>,
) -> Option<(K, Node<K, V>)> {
    left.separators.push(separator);
    left.separators.append(&mut right.separators);
    left.children.append(&mut right.children);
    if left.children.len() <= CHILDREN_MAX {
        return None;
    }
    let (separator, right) = left.split_off(left.children.len() / 2);
    Some((separator, Node::Branch(right)))
}
