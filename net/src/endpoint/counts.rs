//! What an endpoint counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{JoinRefusalCode, RefusalCode};

/// What happened at an endpoint since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounts {
    /// Connections that others made and that were let in.
    pub let_in: u64,
    /// Connections that others made and that were not let in, by why.
    pub refused: BTreeMap<RefusalCode, u64>,
    /// Those who had to show first that their address is theirs.
    pub retries: u64,
    /// Those who were turned away at once, since too many greetings were under way, of all or of their address.
    pub turned_away: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// Connections that ended, or ran out of time, before their greeting was over.
    pub greetings_unfinished: u64,
    /// Nodes that asked to join and were let in by the cluster.
    pub joins: u64,
    /// Nodes that asked to join and were not let in, by why.
    pub joins_refused: BTreeMap<JoinRefusalCode, u64>,
    /// Requests and answers that were not read since they are too long.
    pub too_large: u64,
    /// Datagrams that came and that nobody has read: they wait, were too many, or came before the greeting.
    pub datagrams_unread: u64,
}

impl EndpointCounts {
    /// Returns how many connections were refused for one reason.
    pub fn refused_for(&self, code: RefusalCode) -> u64 {
        self.refused.get(&code).copied().unwrap_or(0)
    }

    /// Returns how many nodes did not join for one reason.
    pub fn joins_refused_for(&self, code: JoinRefusalCode) -> u64 {
        self.joins_refused.get(&code).copied().unwrap_or(0)
    }
}

/// What is counted by all parts of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<EndpointCounts>);

impl Counters {
    pub fn count(&self, change: impl FnOnce(&mut EndpointCounts)) {
        change(&mut self.lock());
    }

    pub fn counts(&self) -> EndpointCounts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, EndpointCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
