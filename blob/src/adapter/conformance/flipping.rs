//! An adapter in front of another that gives out other bytes than it got.

use base::Hash;

use super::super::{BlobAdapter, ListQuery, ObjectName, ObjectStat};
use crate::BlobError;
use std::sync::Arc;

/// How bytes are changed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// A bit in the middle flips.
    Flip,
    /// The last byte is missing.
    Cut,
    /// A byte is added.
    Extend,
}

/// Changes what is fetched of one object.
#[derive(Debug)]
pub(super) struct Flipping {
    pub inner: Arc<dyn BlobAdapter>,
    pub victim: Hash,
    pub change: Change,
}

impl BlobAdapter for Flipping {
    fn adapter_id(&self) -> &str {
        self.inner.adapter_id()
    }

    fn accepted_schemes(&self) -> &[String] {
        self.inner.accepted_schemes()
    }

    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        self.inner.store_object(name, content)
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        let mut content = self.inner.fetch_object(name)?;
        if name.hash != self.victim {
            return Ok(content);
        }
        let middle = content.len() / 2;
        match (self.change, content.get_mut(middle)) {
            (Change::Flip, Some(byte)) => *byte ^= 0x10,
            (Change::Cut, Some(_)) => content.truncate(content.len() - 1),
            _ => content.push(0),
        }
        Ok(content)
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        self.inner.stat_object(name)
    }

    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        self.inner.delete_object(name)
    }

    fn list_objects(&self, query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        self.inner.list_objects(query)
    }
}
