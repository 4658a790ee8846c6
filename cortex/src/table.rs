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
    partitions: Vec<Partition<R>>,
    groups: OrderedMap<R::Group, OrderedSet<R::Id>>,
}

#[derive(Clone)]
struct Partition<R: Record> {
    records: OrderedMap<R::Id, Arc<R>>,
    orders: Vec<OrderedSet<OrderKey<R::Id>>>,
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
            || Partition { records: OrderedMap::default(), orders: vec![OrderedSet::default(); R::ORDERS] };
        Self { partitions: (0..R::PARTITIONS).map(|_| partition()).collect(), groups: OrderedMap::default() }
    }
}

impl<R: Record> Table<R> {
    /// Returns how many records there are.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(|partition| partition.records.len()).sum()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a record.
    pub fn get(&self, id: R::Id) -> Option<&Arc<R>> {
        self.partitions.iter().find_map(|partition| partition.records.get(&id))
    }

    /// Returns all records by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.by_id(None, (Bound::Unbounded, Bound::Unbounded), false)
    }

    /// Returns the record with the greatest id.
    pub fn last(&self) -> Option<&Arc<R>> {
        self.by_id(None, (Bound::Unbounded, Bound::Unbounded), true).next()
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
        self.partitions[partition].records.len()
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
        self.groups.range(group..=group).next().map(|(group, _)| group)
    }

    /// Puts a record in place of the one with its id.
    pub fn put(&mut self, record: R) -> Change<R> {
        let after = Arc::new(record);
        let (id, place) = (after.id(), after.partition());
        let before = match self.partitions[place].records.insert(id, Arc::clone(&after)) {
            Some(before) => {
                self.partitions[place].rerank(&before, &after);
                self.regroup(&before, &after);
                Some(before)
            }
            None => {
                self.partitions[place].rank(&after);
                let before = self.take_from_others(place, id);
                match &before {
                    Some(before) => self.regroup(before, &after),
                    None => after.groups(&mut |group| self.join(group, id)),
                }
                before
            }
        };
        Change { before, after: Some(after) }
    }

    /// Takes a record away.
    pub fn remove(&mut self, id: R::Id) -> Option<Change<R>> {
        let before = self.partitions.iter_mut().find_map(|partition| partition.take(id))?;
        before.groups(&mut |group| self.leave(group, id));
        Some(Change { before: Some(before), after: None })
    }

    /// Takes a record out of the partitions other than that at `place`.
    fn take_from_others(&mut self, place: usize, id: R::Id) -> Option<Arc<R>> {
        let others = self.partitions.iter_mut().enumerate().filter(|(other, _)| *other != place);
        others.map(|(_, partition)| partition).find_map(|partition| partition.take(id))
    }

    /// Moves a record from its groups to others, if they are different.
    fn regroup(&mut self, before: &R, after: &R) {
        let id = after.id();
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

    /// Walks the records of one partition, or of all, by id.
    pub(crate) fn by_id(
        &self,
        partition: Option<usize>,
        range: Between<R::Id>,
        descending: bool,
    ) -> Walk<'_, R> {
        let walks = self.chosen(partition).map(|partition| {
            let walk = partition.records.range(range).map(|(_, record)| record);
            if descending { Box::new(walk.rev()) as Walk<'_, R> } else { Box::new(walk) }
        });
        merge(walks.collect(), descending, |record| record.id())
    }

    /// Walks the records of one partition, or of all, in an order.
    pub(crate) fn by_rank(
        &self,
        partition: Option<usize>,
        order: usize,
        range: Between<OrderKey<R::Id>>,
        descending: bool,
    ) -> Walk<'_, R> {
        let walks = self.chosen(partition).map(|partition| {
            let walk = partition.orders[order].range(range);
            let walk = walk.filter_map(|(_, id)| partition.records.get(id));
            if descending { Box::new(walk.rev()) as Walk<'_, R> } else { Box::new(walk) }
        });
        merge(walks.collect(), descending, move |record| (record.rank(order), record.id()))
    }

    fn chosen(&self, partition: Option<usize>) -> impl Iterator<Item = &Partition<R>> {
        let chosen = self.partitions.iter().enumerate();
        chosen
            .filter(move |(place, partition_of)| {
                partition.is_none_or(|wanted| wanted == *place) && !partition_of.records.is_empty()
            })
            .map(|(_, partition)| partition)
    }
}

impl<R: Record> Partition<R> {
    /// Takes a record that is in the partition into its orders.
    fn rank(&mut self, record: &R) {
        for (order, set) in self.orders.iter_mut().enumerate() {
            set.insert((record.rank(order), record.id()));
        }
    }

    fn rerank(&mut self, before: &R, after: &R) {
        for (order, set) in self.orders.iter_mut().enumerate() {
            let (old, new) = (before.rank(order), after.rank(order));
            if old != new {
                set.remove(&(old, before.id()));
                set.insert((new, after.id()));
            }
        }
    }

    fn take(&mut self, id: R::Id) -> Option<Arc<R>> {
        let record = self.records.remove(&id)?;
        for (order, set) in self.orders.iter_mut().enumerate() {
            set.remove(&(record.rank(order), id));
        }
        Some(record)
    }
}

/// Joins walks that are each in the order of a key to one that is.
fn merge<'a, R: Record, K: Ord + 'a>(
    mut walks: Vec<Walk<'a, R>>,
    descending: bool,
    key: impl Fn(&R) -> K + 'a,
) -> Walk<'a, R> {
    if walks.len() < 2 {
        return walks.pop().unwrap_or_else(|| Box::new(std::iter::empty()));
    }
    let mut heads: Vec<(K, &'a Arc<R>, Walk<'a, R>)> = walks
        .into_iter()
        .filter_map(|mut walk| walk.next().map(|record| (key(record), record, walk)))
        .collect();
    Box::new(std::iter::from_fn(move || {
        let mut best = 0;
        for place in 1..heads.len() {
            let is_first = match descending {
                false => heads[place].0 < heads[best].0,
                true => heads[place].0 > heads[best].0,
            };
            if is_first {
                best = place;
            }
        }
        let (head_key, head, walk) = heads.get_mut(best)?;
        let record = *head;
        match walk.next() {
            Some(next) => (*head_key, *head) = (key(next), next),
            None => drop(heads.swap_remove(best)),
        }
        Some(record)
    }))
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
