//! The database handle.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base::ChannelName;
use cortex::models::memories::Memories;
use cortex::models::tasks::Tasks;
use cortex::{Fold, Folded};
use redex::{ChannelConfig, Hold, Log, LogConfig, Placement, RecoveryReport, Store};

use crate::blocking::blocking;
use crate::models::{LateModels, missing};
use crate::wiring::BlobDirectory;
use crate::{Blobs, Builder, Channel, Error, Snapshot};

/// A database open for writing. Cloning shares it; it is closed by [`close`](Self::close), or when the last
/// handle is dropped.
///
/// # Examples
///
/// ```
/// let db = netdb::NetDb::in_memory()?;
/// let orders = db.channel("orders")?;
/// let appended = orders.append("order.placed", br#"{"total":12}"#)?;
/// assert_eq!(appended.at.first_seq(), Some(netdb::Seq(0)));
/// db.close()?;
/// # Ok::<(), netdb::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct NetDb {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Models hold the log open, too; they go first.
    models: Arc<LateModels>,
    /// Keeps retention from what models are folded from at the next opening.
    _hold: Option<Hold>,
    /// Opened when they are first asked for.
    blobs: Mutex<Option<Blobs>>,
    blob_directory: Arc<BlobDirectory>,
    store: Store,
    #[cfg(feature = "sql")]
    engine: crate::sql::Engine,
}

impl NetDb {
    pub(crate) fn new(
        store: Store,
        models: Arc<LateModels>,
        hold: Option<Hold>,
        #[cfg(feature = "sql")] engine: crate::sql::Engine,
    ) -> Self {
        let blob_directory = BlobDirectory::new(&store);
        store.set_held_blobs(Arc::clone(&blob_directory) as _);
        Self {
            inner: Arc::new(Inner {
                models,
                _hold: hold,
                blobs: Mutex::default(),
                blob_directory,
                store,
                #[cfg(feature = "sql")]
                engine,
            }),
        }
    }

    /// Opens the database in a directory for writing; directory, key and log are made when they do not exist.
    /// What a crash left is put in order; see [`recovery`](Self::recovery).
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` while another writer has the directory; `Denied` when it may not be accessed or its
    /// key does not belong to its log; `Corrupt`.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().directory(dir).open()
    }

    /// Opens an empty database in memory.
    ///
    /// # Errors
    ///
    /// None in practice; the signature is that of [`open`](Self::open).
    pub fn in_memory() -> Result<Self, Error> {
        Self::builder().in_memory().open()
    }

    /// Begins to set up a database.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Names a channel; the first append creates it.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for a name that breaks the rules of [`ChannelName`].
    pub fn channel(&self, name: &str) -> Result<Channel, Error> {
        Ok(Channel::new(self.store().clone(), ChannelName::new(name)?))
    }

    /// Creates a channel that is kept or stored in a way of its own, in a log of its own or one that is shared by all
    /// channels of an equal configuration. Blocks until it is durable. That it exists so is as good.
    ///
    /// *Durability*: once this returns, the channel and its log survive a power failure.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for a name that breaks the rules of [`ChannelName`]; `Conflict` when the channel lives elsewhere:
    /// [`Channel::move_to`] moves it.
    ///
    /// # Examples
    ///
    /// ```
    /// use netdb::{LogConfig, Retention};
    ///
    /// let db = netdb::NetDb::in_memory()?;
    /// // The newest 1,000 stay, whatever becomes of other channels.
    /// let probes = db.create_channel("probes", &LogConfig::keeping(Retention::of_events(1_000)))?;
    /// probes.append("probe.taken", b"7")?;
    /// # db.close()?;
    /// # Ok::<(), netdb::Error>(())
    /// ```
    pub fn create_channel(&self, name: &str, config: &LogConfig) -> Result<Channel, Error> {
        let channel = self.channel(name)?;
        let placement = Placement::With(config.clone());
        self.store().create_channel(channel.name(), &ChannelConfig::default(), &placement)?;
        Ok(channel)
    }

    /// Returns the model of tasks.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when the database was opened without it; `Unavailable` before the models
    /// [begin](Self::models_begun) on a member of a cluster.
    ///
    /// # Examples
    ///
    /// ```
    /// use netdb::{Applied, NetDb, SortBy, TaskFilter, TaskQuery, TaskStatus};
    ///
    /// let db = NetDb::builder().in_memory().with_tasks().open()?;
    /// let tasks = db.tasks()?;
    /// tasks.create(1, "write the report")?;
    /// assert_eq!(tasks.create(2, "buy milk")?.applied()?, Applied::Changed);
    /// assert_eq!(tasks.complete(7)?.applied()?, Applied::NotFound);
    ///
    /// let open = TaskQuery::from(TaskFilter::new().status(TaskStatus::Pending)).order(SortBy::CreatedDesc);
    /// let state = tasks.snapshot()?.state;
    /// assert_eq!(&*open.limit(1).run(&state)[0].title, "buy milk");
    /// db.close()?;
    /// # Ok::<(), netdb::Error>(())
    /// ```
    pub fn tasks(&self) -> Result<Tasks, Error> {
        self.inner.models.get()?.tasks()
    }

    /// Returns the model of memories.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when the database was opened without it; `Unavailable` before the models
    /// [begin](Self::models_begun) on a member of a cluster.
    pub fn memories(&self) -> Result<Memories, Error> {
        self.inner.models.get()?.memories()
    }

    /// Returns a model by the type of its fold.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when the database was opened without it; `Unavailable` before the models
    /// [begin](Self::models_begun) on a member of a cluster.
    pub fn model<F: Fold>(&self) -> Result<Folded<F>, Error> {
        let models = self.inner.models.get()?;
        models.get().ok_or_else(|| missing(std::any::type_name::<F>(), "with_model(..)"))
    }

    /// Completes once the models run: at once, but in a directory that belongs to a cluster. There they are folded from a
    /// log that all members hold, and begin when this node takes part (`Cluster::start`) and has the log. It has no limit
    /// of time; after a failure, and once the database is closed, it completes, too.
    ///
    /// *Cancel safety*: dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Why the models will not run: kind `Closed`; otherwise what was wrong with a model, its snapshot or the log.
    pub async fn models_begun(&self) -> Result<(), Error> {
        self.inner.models.begun().await.map(|_| ())
    }

    /// Says why the models do not run, if they do not: what to wait for (kind `Unavailable`), or what was wrong.
    ///
    /// # Errors
    ///
    /// As [`models_begun`](Self::models_begun); kind `Unavailable` while they wait.
    pub fn models_run(&self) -> Result<(), Error> {
        self.inner.models.get().map(|_| ())
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn late_models(&self) -> &Arc<LateModels> {
        &self.inner.models
    }

    /// Returns the state of all models at one position. Takes constant time once everything visible is folded.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when the database was opened without models; `Unavailable` before they
    /// [begin](Self::models_begun) on a member of a cluster; otherwise why a fold stopped.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Snapshot::take(self.inner.models.get()?)
    }

    /// Returns the state of all models at one position, folded on a thread that may block. Needs a tokio runtime.
    ///
    /// *Cancel safety*: dropping the future leaves nothing behind but folded state.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Self::snapshot).
    pub async fn snapshot_async(&self) -> Result<Snapshot, Error> {
        let db = self.clone();
        blocking(move || db.snapshot()).await
    }

    /// Returns the log `main`, with everything that it can do: appends over several channels, conditions,
    /// idempotency, staging. [`store`](Self::store) does the same for channels of any log.
    pub fn log(&self) -> &Log {
        self.inner.store.main()
    }

    /// Returns the node's directory with its key and logs.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Returns what opening found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        self.inner.store.recovery()
    }

    /// Returns the blobs beside the database; the first call opens them.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` while another process has them open; `Corrupt`; `Closed` after [`close`](Self::close).
    pub fn blobs(&self) -> Result<Blobs, Error> {
        let mut blobs = self.inner.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(blobs) = &*blobs {
            return Ok(blobs.clone());
        }
        self.log().accepts()?;
        Ok(blobs.insert(Blobs::of(self.store(), self.inner.blob_directory.open()?)?).clone())
    }

    /// Returns the blobs beside the database, as [`blobs`](Self::blobs) does; `None` where nothing was ever put.
    ///
    /// # Errors
    ///
    /// As [`blobs`](Self::blobs).
    pub fn existing_blobs(&self) -> Result<Option<Blobs>, Error> {
        match self.inner.blob_directory.exists()? {
            true => self.blobs().map(Some),
            false => Ok(None),
        }
    }

    /// Returns the blobs beside the database if somebody opened them.
    pub fn opened_blobs(&self) -> Option<Blobs> {
        self.inner.blobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs one SQL statement over everything that is durable when it begins, and gathers its rows.
    ///
    /// Needs a tokio runtime.
    ///
    /// *Cancel safety*: dropping the future ends the statement.
    ///
    /// # Errors
    ///
    /// Kind `Denied` for a statement that would do more than read, `NotFound` for an unknown table, `Invalid`
    /// for what is wrong with the text, `Unavailable` when a limit of memory or time is reached.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), netdb::Error> {
    /// let db = netdb::NetDb::in_memory()?;
    /// db.channel("orders")?.append("order.placed", br#"{"total":12}"#)?;
    /// let answer = db.sql("select payload->>'total' as total from orders").await?;
    /// assert!(answer.to_string().contains("12"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "sql")]
    pub async fn sql(&self, statement: &str) -> Result<crate::Answer, Error> {
        self.sql_with(statement, &[]).await
    }

    /// Runs one SQL statement with values for its placeholders `$1`, `$2` and so on.
    ///
    /// # Errors
    ///
    /// As [`sql`](Self::sql).
    #[cfg(feature = "sql")]
    pub async fn sql_with(&self, statement: &str, params: &[meshdb::Param]) -> Result<crate::Answer, Error> {
        self.inner.engine.run(self.sources(), statement, params).await
    }

    /// Returns the gateway that every SQL statement goes through, for doors that have limits of their own and hand rows
    /// on as they are made. It reads what is durable when a statement begins, and does not keep the database open.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for models whose names cannot be those of tables.
    #[cfg(feature = "sql")]
    pub fn gateway(&self) -> Result<meshdb::Gateway, Error> {
        self.inner.engine.ready(self.sources())
    }

    #[cfg(feature = "sql")]
    fn sources(&self) -> crate::sql::Sources<'_> {
        // A statement that is asked later must not keep the database open.
        let inner = Arc::downgrade(&self.inner);
        let blobs = move || match inner.upgrade() {
            Some(inner) => Ok(Self { inner }.existing_blobs()?.map(|blobs| blobs.pins().clone())),
            None => Err(Error::new(base::ErrorKind::Closed, "the database is closed")),
        };
        let (store, models) = (&self.inner.store, &*self.inner.models);
        crate::sql::Sources { store, models, beside: crate::sql::blob_tables(blobs) }
    }

    /// Closes the database on a thread that may block. Needs a tokio runtime.
    ///
    /// *Cancel safety*: dropping the future does not stop the closing.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_async(&self) -> Result<(), Error> {
        let db = self.clone();
        blocking(move || db.close()).await
    }

    /// Makes everything durable and closes the database. Repeating it does nothing.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when the disk failed; the database is closed either way.
    pub fn close(&self) -> Result<(), Error> {
        self.inner.models.close();
        drop(self.inner.blobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let blobs_closed = self.inner.blob_directory.close();
        self.inner.store.close()?;
        Ok(blobs_closed?)
    }
}
