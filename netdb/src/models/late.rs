//! Models that may begin later than their database is opened.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use base::{ChannelName, Clock, ErrorKind};
use cortex::{Runner, RunnerOptions};
use redex::{LogReader, LogWriter};
use tokio::sync::watch;

use super::{ModelSet, Models};
use crate::{Error, Snapshot};

/// The models of an open database: they run, or wait for the log that they are folded from. They begin once.
#[derive(Debug)]
pub(crate) struct LateModels {
    running: OnceLock<Models>,
    /// What they begin with, until somebody begins them.
    waiting: Mutex<Option<Waiting>>,
    stands: watch::Sender<Stands>,
    channels: Vec<ChannelName>,
    tables: Vec<String>,
}

#[derive(Debug)]
struct Waiting {
    set: ModelSet,
    options: RunnerOptions,
    snapshot: Option<Snapshot>,
}

/// How the models stand.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stands {
    /// They have not begun; what was last in the way, if anything was.
    Waiting(Option<String>),
    Running,
    /// They cannot begin.
    Failed(ErrorKind, String),
    Closed,
}

impl LateModels {
    /// Holds models that run.
    pub(crate) fn running(models: Models) -> Self {
        Self {
            running: OnceLock::from(models),
            waiting: Mutex::new(None),
            stands: watch::Sender::new(Stands::Running),
            channels: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Holds models that wait for their log.
    pub(crate) fn waiting(set: ModelSet, options: RunnerOptions, snapshot: Option<Snapshot>) -> Self {
        let (channels, tables) = (set.channels(), set.tables());
        let waiting = Mutex::new(Some(Waiting { set, options, snapshot }));
        let stands = watch::Sender::new(Stands::Waiting(None));
        Self { running: OnceLock::new(), waiting, stands, channels, tables }
    }

    /// Returns the models, once they run.
    pub(crate) fn get(&self) -> Result<&Models, Error> {
        self.running.get().ok_or_else(|| self.stands.borrow().error())
    }

    /// Completes once the models run, or will not.
    pub(crate) async fn begun(&self) -> Result<&Models, Error> {
        let mut stands = self.stands.subscribe();
        // The sender is this one's own: it does not end before.
        let _ = stands.wait_for(|stands| !matches!(stands, Stands::Waiting(_))).await;
        self.get()
    }

    /// Returns the channels of models that wait.
    pub(crate) fn channels(&self) -> &[ChannelName] {
        &self.channels
    }

    /// Returns the names of the tables of models that wait.
    #[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "only SQL looks at tables"))]
    pub(crate) fn tables(&self) -> &[String] {
        &self.tables
    }

    /// Refuses a log that does not have yet what the models are to go on from.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only clusters have models wait"))]
    pub(crate) fn check(&self, reader: &LogReader) -> Result<(), Error> {
        let plan = self.plan();
        let Some(snapshot) = plan.as_ref().and_then(|waiting| waiting.snapshot.as_ref()) else {
            return Ok(());
        };
        let (wanted, visible) = (snapshot.position, reader.visible());
        if snapshot.log != reader.id() || wanted <= visible {
            return Ok(());
        }
        let message =
            format!("the snapshot is of position {wanted}, and this node has the log up to {visible}");
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Begins models that wait, with a log to read and write; does nothing where somebody else does. They run once all is
    /// folded that is visible. May block for as long as there is to fold.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only clusters have models wait"))]
    pub(crate) fn begin(&self, log: &Arc<dyn LogWriter>, clock: &Arc<dyn Clock>) -> Result<(), Error> {
        let taken = self.plan().take();
        let Some(Waiting { set, options, snapshot }) = taken else { return Ok(()) };
        match set.open(log.reader(), Some(log), clock, options, snapshot.as_ref()) {
            Ok(models) => {
                models.runner().map(Runner::step);
                // Whoever took what they begin with is the only one to set it.
                let _ = self.running.set(models);
                self.stands.send_replace(Stands::Running);
                Ok(())
            }
            Err(error) => {
                self.stands.send_replace(Stands::Failed(error.kind(), error.to_string()));
                Err(error)
            }
        }
    }

    fn plan(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether there is something that nobody has begun.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only clusters have models wait"))]
    pub(crate) fn is_waiting(&self) -> bool {
        self.plan().is_some()
    }

    /// Notes what is in the way of beginning.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only clusters have models wait"))]
    pub(crate) fn wait_since(&self, cause: String) {
        self.stands.send_if_modified(|stands| match stands {
            Stands::Waiting(known) if known.as_ref() != Some(&cause) => {
                *known = Some(cause);
                true
            }
            _ => false,
        });
    }

    /// Tells everybody who waits that there is nothing to wait for any more.
    pub(crate) fn close(&self) {
        self.stands.send_if_modified(|stands| {
            let waits = matches!(stands, Stands::Waiting(_));
            if waits {
                *stands = Stands::Closed;
            }
            waits
        });
        self.plan().take();
    }
}

impl Stands {
    fn error(&self) -> Error {
        let waits =
            "the models are read from a replicated log: wait until the node takes part in its cluster";
        match self {
            Self::Waiting(None) => Error::new(ErrorKind::Unavailable, waits),
            Self::Waiting(Some(cause)) => Error::new(ErrorKind::Unavailable, format!("{waits} ({cause})")),
            Self::Failed(kind, cause) => Error::new(*kind, format!("the models could not begin: {cause}")),
            // They are set before this is said.
            Self::Running | Self::Closed => {
                Error::new(ErrorKind::Closed, "the database is closed: open it again")
            }
        }
    }
}
