//! All models at one position, also written down.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use base::{ErrorKind, LogId, Position};
use cortex::models::memories::{MemoriesFold, MemoriesState};
use cortex::models::tasks::{TasksFold, TasksState};
use cortex::{Fold, FoldError, Portable, import_all};
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
    models: Arc<[ModelSnapshot]>,
}

/// The state of one model.
#[derive(Debug, Clone)]
pub(crate) struct ModelSnapshot {
    pub name: String,
    pub fold_version: u32,
    pub state: State,
}

/// Makes the forms of all records.
pub(crate) type Export = Arc<dyn Fn() -> Vec<Value> + Send + Sync>;

/// State as it was folded, or as it was written down.
#[derive(Clone)]
pub(crate) enum State {
    Folded {
        /// The type of the fold.
        fold: TypeId,
        state: Arc<dyn Any + Send + Sync>,
        /// Absent in a model that is not portable.
        export: Option<Export>,
    },
    Written(Arc<[Value]>),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folded { .. } => f.write_str("folded"),
            Self::Written(records) => write!(f, "{} records written", records.len()),
        }
    }
}

/// A snapshot written down: JSON in which every field has a name. Fields that are not known are passed over.
#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    version: u32,
    log: String,
    position: u64,
    models: Vec<WrittenModel>,
}

#[derive(Serialize, Deserialize)]
struct WrittenModel {
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
            let models = models.snapshots()?.into();
            Ok(Self { log: runner.reader().id(), position: cut.position(), models })
        })
    }

    /// Returns the tasks; `None` when the database did not have them.
    pub fn tasks(&self) -> Option<&TasksState> {
        self.model::<TasksFold>()
    }

    /// Returns the memories; `None` when the database did not have them.
    pub fn memories(&self) -> Option<&MemoriesState> {
        self.model::<MemoriesFold>()
    }

    /// Returns the state of a model by the type of its fold; `None` when the database did not have it. An
    /// application's own model in a snapshot that was read is there once a database was opened from it.
    pub fn model<F: Fold>(&self) -> Option<&F::State> {
        self.models.iter().find_map(|model| model.folded::<F>())
    }

    /// Returns the part of a model, if this version of its fold made it.
    pub(crate) fn model_of(&self, fold: &impl Fold) -> Option<&ModelSnapshot> {
        self.models.iter().find(|model| model.name == fold.name() && model.fold_version == fold.version())
    }

    /// Writes the snapshot down, to be read by [`decode`](Self::decode) of this or a later version. Models that are
    /// not [`portable`](crate::Model::portable) are left out: they are folded from the log.
    ///
    /// Shape: one JSON object with `format`, `version`, `log`, `position` and `models`, each with `name`,
    /// `fold_version` and its `records`.
    pub fn encode(&self) -> Vec<u8> {
        let document = Document {
            format: FORMAT.to_owned(),
            version: VERSION,
            log: self.log.to_string(),
            position: self.position.0,
            models: self.models.iter().filter_map(ModelSnapshot::written).collect(),
        };
        serde_json::to_vec(&document).expect("names, numbers and JSON values have a JSON form")
    }

    /// Reads a snapshot. A model that another version of its fold made is not used: it is folded from the log.
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
        let models = document.models.into_iter().map(ModelSnapshot::read);
        Ok(Self { log, position: Position(document.position), models: models.collect::<Result<_, _>>()? })
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

impl ModelSnapshot {
    /// Returns the state, if a fold of this type made it.
    fn folded<F: Fold>(&self) -> Option<&F::State> {
        match &self.state {
            State::Folded { fold, state, .. } if *fold == TypeId::of::<F>() => state.downcast_ref(),
            _ => None,
        }
    }

    /// Returns the state, read by `import` where it is written; `None` where nobody can read it.
    pub(crate) fn state<F: Fold>(
        &self,
        import: impl FnOnce(Vec<Value>) -> Option<Result<F::State, FoldError>>,
    ) -> Result<Option<F::State>, Error> {
        match &self.state {
            State::Written(records) => {
                import(records.to_vec()).transpose().map_err(|error| no_record(&self.name, &error))
            }
            State::Folded { .. } => Ok(self.folded::<F>().cloned()),
        }
    }

    fn written(&self) -> Option<WrittenModel> {
        let records = match &self.state {
            State::Written(records) => records.to_vec(),
            State::Folded { export, .. } => export.as_ref()?(),
        };
        Some(WrittenModel { name: self.name.clone(), fold_version: self.fold_version, records })
    }

    fn read(written: WrittenModel) -> Result<Self, Error> {
        let WrittenModel { name, fold_version, records } = written;
        let state = match name.as_str() {
            "tasks" if fold_version == TasksFold.version() => folded(TasksFold, records),
            "memories" if fold_version == MemoriesFold.version() => folded(MemoriesFold, records),
            _ => Ok(State::Written(records.into())),
        };
        Ok(Self { state: state.map_err(|error| no_record(&name, &error))?, name, fold_version })
    }
}

/// Reads the records of a model that is known here.
fn folded<F: Portable>(fold: F, records: Vec<Value>) -> Result<State, FoldError> {
    let state = import_all(&fold, records)?;
    let exported = state.clone();
    Ok(State::Folded {
        fold: TypeId::of::<F>(),
        state: Arc::new(state),
        export: Some(Arc::new(move || cortex::export_all(&fold, &exported))),
    })
}

fn no_record(model: &str, error: &FoldError) -> Error {
    Error::new(ErrorKind::Invalid, format!("not a snapshot: a record of `{model}`: {error}"))
}
