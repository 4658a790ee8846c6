//! How what is done to tasks is written: kinds and payloads.
//!
//! | kind | payload |
//! |---|---|
//! | `task.created` | `{"id":1,"title":"..","replace":true}` (`replace` only if it may take another's place) |
//! | `task.renamed` | `{"id":1,"title":".."}` |
//! | `task.completed`, `task.deleted` | `{"id":1}` |
//!
//! Each may have `"if":"absent"` or `"if":{"version":7}`. The event's key is the id, its time that of the change.

use std::borrow::Cow;
use std::sync::LazyLock;

use base::ChannelName;
use serde::{Deserialize, Serialize};

use crate::models::{Command, Guard};

/// The channel of all tasks.
pub(super) static CHANNEL: LazyLock<ChannelName> =
    LazyLock::new(|| ChannelName::new("cortex/tasks").expect("the name follows the rules"));

pub(super) const CREATED: &str = "task.created";
pub(super) const RENAMED: &str = "task.renamed";
pub(super) const COMPLETED: &str = "task.completed";
pub(super) const DELETED: &str = "task.deleted";

/// Something to be done to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskCommand<'a> {
    /// A new task, unless there is one of this id.
    Create {
        /// What names it.
        id: u64,
        /// What is to be done.
        title: &'a str,
    },
    /// A new task, in place of the one of this id, if there is one.
    Replace {
        /// What names it.
        id: u64,
        /// What is to be done.
        title: &'a str,
    },
    /// Another title.
    Rename {
        /// The task.
        id: u64,
        /// Its new title.
        title: &'a str,
    },
    /// It is done.
    Complete {
        /// The task.
        id: u64,
    },
    /// It is no more.
    Delete {
        /// The task.
        id: u64,
    },
}

/// The payload of every kind.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Payload<'a> {
    pub id: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

impl TaskCommand<'_> {
    /// Returns the task.
    pub fn id(&self) -> u64 {
        match self {
            Self::Create { id, .. } | Self::Replace { id, .. } | Self::Rename { id, .. } => *id,
            Self::Complete { id } | Self::Delete { id } => *id,
        }
    }

    fn title(&self) -> Option<&str> {
        match self {
            Self::Create { title, .. } | Self::Replace { title, .. } | Self::Rename { title, .. } => {
                Some(title)
            }
            Self::Complete { .. } | Self::Delete { .. } => None,
        }
    }
}

impl Command for TaskCommand<'_> {
    fn channel(&self) -> &'static ChannelName {
        &CHANNEL
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } | Self::Replace { .. } => CREATED,
            Self::Rename { .. } => RENAMED,
            Self::Complete { .. } => COMPLETED,
            Self::Delete { .. } => DELETED,
        }
    }

    fn key(&self) -> String {
        self.id().to_string()
    }

    fn payload(&self, guard: Option<Guard>) -> Vec<u8> {
        let payload = Payload {
            id: self.id(),
            title: self.title().map(Cow::Borrowed),
            replace: matches!(self, Self::Replace { .. }),
            guard,
        };
        serde_json::to_vec(&payload).expect("numbers and texts have a JSON form")
    }
}
