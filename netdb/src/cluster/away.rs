//! Logs that this node does not hold: what is appended to them goes to those that do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::NodeId;
use redex::LogName;
use replication::control::LogRecord;
use replication::{RemoteLog, RemoteWriter};

use super::{Inner, REQUEST_WITHIN};

/// All replicated logs, as those that hold them are asked.
#[derive(Debug, Default)]
pub(super) struct Away(Mutex<BTreeMap<LogName, RemoteLog>>);

impl Away {
    fn logs(&self) -> MutexGuard<'_, BTreeMap<LogName, RemoteLog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a log by its name.
    pub(super) fn get(&self, name: &LogName) -> Option<RemoteLog> {
        self.logs().get(name).cloned()
    }
}

/// Has appends to a log go to the other nodes that hold it, as long as no replica is attached here.
pub(super) fn take_up(inner: &Inner, name: &LogName, record: &LogRecord) {
    let me = inner.membership.node;
    let others: BTreeSet<NodeId> = record.replicas.iter().copied().filter(|node| *node != me).collect();
    let mut logs = inner.away.logs();
    match logs.get(name) {
        // Those that held it until it comes here know who leads it.
        Some(_) if others.is_empty() => {}
        Some(known) => known.set_holders(others),
        None => {
            let log = RemoteLog::new(record.id, inner.link(), others);
            logs.insert(name.clone(), log.clone());
            let writer = RemoteWriter::new(log, inner.runtime.clone(), REQUEST_WITHIN);
            inner.store.send_on(name, std::sync::Arc::new(writer));
        }
    }
}
