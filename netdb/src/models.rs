//! The models of a database: state that is folded from its log.

mod late;

use std::any::{Any, TypeId};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base::{ChannelName, Clock};
use cortex::models::memories::{Memories, MemoriesFold};
use cortex::models::tasks::{Tasks, TasksFold};
use cortex::{
    ErrorPolicy, Fold, FoldStopped, Folded, ModelTable, Portable, Runner, RunnerOptions, Tabular, export_all,
    import_all,
};
use redex::{LogReader, LogWriter};

use crate::snapshot::{ModelSnapshot, State};
use crate::{Error, Snapshot};

pub(crate) use late::LateModels;

/// A model, before the database is opened: a fold, and what it can be used for beside its handle.
///
/// # Examples
///
/// ```
/// use netdb::cortex::models::tasks::TasksFold;
/// use netdb::{ErrorPolicy, Model, NetDb};
///
/// // What `with_tasks` does.
/// let tasks = Model::new(TasksFold).policy(ErrorPolicy::SkipAndRecord).table().portable();
/// let db = NetDb::builder().in_memory().with(tasks).open()?;
/// assert!(db.tasks()?.snapshot()?.state.is_empty());
/// # Ok::<(), netdb::Error>(())
/// ```
pub struct Model<F: Fold> {
    fold: F,
    policy: ErrorPolicy,
    table: Option<Table<F>>,
    form: Option<Form<F>>,
}

/// How a model is shown as a table.
struct Table<F: Fold> {
    name: String,
    show: AsTable<F>,
}

/// Shows a model as a table.
type AsTable<F> = fn(&Folded<F>) -> Arc<dyn ModelTable>;

/// How a model's state is written down and read again.
struct Form<F: Fold> {
    export: fn(&F, &F::State) -> Vec<serde_json::Value>,
    import: fn(&F, Vec<serde_json::Value>) -> Result<F::State, cortex::FoldError>,
}

impl<F: Fold> Clone for Form<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Fold> Copy for Form<F> {}

impl<F: Fold> Model<F> {
    /// Makes a model that stops at an event which cannot be applied.
    pub fn new(fold: F) -> Self {
        Self { fold, policy: ErrorPolicy::Stop, table: None, form: None }
    }

    /// Sets what happens at an event that cannot be applied.
    #[must_use]
    pub fn policy(self, policy: ErrorPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Shows the model as a table in SQL, by the name of [`Tabular::table`].
    #[must_use]
    pub fn table(self) -> Self
    where
        F: Tabular,
    {
        let name = self.fold.table().to_owned();
        Self { table: Some(Table { name, show: |model| Arc::new(model.clone()) }), ..self }
    }

    /// Makes the model part of what [`Snapshot::encode`] writes and `Builder::from_snapshot` goes on from.
    #[must_use]
    pub fn portable(self) -> Self
    where
        F: Portable,
    {
        Self {
            form: Some(Form { export: export_all, import: |fold, forms| import_all(fold, forms) }),
            ..self
        }
    }

    /// Adds the model to a runner, from a snapshot that has it, or else from the beginning of the log.
    fn begin(
        self,
        runner: &Runner,
        writer: Option<Arc<dyn LogWriter>>,
        from: Option<&Snapshot>,
    ) -> Result<Running, Error> {
        let Self { fold, policy, table, form } = self;
        let from = from.and_then(|snapshot| Some((snapshot.position, snapshot.model_of(&fold)?)));
        let state = match from {
            None => None,
            Some((position, model)) => {
                let import = |forms| form.map(|form| (form.import)(&fold, forms));
                let state = model.state::<F>(import)?;
                state.map(|state| cortex::Snapshot { state, position })
            }
        };
        let model = match state {
            Some(state) => runner.add_from(fold, policy, writer, state)?,
            None => runner.add(fold, policy, writer)?,
        };
        let table = table.map(|table| (table.show)(&model));
        let handle = model.clone();
        let snapshot = move || {
            let snapshot = model.snapshot()?;
            let (model, state) = (model.clone(), snapshot.state);
            let export = form.map(|form| {
                let (model, state) = (model.for_reading(), state.clone());
                Arc::new(move || (form.export)(model.fold(), &state)) as crate::snapshot::Export
            });
            Ok(ModelSnapshot {
                name: model.fold().name().to_owned(),
                fold_version: model.fold().version(),
                state: State::Folded { fold: TypeId::of::<F>(), state: Arc::new(state), export },
            })
        };
        Ok(Running { handle: Box::new(handle), table, snapshot: Box::new(snapshot) })
    }
}

impl<F: Fold> fmt::Debug for Model<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("name", &self.fold.name()).field("policy", &self.policy).finish()
    }
}

/// Adds a model to a runner.
type Add =
    Box<dyn FnOnce(&Runner, Option<Arc<dyn LogWriter>>, Option<&Snapshot>) -> Result<Running, Error> + Send>;

/// A running model, whatever its type.
struct Running {
    handle: Box<dyn Any + Send + Sync>,
    /// The model as a table, if it is one.
    #[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "only SQL looks at tables"))]
    table: Option<Arc<dyn ModelTable>>,
    snapshot: Box<dyn Fn() -> Result<ModelSnapshot, FoldStopped> + Send + Sync>,
}

/// The models that a database is to be opened with.
#[derive(Default)]
pub(crate) struct ModelSet(Vec<Planned>);

/// A model that does not run yet.
struct Planned {
    channels: Vec<ChannelName>,
    table: Option<String>,
    add: Add,
}

impl ModelSet {
    pub(crate) fn add<F: Fold>(&mut self, model: Model<F>) {
        self.0.push(Planned {
            channels: model.fold.channels(),
            table: model.table.as_ref().map(|table| table.name.clone()),
            add: Box::new(move |runner, writer, from| model.begin(runner, writer, from)),
        });
    }

    /// Returns the channels of all models, each once.
    fn channels(&self) -> Vec<ChannelName> {
        let channels: BTreeSet<_> = self.0.iter().flat_map(|planned| &planned.channels).cloned().collect();
        channels.into_iter().collect()
    }

    /// Returns the names of those models that are tables.
    fn tables(&self) -> Vec<String> {
        self.0.iter().filter_map(|planned| planned.table.clone()).collect()
    }

    /// Begins to fold; `None` where there is nothing to fold.
    pub(crate) fn open(
        self,
        reader: &LogReader,
        writer: Option<&Arc<dyn LogWriter>>,
        clock: &Arc<dyn Clock>,
        options: RunnerOptions,
        from: Option<&Snapshot>,
    ) -> Result<Models, Error> {
        if let Some(from) = from {
            from.check(reader)?;
        }
        if self.0.is_empty() {
            return Ok(Models::default());
        }
        let runner = Runner::new(reader, Arc::clone(clock), options);
        let models = self.0.into_iter().map(|planned| (planned.add)(&runner, writer.cloned(), from));
        let models = models.collect::<Result<_, _>>()?;
        runner.start();
        Ok(Models { runner: Some(runner), models })
    }
}

impl fmt::Debug for ModelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} models", self.0.len())
    }
}

/// Models that run.
#[derive(Default)]
pub(crate) struct Models {
    runner: Option<Runner>,
    models: Vec<Running>,
}

impl Models {
    pub(crate) fn runner(&self) -> Option<&Runner> {
        self.runner.as_ref()
    }

    /// Returns the models that are tables.
    #[cfg(feature = "sql")]
    pub(crate) fn tables(&self) -> Vec<Arc<dyn ModelTable>> {
        self.models.iter().filter_map(|model| model.table.clone()).collect()
    }

    /// Returns the state of each model as it is.
    pub(crate) fn snapshots(&self) -> Result<Vec<ModelSnapshot>, FoldStopped> {
        self.models.iter().map(|model| (model.snapshot)()).collect()
    }

    pub(crate) fn get<F: Fold>(&self) -> Option<Folded<F>> {
        self.models.iter().find_map(|model| model.handle.downcast_ref::<Folded<F>>()).cloned()
    }

    pub(crate) fn tasks(&self) -> Result<Tasks, Error> {
        self.get::<TasksFold>().ok_or_else(|| missing("tasks", "with_tasks()"))
    }

    pub(crate) fn memories(&self) -> Result<Memories, Error> {
        self.get::<MemoriesFold>().ok_or_else(|| missing("memories", "with_memories()"))
    }
}

/// The error for a model that the database was opened without.
pub(crate) fn missing(model: &str, with: &str) -> Error {
    let message =
        format!("the database was opened without the model `{model}`: add `.{with}` to its builder");
    Error::new(base::ErrorKind::NotFound, message)
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} models", self.models.len())
    }
}
