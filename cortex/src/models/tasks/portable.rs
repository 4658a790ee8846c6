//! Tasks written down.

use base::{Seq, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Task, TaskStatus, TasksFold, TasksState};
use crate::{FoldError, Portable};

/// A task, with times in nanoseconds since 1970.
#[derive(Serialize, Deserialize)]
struct Written {
    id: u64,
    title: Box<str>,
    status: String,
    created_ns: i64,
    updated_ns: i64,
    version: u64,
}

impl Portable for TasksFold {
    fn key(&self, id: u64) -> Vec<u8> {
        id.to_be_bytes().to_vec()
    }

    fn export(&self, task: &Task) -> Value {
        let written = Written {
            id: task.id,
            title: task.title.clone(),
            status: task.status.to_string(),
            created_ns: task.created.as_nanos(),
            updated_ns: task.updated.as_nanos(),
            version: task.version.0,
        };
        serde_json::to_value(written).expect("numbers and texts have a JSON form")
    }

    fn import(&self, form: Value, _: &TasksState) -> Result<Task, FoldError> {
        let written: Written = serde_json::from_value(form).map_err(FoldError::new)?;
        let status: TaskStatus = written.status.parse().map_err(FoldError::new)?;
        Ok(Task {
            id: written.id,
            title: written.title,
            status,
            created: Timestamp::from_nanos(written.created_ns),
            updated: Timestamp::from_nanos(written.updated_ns),
            version: Seq(written.version),
        })
    }
}
