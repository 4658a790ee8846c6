//! Watches: the result of a query, kept up to date from what changes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use base::Position;

use crate::error::FoldStopped;
use crate::ordered::OrderedMap;
use crate::query::{Filter, Order, OrderKey, Query};
use crate::subscription::{News, Subscription};
use crate::table::{Change, Record, Table};
use crate::{Fold, Folded};

/// A fold of records, which can be queried and watched.
pub trait RecordFold: Fold<State = Table<Self::Row>, Change = Change<Self::Row>> {
    /// What its table holds.
    type Row: Record;
}

impl<R: Record, F: Fold<State = Table<R>, Change = Change<R>>> RecordFold for F {
    type Row = R;
}

/// Follows the result of a query. Between two looks any number of changes become one: who is slow sees the newest
/// result, never an older one.
pub struct Watch<F: RecordFold, Q: Filter<F::Row>> {
    subscription: Subscription<F>,
    window: Window<F::Row, Q>,
    position: Position,
    /// Whether the result that the watch began with is still to be given out.
    is_first: bool,
}

/// A result, and a watch that goes on from it.
pub type WithWatch<F, Q> = (Results<<F as RecordFold>::Row>, Watch<F, Q>);

/// A result, and how it differs from the one before.
#[derive(Debug, Clone)]
pub struct Update<R: Record> {
    /// The whole result.
    pub results: Results<R>,
    /// What changed since the update before; everything is inserted by the first one. In no particular order.
    pub deltas: Vec<Delta<R>>,
    /// The state that it is the result of.
    pub position: Position,
}

/// How one record of a result changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta<R> {
    /// It is new in the result.
    Inserted(Arc<R>),
    /// It is another than before.
    Updated {
        /// As it was.
        before: Arc<R>,
        /// As it is.
        after: Arc<R>,
    },
    /// It is not in the result any more.
    Removed(Arc<R>),
}

/// The records of a result, in order. Cloning takes constant time.
#[derive(Clone)]
pub struct Results<R: Record> {
    records: OrderedMap<OrderKey<R::Id>, Arc<R>>,
    order: Order,
}

impl<R: Record> Results<R> {
    /// Returns how many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the records in order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Arc<R>> + '_> {
        let records = self.records.iter().map(|(_, record)| record);
        if self.order.descending { Box::new(records.rev()) } else { Box::new(records) }
    }

    /// Copies the records, in order.
    pub fn to_vec(&self) -> Vec<Arc<R>> {
        self.iter().map(Arc::clone).collect()
    }
}

impl<R: Record> fmt::Debug for Results<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<R: Record> PartialEq for Results<R> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl<F: RecordFold> Folded<F> {
    /// Watches the result of a query. The first update is there at once.
    ///
    /// # Errors
    ///
    /// [`FoldStopped`] unless the fold goes on.
    pub fn watch<Q: Filter<F::Row>>(&self, query: Query<F::Row, Q>) -> Result<Watch<F, Q>, FoldStopped> {
        let (_, watch) = self.begin_watch(query)?;
        Ok(watch)
    }

    /// Returns the result of a query, and a watch whose first update is the first change of that result.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    pub fn snapshot_and_watch<Q: Filter<F::Row>>(
        &self,
        query: Query<F::Row, Q>,
    ) -> Result<WithWatch<F, Q>, FoldStopped> {
        let (results, mut watch) = self.begin_watch(query)?;
        watch.is_first = false;
        Ok((results, watch))
    }

    fn begin_watch<Q: Filter<F::Row>>(
        &self,
        query: Query<F::Row, Q>,
    ) -> Result<WithWatch<F, Q>, FoldStopped> {
        let (snapshot, subscription) = self.subscribe()?;
        let window = Window::new(query, &snapshot.state);
        let results = window.results.clone();
        Ok((results, Watch { subscription, window, position: snapshot.position, is_first: true }))
    }
}

impl<F: RecordFold, Q: Filter<F::Row>> Watch<F, Q> {
    /// Returns the result if it changed since the last update, without waiting.
    ///
    /// # Errors
    ///
    /// [`FoldStopped`] once every change before was given out.
    pub fn try_next(&mut self) -> Result<Option<Update<F::Row>>, FoldStopped> {
        if let Some(first) = self.first()? {
            return Ok(Some(first));
        }
        while let Some(news) = self.subscription.try_next()? {
            if let Some(update) = self.update(news) {
                return Ok(Some(update));
            }
        }
        Ok(None)
    }

    /// Waits until the result changes.
    ///
    /// *Cancel safety*: nothing is lost; the next call gives what this one would have.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub async fn next(&mut self) -> Result<Update<F::Row>, FoldStopped> {
        std::future::poll_fn(|context| self.poll(context.waker())).await
    }

    /// Asks for an update; without one, `waker` is woken when there may be one.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub fn poll(&mut self, waker: &Waker) -> Poll<Result<Update<F::Row>, FoldStopped>> {
        match self.first() {
            Ok(Some(first)) => return Poll::Ready(Ok(first)),
            Ok(None) => {}
            Err(stopped) => return Poll::Ready(Err(stopped)),
        }
        loop {
            match self.subscription.poll(waker) {
                Poll::Ready(Ok(news)) => {
                    if let Some(update) = self.update(news) {
                        return Poll::Ready(Ok(update));
                    }
                }
                Poll::Ready(Err(stopped)) => return Poll::Ready(Err(stopped)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Blocks until the result changes.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub fn next_blocking(&mut self, clock: &dyn base::Clock) -> Result<Update<F::Row>, FoldStopped> {
        if let Some(first) = self.first()? {
            return Ok(first);
        }
        loop {
            let news = self.subscription.next_blocking(clock)?;
            if let Some(update) = self.update(news) {
                return Ok(update);
            }
        }
    }

    /// Returns the first update, as of now.
    fn first(&mut self) -> Result<Option<Update<F::Row>>, FoldStopped> {
        if !std::mem::take(&mut self.is_first) {
            return Ok(None);
        }
        if let Some(news) = self.subscription.try_next()? {
            self.update(news);
        }
        let results = self.window.results.clone();
        let deltas = results.iter().map(|record| Delta::Inserted(Arc::clone(record))).collect();
        Ok(Some(Update { results, deltas, position: self.position }))
    }

    fn update(&mut self, news: News<Table<F::Row>, Change<F::Row>>) -> Option<Update<F::Row>> {
        self.position = news.snapshot.position;
        let deltas = match news.changes {
            Some(changes) => self.window.follow(changes, &news.snapshot.state),
            None => self.window.renew(&news.snapshot.state),
        };
        let results = || self.window.results.clone();
        (!deltas.is_empty()).then(|| Update { results: results(), deltas, position: self.position })
    }
}

impl<F: RecordFold, Q: Filter<F::Row>> fmt::Debug for Watch<F, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("results", &self.window.results.len()).finish_non_exhaustive()
    }
}

/// The result of a query, with what is needed to keep it up to date.
struct Window<R: Record, Q: Filter<R>> {
    query: Query<R, Q>,
    results: Results<R>,
}

/// Records that entered or left a result, by id.
type Touched<R> = BTreeMap<<R as Record>::Id, (Option<Arc<R>>, Option<Arc<R>>)>;

impl<R: Record, Q: Filter<R>> Window<R, Q> {
    fn new(query: Query<R, Q>, table: &Table<R>) -> Self {
        let order = query.order;
        let mut results = Results { records: OrderedMap::default(), order };
        for record in query.walk(table) {
            results.records.insert(order.key(&**record), Arc::clone(record));
        }
        Self { query, results }
    }

    /// Asks anew, where it is not known what changed.
    fn renew(&mut self, table: &Table<R>) -> Vec<Delta<R>> {
        let new = Self::new(self.query.clone(), table);
        let old = std::mem::replace(self, new);
        let mut touched = Touched::<R>::new();
        for record in old.results.iter() {
            touched.entry(record.id()).or_default().0 = Some(Arc::clone(record));
        }
        for record in self.results.iter() {
            touched.entry(record.id()).or_default().1 = Some(Arc::clone(record));
        }
        deltas(touched)
    }

    /// Takes changes in, which lead to the table as it is.
    fn follow(&mut self, changes: Vec<Change<R>>, table: &Table<R>) -> Vec<Delta<R>> {
        let limit = self.query.limit.unwrap_or(usize::MAX);
        // Where the result is full, what lies behind its end is not known.
        let end = (self.results.len() >= limit).then(|| self.last()).flatten();
        let was_full = self.results.len() >= limit;
        let mut net = Touched::<R>::new();
        for change in changes {
            let (id, Change { before, after }) = (change.id(), change);
            net.entry(id).or_insert((before, None)).1 = after;
        }
        let mut touched = Touched::<R>::new();
        for before in net.values().filter_map(|(before, _)| before.as_ref()) {
            self.leave(before, &mut touched);
        }
        for after in net.values().filter_map(|(_, after)| after.as_ref()) {
            let is_known = end.is_none_or(|end| !self.is_behind(self.query.order.key(&**after), end));
            if is_known && self.query.filter.matches(after) && self.is_wanted(after) {
                self.enter(after, &mut touched);
            }
        }
        while self.results.len() > limit {
            let Some(last) = self.last().and_then(|key| self.results.records.get(&key).cloned()) else {
                break;
            };
            self.leave(&last, &mut touched);
        }
        if was_full && self.results.len() < limit {
            self.refill(limit, table, &mut touched);
        }
        deltas(touched)
    }

    /// Takes in what comes behind the end of the result.
    fn refill(&mut self, limit: usize, table: &Table<R>, touched: &mut Touched<R>) {
        let missing = limit - self.results.len();
        let after = self.last().or(self.query.after);
        let rest = Query { after, limit: Some(missing), ..self.query.clone() };
        for record in rest.run(table) {
            self.enter(&record, touched);
        }
    }

    /// Returns the key of the last record, in the order of the query.
    fn last(&self) -> Option<OrderKey<R::Id>> {
        let records = &self.results.records;
        let entry =
            if self.query.order.descending { records.iter().next() } else { records.iter().next_back() };
        entry.map(|(key, _)| *key)
    }

    fn is_behind(&self, key: OrderKey<R::Id>, other: OrderKey<R::Id>) -> bool {
        if self.query.order.descending { key < other } else { key > other }
    }

    fn is_wanted(&self, record: &R) -> bool {
        self.query.after.is_none_or(|after| self.is_behind(self.query.order.key(record), after))
    }

    fn leave(&mut self, record: &Arc<R>, touched: &mut Touched<R>) {
        let key = self.query.order.key(&**record);
        if let Some(record) = self.results.records.remove(&key) {
            let entry = touched.entry(record.id()).or_insert_with(|| (Some(Arc::clone(&record)), None));
            entry.1 = None;
        }
    }

    fn enter(&mut self, record: &Arc<R>, touched: &mut Touched<R>) {
        self.results.records.insert(self.query.order.key(&**record), Arc::clone(record));
        touched.entry(record.id()).or_default().1 = Some(Arc::clone(record));
    }
}

fn deltas<R: Record>(touched: Touched<R>) -> Vec<Delta<R>> {
    touched
        .into_values()
        .filter_map(|change| match change {
            (None, Some(after)) => Some(Delta::Inserted(after)),
            (Some(before), None) => Some(Delta::Removed(before)),
            (Some(before), Some(after)) if before != after => Some(Delta::Updated { before, after }),
            _ => None,
        })
        .collect()
}
