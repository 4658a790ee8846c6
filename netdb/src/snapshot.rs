//! All models at one position.

use base::Position;
use cortex::models::memories::MemoriesState;
use cortex::models::tasks::TasksState;

use crate::Error;
use crate::models::{Models, missing};

/// The state of all models at one position. Cloning takes constant time; nothing that is written later shows in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// What it includes.
    pub position: Position,
    /// The tasks, if the database has them.
    pub tasks: Option<TasksState>,
    /// The memories, if the database has them.
    pub memories: Option<MemoriesState>,
}

impl Snapshot {
    pub(crate) fn take(models: &Models) -> Result<Self, Error> {
        let Some(runner) = models.runner() else {
            return Err(missing("tasks", "with_tasks()"));
        };
        runner.with_cut(|cut| {
            let tasks = models.tasks().ok().map(|tasks| tasks.snapshot()).transpose()?;
            let memories = models.memories().ok().map(|memories| memories.snapshot()).transpose()?;
            Ok(Self {
                position: cut.position(),
                tasks: tasks.map(|snapshot| snapshot.state),
                memories: memories.map(|snapshot| snapshot.state),
            })
        })
    }
}
