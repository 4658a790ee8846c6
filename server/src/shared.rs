//! What all requests share.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use netdb::base::{Doors, Timestamp};
use netdb::cluster::{Cluster, LogConflicts};
use netdb::redex::{AppendError, Rejection};
use netdb::{Error, NetDb};
use tokio::sync::{Semaphore, watch};

use crate::Config;
use crate::access::Access;
use crate::clients::{ClientDoor, Sessions};
use crate::engine::Engine;
use crate::http::Problem;
use crate::limits::{BODY_UNIT_BYTES, DISK_FULL_REMEMBERED};
use crate::metrics::Metrics;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) doors: Doors,
    pub(crate) access: Access,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) engine: Engine,
    pub(crate) started: Duration,
    pub(crate) started_at: Timestamp,
    /// Becomes true when the server is to stop; streams end then.
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) requests: Arc<Semaphore>,
    /// Room for bodies, in units of [`BODY_UNIT_BYTES`].
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) statements: Arc<Semaphore>,
    phase: Mutex<Phase>,
    /// The node's part in its cluster, once it takes part.
    cluster: OnceLock<Cluster>,
    clients: OnceLock<ClientDoor>,
    /// When an append was last refused because the disk is full.
    disk_full_at: Mutex<Option<Duration>>,
}

/// How far the server is.
#[derive(Debug, Clone)]
enum Phase {
    Opening,
    Open(NetDb),
    Failed(String),
    Closed,
}

/// Why a server is not ready, or is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotReady {
    /// A word for programs.
    pub(crate) reason: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        doors: Doors,
        access: Access,
        metrics: Arc<Metrics>,
        engine: Engine,
    ) -> Self {
        let (started, started_at) = (doors.clock.monotonic(), doors.clock.now());
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            sessions: Arc::new(Sessions::new(Arc::clone(&doors.clock))),
            clients: OnceLock::new(),
            access,
            metrics,
            engine,
            started,
            started_at,
            stopping: watch::Sender::new(false),
            requests: semaphore(config.http.requests_max),
            bodies: semaphore(config.http.bodies_bytes_max.div_ceil(BODY_UNIT_BYTES)),
            streams: semaphore(config.http.streams_max),
            statements: semaphore(config.sql.statements_max),
            config,
            doors,
            phase: Mutex::new(Phase::Opening),
            cluster: OnceLock::new(),
            disk_full_at: Mutex::new(None),
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk_full_at(&self) -> MutexGuard<'_, Option<Duration>> {
        self.disk_full_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn opened(&self, db: &NetDb) {
        self.leave_opening(Phase::Open(db.clone()));
    }

    pub(crate) fn failed(&self, error: &Error) {
        self.leave_opening(Phase::Failed(error.to_string()));
    }

    fn leave_opening(&self, next: Phase) {
        let mut phase = self.phase();
        // Whoever stopped meanwhile closes what was opened.
        if matches!(*phase, Phase::Opening) {
            *phase = next;
        }
    }

    /// Notes the node's part in its cluster.
    pub(crate) fn joined(&self, cluster: Cluster) {
        self.metrics.watch_cluster(cluster.clone());
        // It is started once.
        let _ = self.cluster.set(cluster);
    }

    /// Returns the node's part in its cluster; `None` for a node of none, or that does not take part yet.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    /// Notes the door for clients.
    pub(crate) fn opened_to_clients(&self, door: ClientDoor) {
        // It is opened once.
        let _ = self.clients.set(door);
    }

    /// Returns the door for clients, once it is open.
    pub(crate) fn clients(&self) -> Option<&ClientDoor> {
        self.clients.get()
    }

    /// Begins to stop: nothing new is answered any more but how the server is.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Lets the database go, once nobody is answered any more.
    pub(crate) fn close(&self) {
        *self.phase() = Phase::Closed;
        self.metrics.forget();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns the database.
    pub(crate) fn db(&self) -> Result<NetDb, Problem> {
        match &*self.phase() {
            Phase::Open(db) => Ok(db.clone()),
            Phase::Opening => Err(Problem::unavailable("the database is being opened")),
            Phase::Failed(error) => Err(Problem::unavailable(format!("the database is not open: {error}"))),
            Phase::Closed => Err(Problem::stopping()),
        }
    }

    /// Notes what an append met that says something about the whole node.
    pub(crate) fn note(&self, appended: &Result<(), &AppendError>) {
        match appended {
            Ok(()) => *self.disk_full_at() = None,
            // A replica that waits for room says so itself, and says when that is over.
            Err(AppendError::Rejected { reason: Rejection::DiskFull, .. })
                if !self.cluster().is_some_and(Cluster::waits_for_room) =>
            {
                *self.disk_full_at() = Some(self.doors.clock.monotonic());
            }
            // Whether a log failed, it says itself.
            Err(_) => {}
        }
    }

    /// Says what a person should look at, though the server is as ready as it says otherwise.
    pub(crate) fn warnings(&self) -> Vec<NotReady> {
        let conflicts = self.cluster().map_or(Vec::new(), |cluster| cluster.conflicts());
        let warnings = conflicts.into_iter().flat_map(|found| {
            let LogConflicts { log, forks, diverges_from, .. } = found;
            let forked = (forks > 0).then(|| NotReady {
                reason: "forked",
                message: format!(
                    "log `{log}`: {forks} times a key signed two different entries for one place; look at `select * from system.forks`, \
                     and stop the node that has the key"
                ),
            });
            let diverged = (!diverges_from.is_empty()).then(|| NotReady {
                reason: "diverged",
                message: format!(
                    "log `{log}`: nodes {diverges_from:?} count other entries as committed than this one; keep copies of the directories \
                     and replace the node that differs from the others"
                ),
            });
            [forked, diverged].into_iter().flatten().collect::<Vec<_>>()
        });
        warnings.collect()
    }

    /// Says why requests should go elsewhere; nothing when the server is ready.
    pub(crate) fn not_ready(&self) -> Vec<NotReady> {
        let reason = |reason, message: String| vec![NotReady { reason, message }];
        if self.is_stopping() {
            return reason("stopping", "the server is stopping".to_owned());
        }
        let db = match &*self.phase() {
            Phase::Opening => return reason("opening", "the database is being opened".to_owned()),
            Phase::Failed(error) => return reason("failed", format!("the database is not open: {error}")),
            Phase::Closed => return reason("stopping", "the server is stopping".to_owned()),
            Phase::Open(db) => db.clone(),
        };
        let mut found = Vec::new();
        for log in db.store().logs() {
            if let Err(error) = log.accepts() {
                let message = format!("log `{}`: {error}; restart the server", log.reader().name());
                found.push(NotReady { reason: "poisoned", message });
            }
        }
        if let Some(cluster) = self.cluster() {
            for log in cluster.failed_logs() {
                let message = format!(
                    "replicated log `{log}` stopped on this node: look at its log lines; restart the server"
                );
                found.push(NotReady { reason: "poisoned", message });
            }
            if cluster.is_removed() {
                let message = "this node was removed from the cluster and takes no part: stop it, and join with a new directory";
                found.push(NotReady { reason: "removed", message: message.to_owned() });
            } else if let Some(member) = cluster.shut_out_by() {
                let message = format!("node {member} says that this node was removed from the cluster");
                found.push(NotReady { reason: "removed", message });
            } else if !cluster.has_leader() {
                let message = "nobody leads the cluster: a majority of its nodes is not there".to_owned();
                found.push(NotReady { reason: "no-leader", message });
            }
            if cluster.is_repairing() {
                let message =
                    "a replica lost something, and takes no part until the others have given it back";
                found.push(NotReady { reason: "repairing", message: message.to_owned() });
            }
        }
        if let Err(error) = db.models_run() {
            found.push(NotReady { reason: "models", message: error.to_string() });
        }
        let full_at = *self.disk_full_at();
        let now = self.doors.clock.monotonic();
        let was_full = full_at.is_some_and(|at| now.saturating_sub(at) < DISK_FULL_REMEMBERED);
        if was_full || self.cluster().is_some_and(Cluster::waits_for_room) {
            let message = "the disk is full: free some space".to_owned();
            found.push(NotReady { reason: "disk-full", message });
        }
        found
    }
}
