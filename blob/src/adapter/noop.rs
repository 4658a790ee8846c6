//! Objects nowhere.

use base::Hash;

use super::{AdapterName, BlobAdapter, ListQuery, ObjectName, ObjectStat};
use crate::BlobError;

/// An adapter that stores nothing and finds nothing: for references whose bytes somebody else keeps.
#[derive(Debug)]
pub struct NoopAdapter {
    name: AdapterName,
}

impl Default for NoopAdapter {
    fn default() -> Self {
        Self::new()
    }
}

impl NoopAdapter {
    /// Makes one, `noop`.
    pub fn new() -> Self {
        Self { name: AdapterName::new("noop", "noop") }
    }

    /// Has it found by another name.
    #[must_use]
    pub fn with_name(self, name: AdapterName) -> Self {
        Self { name }
    }
}

impl BlobAdapter for NoopAdapter {
    fn adapter_id(&self) -> &str {
        &self.name.id
    }

    fn accepted_schemes(&self) -> &[String] {
        &self.name.schemes
    }

    /// Stores nothing, and says that this went well.
    fn store_object(&self, _name: &ObjectName, _content: &[u8]) -> Result<(), BlobError> {
        Ok(())
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        Err(BlobError::NotFound { hash: name.hash })
    }

    fn stat_object(&self, _name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        Ok(None)
    }

    fn delete_object(&self, _name: &ObjectName) -> Result<bool, BlobError> {
        Ok(false)
    }

    fn list_objects(&self, _query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        Ok(Vec::new())
    }
}
