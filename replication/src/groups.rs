//! The groups of one node: what arrives from other nodes finds the group that it is for.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use base::{LogId, NodeId};
use bytes::Bytes;

use crate::group::Group;
use crate::message;

/// The groups that a node takes part in. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    groups: Arc<RwLock<BTreeMap<LogId, Group>>>,
}

/// Why a message was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {from} sent what was not answered: {cause}")]
pub struct Unanswered {
    /// Who sent it.
    pub from: NodeId,
    /// Why not.
    pub cause: String,
}

impl Groups {
    /// Makes a group reachable; in place of an earlier one with its id.
    pub fn add(&self, group: Group) {
        self.groups.write().unwrap_or_else(PoisonError::into_inner).insert(group.id(), group);
    }

    /// Makes a group unreachable.
    pub fn remove(&self, id: LogId) -> Option<Group> {
        self.groups.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Returns a group.
    pub fn get(&self, id: LogId) -> Option<Group> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Returns all groups, in the order of their ids.
    pub fn all(&self) -> Vec<Group> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Answers what a node sent over its [`Link`](crate::Link); `from` is surely that node.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]: then the request is left without an answer, which its sender can tell from one.
    pub async fn handle(&self, from: NodeId, body: Bytes) -> Result<Bytes, Unanswered> {
        let unanswered = |cause: String| Unanswered { from, cause };
        let (subject, log, body) = message::open(&body)
            .map_err(|malformed| unanswered(format!("a message with a wrong {malformed}")))?;
        let group = self.get(log).ok_or_else(|| unanswered(format!("log {log} has no replica here")))?;
        group.handle(from, subject, body).await.map_err(unanswered)
    }
}
