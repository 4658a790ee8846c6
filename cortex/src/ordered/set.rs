//! The set: a map without values.

use std::borrow::Borrow;
use std::fmt;
use std::ops::RangeBounds;

use super::OrderedMap;

/// An ordered set with snapshots in constant time: an [`OrderedMap`] without values, with the same costs.
#[derive(Clone)]
pub struct OrderedSet<K> {
    map: OrderedMap<K, ()>,
}

impl<K> OrderedSet<K> {
    /// Makes an empty set.
    pub fn new() -> Self {
        OrderedSet { map: OrderedMap::new() }
    }

    /// Counts the keys, in constant time.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Removes everything; snapshots keep what they have.
    pub fn clear(&mut self) {
        self.map.clear();
    }
}

impl<K: Ord> OrderedSet<K> {
    /// Whether the key is there.
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.map.contains_key(key)
    }

    /// Gives the lowest key.
    pub fn first(&self) -> Option<&K> {
        self.map.first().map(|(key, ())| key)
    }

    /// Gives the highest key.
    pub fn last(&self) -> Option<&K> {
        self.map.last().map(|(key, ())| key)
    }

    /// Walks over all keys in ascending order, and from the back in descending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator + Clone {
        self.map.iter().map(|(key, ())| key)
    }

    /// Walks over the keys between two bounds; see [`OrderedMap::range`].
    pub fn range(&self, bounds: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.map.range(bounds).map(|(key, ())| key)
    }
}

impl<K: Ord + Clone> OrderedSet<K> {
    /// Adds the key; whether it was not there before.
    pub fn insert(&mut self, key: K) -> bool {
        self.map.insert(key, ()).is_none()
    }

    /// Removes the key; whether it was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.map.remove(key).is_some()
    }
}

impl<K> Default for OrderedSet<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + fmt::Debug> fmt::Debug for OrderedSet<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

impl<K: Ord> PartialEq for OrderedSet<K> {
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

impl<K: Ord> Eq for OrderedSet<K> {}

impl<K: Ord + Clone> Extend<K> for OrderedSet<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        self.map.extend(keys.into_iter().map(|key| (key, ())));
    }
}

impl<K: Ord + Clone> FromIterator<K> for OrderedSet<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut set = Self::new();
        set.extend(keys);
        set
    }
}
