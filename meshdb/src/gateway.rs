//! The one way in.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use base::Position;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::execute_stream;
use datafusion::common::TableReference;
use datafusion::sql::parser::Statement;
use futures::FutureExt;

use crate::catalog::{Catalog, Directory};
use crate::cut::{Cut, LogSource};
use crate::error::from_engine;
use crate::result::{Deadline, Meter, panicked};
use crate::{Limits, Param, Principal, QueryError, QueryResult, statement};

mod plan;
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

struct Inner {
    source: Box<dyn LogSource>,
    options: GatewayOptions,
    /// Functions, rules and settings: all that statements share.
    base: SessionState,
}

/// What runs, and over which cut.
struct Running {
    stream: SendableRecordBatchStream,
    meter: Arc<Meter>,
    cut: Vec<(String, Position)>,
}

impl Gateway {
    /// Makes a gateway over the logs of `source`. Reads nothing yet.
    pub fn new(source: impl LogSource, options: GatewayOptions) -> Self {
        let base = session::base(&options);
        Self { inner: Arc::new(Inner { source: Box::new(source), options, base }) }
    }

    /// Plans a statement and begins to run it.
    ///
    /// The statement sees one cut of all logs: what is visible when this is called. `params` stand for `$1`,
    /// `$2` and so on.
    ///
    /// Needs a tokio runtime; computes on its threads, and reads logs on its blocking threads.
    ///
    /// *Cancel safety*: dropping the future or the result ends the statement.
    ///
    /// # Errors
    ///
    /// [`QueryError::Refused`] when the statement would do more than read; what is wrong with its text, names
    /// or types; [`QueryError::TimedOut`]; [`QueryError::Read`] when a log cannot be read. Errors of values,
    /// and the other limits, come from the result.
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
        let begun = AssertUnwindSafe(self.inner.begin(sql, params, limits)).catch_unwind();
        let begun = begun.map(|result| result.unwrap_or_else(|_| Err(panicked())));
        let running = deadline.within(begun).await?;
        Ok(QueryResult::new(running.stream, deadline, limits.clone(), running.meter, running.cut))
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Inner {
    async fn begin(self: &Arc<Self>, sql: &str, params: &[Param], limits: &Limits) -> Result<Running, QueryError> {
        let statement = statement::parse(sql)?;
        let (cut, directory) = self.pin(self.names(&statement, limits)?).await?;
        let positions = cut.logs.iter().map(|log| (log.name.clone(), log.view.position())).collect();
        let meter = Arc::new(Meter::new(limits.bytes_scanned_max));
        let catalog = Catalog::new(cut, directory, Arc::clone(&meter));
        let engine = |error: DataFusionError| from_engine(&error, limits);
        let state = session::begin(&self.base, catalog);
        let task = session::task(&state, &self.options, limits).map_err(engine)?;
        let logical = plan::logical(&state, statement, params, limits).await?;
        let physical = state.create_physical_plan(&logical).await.map_err(engine)?;
        let stream = execute_stream(physical, task).map_err(engine)?;
        Ok(Running { stream, meter, cut: positions })
    }

    /// The names of tables that a statement uses.
    fn names(&self, statement: &Statement, limits: &Limits) -> Result<Vec<TableReference>, QueryError> {
        let mut names =
            self.base.resolve_table_references(statement).map_err(|error| from_engine(&error, limits))?;
        names.retain(|name| !self.base.table_functions().contains_key(name.table()));
        Ok(names)
    }

    /// Pins the cut and finds what `names` stand for in it.
    async fn pin(self: &Arc<Self>, names: Vec<TableReference>) -> Result<(Arc<Cut>, Directory), QueryError> {
        let inner = Arc::clone(self);
        let pinned = tokio::task::spawn_blocking(move || {
            let cut = Cut::pin(&*inner.source).map_err(|source| QueryError::Read { source: Arc::new(source) })?;
            let directory = Directory::resolve(&cut, &names)?;
            Ok((Arc::new(cut), directory))
        });
        pinned.await.unwrap_or_else(|_| Err(panicked()))
    }
}
