//! State that is kept between openings, so that a log need not be folded from its beginning.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use base::{Classify, ErrorKind, IncarnationId, Position};
use redex::LogReader;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::FoldStopped;
use crate::store::{StateBatch, StateStore, StoreError};
use crate::table::{Change, Record};
use crate::{Folded, Portable, RecordFold, Snapshot, Subscription, Table};

/// The key of a space's head; records have longer ones.
const HEAD: &[u8] = b"";
/// What the keys of records begin with.
const RECORD: u8 = b'r';
/// The version of the form in which checkpoints are kept.
const VERSION: u32 = 1;
/// Bytes of values after which a batch is committed while a whole state is written.
const BATCH_BYTES: usize = 4 << 20;

/// Keeps the state of one model in a store: what changed since the last time, and the position that it includes, in
/// one batch.
///
/// A checkpoint is never ahead of the durable log, since a model is not. One that another version of the fold made,
/// or that includes what the log does not have, is not used: the log is folded instead.
pub struct Checkpoint<F: Portable> {
    model: Folded<F>,
    store: Arc<dyn StateStore>,
    space: String,
    subscription: Subscription<F>,
    /// What the store holds; `None` while it holds nothing of use.
    saved: Option<Position>,
}

/// What a checkpoint is of.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    log: String,
    /// The incarnation of the last entry that is included.
    incarnation: Option<String>,
    position: u64,
    records: u64,
}

impl<F: Portable> Checkpoint<F> {
    /// Reads the state that a store keeps for a fold over a log; `None` when there is none of use. To be given to
    /// [`Runner::add_from`](crate::Runner::add_from).
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Store`]; [`CheckpointError::Corrupt`] when what it keeps does not read. The state can be
    /// folded from the log then.
    pub fn load(
        store: &dyn StateStore,
        fold: &F,
        reader: &LogReader,
    ) -> Result<Option<Snapshot<F::State>>, CheckpointError> {
        let space = space(fold);
        let Some(head) = store.get(&space, HEAD)? else { return Ok(None) };
        let corrupt = |cause: String| CheckpointError::Corrupt { space: space.clone(), cause };
        let head: Head = serde_json::from_slice(&head).map_err(|error| corrupt(error.to_string()))?;
        let of_this_log = head.version == VERSION && head.log.parse() == Ok(reader.id());
        let position = Position(head.position);
        let incarnation = head.incarnation.map(|text| text.parse::<IncarnationId>()).transpose();
        let incarnation = incarnation.map_err(|error| corrupt(format!("the incarnation: {error}")))?;
        if !of_this_log || position > reader.visible() || incarnation_below(reader, position) != incarnation {
            tracing::info!(space, %position, "a checkpoint of another history is not used");
            return Ok(None);
        }
        let mut state = Table::<F::Row>::default();
        let mut failed = None;
        store.scan(&space, &[RECORD], &mut |_, form| {
            let form = serde_json::from_slice::<Value>(form).map_err(|error| error.to_string());
            match form.and_then(|form| fold.import(form, &state).map_err(|error| error.to_string())) {
                Ok(record) => {
                    state.put(record);
                    ControlFlow::Continue(())
                }
                Err(cause) => {
                    failed = Some(cause);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(cause) => Err(corrupt(cause)),
            None if state.len() as u64 != head.records => {
                Err(corrupt(format!("{} of {} records", state.len(), head.records)))
            }
            None => Ok(Some(Snapshot { state, position })),
        }
    }

    /// Begins to keep a model, from the state that it stands at now; `loaded` is the position of what
    /// [`load`](Self::load) gave, if the model goes on from that and was not started yet.
    ///
    /// # Errors
    ///
    /// Why the model stopped.
    pub fn begin(
        store: Arc<dyn StateStore>,
        model: &Folded<F>,
        loaded: Option<Position>,
    ) -> Result<Self, CheckpointError> {
        let (snapshot, subscription) = model.subscribe()?;
        let saved = loaded.filter(|loaded| *loaded == snapshot.position);
        Ok(Self { space: space(model.fold()), model: model.clone(), store, subscription, saved })
    }

    /// Returns what the store includes; `None` while there is nothing of use in it.
    pub fn saved(&self) -> Option<Position> {
        self.saved
    }

    /// Writes what changed since the last time, and returns what the store includes now. Does not hold up the fold.
    ///
    /// *Durability*: the store's, behind its sync.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Store`], after which the next call writes everything; why the model stopped.
    pub fn save(&mut self) -> Result<Position, CheckpointError> {
        let news = self.subscription.try_next()?;
        let snapshot = match &news {
            Some(news) => news.snapshot.clone(),
            None => self.model.snapshot()?,
        };
        if let (None, Some(saved)) = (&news, self.saved)
            && saved == snapshot.position
        {
            return Ok(saved);
        }
        let known = self.saved.take().is_some();
        let changes = match news {
            Some(news) => news.changes,
            None => Some(Vec::new()),
        };
        match changes.filter(|_| known) {
            Some(changes) => self.write_changes(&snapshot, changes)?,
            None => self.write_whole(&snapshot)?,
        }
        self.store.sync()?;
        self.saved = Some(snapshot.position);
        Ok(snapshot.position)
    }

    fn write_changes(
        &self,
        snapshot: &Snapshot<F::State>,
        changes: Vec<Change<F::Row>>,
    ) -> Result<(), CheckpointError> {
        let changed: BTreeMap<_, _> = changes.into_iter().map(|change| (change.id(), change.after)).collect();
        let mut batch = StateBatch::new();
        for (id, after) in changed {
            match after {
                Some(record) => batch.put(&self.space, &self.key(id), self.form(&record)),
                None => batch.remove(&self.space, &self.key(id)),
            }
        }
        batch.put(&self.space, HEAD, self.head(snapshot));
        Ok(self.store.commit(batch)?)
    }

    /// Writes all records, in batches, and the head with the last one: before that there is no checkpoint.
    fn write_whole(&self, snapshot: &Snapshot<F::State>) -> Result<(), CheckpointError> {
        let mut batch = StateBatch::new();
        batch.clear(&self.space);
        let mut bytes = 0;
        for record in snapshot.state.iter() {
            let form = self.form(record);
            bytes += form.len();
            batch.put(&self.space, &self.key(record.id()), form);
            if bytes >= BATCH_BYTES {
                self.store.commit(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        batch.put(&self.space, HEAD, self.head(snapshot));
        let others = self.store.spaces()?;
        let prefix = space_prefix(self.model.fold());
        let of_other_versions = |name: &&String| name.starts_with(&prefix) && **name != self.space;
        others.iter().filter(of_other_versions).for_each(|name| batch.clear(name));
        Ok(self.store.commit(batch)?)
    }

    fn key(&self, id: <F::Row as Record>::Id) -> Vec<u8> {
        let mut key = vec![RECORD];
        key.extend(self.model.fold().key(id));
        key
    }

    fn form(&self, record: &F::Row) -> Vec<u8> {
        self.model.fold().export(record).to_string().into_bytes()
    }

    fn head(&self, snapshot: &Snapshot<F::State>) -> Vec<u8> {
        let reader = &self.model.runner.reader;
        let head = Head {
            version: VERSION,
            log: reader.id().to_string(),
            incarnation: incarnation_below(reader, snapshot.position).map(|id| id.to_string()),
            position: snapshot.position.0,
            records: snapshot.state.len() as u64,
        };
        serde_json::to_vec(&head).expect("numbers and texts have a JSON form")
    }
}

/// Spaces begin so for all versions of a fold.
fn space_prefix(fold: &impl RecordFold) -> String {
    format!("model/{}@", fold.name())
}

fn space(fold: &impl RecordFold) -> String {
    format!("{}{}", space_prefix(fold), fold.version())
}

/// Returns the incarnation of the last entry below a position, as far as it is known.
fn incarnation_below(reader: &LogReader, position: Position) -> Option<IncarnationId> {
    let known = reader.view().incarnations();
    known.iter().rev().find(|known| position.includes(known.first_index)).map(|known| known.id)
}

impl<F: Portable> std::fmt::Debug for Checkpoint<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint")
            .field("space", &self.space)
            .field("saved", &self.saved)
            .finish_non_exhaustive()
    }
}

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store holds is no checkpoint.
    #[error("the checkpoint `{space}` does not read: {cause}; fold the log instead")]
    Corrupt {
        /// Where it is.
        space: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The model does not go on.
    #[error(transparent)]
    Stopped(#[from] FoldStopped),
}

impl Classify for CheckpointError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Stopped(stopped) => stopped.kind(),
        }
    }
}
