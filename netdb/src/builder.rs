//! How a database is opened.

use std::path::{Path, PathBuf};

use base::Doors;
use redex::{LogOptions, Store};

use crate::{Error, NetDb};

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
#[derive(Debug, Clone, Default)]
pub struct Builder {
    place: Option<Place>,
    doors: Option<Doors>,
    log_options: LogOptions,
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

    /// Opens the database for writing.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` when neither directory nor memory was chosen; otherwise as
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
        let store = Store::open(&dir, &doors, &self.log_options)?;
        Ok(NetDb::new(
            store,
            #[cfg(feature = "sql")]
            crate::sql::Engine::new(self.gateway_options, self.limits),
        ))
    }
}
