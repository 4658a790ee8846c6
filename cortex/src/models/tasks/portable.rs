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
    fn export(&self, state: &TasksState) -> Vec<Value> {
        let written = state.iter().map(|task| Written {
            id: task.id,
            title: task.title.clone(),
            status: task.status.to_string(),
            created_ns: task.created.as_nanos(),
            updated_ns: task.updated.as_nanos(),
            version: task.version.0,
        });
        written.map(|task| serde_json::to_value(task).expect("numbers and texts have a JSON form")).collect()
    }

    fn import(&self, records: Vec<Value>) -> Result<TasksState, FoldError> {
        let mut state = TasksState::default();
        for record in records {
            let written: Written = serde_json::from_value(record).map_err(FoldError::new)?;
            let status: TaskStatus = written.status.parse().map_err(FoldError::new)?;
            state.put(Task {
                id: written.id,
                title: written.title,
                status,
                created: Timestamp::from_nanos(written.created_ns),
                updated: Timestamp::from_nanos(written.updated_ns),
                version: Seq(written.version),
            });
        }
        Ok(state)
    }
}
