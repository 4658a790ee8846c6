//! Records by id, with the indexes that queries need.

use std::fmt;
use std::hash::Hash;
use std::ops::Bound;
use std::sync::Arc;

use crate::ordered::{OrderedMap, OrderedSet};
use crate::query::{Filter, OrderKey, Query};

/// What a [`Table`] holds.
///
/// Each record is in one *partition*, such as its status, and in any number of *groups*, such as its tags. Within
/// a partition records are also kept in the order of some of their numbers, such as times.
pub trait Record: Clone + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// What names a record.
    type Id: Copy + Ord + Hash + fmt::Debug + Send + Sync + 'static;
    /// What several records have in common.
    type Group: Clone + Ord + fmt::Debug + Send + Sync + 'static;

    /// The least id that there can be.
    const ID_MIN: Self::Id;
    /// The greatest id that there can be.
    const ID_MAX: Self::Id;
    /// How many partitions there are.
    const PARTITIONS: usize;
    /// How many orders there are beside that by id.
    const ORDERS: usize;

    /// Returns what names the record.
    fn id(&self) -> Self::Id;

    /// Returns the number of its partition, below [`PARTITIONS`](Self::PARTITIONS).
    fn partition(&self) -> usize;

    /// Returns the number that it is ordered by in an order below [`ORDERS`](Self::ORDERS).
    fn rank(&self, order: usize) -> i64;

    /// Visits its groups, each once.
    fn groups(&self, visit: &mut dyn FnMut(&Self::Group));
}

/// Records with their indexes. Cloning it takes constant time, and gives a snapshot.
#[derive(Clone)]
pub struct Table<R: Record> {
    records: OrderedMap<R::Id, Arc<R>>,
    partitions: Vec<Partition<R::Id>>,
    groups: OrderedMap<R::Group, OrderedSet<R::Id>>,
}

#[derive(Clone)]
struct Partition<Id: Copy + Ord> {
    ids: OrderedSet<Id>,
    orders: Vec<OrderedSet<(i64, Id)>>,
}

/// A range with ends of any kind.
pub(crate) type Between<K> = (Bound<K>, Bound<K>);

/// Records on their way to whoever asked.
pub(crate) type Walk<'a, R> = Box<dyn Iterator<Item = &'a Arc<R>> + 'a>;

/// A record before and after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Change<R> {
    /// As it was; `None` when it was not there.
    pub before: Option<Arc<R>>,
    /// As it is; `None` when it is gone.
    pub after: Option<Arc<R>>,
}

impl<R: Record> Change<R> {
    /// Returns the id of the record that changed.
    ///
    /// # Panics
    ///
    /// When there is neither a record before nor one after, which no table gives.
    pub fn id(&self) -> R::Id {
        let record = self.after.as_ref().or(self.before.as_ref());
        record.expect("a change has a record before or after it").id()
    }
}

impl<R: Record> Default for Table<R> {
    fn default() -> Self {
        let partition =
            || Partition { ids: OrderedSet::default(), orders: vec![OrderedSet::default(); R::ORDERS] };
        Self {
            records: OrderedMap::default(),
            partitions: (0..R::PARTITIONS).map(|_| partition()).collect(),
            groups: OrderedMap::default(),
        }
    }
}

impl<R: Record> Table<R> {
    /// Returns how many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns a record.
    pub fn get(&self, id: R::Id) -> Option<&Arc<R>> {
        self.records.get(&id)
    }

    /// Returns all records by id.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<R>> {
        self.records.iter().map(|(_, record)| record)
    }

    /// Returns a copy of a record.
    pub fn find_unique(&self, id: R::Id) -> Option<Arc<R>> {
        self.get(id).map(Arc::clone)
    }

    /// Returns the records that match, by id.
    pub fn find_many<F: Filter<R>>(&self, filter: &F) -> Vec<Arc<R>> {
        Query { filter: filter.clone(), ..Query::default() }.run(self)
    }

    /// Returns how many records match.
    pub fn count_where<F: Filter<R>>(&self, filter: &F) -> usize {
        Query { filter: filter.clone(), ..Query::default() }.count(self)
    }

    /// Tells whether a record matches.
    pub fn exists_where<F: Filter<R>>(&self, filter: &F) -> bool {
        Query { filter: filter.clone(), ..Query::default() }.exists(self)
    }

    /// Returns how many records a partition has.
    pub fn count_in_partition(&self, partition: usize) -> usize {
        self.partitions[partition].ids.len()
    }

    /// Returns how many records a group has.
    pub fn count_in_group(&self, group: &R::Group) -> usize {
        self.groups.get(group).map_or(0, OrderedSet::len)
    }

    /// Returns all groups with their numbers of records.
    pub fn groups(&self) -> impl Iterator<Item = (&R::Group, usize)> {
        self.groups.iter().map(|(group, ids)| (group, ids.len()))
    }

    /// Returns a group as the table has it; its texts are shared with all records in it.
    pub(crate) fn known_group(&self, group: &R::Group) -> Option<&R::Group> {
        self.groups.get_key_value(group).map(|(group, _)| group)
    }

    /// Puts a record in place of the one with its id.
    pub fn put(&mut self, record: R) -> Change<R> {
        let after = Arc::new(record);
        let before = self.records.insert(after.id(), Arc::clone(&after));
        match &before {
            None => self.index(&after),
            Some(before) => self.reindex(before, &after),
        }
        Change { before, after: Some(after) }
    }

    /// Takes a record away.
    pub fn remove(&mut self, id: R::Id) -> Option<Change<R>> {
        let before = self.records.remove(&id)?;
        self.unindex(&before);
        Some(Change { before: Some(before), after: None })
    }

    fn index(&mut self, record: &R) {
        let id = record.id();
        let partition = &mut self.partitions[record.partition()];
        partition.ids.insert(id);
        for (order, set) in partition.orders.iter_mut().enumerate() {
            set.insert((record.rank(order), id));
        }
        record.groups(&mut |group| self.join(group, id));
    }

    fn unindex(&mut self, record: &R) {
        let id = record.id();
        let partition = &mut self.partitions[record.partition()];
        partition.ids.remove(&id);
        for (order, set) in partition.orders.iter_mut().enumerate() {
            set.remove(&(record.rank(order), id));
        }
        record.groups(&mut |group| self.leave(group, id));
    }

    /// Moves only what is different.
    fn reindex(&mut self, before: &R, after: &R) {
        if before.partition() != after.partition() {
            self.unindex(before);
            return self.index(after);
        }
        let id = after.id();
        for (order, set) in self.partitions[after.partition()].orders.iter_mut().enumerate() {
            let (old, new) = (before.rank(order), after.rank(order));
            if old != new {
                set.remove(&(old, id));
                set.insert((new, id));
            }
        }
        let groups = |record: &R| {
            let mut groups = Vec::new();
            record.groups(&mut |group| groups.push(group.clone()));
            groups
        };
        let (old, new) = (groups(before), groups(after));
        old.iter().filter(|group| !new.contains(group)).for_each(|group| self.leave(group, id));
        new.iter().filter(|group| !old.contains(group)).for_each(|group| self.join(group, id));
    }

    fn join(&mut self, group: &R::Group, id: R::Id) {
        if let Some(ids) = self.groups.get_mut(group) {
            ids.insert(id);
            return;
        }
        let mut ids = OrderedSet::default();
        ids.insert(id);
        self.groups.insert(group.clone(), ids);
    }

    fn leave(&mut self, group: &R::Group, id: R::Id) {
        let Some(ids) = self.groups.get_mut(group) else { return };
        ids.remove(&id);
        if ids.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Returns the ids of a group, in order.
    pub(crate) fn group(&self, group: &R::Group) -> Option<&OrderedSet<R::Id>> {
        self.groups.get(group)
    }

    /// Walks the records of some partitions by id, from a bound on.
    pub(crate) fn by_id<'a>(
        &'a self,
        partition: Option<usize>,
        range: Between<R::Id>,
        descending: bool,
    ) -> Walk<'a, R> {
        let record = |id: &R::Id| self.records.get(id);
        match (partition, descending) {
            (None, false) => Box::new(self.records.range(range).map(|(_, record)| record)),
            (None, true) => Box::new(self.records.range(range).rev().map(|(_, record)| record)),
            (Some(partition), false) => {
                Box::new(self.partitions[partition].ids.range(range).filter_map(record))
            }
            (Some(partition), true) => {
                Box::new(self.partitions[partition].ids.range(range).rev().filter_map(record))
            }
        }
    }

    /// Walks the records of some partitions in an order, from a bound on.
    pub(crate) fn by_rank<'a>(
        &'a self,
        partition: Option<usize>,
        order: usize,
        range: Between<OrderKey<R::Id>>,
        descending: bool,
    ) -> Walk<'a, R> {
        let chosen = self.partitions.iter().enumerate();
        let chosen = chosen.filter(|(place, _)| partition.is_none_or(|wanted| wanted == *place));
        let walks = chosen.map(|(_, partition)| {
            let walk = partition.orders[order].range(range);
            let walk: Box<dyn Iterator<Item = &'a (i64, R::Id)> + 'a> =
                if descending { Box::new(walk.rev()) } else { Box::new(walk) };
            walk.peekable()
        });
        let mut walks: Vec<_> = walks.collect();
        let keys = std::iter::from_fn(move || {
            let mut best: Option<(usize, &(i64, R::Id))> = None;
            for (place, walk) in walks.iter_mut().enumerate() {
                let Some(key) = walk.peek().copied() else { continue };
                if best.is_none_or(|(_, known)| if descending { key > known } else { key < known }) {
                    best = Some((place, key));
                }
            }
            let (place, _) = best?;
            walks[place].next()
        });
        Box::new(keys.filter_map(|(_, id)| self.records.get(id)))
    }
}

impl<R: Record> fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("records", &self.len()).finish_non_exhaustive()
    }
}

impl<R: Record> PartialEq for Table<R> {
    /// The indexes follow from the records.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}
