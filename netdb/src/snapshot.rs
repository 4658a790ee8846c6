//! All models at one position, also written down.

use base::{ErrorKind, LogId, Position};
use cortex::models::memories::{MemoriesFold, MemoriesState};
use cortex::models::tasks::{TasksFold, TasksState};
use cortex::{Fold, Portable};
use redex::LogReader;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::models::{Models, missing};

const FORMAT: &str = "netdb-snapshot";
const VERSION: u32 = 1;

/// The state of all models at one position. Cloning takes constant time; nothing that is written later shows in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The log that it was folded from.
    pub log: LogId,
    /// What it includes.
    pub position: Position,
    /// The tasks, if the database has them.
    pub tasks: Option<TasksState>,
    /// The memories, if the database has them.
    pub memories: Option<MemoriesState>,
}

/// A snapshot written down: JSON in which every field has a name. Fields that are not known are passed over.
#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    version: u32,
    log: String,
    position: u64,
    models: Vec<Model>,
}

#[derive(Serialize, Deserialize)]
struct Model {
    name: String,
    fold_version: u32,
    records: Vec<Value>,
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
                log: runner.reader().id(),
                position: cut.position(),
                tasks: tasks.map(|snapshot| snapshot.state),
                memories: memories.map(|snapshot| snapshot.state),
            })
        })
    }

    /// Writes the snapshot down, to be read by [`decode`](Self::decode) of this or a later version.
    ///
    /// Shape: one JSON object with `format`, `version`, `log`, `position` and `models`, each with `name`,
    /// `fold_version` and its `records`.
    pub fn encode(&self) -> Vec<u8> {
        let tasks = self.tasks.as_ref().map(|state| written(&TasksFold, state));
        let memories = self.memories.as_ref().map(|state| written(&MemoriesFold, state));
        let document = Document {
            format: FORMAT.to_owned(),
            version: VERSION,
            log: self.log.to_string(),
            position: self.position.0,
            models: tasks.into_iter().chain(memories).collect(),
        };
        serde_json::to_vec(&document).expect("names, numbers and JSON values have a JSON form")
    }

    /// Reads a snapshot. A model that another version of its fold made is left out: it is folded from the log.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for what is no snapshot, or one of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let invalid = |what: String| Error::new(ErrorKind::Invalid, format!("not a snapshot: {what}"));
        let document: Document = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        if document.format != FORMAT {
            return Err(invalid(format!("the format is `{}`, expected `{FORMAT}`", document.format)));
        }
        if document.version != VERSION {
            let version = document.version;
            return Err(invalid(format!("version {version}, this program reads version {VERSION}")));
        }
        let log = document.log.parse().map_err(|error| invalid(format!("the log: {error}")))?;
        let mut models = document.models;
        Ok(Self {
            log,
            position: Position(document.position),
            tasks: read(&TasksFold, &mut models).map_err(invalid)?,
            memories: read(&MemoriesFold, &mut models).map_err(invalid)?,
        })
    }

    /// Refuses a snapshot of another log.
    pub(crate) fn check(&self, reader: &LogReader) -> Result<(), Error> {
        if self.log == reader.id() {
            return Ok(());
        }
        let message = format!("the snapshot is of log {}, the database has log {}", self.log, reader.id());
        Err(Error::new(ErrorKind::Invalid, message))
    }
}

fn written<F: Portable>(fold: &F, state: &F::State) -> Model {
    Model { name: fold.name().to_owned(), fold_version: fold.version(), records: fold.export(state) }
}

fn read<F: Portable>(fold: &F, models: &mut Vec<Model>) -> Result<Option<F::State>, String> {
    let found = models.iter().position(|model| model.name == fold.name());
    let Some(model) = found.map(|place| models.swap_remove(place)) else { return Ok(None) };
    if model.fold_version != fold.version() {
        return Ok(None);
    }
    fold.import(model.records).map(Some).map_err(|error| format!("a record of `{}`: {error}", fold.name()))
}

/// Returns where a model goes on, if the snapshot has it.
pub(crate) fn state_of<F: Fold>(snapshot: Option<&Snapshot>) -> Option<cortex::Snapshot<F::State>> {
    let snapshot = snapshot?;
    let position = snapshot.position;
    let tasks = snapshot.tasks.as_ref().map(|state| state as &dyn std::any::Any);
    let memories = snapshot.memories.as_ref().map(|state| state as &dyn std::any::Any);
    let state = tasks.into_iter().chain(memories).find_map(|state| state.downcast_ref::<F::State>())?;
    Some(cortex::Snapshot { state: state.clone(), position })
}
