//! Where folded state is kept between openings: ordered bytes, changed by atomic batches.

use std::fmt;
use std::ops::ControlFlow;

use base::{Classify, ErrorKind};

pub mod conformance;
mod memory;

pub use memory::MemoryStateStore;

/// Ordered pairs of bytes in named spaces.
///
/// # Contract
///
/// A batch is kept whole or not at all, whatever happens meanwhile, and never without every batch that was committed
/// before it: what a crash leaves is the state behind some batch. [`conformance::check`] says it in code.
pub trait StateStore: Send + Sync + fmt::Debug {
    /// Applies the changes of a batch, in their order.
    ///
    /// *Durability*: none before [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing of the batch was applied then.
    fn commit(&self, batch: StateBatch) -> Result<(), StoreError>;

    /// Makes every batch that was committed durable.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; what is durable is then unknown until the store is opened again.
    fn sync(&self) -> Result<(), StoreError>;

    /// Returns the value of a key.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when it cannot be read.
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits the pairs of a space from a key on, in the order of keys, until the visitor breaks; as of one moment,
    /// also while batches are committed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn scan(&self, space: &str, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Returns the names of the spaces that hold anything, sorted.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when they cannot be read.
    fn spaces(&self) -> Result<Vec<String>, StoreError>;
}

/// Takes a key and its value, and breaks when it wants no more.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Changes that are kept together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateBatch(Vec<StateChange>);

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// Sets the value of a key.
    Put {
        /// The space.
        space: String,
        /// The key.
        key: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// Takes a key away, if it is there.
    Remove {
        /// The space.
        space: String,
        /// The key.
        key: Vec<u8>,
    },
    /// Takes everything in a space away.
    Clear {
        /// The space.
        space: String,
    },
}

impl StateBatch {
    /// Makes a batch without changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a key.
    pub fn put(&mut self, space: &str, key: &[u8], value: Vec<u8>) {
        self.0.push(StateChange::Put { space: space.to_owned(), key: key.to_vec(), value });
    }

    /// Takes a key away.
    pub fn remove(&mut self, space: &str, key: &[u8]) {
        self.0.push(StateChange::Remove { space: space.to_owned(), key: key.to_vec() });
    }

    /// Takes everything in a space away that earlier batches, and this one so far, have put there.
    pub fn clear(&mut self, space: &str) {
        self.0.push(StateChange::Clear { space: space.to_owned() });
    }

    /// Returns the changes in their order.
    pub fn into_changes(self) -> Vec<StateChange> {
        self.0
    }

    /// Tells whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store of states: {cause}")]
pub struct StoreError {
    /// What can be done about it.
    pub kind: ErrorKind,
    /// What went wrong, and where.
    pub cause: String,
}

impl StoreError {
    /// Makes an error.
    pub fn new(kind: ErrorKind, cause: impl fmt::Display) -> Self {
        Self { kind, cause: cause.to_string() }
    }
}

impl Classify for StoreError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}
