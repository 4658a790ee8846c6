//! The cut: one position in every log, pinned when a statement begins.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base::{ChannelName, Position};
use cortex::{Column, ModelStatus, ModelTable, PinnedTable, RunnerCut, SkippedEvent};
use redex::{ChannelInfo, FoundProof, LogReader, LogView, ReadError, StoreReader, StoreView};

use crate::catalog::PUBLIC;
use crate::models::Models;
use crate::{BesideTable, QueryError};

/// Where a gateway finds the logs that exist when a statement begins.
///
/// # Contract
///
/// Logs of one origin have different names. Called once for each statement, on a thread that may block.
pub trait LogSource: Send + Sync + 'static {
    /// Returns all logs.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when it cannot be told which there are.
    fn logs(&self) -> Result<Vec<LogReader>, ReadError>;

    /// Returns the proofs of forks that are kept beside the logs; asked for only by statements that show them.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when they cannot be read.
    fn fork_proofs(&self) -> Result<Vec<FoundProof>, ReadError> {
        Ok(Vec::new())
    }
}

impl LogSource for Vec<LogReader> {
    fn logs(&self) -> Result<Vec<LogReader>, ReadError> {
        Ok(self.clone())
    }
}

impl LogSource for StoreReader {
    fn logs(&self) -> Result<Vec<LogReader>, ReadError> {
        self.refresh()?;
        Ok(StoreReader::logs(self))
    }

    fn fork_proofs(&self) -> Result<Vec<FoundProof>, ReadError> {
        StoreReader::fork_proofs(self)
    }
}

/// A log as one statement sees it.
#[derive(Debug)]
pub(crate) struct PinnedLog {
    pub name: String,
    pub id: String,
    /// The origin in hexadecimal.
    pub origin: String,
    pub view: LogView,
}

/// All logs and models as one statement sees them.
pub(crate) struct Cut {
    pub logs: Vec<Arc<PinnedLog>>,
    /// The tables of models, and of what stands beside the logs, whether the statement uses them or not.
    pub tables: Vec<TableAtCut>,
    /// How the models stand, if the statement wants to know.
    pub models: Vec<ModelAtCut>,
    /// The newest events that each model left out, if the statement wants to know.
    pub skipped: Vec<(String, SkippedEvent)>,
    /// The proofs of forks, if the statement wants to know.
    pub forks: Vec<FoundProof>,
}

/// A table of rows as one statement sees it.
#[derive(Clone)]
pub(crate) struct TableAtCut {
    pub table: Table,
    /// Its rows, if the statement names it.
    pub pinned: Option<Result<Arc<dyn PinnedTable>, QueryError>>,
}

/// Whose rows a table has.
#[derive(Clone)]
pub(crate) enum Table {
    Model(Arc<dyn ModelTable>),
    Beside(Arc<dyn BesideTable>),
}

impl Table {
    pub(crate) fn schema(&self) -> &'static str {
        match self {
            Self::Model(_) => PUBLIC,
            Self::Beside(table) => table.schema().as_str(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Model(table) => table.table(),
            Self::Beside(table) => table.table(),
        }
    }

    pub(crate) fn columns(&self) -> &[Column] {
        match self {
            Self::Model(table) => table.columns(),
            Self::Beside(table) => table.columns(),
        }
    }

    /// May block.
    fn pin(&self) -> Result<Arc<dyn PinnedTable>, QueryError> {
        let table = || self.name().to_owned();
        match self {
            Self::Model(model) => {
                model.pin().map_err(|stopped| QueryError::ModelStopped { table: table(), stopped })
            }
            Self::Beside(beside) => {
                beside.open().map_err(|source| QueryError::Beside { table: table(), source })
            }
        }
    }
}

/// How a model stands.
#[derive(Debug)]
pub(crate) struct ModelAtCut {
    pub status: ModelStatus,
    /// Where its log is cut.
    pub position: Position,
}

/// What a statement wants beside the logs.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// The rows of these tables of `public`; there may be names of other things among them.
    pub tables: BTreeSet<String>,
    /// The same of `system`.
    pub system_tables: BTreeSet<String>,
    /// How the models stand.
    pub models: bool,
    /// The events that they left out.
    pub skipped: bool,
    /// The proofs of forks.
    pub forks: bool,
}

/// A channel and the logs that hold parts of it, the oldest part first.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub name: ChannelName,
    pub parts: Vec<ChannelPart>,
}

/// What one log holds of a channel.
#[derive(Debug, Clone)]
pub(crate) struct ChannelPart {
    pub log: Arc<PinnedLog>,
    pub info: ChannelInfo,
}

impl Cut {
    /// Pins every log where it is visible now, and the models that are wanted at the same position of their log,
    /// up to which they are folded first. A channel that moves meanwhile shows as it was before, or whole. May block.
    pub(crate) fn pin(
        source: &dyn LogSource,
        models: &[Models],
        besides: &[Arc<dyn BesideTable>],
        wanted: &Wanted,
    ) -> Result<Self, ReadError> {
        let forks = if wanted.forks { source.fork_proofs()? } else { Vec::new() };
        let (tables, models_of_cut, skipped) = (Vec::new(), Vec::new(), Vec::new());
        let mut cut = Self { logs: Vec::new(), tables, models: models_of_cut, skipped, forks };
        // Before the others, so that these show all that a channel had before it came to a log with models.
        for models in models {
            match wanted.concerns(models) {
                true => cut.pin_models(models, wanted)?,
                false => cut.tables.extend(models.tables.iter().map(TableAtCut::unpinned)),
            }
        }
        cut.tables.extend(besides.iter().map(|table| wanted.look(Table::Beside(Arc::clone(table)))));
        let with_models = std::mem::take(&mut cut.logs);
        for reader in source.logs()? {
            let id = reader.id().to_string();
            let known = with_models.iter().find(|log| log.id == id);
            cut.logs.push(known.map_or_else(|| pin(&reader), |log| Ok(Arc::clone(log)))?);
        }
        let apart = with_models.into_iter().filter(|log| cut.logs.iter().all(|known| known.id != log.id));
        cut.logs.extend(apart.collect::<Vec<_>>());
        cut.align();
        Ok(cut)
    }

    /// Takes logs back to before a channel came from another log that is not shown so far.
    fn align(&mut self) {
        let views = StoreView::of(self.logs.iter().map(|log| log.view.clone()).collect());
        for (log, view) in self.logs.iter_mut().zip(views.logs()) {
            if log.view.position() != view.position() {
                let (name, id, origin) = (log.name.clone(), log.id.clone(), log.origin.clone());
                *log = Arc::new(PinnedLog { name, id, origin, view: view.clone() });
            }
        }
    }

    fn pin_models(&mut self, models: &Models, wanted: &Wanted) -> Result<(), ReadError> {
        let reader = models.runner.reader();
        reader.refresh()?;
        let view = models.runner.with_cut(|at| {
            self.look(models, wanted, at);
            reader.view_at(at.position())
        });
        let log = pinned(reader, view);
        match self.logs.iter_mut().find(|other| other.id == log.id) {
            Some(other) => *other = log,
            None => self.logs.push(log),
        }
        Ok(())
    }

    /// Takes what is wanted while no fold moves.
    fn look(&mut self, models: &Models, wanted: &Wanted, at: &RunnerCut<'_>) {
        let tables = models.tables.iter().map(|table| wanted.look(Table::Model(Arc::clone(table))));
        self.tables.extend(tables);
        if wanted.models {
            let position = at.position();
            self.models.extend(at.models().into_iter().map(|status| ModelAtCut { status, position }));
        }
        if wanted.skipped {
            self.skipped.extend(at.skipped());
        }
    }

    /// Returns a table of rows.
    pub(crate) fn table(&self, schema: &str, name: &str) -> Option<&TableAtCut> {
        self.tables_of(schema).find(|table| table.table.name() == name)
    }

    /// Returns the tables of rows of a schema.
    pub(crate) fn tables_of(&self, schema: &str) -> impl Iterator<Item = &TableAtCut> {
        self.tables.iter().filter(move |table| table.table.schema() == schema)
    }

    /// Looks a channel up. May block.
    pub(crate) fn channel(&self, name: &ChannelName) -> Result<Option<Channel>, ReadError> {
        let mut parts = Vec::new();
        for log in &self.logs {
            let info = log.view.channel(name)?;
            parts.extend(info.map(|info| ChannelPart { log: Arc::clone(log), info }));
        }
        Ok(Channel::of(parts))
    }

    /// Returns all channels, sorted by name. May block.
    pub(crate) fn channels(&self) -> Result<Vec<Channel>, ReadError> {
        let mut parts = Vec::new();
        for log in &self.logs {
            let infos = log.view.channels()?.into_iter();
            parts.extend(infos.map(|info| ChannelPart { log: Arc::clone(log), info }));
        }
        parts.sort_by(|a, b| a.info.name.cmp(&b.info.name));
        let same = |a: &ChannelPart, b: &ChannelPart| a.info.name == b.info.name;
        Ok(parts.chunk_by(same).filter_map(|parts| Channel::of(parts.to_vec())).collect())
    }
}

impl Channel {
    fn of(mut parts: Vec<ChannelPart>) -> Option<Self> {
        parts.sort_by_key(|part| part.info.part_order());
        let name = parts.first()?.info.name.clone();
        Some(Self { name, parts })
    }
}

impl TableAtCut {
    fn unpinned(table: &Arc<dyn ModelTable>) -> Self {
        Self { table: Table::Model(Arc::clone(table)), pinned: None }
    }
}

impl Wanted {
    fn concerns(&self, models: &Models) -> bool {
        let mut names = models.tables.iter().map(|table| table.table());
        self.models || self.skipped || names.any(|name| self.tables.contains(name))
    }

    /// Pins the rows of a table if they are wanted. May block.
    fn look(&self, table: Table) -> TableAtCut {
        let names = if table.schema() == PUBLIC { &self.tables } else { &self.system_tables };
        let pinned = names.contains(table.name()).then(|| table.pin());
        TableAtCut { table, pinned }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut").field("logs", &self.logs).finish_non_exhaustive()
    }
}

fn pin(reader: &LogReader) -> Result<Arc<PinnedLog>, ReadError> {
    reader.refresh()?;
    Ok(pinned(reader, reader.view()))
}

fn pinned(reader: &LogReader, view: LogView) -> Arc<PinnedLog> {
    Arc::new(PinnedLog {
        name: reader.name().to_owned(),
        id: reader.id().to_string(),
        origin: reader.origin().to_string(),
        view,
    })
}
