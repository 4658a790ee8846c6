//! The models of a database: state that is folded from its log.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use base::Clock;
use cortex::models::memories::{Memories, MemoriesFold};
use cortex::models::tasks::{Tasks, TasksFold};
use cortex::{ErrorPolicy, Fold, Folded, ModelTable, Runner, RunnerOptions, Tabular};
use redex::{LogReader, LogWriter};

use crate::snapshot::state_of;
use crate::{Error, Snapshot};

/// Adds a model to a runner.
type Add =
    Box<dyn FnOnce(&Runner, Option<Arc<dyn LogWriter>>, Option<&Snapshot>) -> Result<Model, Error> + Send>;

/// A running model, whatever its type.
struct Model {
    handle: Box<dyn Any + Send + Sync>,
    /// The model as a table, if it is one.
    #[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "only SQL looks at tables"))]
    table: Option<Arc<dyn ModelTable>>,
}

/// The models that a database is to be opened with.
#[derive(Default)]
pub(crate) struct ModelSet(Vec<Add>);

impl ModelSet {
    pub(crate) fn add<F: Fold>(&mut self, fold: F, policy: ErrorPolicy) {
        self.0.push(Box::new(move |runner, writer, from| {
            Ok(Model { handle: Box::new(begin(runner, fold, policy, writer, from)?), table: None })
        }));
    }

    pub(crate) fn add_table<F: Tabular>(&mut self, fold: F, policy: ErrorPolicy) {
        self.0.push(Box::new(move |runner, writer, from| {
            let model = begin(runner, fold, policy, writer, from)?;
            Ok(Model { table: Some(Arc::new(model.clone())), handle: Box::new(model) })
        }));
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
        let models = self.0.into_iter().map(|add| add(&runner, writer.cloned(), from));
        let models = models.collect::<Result<_, _>>()?;
        runner.start();
        Ok(Models { runner: Some(runner), models })
    }
}

/// Adds a fold, from a snapshot that has it, or else from the beginning of the log.
fn begin<F: Fold>(
    runner: &Runner,
    fold: F,
    policy: ErrorPolicy,
    writer: Option<Arc<dyn LogWriter>>,
    from: Option<&Snapshot>,
) -> Result<Folded<F>, Error> {
    Ok(match state_of::<F>(from) {
        Some(state) => runner.add_from(fold, policy, writer, state)?,
        None => runner.add(fold, policy, writer)?,
    })
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
    models: Vec<Model>,
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
