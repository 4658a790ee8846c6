//! The database handle.

use std::path::Path;
use std::sync::Arc;

use base::ChannelName;
use redex::{Log, RecoveryReport, Store};

use crate::{Builder, Channel, Error};

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
    store: Store,
    #[cfg(feature = "sql")]
    engine: crate::sql::Engine,
}

impl NetDb {
    pub(crate) fn new(store: Store, #[cfg(feature = "sql")] engine: crate::sql::Engine) -> Self {
        Self {
            inner: Arc::new(Inner {
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
        Ok(Channel::new(self.log().clone(), ChannelName::new(name)?))
    }

    /// Returns the log `main`, with everything that it can do: appends over several channels, conditions,
    /// idempotency, staging.
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
        self.inner.engine.run(&self.inner.store, statement, params).await
    }

    /// Makes everything durable and closes the database. Repeating it does nothing.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when the disk failed; the database is closed either way.
    pub fn close(&self) -> Result<(), Error> {
        Ok(self.inner.store.close()?)
    }
}
