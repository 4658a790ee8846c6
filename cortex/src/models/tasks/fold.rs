//! What events do to tasks.

use base::ChannelName;
use redex::EventRef;

use super::events::{CHANNEL, COMPLETED, CREATED, DELETED, Payload, RENAMED};
use super::{Task, TaskStatus, TasksState};
use crate::models::Guard;
use crate::table::Change;
use crate::{Applied, Changes, Fold, FoldError};

/// Folds the channel `cortex/tasks`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TasksFold;

impl Fold for TasksFold {
    type State = TasksState;
    type Change = Change<Task>;

    fn name(&self) -> &str {
        "tasks"
    }

    fn version(&self) -> u32 {
        1
    }

    fn channels(&self) -> Vec<ChannelName> {
        vec![CHANNEL.clone()]
    }

    fn apply(
        &self,
        state: &mut TasksState,
        event: &EventRef<'_>,
        changes: &mut Changes<'_, Change<Task>>,
    ) -> Result<Applied, FoldError> {
        if !matches!(event.kind, CREATED | RENAMED | COMPLETED | DELETED) {
            return Ok(Applied::Ignored);
        }
        let payload: Payload<'_> = serde_json::from_slice(event.payload).map_err(FoldError::new)?;
        let known = state.get(payload.id);
        if let Some(refused) = Guard::refuses(payload.guard, known.map(|task| task.version)) {
            return Ok(refused);
        }
        let now = event.time.unwrap_or(event.recorded_at);
        let title = || payload.title.as_deref().ok_or_else(|| FoldError::new("no title"));
        let (version, updated) = (event.seq, now);
        let after = match (event.kind, known.map(|task| &**task)) {
            (CREATED, Some(known)) if !payload.replace => {
                return Ok(Applied::Exists { version: known.version });
            }
            (CREATED, _) => Task { version, ..Task::new(payload.id, title()?, now) },
            (_, None) => return Ok(Applied::NotFound),
            (RENAMED, Some(known)) => match title()? {
                title if *known.title == *title => return Ok(Applied::Unchanged),
                title => Task { title: title.into(), updated, version, ..known.clone() },
            },
            (COMPLETED, Some(known)) => match known.status {
                TaskStatus::Completed => return Ok(Applied::Unchanged),
                TaskStatus::Pending => {
                    Task { status: TaskStatus::Completed, updated, version, ..known.clone() }
                }
            },
            _ => {
                if let Some(change) = state.remove(payload.id) {
                    changes.note(|| change);
                }
                return Ok(Applied::Changed);
            }
        };
        let change = state.put(after);
        changes.note(|| change);
        Ok(Applied::Changed)
    }
}
