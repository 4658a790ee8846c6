//! How what is done to memories is written: kinds and payloads.
//!
//! | kind | payload |
//! |---|---|
//! | `memory.stored` | `{"id":1,"content":"..","tags":["..",".."],"source":".."}` |
//! | `memory.retagged` | `{"id":1,"tags":[".."]}` |
//! | `memory.pinned`, `memory.unpinned`, `memory.deleted` | `{"id":1}` |
//!
//! Each may have `"if":"absent"` or `"if":{"version":7}`. The event's key is the id, its time that of the change.

use std::borrow::Cow;
use std::sync::LazyLock;

use base::ChannelName;
use serde::{Deserialize, Serialize};

use crate::models::{Command, Guard};

/// The channel of all memories.
pub(super) static CHANNEL: LazyLock<ChannelName> =
    LazyLock::new(|| ChannelName::new("cortex/memories").expect("the name follows the rules"));

pub(super) const STORED: &str = "memory.stored";
pub(super) const RETAGGED: &str = "memory.retagged";
pub(super) const PINNED: &str = "memory.pinned";
pub(super) const UNPINNED: &str = "memory.unpinned";
pub(super) const DELETED: &str = "memory.deleted";

/// Something to be done to a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryCommand<'a> {
    /// A new memory, or new content, tags and source for the one of this id.
    Store {
        /// What names it.
        id: u64,
        /// What is to be kept.
        content: &'a str,
        /// What it is about.
        tags: &'a [&'a str],
        /// Where it comes from.
        source: &'a str,
    },
    /// Other tags.
    Retag {
        /// The memory.
        id: u64,
        /// All its tags.
        tags: &'a [&'a str],
    },
    /// A pin.
    Pin {
        /// The memory.
        id: u64,
    },
    /// No pin.
    Unpin {
        /// The memory.
        id: u64,
    },
    /// It is no more.
    Delete {
        /// The memory.
        id: u64,
    },
}

/// The payload of every kind.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Payload<'a> {
    pub id: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Cow<'a, str>>,
    #[serde(rename = "if", default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

impl MemoryCommand<'_> {
    /// Returns the memory.
    pub fn id(&self) -> u64 {
        match self {
            Self::Store { id, .. } | Self::Retag { id, .. } => *id,
            Self::Pin { id } | Self::Unpin { id } | Self::Delete { id } => *id,
        }
    }
}

impl Command for MemoryCommand<'_> {
    fn channel(&self) -> &'static ChannelName {
        &CHANNEL
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Store { .. } => STORED,
            Self::Retag { .. } => RETAGGED,
            Self::Pin { .. } => PINNED,
            Self::Unpin { .. } => UNPINNED,
            Self::Delete { .. } => DELETED,
        }
    }

    fn key(&self) -> String {
        self.id().to_string()
    }

    fn payload(&self, guard: Option<Guard>) -> Vec<u8> {
        let tags = |tags: &[&'_ str]| tags.iter().map(|tag| Cow::Owned((*tag).to_owned())).collect();
        let mut payload = Payload { id: self.id(), content: None, tags: None, source: None, guard };
        match self {
            Self::Store { content, tags: list, source, .. } => {
                payload.content = Some(Cow::Borrowed(content));
                payload.tags = Some(tags(list));
                payload.source = Some(Cow::Borrowed(source));
            }
            Self::Retag { tags: list, .. } => payload.tags = Some(tags(list)),
            Self::Pin { .. } | Self::Unpin { .. } | Self::Delete { .. } => {}
        }
        serde_json::to_vec(&payload).expect("numbers and texts have a JSON form")
    }
}
