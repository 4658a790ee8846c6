//! What a collection must leave alone although nothing refers to it yet: what is being put, and what somebody holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Hash;
use rustc_hash::{FxHashMap, FxHashSet};

/// What is left alone. Lock order: this one comes before that of the packs.
#[derive(Debug, Default)]
pub(super) struct Guards {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    next: u64,
    /// What each put that has not ended yet has put so far.
    putting: BTreeMap<u64, FxHashSet<Hash>>,
    /// What is held, with everything below it.
    held: BTreeMap<u64, Hash>,
    /// What is held until a time of the monotonic clock, with everything below it.
    held_until: FxHashMap<Hash, Duration>,
    /// How many of these there were when those that had expired were last taken out.
    held_until_kept: usize,
    pub collection: Option<Barrier>,
}

/// What came up while a collection runs.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    /// What was put.
    pub touched: FxHashSet<Hash>,
    /// What is held, and not marked yet.
    pub roots: Vec<Hash>,
    /// What is to be removed, unless somebody puts it meanwhile.
    pub doomed: FxHashSet<Hash>,
}

/// Keeps what one put has put so far, until it is dropped.
#[derive(Debug)]
pub(crate) struct Putting {
    guards: Arc<Guards>,
    number: u64,
}

/// Keeps a blob, with everything below it, until it is dropped.
#[derive(Debug)]
pub struct Held {
    guards: Arc<Guards>,
    number: u64,
}

impl Guards {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin_put(self: &Arc<Self>) -> Putting {
        let mut state = self.lock();
        let number = state.number();
        state.putting.insert(number, FxHashSet::default());
        Putting { guards: Arc::clone(self), number }
    }

    /// Notes that an object is about to be put; from here on no collection takes it.
    pub(super) fn touch(&self, putting: Option<&Putting>, name: Hash) {
        let mut state = self.lock();
        if let Some(names) = putting.and_then(|putting| state.putting.get_mut(&putting.number)) {
            names.insert(name);
        }
        if let Some(barrier) = &mut state.collection {
            barrier.touched.insert(name);
            barrier.doomed.remove(&name);
        }
    }

    /// Holds what is here; `None` where a collection is about to remove it.
    pub(super) fn hold(self: &Arc<Self>, name: Hash) -> Option<Held> {
        let mut state = self.lock();
        if !state.keep(name) {
            return None;
        }
        let number = state.number();
        state.held.insert(number, name);
        Some(Held { guards: Arc::clone(self), number })
    }

    /// Holds what is here until a time; tells whether it does, and not a collection is about to remove it.
    pub(super) fn hold_until(&self, name: Hash, (now, until): (Duration, Duration)) -> bool {
        let mut state = self.lock();
        if !state.keep(name) {
            return false;
        }
        let end = state.held_until.entry(name).or_default();
        *end = until.max(*end);
        if state.held_until.len() > 2 * state.held_until_kept + 1_024 {
            state.drop_expired(now);
        }
        true
    }

    /// Begins a collection, and returns what it must leave alone; `None` while one runs.
    pub(super) fn begin_collection(&self, now: Duration) -> Option<Vec<Hash>> {
        let mut state = self.lock();
        if state.collection.is_some() {
            return None;
        }
        state.drop_expired(now);
        let touched = state.putting.values().flatten().copied().collect();
        state.collection = Some(Barrier { touched, ..Barrier::default() });
        Some(state.held.values().chain(state.held_until.keys()).copied().collect())
    }

    pub(super) fn end_collection(&self) {
        self.lock().collection = None;
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Has a collection that runs leave something alone, with what is below it; not what it is about to remove.
    fn keep(&mut self, name: Hash) -> bool {
        let Some(barrier) = &mut self.collection else { return true };
        let is_left = !barrier.doomed.contains(&name);
        if is_left {
            barrier.roots.push(name);
        }
        is_left
    }

    fn drop_expired(&mut self, now: Duration) {
        self.held_until.retain(|_, until| *until > now);
        self.held_until_kept = self.held_until.len();
    }
}

impl Drop for Putting {
    fn drop(&mut self) {
        self.guards.lock().putting.remove(&self.number);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.guards.lock().held.remove(&self.number);
    }
}
