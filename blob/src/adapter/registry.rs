//! Which adapter is asked for what.

use std::sync::Arc;

use super::{BlobAdapter, VerifiedAdapter};
use crate::BlobError;
use crate::reference::BlobRef;

/// Adapters, by their ids and by the schemes that they answer for. A value like any other: nothing is shared by the process.
#[derive(Debug, Clone, Default)]
pub struct AdapterRegistry {
    /// In the order in which they came.
    adapters: Vec<VerifiedAdapter>,
}

impl AdapterRegistry {
    /// Makes one without adapters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an adapter.
    ///
    /// # Errors
    ///
    /// [`BlobError::AdapterExists`] where its id or one of its schemes belongs to another.
    pub fn register(&mut self, adapter: Arc<dyn BlobAdapter>) -> Result<(), BlobError> {
        let exists = |name: &str, owner: &VerifiedAdapter| {
            Err(BlobError::AdapterExists { name: name.to_owned(), owner: owner.adapter_id().to_owned() })
        };
        if let Some(owner) = self.adapters.iter().find(|other| other.adapter_id() == adapter.adapter_id()) {
            return exists(adapter.adapter_id(), owner);
        }
        for scheme in adapter.accepted_schemes() {
            if let Some(owner) = self.adapters.iter().find(|other| other.accepts(scheme)) {
                return exists(scheme, owner);
            }
        }
        self.adapters.push(VerifiedAdapter::new(adapter));
        Ok(())
    }

    /// Takes an adapter out, and returns it.
    ///
    /// # Errors
    ///
    /// As [`by_id`](Self::by_id).
    pub fn remove(&mut self, id: &str) -> Result<VerifiedAdapter, BlobError> {
        match self.adapters.iter().position(|adapter| adapter.adapter_id() == id) {
            Some(at) => Ok(self.adapters.remove(at)),
            None => Err(self.missing(id)),
        }
    }

    /// Returns the adapter of this id.
    ///
    /// # Errors
    ///
    /// [`BlobError::AdapterNotConfigured`] where there is none at all, [`BlobError::AdapterNotRegistered`].
    pub fn by_id(&self, id: &str) -> Result<&VerifiedAdapter, BlobError> {
        self.adapters.iter().find(|adapter| adapter.adapter_id() == id).ok_or_else(|| self.missing(id))
    }

    /// Returns the adapter that answers for a scheme.
    ///
    /// # Errors
    ///
    /// As [`by_id`](Self::by_id).
    pub fn by_scheme(&self, scheme: &str) -> Result<&VerifiedAdapter, BlobError> {
        self.adapters.iter().find(|adapter| adapter.accepts(scheme)).ok_or_else(|| self.missing(scheme))
    }

    /// Returns the adapter that answers for where a blob lies.
    ///
    /// # Errors
    ///
    /// As [`by_id`](Self::by_id).
    pub fn for_reference(&self, reference: &BlobRef) -> Result<&VerifiedAdapter, BlobError> {
        self.by_scheme(reference.scheme())
    }

    /// Returns all adapters, in the order in which they came.
    pub fn adapters(&self) -> &[VerifiedAdapter] {
        &self.adapters
    }

    fn missing(&self, name: &str) -> BlobError {
        match &self.adapters[..] {
            [] => BlobError::AdapterNotConfigured,
            adapters => {
                let known = adapters.iter().map(|adapter| adapter.adapter_id().to_owned()).collect();
                BlobError::AdapterNotRegistered { name: name.to_owned(), known }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Hash;

    use super::*;
    use crate::adapter::{AdapterName, MemoryAdapter, NoopAdapter};

    #[test]
    fn adapters_are_found_by_id_by_scheme_and_by_reference() {
        let mut registry = AdapterRegistry::new();
        assert!(matches!(registry.by_id("memory"), Err(BlobError::AdapterNotConfigured)));
        let archive = AdapterName { id: "archive".into(), schemes: vec!["old".into(), "older".into()] };
        registry.register(Arc::new(MemoryAdapter::new())).unwrap();
        registry.register(Arc::new(NoopAdapter::new().with_name(archive))).unwrap();
        assert_eq!(registry.by_id("archive").unwrap().adapter_id(), "archive");
        assert_eq!(registry.by_scheme("older").unwrap().adapter_id(), "archive");
        let reference = BlobRef::small(Hash::of(b"x"), 1).unwrap();
        let own = registry.for_reference(&reference).unwrap_err();
        assert!(matches!(&own, BlobError::AdapterNotRegistered { name, known }
            if name == "netdb" && known == &["memory", "archive"]));
        let old = reference.with_uri("old:x").unwrap();
        assert_eq!(registry.for_reference(&old).unwrap().adapter_id(), "archive");
        assert_eq!(registry.remove("archive").unwrap().adapter_id(), "archive");
        assert!(matches!(registry.by_scheme("old"), Err(BlobError::AdapterNotRegistered { .. })));
    }

    #[test]
    fn ids_and_schemes_belong_to_one_adapter() {
        let mut registry = AdapterRegistry::new();
        registry.register(Arc::new(MemoryAdapter::new())).unwrap();
        for (id, scheme) in [("memory", "other"), ("other", "memory")] {
            let second = NoopAdapter::new().with_name(AdapterName::new(id, scheme));
            let error = registry.register(Arc::new(second)).unwrap_err();
            assert!(matches!(error, BlobError::AdapterExists { owner, .. } if owner == "memory"));
        }
        assert_eq!(registry.adapters().len(), 1);
    }
}
