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
pub(super) struct Repairs(Arc<Mutex<BTreeMap<LogId, String>>>);

impl Repairs {
    fn causes(&self) -> MutexGuard<'_, BTreeMap<LogId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why a replica takes no part yet.
    pub(super) fn cause(&self, log: LogId) -> Option<String> {
        self.causes().get(&log).cloned()
    }

    pub(super) fn any(&self) -> bool {
        !self.causes().is_empty()
    }

    /// Notes why a replica takes no part.
    pub(super) fn note(&self, log: LogId, cause: String) {
        self.causes().insert(log, cause);
    }

    /// Notes that it does.
    pub(super) fn forget(&self, log: LogId) {
        self.causes().remove(&log);
    }

    /// Has a replica that is in doubt given back what it lost; returns at once for any other one.
    pub(super) async fn until_whole(
        &self,
        log: &ReplicaLog,
        me: NodeId,
        link: &Arc<dyn Link>,
        others: &BTreeSet<NodeId>,
    ) -> Result<(), Error> {
        let Some(lost) = log.doubt() else { return Ok(()) };
        let (id, name) = (log.reader().id(), log.reader().name());
        tracing::warn!(log = name, %lost, ?others, "a replica lost something, the others are asked for it");
        let mut told = None;
        let tell = |cause: &RepairError| {
            if told.as_ref() != Some(cause) {
                tracing::warn!(log = name, %cause, "a replica takes no part yet");
                self.note(id, cause.to_string());
                told = Some(cause.clone());
            }
        };
        let entries = replication::repair(log, me, link, others, tell).await?;
        tracing::warn!(log = name, entries, "a replica was given back what it lost");
        Ok(())
    }
}
