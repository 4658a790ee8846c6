//! What a task is.

use std::fmt;
use std::str::FromStr;

use base::{Seq, Timestamp};

use crate::models::{CREATED, UPDATED};
use crate::table::Record;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Task {
    /// What names it; chosen by whoever creates it.
    pub id: u64,
    /// What is to be done.
    pub title: Box<str>,
    /// Whether it is done.
    pub status: TaskStatus,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
    /// The number of the event that changed it last.
    pub version: Seq,
}

/// Whether a task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TaskStatus {
    /// It is not.
    #[default]
    Pending,
    /// It is.
    Completed,
}

impl Task {
    /// Makes a pending task, as its creation at a time does.
    pub fn new(id: u64, title: &str, at: Timestamp) -> Self {
        let (status, version) = (TaskStatus::Pending, Seq::ZERO);
        Self { id, title: title.into(), status, created: at, updated: at, version }
    }
}

impl TaskStatus {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pending, Self::Completed];

    /// Returns the name used everywhere: `pending` or `completed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
        }
    }

    pub(super) fn partition(self) -> usize {
        match self {
            Self::Pending => 0,
            Self::Completed => 1,
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TaskStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is no status: give pending or completed"))
    }
}

impl Record for Task {
    type Id = u64;
    type Group = std::convert::Infallible;

    const ID_MIN: u64 = u64::MIN;
    const ID_MAX: u64 = u64::MAX;
    const PARTITIONS: usize = 2;
    const ORDERS: usize = 2;

    fn id(&self) -> u64 {
        self.id
    }

    fn partition(&self) -> usize {
        self.status.partition()
    }

    fn rank(&self, order: usize) -> i64 {
        match order {
            CREATED => self.created.as_nanos(),
            UPDATED => self.updated.as_nanos(),
            _ => 0,
        }
    }

    fn groups(&self, _: &mut dyn FnMut(&Self::Group)) {}
}
