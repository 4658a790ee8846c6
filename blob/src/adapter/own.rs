//! Objects of our own store.

use std::path::PathBuf;

use super::{AdapterName, BlobAdapter, ObjectName, ObjectStat, unsupported};
use crate::BlobError;
use crate::blobs::BlobStore;
use crate::reference::OWN_SCHEME;

/// An adapter over a store on this machine, so that blobs are copied from and to it like any other.
///
/// What it does not do: remove objects, since the store alone knows what else refers to one; and list them, since it lists blobs.
#[derive(Debug)]
pub struct OwnAdapter {
    name: AdapterName,
    store: BlobStore,
}

impl OwnAdapter {
    /// Adapts a store, as `netdb`.
    pub fn new(store: BlobStore) -> Self {
        Self { name: AdapterName::new(OWN_SCHEME, OWN_SCHEME), store }
    }

    /// Has it found by another name.
    #[must_use]
    pub fn with_name(self, name: AdapterName) -> Self {
        Self { name, ..self }
    }
}

impl BlobAdapter for OwnAdapter {
    fn adapter_id(&self) -> &str {
        &self.name.id
    }

    fn accepted_schemes(&self) -> &[String] {
        &self.name.schemes
    }

    /// Stores an object.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::HashMismatch`] for the content of another name, which the store would keep under that.
    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        let found = name.kind.name_of(content);
        if found != name.hash {
            let file = PathBuf::from(&self.name.id);
            return Err(BlobError::HashMismatch { file, offset: 0, hash: name.hash, found });
        }
        self.store.objects().put(name.kind, content)?;
        self.store.objects().sync()
    }

    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        self.store.objects().get(&name.hash).map(|(_, content)| content)
    }

    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        let info = self.store.objects().info(&name.hash)?;
        Ok(info.map(|info| ObjectStat { bytes: info.bytes, stored_at: Some(info.put_at) }))
    }

    fn delete_object(&self, _name: &ObjectName) -> Result<bool, BlobError> {
        Err(unsupported(&self.name.id, "remove an object by itself"))
    }

    fn supports_delete(&self) -> bool {
        false
    }

    fn supports_list(&self) -> bool {
        false
    }

    fn note_blob(&self, whole: &ObjectName) -> Result<(), BlobError> {
        self.store.objects().note_blob(whole.hash)?;
        self.store.objects().sync()
    }
}
