//! What the crate needs of whoever uses it: a durable map for names and pins, and what is referred to elsewhere.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use base::{ErrorKind, Hash};

/// The maps that a [`Journal`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// What is pinned; a key is the hash of a blob in hexadecimal digits.
    Pins,
    /// What has a name; a key is the name.
    Names,
    /// What is leased; keys are as those of pins.
    Leases,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pins, Self::Names, Self::Leases];

    /// Returns the name used in output and storage.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pins => "pins",
            Self::Names => "names",
            Self::Leases => "leases",
        }
    }
}

/// What becomes of one key.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The map.
    pub table: Table,
    /// The key; never empty.
    pub key: &'a str,
    /// The value, never empty; `None` takes the key out.
    pub value: Option<&'a [u8]>,
}

/// Why a journal did not do what it was asked to, or references could not be read.
#[derive(Debug)]
pub struct WiringError {
    /// What can be done about it.
    pub kind: ErrorKind,
    /// What went wrong.
    pub source: Box<dyn Error + Send + Sync>,
}

impl WiringError {
    /// Makes an error of another one.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into() }
    }
}

/// Keeps names, pins and leases beside the chunks: maps from keys to values.
///
/// # Contract
///
/// What [`write`](Self::write) returned for survives a power failure, and is what [`visit`](Self::visit) tells of afterwards, in
/// this process and the next one. It may be called from several threads at once; changes to one key are made one after the other.
pub trait Journal: Send + Sync + fmt::Debug {
    /// Makes changes, all of them or none.
    ///
    /// # Errors
    ///
    /// Why not; kind `Unavailable` where it may have happened all the same.
    fn write(&self, changes: &[Change<'_>]) -> Result<(), WiringError>;

    /// Tells of all keys of one map and their values.
    ///
    /// # Errors
    ///
    /// Why they cannot be read.
    fn visit(&self, table: Table, visit: &mut dyn FnMut(&str, &[u8])) -> Result<(), WiringError>;
}

/// What refers to blobs from outside: events.
///
/// # Contract
///
/// Everything is visited that was referred to when [`visit`](Self::visit) was called, whether or not it is visible yet. What comes
/// to be referred to later was [held](crate::ObjectStore::hold_for) before.
pub trait Roots: Send + Sync {
    /// Tells of each blob that is referred to; of some more than once.
    ///
    /// # Errors
    ///
    /// Where not all can be known: then nothing is collected.
    fn visit(&self, visit: &mut dyn FnMut(Hash)) -> Result<(), WiringError>;
}

/// Nothing refers to anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRoots;

impl Roots for NoRoots {
    fn visit(&self, _visit: &mut dyn FnMut(Hash)) -> Result<(), WiringError> {
        Ok(())
    }
}

/// A journal that is gone with its process: for tests, and for stores in memory.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    maps: Mutex<BTreeMap<(Table, String), Vec<u8>>>,
}

impl Journal for MemoryJournal {
    fn write(&self, changes: &[Change<'_>]) -> Result<(), WiringError> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let key = (change.table, change.key.to_owned());
            match change.value {
                Some(value) => maps.insert(key, value.to_owned()),
                None => maps.remove(&key),
            };
        }
        Ok(())
    }

    fn visit(&self, table: Table, visit: &mut dyn FnMut(&str, &[u8])) -> Result<(), WiringError> {
        let maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let of_table = maps.iter().filter(|((of, _), _)| *of == table);
        of_table.for_each(|((_, key), value)| visit(key, value));
        Ok(())
    }
}
