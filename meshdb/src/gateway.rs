//! The one way in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use base::Position;
use cortex::{ModelTable, Runner};
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;

use crate::catalog::{self, Catalog, Directory};
use crate::cut::{Cut, LogSource, Table};
use crate::error::from_engine;
use crate::models::{self, Absent, Models};
use crate::result::{Deadline, Meter, panicked};
use crate::{BesideTable, Limits, ModelTableError, Param, Principal, QueryError, QueryResult, statement};

mod json;
mod plan;
mod planning;
mod session;

/// How a gateway runs statements.
#[derive(Debug, Clone, Default)]
pub struct GatewayOptions {
    /// Threads that one statement may use at a time. Default: one for each core. More helps up to the cores;
    /// fewer leaves them to others.
    pub threads: Option<usize>,
    /// A directory for intermediate results that exceed [`Limits::memory_bytes`]. Default: none, then such a
    /// statement fails. The engine writes there directly, not through [`base::Disk`], and removes what it
    /// wrote when the statement ends.
    pub spill_directory: Option<PathBuf>,
}

/// Runs statements. Cloning shares it.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    source: Arc<dyn LogSource>,
    models: Vec<Models>,
    besides: Vec<Arc<dyn BesideTable>>,
    absent: Absent,
    options: GatewayOptions,
    /// Functions, rules and settings: all that statements share.
    base: SessionState,
}

/// What is ready to run, and over which cut.
struct Planned {
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    meter: Arc<Meter>,
    cut: Vec<(String, Position)>,
}

impl Gateway {
    /// Makes a gateway over the logs of `source`. Reads nothing yet.
    pub fn new(source: impl LogSource, options: GatewayOptions) -> Self {
        let base = session::base(&options);
        Self {
            inner: Arc::new(Inner {
                source: Arc::new(source),
                models: Vec::new(),
                besides: Vec::new(),
                absent: Absent::default(),
                options,
                base,
            }),
        }
    }

    /// Adds the models of one log as tables of `public`, where a channel of the same name is hidden and stays
    /// reachable in `channels`; `runner` is started, and folds all of them.
    ///
    /// A statement that names one of them sees the models and the events of that log at one position; it waits
    /// until all that is visible when it begins is folded.
    ///
    /// # Errors
    ///
    /// [`ModelTableError`] for a name that cannot stand in a statement, or that is taken.
    pub fn with_models(
        self,
        runner: Runner,
        tables: Vec<Arc<dyn ModelTable>>,
    ) -> Result<Self, ModelTableError> {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.check(tables.iter().map(|table| Table::Model(Arc::clone(table))))?;
        inner.models.push(Models { runner, tables });
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Adds tables of what stands beside the logs.
    ///
    /// # Errors
    ///
    /// [`ModelTableError`] for a name that cannot stand in a statement, or that is taken.
    pub fn with_tables(self, tables: Vec<Arc<dyn BesideTable>>) -> Result<Self, ModelTableError> {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.check(tables.iter().map(|table| Table::Beside(Arc::clone(table))))?;
        inner.besides.extend(tables);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Refuses statements that name tables of models which do not run here yet, with the reason. Channels of these names
    /// stay reachable in `channels`.
    #[must_use]
    pub fn with_absent(self, tables: Vec<String>, reason: String) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        inner.absent = Absent { tables, reason };
        Self { inner: Arc::new(inner) }
    }

    /// Plans a statement and begins to run it.
    ///
    /// The statement sees one cut of all logs: what is visible when this is called. `params` stand for `$1`,
    /// `$2` and so on.
    ///
    /// Needs a tokio runtime; computes on its threads, and reads logs on its blocking threads. Planning has a
    /// thread of its own.
    ///
    /// *Cancel safety*: dropping the future or the result ends the statement.
    ///
    /// # Errors
    ///
    /// [`QueryError::Refused`] when the statement would do more than read; what is wrong with its text, names
    /// or types; [`QueryError::TimedOut`]; [`QueryError::Read`] when a log cannot be read;
    /// [`QueryError::ModelStopped`] when a model that it reads has stopped, [`QueryError::ModelAbsent`] when it does not run
    /// yet; [`QueryError::Beside`]. Errors of values, and the other limits, come from the result.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or with [`Limits::time`] in one without timers.
    pub async fn execute(
        &self,
        principal: &Principal,
        sql: &str,
        params: &[Param],
        limits: &Limits,
    ) -> Result<QueryResult, QueryError> {
        tracing::debug!(principal = principal.name(), bytes = sql.len(), "statement begins");
        let mut deadline = Deadline::start(limits.time);
        let inner = Arc::clone(&self.inner);
        let (sql, params, own_limits) = (sql.to_owned(), params.to_vec(), limits.clone());
        let planned = planning::on_own_thread(async move || inner.plan(&sql, &params, &own_limits).await);
        let planned = deadline.within(planned).await?;
        let begun = catch_unwind(AssertUnwindSafe(|| execute_stream(planned.plan, planned.task)));
        let stream = begun.map_err(|_| panicked())?.map_err(|error| from_engine(&error, limits))?;
        Ok(QueryResult::new(stream, deadline, limits.clone(), planned.meter, planned.cut))
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Inner {
    /// Checks the names of tables beside those that are there.
    fn check(&self, tables: impl Iterator<Item = Table>) -> Result<(), ModelTableError> {
        let models = self.models.iter().flat_map(|models| &models.tables);
        let others = models.map(|table| Table::Model(Arc::clone(table)));
        let others = others.chain(self.besides.iter().map(|table| Table::Beside(Arc::clone(table))));
        models::check(others, tables)
    }

    /// Pins the cut and plans a statement over it. May block.
    async fn plan(&self, sql: &str, params: &[Param], limits: &Limits) -> Result<Planned, QueryError> {
        let statement = statement::parse(sql)?;
        let engine = |error: DataFusionError| from_engine(&error, limits);
        let names = self.names(&statement).map_err(engine)?;
        let wanted = catalog::wanted(&names);
        self.absent.check(&wanted)?;
        let cut = Cut::pin(&*self.source, &self.models, &self.besides, &wanted)
            .map_err(|source| QueryError::Read { source: Arc::new(source) })?;
        let directory = Directory::resolve(&cut, &names)?;
        let positions = cut.logs.iter().map(|log| (log.name.clone(), log.view.position())).collect();
        let meter = Arc::new(Meter::new(limits.bytes_scanned_max));
        let state = session::begin(&self.base, Catalog::new(Arc::new(cut), directory, Arc::clone(&meter)));
        let task = session::task(&state, &self.options, limits).map_err(engine)?;
        let logical = plan::logical(&state, statement, params, limits).await?;
        let plan = state.create_physical_plan(&logical).await.map_err(engine)?;
        Ok(Planned { plan, task, meter, cut: positions })
    }

    /// The names of tables that a statement uses.
    fn names(&self, statement: &Statement) -> datafusion::error::Result<Vec<TableReference>> {
        let mut names = self.base.resolve_table_references(statement)?;
        names.retain(|name| !self.base.table_functions().contains_key(name.table()));
        Ok(names)
    }
}
