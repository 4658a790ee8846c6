//! Objects in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::Hash;

use super::{AdapterName, BlobAdapter, ListQuery, ObjectName, ObjectStat};
use crate::BlobError;

/// An adapter that keeps objects in memory: for tests, and for what need not last.
#[derive(Debug)]
pub struct MemoryAdapter {
    name: AdapterName,
    objects: Mutex<BTreeMap<Hash, Vec<u8>>>,
}

impl Default for MemoryAdapter {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryAdapter {
    /// Makes an empty one, `memory`.
    pub fn new() -> Self {
        Self { name: AdapterName::new("memory", "memory"), objects: Mutex::default() }
    }

    /// Has it found by another name.
    #[must_use]
    pub fn with_name(self, name: AdapterName) -> Self {
        Self { name, ..self }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Hash, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobAdapter for MemoryAdapter {
    fn adapter_id(&self) -> &str {
        &self.name.id
    }

    fn accepted_schemes(&self) -> &[String] {
        &self.name.schemes
    }

    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        self.objects().insert(name.hash, content.to_vec());
        Ok(())
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        self.objects().get(&name.hash).cloned().ok_or(BlobError::NotFound { hash: name.hash })
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        let bytes = self.objects().get(&name.hash).map(|content| content.len() as u64);
        Ok(bytes.map(|bytes| ObjectStat { bytes, stored_at: None }))
    }

    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        Ok(self.objects().remove(&name.hash).is_some())
    }

    fn list_objects(&self, query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        let from = query.bound().map_or(Bound::Unbounded, Bound::Excluded);
        let objects = self.objects();
        let names = objects.range((from, Bound::Unbounded)).map(|(name, _)| *name);
        Ok(names.filter(|name| query.matches(name)).take(query.limit()).collect())
    }
}
