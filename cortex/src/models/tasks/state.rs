//! All tasks.

use crate::table::Table;

use super::{Task, TaskStatus};

/// All tasks as of one position.
pub type TasksState = Table<Task>;

impl Table<Task> {
    /// Returns how many tasks have a status; takes constant time.
    pub fn count_by_status(&self, status: TaskStatus) -> usize {
        self.count_in_partition(status.partition())
    }
}
