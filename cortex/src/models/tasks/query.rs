//! Which tasks are wanted.

use std::collections::BTreeSet;

use base::Timestamp;

use super::{Task, TaskStatus};
use crate::models::text::Needle;
use crate::models::times::Times;
use crate::query::{Filter, Query};

/// Which tasks are wanted: those that fulfil everything that is set. Times include both ends.
///
/// # Examples
///
/// ```
/// use cortex::models::tasks::{TaskFilter, TaskStatus};
///
/// let filter = TaskFilter::new().status(TaskStatus::Pending).title_contains("milk");
/// assert_eq!(filter, filter.clone());
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFilter {
    ids: Option<BTreeSet<u64>>,
    status: Option<TaskStatus>,
    title: Option<Needle>,
    times: Times,
}

/// A question about tasks.
pub type TaskQuery = Query<Task, TaskFilter>;

impl TaskFilter {
    /// Wants all tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants only these.
    #[must_use]
    pub fn ids(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.ids = Some(ids.into_iter().collect());
        self
    }

    /// Wants only those with a status.
    #[must_use]
    pub fn status(mut self, status: TaskStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Wants only those with a text in their title, in whatever case.
    #[must_use]
    pub fn title_contains(mut self, text: &str) -> Self {
        self.title = Some(Needle::new(text));
        self
    }

    /// Wants only those created at a time or later.
    #[must_use]
    pub fn created_from(mut self, time: Timestamp) -> Self {
        self.times.created.0 = Some(time);
        self
    }

    /// Wants only those created at a time or earlier.
    #[must_use]
    pub fn created_to(mut self, time: Timestamp) -> Self {
        self.times.created.1 = Some(time);
        self
    }

    /// Wants only those changed at a time or later.
    #[must_use]
    pub fn updated_from(mut self, time: Timestamp) -> Self {
        self.times.updated.0 = Some(time);
        self
    }

    /// Wants only those changed at a time or earlier.
    #[must_use]
    pub fn updated_to(mut self, time: Timestamp) -> Self {
        self.times.updated.1 = Some(time);
        self
    }
}

impl Filter<Task> for TaskFilter {
    fn matches(&self, task: &Task) -> bool {
        self.status.is_none_or(|status| task.status == status)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&task.id))
            && self.times.include(task.created, task.updated)
            && self.title.as_ref().is_none_or(|needle| needle.is_in(&task.title))
    }

    fn ids(&self) -> Option<&BTreeSet<u64>> {
        self.ids.as_ref()
    }

    fn partition(&self) -> Option<usize> {
        self.status.map(TaskStatus::partition)
    }

    fn ranks(&self, order: usize) -> (Option<i64>, Option<i64>) {
        self.times.ranks(order)
    }

    fn is_exact(&self) -> bool {
        self.title.is_none() && self.times.are_any()
    }
}
