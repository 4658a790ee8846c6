//! A store in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{StateBatch, StateChange, StateStore, StoreError, Visit};
use crate::OrderedMap;

/// Keeps state in memory: for tests, and for databases that are in memory themselves. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStateStore {
    spaces: Arc<Mutex<Spaces>>,
}

/// Maps whose copies take constant time, so that who scans holds nobody up.
type Spaces = BTreeMap<String, OrderedMap<Vec<u8>, Arc<[u8]>>>;

impl MemoryStateStore {
    fn lock(&self) -> MutexGuard<'_, Spaces> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryStateStore {
    fn commit(&self, batch: StateBatch) -> Result<(), StoreError> {
        let mut spaces = self.lock();
        for change in batch.into_changes() {
            match change {
                StateChange::Put { space, key, value } => {
                    spaces.entry(space).or_default().insert(key, value.into());
                }
                StateChange::Remove { space, key } => {
                    if let Some(pairs) = spaces.get_mut(&space) {
                        pairs.remove(&key);
                    }
                }
                StateChange::Clear { space } => drop(spaces.remove(&space)),
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let spaces = self.lock();
        Ok(spaces.get(space).and_then(|pairs| pairs.get(&key.to_vec())).map(|value| value.to_vec()))
    }

    fn scan(&self, space: &str, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let pairs = self.lock().get(space).cloned().unwrap_or_default();
        for (key, value) in pairs.range((Bound::Included(from.to_vec()), Bound::Unbounded)) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn spaces(&self) -> Result<Vec<String>, StoreError> {
        let spaces = self.lock();
        Ok(spaces.iter().filter(|(_, pairs)| !pairs.is_empty()).map(|(name, _)| name.clone()).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[test]
    fn a_store_in_memory_does_what_stores_do() {
        conformance::check(&mut || Box::new(MemoryStateStore::default()));
        let store = MemoryStateStore::default();
        conformance::check_reopening(&mut || Box::new(store.clone()));
    }
}
