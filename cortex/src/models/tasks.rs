//! Tasks: what is to be done.

mod events;
mod fold;
mod portable;
mod query;
mod state;
mod table;
mod types;

pub use events::TaskCommand;
pub use fold::TasksFold;
pub use query::{TaskFilter, TaskQuery};
pub use state::TasksState;
pub use types::{Task, TaskStatus};

use redex::AppendError;

use super::WriteOptions;
use crate::{Folded, Written};

/// The running model of tasks.
pub type Tasks = Folded<TasksFold>;

/// A staged write to tasks.
pub type TaskWritten = Written<TasksFold>;

/// What can be done with tasks. Each write is staged; its outcome, once it is applied, says what it did.
impl Folded<TasksFold> {
    /// Creates a task, unless there is one of this id ([`Applied::Exists`](crate::Applied::Exists)).
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn create(&self, id: u64, title: &str) -> Result<TaskWritten, AppendError> {
        self.write(&TaskCommand::Create { id, title }, &WriteOptions::default())
    }

    /// Gives a task another title.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn rename(&self, id: u64, title: &str) -> Result<TaskWritten, AppendError> {
        self.write(&TaskCommand::Rename { id, title }, &WriteOptions::default())
    }

    /// Completes a task.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn complete(&self, id: u64) -> Result<TaskWritten, AppendError> {
        self.write(&TaskCommand::Complete { id }, &WriteOptions::default())
    }

    /// Deletes a task.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn delete(&self, id: u64) -> Result<TaskWritten, AppendError> {
        self.write(&TaskCommand::Delete { id }, &WriteOptions::default())
    }

    /// Stages a command with options: time, guard, idempotency key.
    ///
    /// # Errors
    ///
    /// As [`Folded::submit`].
    pub fn write(
        &self,
        command: &TaskCommand<'_>,
        options: &WriteOptions<'_>,
    ) -> Result<TaskWritten, AppendError> {
        super::write::write(self, command, options)
    }
}
