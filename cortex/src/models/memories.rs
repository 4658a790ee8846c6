//! Memories: what is worth keeping.

mod events;
mod fold;
mod portable;
mod query;
mod state;
mod table;
mod types;

pub use events::MemoryCommand;
pub use fold::MemoriesFold;
pub use query::{MemoryFilter, MemoryQuery};
pub use state::MemoriesState;
pub use types::{Memory, MemoryGroup};

use redex::AppendError;

use super::WriteOptions;
use crate::{Folded, Written};

/// The running model of memories.
pub type Memories = Folded<MemoriesFold>;

/// A staged write to memories.
pub type MemoryWritten = Written<MemoriesFold>;

/// What can be done with memories. Each write is staged; its outcome, once it is applied, says what it did.
impl Folded<MemoriesFold> {
    /// Stores a memory; one of this id gets the new content, tags and source, and keeps its pin and its time of
    /// creation.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn store(
        &self,
        id: u64,
        content: &str,
        tags: &[&str],
        source: &str,
    ) -> Result<MemoryWritten, AppendError> {
        self.write(&MemoryCommand::Store { id, content, tags, source }, &WriteOptions::default())
    }

    /// Gives a memory other tags.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn retag(&self, id: u64, tags: &[&str]) -> Result<MemoryWritten, AppendError> {
        self.write(&MemoryCommand::Retag { id, tags }, &WriteOptions::default())
    }

    /// Pins a memory.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn pin(&self, id: u64) -> Result<MemoryWritten, AppendError> {
        self.write(&MemoryCommand::Pin { id }, &WriteOptions::default())
    }

    /// Takes a memory's pin away.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn unpin(&self, id: u64) -> Result<MemoryWritten, AppendError> {
        self.write(&MemoryCommand::Unpin { id }, &WriteOptions::default())
    }

    /// Deletes a memory.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn delete(&self, id: u64) -> Result<MemoryWritten, AppendError> {
        self.write(&MemoryCommand::Delete { id }, &WriteOptions::default())
    }

    /// Stages a command with options: time, guard, idempotency key.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn write(
        &self,
        command: &MemoryCommand<'_>,
        options: &WriteOptions<'_>,
    ) -> Result<MemoryWritten, AppendError> {
        super::write::write(self, command, options)
    }
}
