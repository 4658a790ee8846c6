//! Queries over a table: filter, order, limit, and the place to go on from.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use crate::table::{Record, Table, Walk};

/// Which records are wanted. What it says beside [`matches`](Self::matches) only helps to find them: it must hold for
/// every record that matches.
pub trait Filter<R: Record>: Clone + Default + std::fmt::Debug + Send + Sync + 'static {
    /// Tells whether a record is wanted.
    fn matches(&self, record: &R) -> bool;

    /// Returns the ids that are wanted, if only some are.
    fn ids(&self) -> Option<&BTreeSet<R::Id>> {
        None
    }

    /// Returns the only partition that is wanted.
    fn partition(&self) -> Option<usize> {
        None
    }

    /// Returns sets of groups; a wanted record is in one group of each set.
    fn groups(&self) -> Vec<Vec<R::Group>> {
        Vec::new()
    }

    /// Returns the least and the greatest rank that is wanted in an order.
    fn ranks(&self, _order: usize) -> (Option<i64>, Option<i64>) {
        (None, None)
    }

    /// Tells whether partition, ids and groups say all that the filter demands.
    fn is_exact(&self) -> bool {
        false
    }
}

/// In which order records come. Equal ranks are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// An order of the record; `None` is that by id.
    pub by: Option<usize>,
    /// Whether the greatest comes first, equal ranks included.
    pub descending: bool,
}

impl Order {
    /// By id, the least first.
    pub const ID: Self = Self { by: None, descending: false };

    /// Returns where a record stands in the order.
    pub fn key<R: Record>(self, record: &R) -> OrderKey<R::Id> {
        (self.by.map_or(0, |order| record.rank(order)), record.id())
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::ID
    }
}

/// Where a record stands in an order, as [`Order::key`] gives it: rank (0 in that by id) and id.
pub type OrderKey<Id> = (i64, Id);

/// A question to a table.
#[derive(Debug, Clone)]
pub struct Query<R: Record, F: Filter<R>> {
    /// Which records are wanted.
    pub filter: F,
    /// In which order.
    pub order: Order,
    /// How many at most.
    pub limit: Option<usize>,
    /// Only those behind this place of the order; the key of the last record of the page before.
    pub after: Option<OrderKey<R::Id>>,
}

impl<R: Record, F: Filter<R>> Default for Query<R, F> {
    fn default() -> Self {
        Self { filter: F::default(), order: Order::ID, limit: None, after: None }
    }
}

impl<R: Record, F: Filter<R>> From<F> for Query<R, F> {
    fn from(filter: F) -> Self {
        Self { filter, ..Self::default() }
    }
}

impl<R: Record, F: Filter<R>> Query<R, F> {
    /// Sets the order.
    #[must_use]
    pub fn order(self, order: impl Into<Order>) -> Self {
        Self { order: order.into(), ..self }
    }

    /// Sets how many records are wanted at most.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Goes on behind a record: the last one of the page before.
    #[must_use]
    pub fn after(self, record: &R) -> Self {
        Self { after: Some(self.order.key(record)), ..self }
    }

    /// Returns the records in order.
    pub fn run(&self, table: &Table<R>) -> Vec<Arc<R>> {
        self.walk(table).map(Arc::clone).collect()
    }

    /// Returns the first record.
    pub fn first(&self, table: &Table<R>) -> Option<Arc<R>> {
        self.walk(table).next().map(Arc::clone)
    }

    /// Tells whether there is a record.
    pub fn exists(&self, table: &Table<R>) -> bool {
        self.walk(table).next().is_some()
    }

    /// Returns how many records match, whatever the limit and the place to go on from.
    pub fn count(&self, table: &Table<R>) -> usize {
        if let Some(count) = self.counted(table) {
            return count;
        }
        let all = Self { order: Order::ID, limit: None, after: None, ..self.clone() };
        all.walk(table).count()
    }

    /// Returns the count where an index knows it.
    fn counted(&self, table: &Table<R>) -> Option<usize> {
        if !self.filter.is_exact() || self.filter.ids().is_some() {
            return None;
        }
        match (self.filter.partition(), self.filter.groups().as_slice()) {
            (None, []) => Some(table.len()),
            (Some(partition), []) => Some(table.count_in_partition(partition)),
            (None, [one]) => match one.as_slice() {
                [group] => Some(table.count_in_group(group)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Walks the records in order.
    pub fn walk<'a>(&'a self, table: &'a Table<R>) -> Box<dyn Iterator<Item = &'a Arc<R>> + 'a> {
        let limit = self.limit.unwrap_or(usize::MAX);
        let candidates = match self.named(table) {
            Some(ids) => self.sorted(table, ids),
            None => self.ordered(table),
        };
        Box::new(candidates.filter(|record| self.filter.matches(record)).take(limit))
    }

    /// Returns the ids that need to be looked at, where these are few.
    fn named(&self, table: &Table<R>) -> Option<Vec<R::Id>> {
        if let Some(ids) = self.filter.ids() {
            return Some(ids.iter().copied().collect());
        }
        let length = |set: &[R::Group]| set.iter().map(|group| table.count_in_group(group)).sum::<usize>();
        let sets = self.filter.groups();
        let smallest = sets.iter().min_by_key(|set| length(set))?;
        let (few, all) = (
            length(smallest),
            self.filter.partition().map_or(table.len(), |partition| table.count_in_partition(partition)),
        );
        // Walking all in order meets a wanted one every `all / few` records, until there are enough.
        let walked = self.limit.map_or(all, |limit| all.min(limit.saturating_mul(all / few.max(1) + 1)));
        if few.saturating_mul(4) > walked.saturating_mul(3) && self.order.by.is_some() {
            return None;
        }
        let ids = smallest.iter().filter_map(|group| table.group(group)).flat_map(|ids| ids.iter().copied());
        Some(ids.collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Puts some records, given by id, in order.
    fn sorted<'a>(&'a self, table: &'a Table<R>, ids: Vec<R::Id>) -> Walk<'a, R> {
        let mut records: Vec<&Arc<R>> = ids.into_iter().filter_map(|id| table.get(id)).collect();
        if self.order.by.is_some() {
            records.sort_by_key(|record| self.order.key(&***record));
        }
        if self.order.descending {
            records.reverse();
        }
        Box::new(records.into_iter().filter(|record| self.is_behind(record)))
    }

    fn is_behind(&self, record: &R) -> bool {
        let key = self.order.key(record);
        self.after.is_none_or(|after| if self.order.descending { key < after } else { key > after })
    }

    /// Walks an index.
    fn ordered<'a>(&'a self, table: &'a Table<R>) -> Walk<'a, R> {
        let (partition, descending) = (self.filter.partition(), self.order.descending);
        match self.order.by {
            None => {
                let after = self.after.map(|(_, id)| Bound::Excluded(id));
                let range = match descending {
                    false => (after.unwrap_or(Bound::Unbounded), Bound::Unbounded),
                    true => (Bound::Unbounded, after.unwrap_or(Bound::Unbounded)),
                };
                table.by_id(partition, range, descending)
            }
            Some(order) => {
                let (least, greatest) = self.filter.ranks(order);
                let from = least.map_or(Bound::Unbounded, |rank| Bound::Included((rank, R::ID_MIN)));
                let to = greatest.map_or(Bound::Unbounded, |rank| Bound::Included((rank, R::ID_MAX)));
                let range = match (self.after, descending) {
                    (None, _) => (from, to),
                    (Some(after), false) => (later(from, after), to),
                    (Some(after), true) => (from, earlier(to, after)),
                };
                if is_empty(&range) {
                    return Box::new(std::iter::empty());
                }
                table.by_rank(partition, order, range, descending)
            }
        }
    }
}

/// The beginning of a range that begins behind `after`.
fn later<K: Ord>(from: Bound<K>, after: K) -> Bound<K> {
    match from {
        Bound::Included(from) if from > after => Bound::Included(from),
        _ => Bound::Excluded(after),
    }
}

/// The end of a range that ends before `after`.
fn earlier<K: Ord>(to: Bound<K>, after: K) -> Bound<K> {
    match to {
        Bound::Included(to) if to < after => Bound::Included(to),
        _ => Bound::Excluded(after),
    }
}

/// Tells whether a range ends before it begins.
fn is_empty<K: Ord>((from, to): &(Bound<K>, Bound<K>)) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => {
            from >= to
        }
    }
}
