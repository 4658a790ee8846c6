//! How a database is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{ChannelName, Doors};
use cortex::models::memories::MemoriesFold;
use cortex::models::tasks::TasksFold;
use cortex::{ErrorPolicy, Fold, RunnerOptions, Tabular};
use redex::{Hold, LogName, LogOptions, LogWriter, Retention, Store};

use crate::blocking::blocking;
use crate::member::{self, MODELS_LOG};
use crate::models::{LateModels, ModelSet, Models};
use crate::{Error, Model, NetDb, Snapshot};

/// Holds `main` from its beginning on if it has channels that models are folded from: for who opens a
/// [`Store`] without models, by [`Store::open_to_hold`](redex::Store::open_to_hold). Until state is kept beside the
/// log, it is made of the log's beginning.
///
/// # Errors
///
/// Kind `Unavailable` when the log cannot be read.
pub fn hold_models(store: &Store) -> Result<Option<Hold>, Error> {
    let channels = store.main().reader().view().channels()?;
    let folded = channels.iter().any(|channel| is_of_models(&channel.name));
    folded.then(|| hold_main(store)).transpose()
}

fn hold_main(store: &Store) -> Result<Hold, Error> {
    let begins = store.main().reader().view().begins();
    Ok(store.main().hold("models", begins)?)
}

/// Keeps the channels of the models of this crate, and further ones, for the log that the members of the cluster hold of
/// them: for who opens the [`Store`] of a member's directory. Nothing of them comes into `main` from now on; one that is
/// in `main` already stays there, and is told of.
pub fn reserve_models(store: &Store, further: &[ChannelName]) {
    let Ok(log) = LogName::new(MODELS_LOG) else { return };
    let own = [TasksFold.channels(), MemoriesFold.channels()].concat();
    for channel in own.iter().chain(further) {
        if let Err(reason) = store.reserve_for_attached(channel, &log) {
            tracing::error!(%channel, %reason, "a channel of models is in another log than the cluster's");
        }
    }
}

/// Tells whether a channel is one that the models of this crate are folded from: it stays in `main`, or in the log that
/// the members of a cluster hold of them.
pub fn is_of_models(channel: &ChannelName) -> bool {
    channel.as_str().starts_with("cortex/")
}

/// Settings and doors of a database, before it is opened.
///
/// # Examples
///
/// ```
/// let options = netdb::LogOptions::default();
/// let db = netdb::NetDb::builder().in_memory().log_options(options).open()?;
/// # db.close()?;
/// # Ok::<(), netdb::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Builder {
    place: Option<Place>,
    doors: Option<Doors>,
    log_options: LogOptions,
    models: ModelSet,
    runner_options: RunnerOptions,
    snapshot: Option<Snapshot>,
    #[cfg(feature = "sql")]
    limits: meshdb::Limits,
    #[cfg(feature = "sql")]
    gateway_options: meshdb::GatewayOptions,
}

#[derive(Debug, Clone)]
enum Place {
    Directory(PathBuf),
    Memory,
}

impl Builder {
    /// Keeps the database in a directory, which is made when it does not exist.
    #[must_use]
    pub fn directory(mut self, dir: impl AsRef<Path>) -> Self {
        self.place = Some(Place::Directory(dir.as_ref().to_owned()));
        self
    }

    /// Keeps the database in memory; it is gone with the last handle. `durable` then means no more than
    /// `staged`.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.place = Some(Place::Memory);
        self
    }

    /// Sets what can be set about logs.
    #[must_use]
    pub fn log_options(mut self, options: LogOptions) -> Self {
        self.log_options = options;
        self
    }

    /// Sets clock, randomness and disk, for simulation and tests.
    #[must_use]
    pub fn doors(mut self, doors: Doors) -> Self {
        self.doors = Some(doors);
        self
    }

    /// Keeps tasks: [`NetDb::tasks`]. Their events are folded from the beginning of the log, on a thread of its own
    /// for all models.
    #[must_use]
    pub fn with_tasks(self) -> Self {
        self.with(Model::new(TasksFold).policy(ErrorPolicy::SkipAndRecord).table().portable())
    }

    /// Keeps memories: [`NetDb::memories`].
    #[must_use]
    pub fn with_memories(self) -> Self {
        self.with(Model::new(MemoriesFold).policy(ErrorPolicy::SkipAndRecord).table().portable())
    }

    /// Keeps a model of the application: [`NetDb::model`].
    #[must_use]
    pub fn with_model<F: Fold>(self, fold: F, policy: ErrorPolicy) -> Self {
        self.with(Model::new(fold).policy(policy))
    }

    /// Keeps a model of the application that is also a table in SQL, by the model's name.
    #[must_use]
    pub fn with_table<F: Tabular>(self, fold: F, policy: ErrorPolicy) -> Self {
        self.with(Model::new(fold).policy(policy).table())
    }

    /// Keeps a model of the application, for which more can be said than its policy: [`NetDb::model`]. In a cluster its
    /// channels live in the log that all members hold of models, on every node, from the first time that one opens it so.
    #[must_use]
    pub fn with<F: Fold>(mut self, model: Model<F>) -> Self {
        self.models.add(model);
        self
    }

    /// Has models go on from a snapshot of the same log, instead of folding it from the beginning. A model that the
    /// snapshot does not have is folded from the beginning.
    #[must_use]
    pub fn from_snapshot(mut self, snapshot: Snapshot) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// Sets how models are folded.
    #[must_use]
    pub fn runner_options(mut self, options: RunnerOptions) -> Self {
        self.runner_options = options;
        self
    }

    /// Sets what each SQL statement may use.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn sql_limits(mut self, limits: meshdb::Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how SQL statements run.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn sql_options(mut self, options: meshdb::GatewayOptions) -> Self {
        self.gateway_options = options;
        self
    }

    /// Opens the database for writing on a thread that may block. Needs a tokio runtime.
    ///
    /// *Cancel safety*: dropping the future does not stop the opening; what it opens is closed then.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_async(self) -> Result<NetDb, Error> {
        blocking(move || self.open()).await
    }

    /// Opens the database for writing. In a directory that belongs to a cluster the models begin once the node takes part:
    /// [`NetDb::models_begun`].
    ///
    /// # Errors
    ///
    /// Kind `Invalid` when neither directory nor memory was chosen, or a model twice; otherwise as
    /// [`Store::open`](redex::Store::open).
    pub fn open(self) -> Result<NetDb, Error> {
        let (dir, doors) = match self.place {
            Some(Place::Directory(dir)) => (dir, self.doors.unwrap_or_else(Doors::system)),
            Some(Place::Memory) => (PathBuf::from("/netdb"), self.doors.unwrap_or_else(Doors::memory)),
            None => {
                let message = "no place for the database: choose `directory` or `in_memory`";
                return Err(Error::new(base::ErrorKind::Invalid, message));
            }
        };
        let unlimited = self.log_options.retention == Retention::default();
        // Nothing is given up before models hold what they are folded from.
        let store = Store::open_to_hold(&dir, &doors, &self.log_options)?;
        let (options, snapshot) = (self.runner_options, self.snapshot);
        let models = match member::says_member(&dir, &*doors.disk)? {
            true => {
                let models = LateModels::waiting(self.models, options, snapshot);
                reserve_models(&store, models.channels());
                let cause = "which channels are replicated is not known yet: wait until the node takes part in its cluster";
                store.close_to_new_channels(Some(cause.to_owned()));
                models
            }
            false => LateModels::running(fold_main(self.models, &store, &doors, options, snapshot.as_ref())?),
        };
        let hold = match models.get().ok().and_then(Models::runner) {
            Some(_) => Some(hold_main(&store)?),
            // What the log was set to keep is not to take what others fold; who asks for it here knows.
            None if unlimited => hold_models(&store)?,
            None => None,
        };
        store.begin_retention();
        Ok(NetDb::new(
            store,
            Arc::new(models),
            hold,
            #[cfg(feature = "sql")]
            crate::sql::Engine::new(self.gateway_options, self.limits),
        ))
    }
}

/// Begins to fold `main`.
fn fold_main(
    models: ModelSet,
    store: &Store,
    doors: &Doors,
    options: RunnerOptions,
    snapshot: Option<&Snapshot>,
) -> Result<Models, Error> {
    let writer: Arc<dyn LogWriter> = Arc::new(store.main().clone());
    models.open(store.main().reader(), Some(&writer), &doors.clock, options, snapshot)
}
