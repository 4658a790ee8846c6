//! Replicas that lost something: the others are asked, before they take part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{LogId, NodeId};
use redex::ReplicaLog;
use replication::{Link, RepairError};

use crate::Error;

/// The replicas of this node that are in doubt, each with what it lost, or what keeps it from being given that back. Cloning
/// shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct Repairs(Arc<Mutex<BTreeMap<LogId, Repairing>>>);

#[derive(Debug)]
struct Repairing {
    cause: String,
    /// Whether it lost something; else it was given up here, and comes back.
    lost: bool,
}

impl Repairs {
    fn causes(&self) -> MutexGuard<'_, BTreeMap<LogId, Repairing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why a replica takes no part yet.
    pub(super) fn cause(&self, log: LogId) -> Option<String> {
        self.causes().get(&log).map(|repairing| repairing.cause.clone())
    }

    /// Tells whether a replica lost something.
    pub(super) fn any_lost(&self) -> bool {
        self.causes().values().any(|repairing| repairing.lost)
    }

    /// Notes why a replica takes no part.
    pub(super) fn note(&self, log: &ReplicaLog, cause: String) {
        self.causes().insert(log.reader().id(), Repairing { cause, lost: !log.came_back() });
    }

    /// Notes that it does.
    pub(super) fn forget(&self, log: LogId) {
        self.causes().remove(&log);
    }

    /// Has a replica that is in doubt given back what it lost; returns at once for any other one. `hints` may hold the log,
    /// too.
    pub(super) async fn until_whole(
        &self,
        log: &ReplicaLog,
        me: NodeId,
        link: &Arc<dyn Link>,
        others: &BTreeSet<NodeId>,
        hints: &BTreeSet<NodeId>,
    ) -> Result<(), Error> {
        let Some(lost) = log.doubt() else { return Ok(()) };
        let (name, came_back) = (log.reader().name(), log.came_back());
        match came_back {
            true => {
                tracing::info!(log = name, %lost, ?others, "a replica comes back, the others are asked for the log")
            }
            false => {
                tracing::warn!(log = name, %lost, ?others, "a replica lost something, the others are asked for it")
            }
        }
        let mut told = None;
        let tell = |cause: &RepairError| {
            if told.as_ref() != Some(cause) {
                tracing::warn!(log = name, %cause, "a replica takes no part yet");
                self.note(log, cause.to_string());
                told = Some(cause.clone());
            }
        };
        let entries = replication::repair_asking_also(log, me, link, others, hints, tell).await?;
        match came_back {
            true => tracing::info!(log = name, entries, "a replica that came back was given the log"),
            false => tracing::warn!(log = name, entries, "a replica was given back what it lost"),
        }
        Ok(())
    }
}
