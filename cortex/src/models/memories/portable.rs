//! Memories written down.

use base::{Seq, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{MemoriesFold, MemoriesState, Memory};
use crate::{FoldError, Portable};

/// A memory, with times in nanoseconds since 1970.
#[derive(Serialize, Deserialize)]
struct Written {
    id: u64,
    content: Box<str>,
    tags: Vec<String>,
    source: String,
    created_ns: i64,
    updated_ns: i64,
    pinned: bool,
    version: u64,
}

impl Portable for MemoriesFold {
    fn key(&self, id: u64) -> Vec<u8> {
        id.to_be_bytes().to_vec()
    }

    fn export(&self, memory: &Memory) -> Value {
        let written = Written {
            id: memory.id,
            content: memory.content.clone(),
            tags: memory.tags.iter().map(|tag| tag.to_string()).collect(),
            source: memory.source.to_string(),
            created_ns: memory.created.as_nanos(),
            updated_ns: memory.updated.as_nanos(),
            pinned: memory.pinned,
            version: memory.version.0,
        };
        serde_json::to_value(written).expect("numbers and texts have a JSON form")
    }

    fn import(&self, form: Value, before: &MemoriesState) -> Result<Memory, FoldError> {
        let written: Written = serde_json::from_value(form).map_err(FoldError::new)?;
        Ok(Memory {
            id: written.id,
            content: written.content,
            tags: written.tags.iter().map(|tag| before.shared_tag(tag)).collect(),
            source: before.shared_source(&written.source),
            created: Timestamp::from_nanos(written.created_ns),
            updated: Timestamp::from_nanos(written.updated_ns),
            pinned: written.pinned,
            version: Seq(written.version),
        })
    }
}
