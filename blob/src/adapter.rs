//! Adapters: what moves objects to and from wherever else they lie.
//!
//! A [`BlobAdapter`] moves single objects, of at most 16 MiB, under their names, and need not verify anything. Nobody uses one
//! directly: a [`VerifiedAdapter`] makes whole blobs of its objects and verifies each, whatever the adapter says. An
//! [`AdapterRegistry`] finds the one that a reference asks for.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use blob::Chunking;
//! use blob::adapter::{AdapterRegistry, MemoryAdapter};
//!
//! let mut registry = AdapterRegistry::new();
//! registry.register(Arc::new(MemoryAdapter::new()))?;
//! let memory = registry.by_scheme("memory")?;
//! let reference = memory.put(&mut &b"content"[..], Chunking::Fixed)?.with_uri("memory:here")?;
//! assert_eq!(registry.for_reference(&reference)?.fetch(&reference)?, b"content");
//! # Ok::<(), blob::BlobError>(())
//! ```

use std::fmt;

use base::{Hash, Timestamp};

use crate::BlobError;
use crate::object::ObjectKind;

pub mod conformance;
mod file_system;
mod memory;
mod noop;
mod own;
mod registry;
mod verified;
mod walk;

pub use file_system::FileSystemAdapter;
pub use memory::MemoryAdapter;
pub use noop::NoopAdapter;
pub use own::OwnAdapter;
pub use registry::AdapterRegistry;
pub use verified::{BlobStat, VerifiedAdapter};

/// Moves objects to and from where they lie.
///
/// # Contract
///
/// All methods may be called from several threads at once, also for the same object. An adapter gives out what it was given; whether
/// that is what its name says is for [`VerifiedAdapter`] to find out. `adapter::conformance` checks all of this.
pub trait BlobAdapter: Send + Sync + fmt::Debug {
    /// Returns the name by which it is registered, and by which errors speak of it.
    fn adapter_id(&self) -> &str;

    /// Returns the schemes of the URIs that it answers for.
    fn accepted_schemes(&self) -> &[String];

    /// Stores an object. One that is there already with the same content stays; with another content, it is replaced.
    ///
    /// *Durability*: as durable as the other side makes it once this returns; never half there, also after a crash.
    ///
    /// # Errors
    ///
    /// [`BlobError::Backend`], [`BlobError::Unauthorized`], [`BlobError::Io`].
    fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError>;

    /// Returns an object, unverified. In memory are never more than a few bytes beyond 16 MiB, whatever lies there.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`]; [`BlobError::TooLarge`] where more lies there and the adapter gives out nothing of it; as
    /// [`store_object`](Self::store_object).
    fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError>;

    /// Tells what is known of an object without reading it; `None` where there is none.
    ///
    /// # Errors
    ///
    /// As [`store_object`](Self::store_object).
    fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError>;

    /// Removes an object, and tells whether it was there.
    ///
    /// # Errors
    ///
    /// As [`store_object`](Self::store_object).
    fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError>;

    /// Tells whether objects can be removed one by one.
    fn supports_delete(&self) -> bool {
        true
    }

    /// Has an object at hand soon, where that makes a difference; tells whether it does.
    ///
    /// # Errors
    ///
    /// As [`fetch_object`](Self::fetch_object); a success promises nothing.
    fn prefetch_object(&self, _name: &ObjectName) -> Result<bool, BlobError> {
        Ok(false)
    }

    /// Returns names of objects in their order, as many as were asked for or all that there are.
    ///
    /// # Errors
    ///
    /// As [`store_object`](Self::store_object).
    fn list_objects(&self, _query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        Err(unsupported(self.adapter_id(), "list objects"))
    }

    /// Tells whether objects can be listed.
    fn supports_list(&self) -> bool {
        true
    }

    /// Is told that all of a blob is stored, and which object names it.
    ///
    /// # Errors
    ///
    /// As [`store_object`](Self::store_object).
    fn note_blob(&self, _whole: &ObjectName) -> Result<(), BlobError> {
        Ok(())
    }
}

/// The name of an object, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// What it is.
    pub kind: ObjectKind,
    /// Its name.
    pub hash: Hash,
}

impl ObjectName {
    /// Names an object by what it holds.
    pub fn of(kind: ObjectKind, content: &[u8]) -> Self {
        Self { kind, hash: kind.name_of(content) }
    }

    /// Returns where it lies below a directory or prefix: two hexadecimal digits of its hash, and the other 62.
    pub fn path(&self) -> [String; 2] {
        let mut first = self.hash.to_string();
        let rest = first.split_off(2);
        [first, rest]
    }

    /// Returns the hash of the object that lies at such a path; `None` where none does.
    pub fn hash_at([first, rest]: [&str; 2]) -> Option<Hash> {
        let digits = format!("{first}{rest}");
        let hash = Hash::from(blake3::Hash::from_hex(&digits).ok()?);
        // Capitals make another path.
        (first.len() == 2 && hash.to_string() == digits).then_some(hash)
    }
}

/// What an adapter knows of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectStat {
    /// Its length.
    pub bytes: u64,
    /// When it was stored, where that is known.
    pub stored_at: Option<Timestamp>,
}

/// Which objects are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    prefix: String,
    after: Option<Hash>,
    limit: usize,
}

impl ListQuery {
    /// Asks for so many objects at most.
    pub fn new(limit: usize) -> Self {
        Self { prefix: String::new(), after: None, limit }
    }

    /// Asks for objects only whose names begin so.
    ///
    /// # Errors
    ///
    /// [`BlobError::Prefix`] for what no name begins with.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, BlobError> {
        let is_hex = prefix.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        match is_hex && prefix.len() <= 2 * Hash::BYTES {
            true => Ok(Self { prefix: prefix.to_owned(), ..self }),
            false => Err(BlobError::Prefix { prefix: prefix.to_owned() }),
        }
    }

    /// Asks for objects only whose names are behind this one: the last of a list goes on where that ended.
    #[must_use]
    pub fn after(self, name: Hash) -> Self {
        Self { after: Some(name), ..self }
    }

    /// Returns how the names begin, in lower-case hexadecimal digits.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the name that all are behind.
    pub fn bound(&self) -> Option<Hash> {
        self.after
    }

    /// Returns how many are wanted at most.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Tells whether a name is asked for.
    pub fn matches(&self, name: &Hash) -> bool {
        self.after.is_none_or(|after| *name > after) && name.to_string().starts_with(&self.prefix)
    }

    /// Tells whether names are asked for whose first two digits are these.
    pub fn meets(&self, first: &str) -> bool {
        let begins = first.starts_with(&self.prefix) || self.prefix.starts_with(first);
        begins && self.after.is_none_or(|after| *first >= after.to_string()[..2])
    }
}

/// By what an adapter is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterName {
    /// Its id.
    pub id: String,
    /// The schemes that it answers for.
    pub schemes: Vec<String>,
}

impl AdapterName {
    /// Names an adapter that answers for one scheme.
    pub fn new(id: &str, scheme: &str) -> Self {
        Self { id: id.to_owned(), schemes: vec![scheme.to_owned()] }
    }
}

/// Returns the error of an adapter that does not do something.
fn unsupported(adapter: &str, operation: &'static str) -> BlobError {
    let source = std::io::Error::new(std::io::ErrorKind::Unsupported, "this adapter does not do that");
    BlobError::Backend { adapter: adapter.to_owned(), operation, can_repeat: false, source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_which_first_digits_can_have_something_of_it() {
        let query = |prefix| ListQuery::new(1).with_prefix(prefix).unwrap();
        for (query, met, passed) in [
            (query(""), vec!["00", "ff"], vec![]),
            (query("a"), vec!["a0", "af"], vec!["9a", "b0"]),
            (query("ab"), vec!["ab"], vec!["aa", "ac"]),
            (query("abc"), vec!["ab"], vec!["aa", "bc"]),
            (query("").after(Hash::from_bytes([0xab; 32])), vec!["ab", "ac"], vec!["aa", "00"]),
            (query("a").after(Hash::from_bytes([0xab; 32])), vec!["ab", "af"], vec!["aa", "b0"]),
        ] {
            assert!(met.iter().all(|first| query.meets(first)), "{query:?}");
            assert!(!passed.iter().any(|first| query.meets(first)), "{query:?}");
        }
        for wrong in ["g", "A", "0x", &"a".repeat(65)] {
            let prefixed = ListQuery::new(1).with_prefix(wrong);
            assert!(matches!(prefixed, Err(BlobError::Prefix { .. })), "{wrong}");
        }
        assert!(ListQuery::new(1).with_prefix(&"a".repeat(64)).is_ok());
    }

    #[test]
    fn names_have_one_path() {
        let name = ObjectName::of(ObjectKind::Chunk, b"x");
        let [first, rest] = name.path();
        assert_eq!(ObjectName::hash_at([&first, &rest]), Some(name.hash));
        let upper = rest.to_uppercase();
        let whole = format!("{first}{rest}");
        for wrong in [
            [&first[..], &upper],
            [&first, &rest[1..]],
            ["", &whole],
            [&whole, ""],
            [&whole[..3], &whole[3..]],
        ] {
            assert_eq!(ObjectName::hash_at(wrong), None, "{wrong:?}");
        }
    }
}
