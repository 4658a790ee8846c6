//! Waiting while the disk is full: consensus takes a store that fails for broken, and stops for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::Position;
use redex::ReplicaError;
use tokio::sync::watch;

use crate::counts::Counters;

/// How long until it is tried again.
const TRIED_AGAIN: Duration = Duration::from_millis(250);

/// Whether a group waits, on this node, for room on the disk. Cloning shares it.
///
/// While it waits nothing of the group happens here: no requests of other nodes are answered, no heartbeats are sent. So
/// the others go on without this node, as if it were away, and it catches up once there is room.
#[derive(Debug, Clone, Default)]
pub(crate) struct Room {
    waits: Arc<AtomicBool>,
    stopping: watch::Sender<bool>,
    counters: Counters,
}

impl Room {
    /// Counts how often it was waited for.
    pub(crate) fn new(counters: Counters) -> Self {
        Self { counters, ..Self::default() }
    }

    /// Tells whether the group waits now.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waits.load(Ordering::SeqCst)
    }

    /// Lets nobody wait any more.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Tells whether something that ended so is to be tried again; waits before, while the disk is full.
    pub(super) async fn again(&self, ended: &Result<(), ReplicaError>, durable: Position) -> bool {
        let mut stopping = self.stopping.subscribe();
        if !matches!(ended, Err(ReplicaError::DiskFull { .. })) || *stopping.borrow_and_update() {
            if self.waits.swap(false, Ordering::SeqCst) {
                tracing::info!(%durable, "the group has room on the disk again, or waits no more");
            }
            return false;
        }
        if !self.waits.swap(true, Ordering::SeqCst) {
            self.counters.waits_for_room();
            tracing::error!(%durable, "the disk is full: the group takes no part here until there is room");
        }
        // Who stops is told by the next try, which waits no more.
        let _ = tokio::time::timeout(TRIED_AGAIN, stopping.changed()).await;
        true
    }
}
