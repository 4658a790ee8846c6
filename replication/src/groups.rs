//! The groups of one node: what arrives from other nodes finds the group that it is for.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use base::{Identity, LogId, NodeId};
use bytes::Bytes;
use redex::ReplicaLog;

use crate::ask::{self, Tried};
use crate::group::Group;
use crate::heartbeats::{self, Heartbeats};
use crate::link::Link;
use crate::message::{self, Subject};
use crate::raft::{ConsensusError, Timing};

/// The groups that a node takes part in, whose heartbeats go together. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    groups: Arc<RwLock<BTreeMap<LogId, Group>>>,
    heartbeats: Heartbeats,
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
    /// Takes part in a group with a replica, and makes it reachable, in place of an earlier one with its id; entries that this
    /// node puts in order are signed with its key. The links of all groups lead to the same nodes.
    ///
    /// # Errors
    ///
    /// [`ConsensusError::InDoubt`] for a replica that is to be [repaired](crate::repair) first; [`ConsensusError::Times`],
    /// [`ConsensusError::Stopped`] where the replica's state does not allow it.
    pub async fn start(
        &self,
        log: ReplicaLog,
        me: NodeId,
        identity: Arc<Identity>,
        link: Arc<dyn Link>,
        timing: &Timing,
    ) -> Result<Group, ConsensusError> {
        let group = Group::start(log, me, identity, link, timing, &self.heartbeats).await?;
        self.groups.write().unwrap_or_else(PoisonError::into_inner).insert(group.id(), group.clone());
        Ok(group)
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
        if subject == Subject::Heartbeats {
            let group =
                |log| self.get(log).map(|group| move |part| async move { group.hear(from, part).await });
            let answered = heartbeats::answer(&body, group).await;
            return answered.map_err(|malformed| unanswered(format!("heartbeats with a wrong {malformed}")));
        }
        let Some(group) = self.get(log) else {
            let cause = format!("log {log} has no replica on this node");
            return match subject {
                // Whoever asks is to know that nothing came of it.
                Subject::Request => Ok(Tried::Again(cause).answer()),
                Subject::Requests => Ok(ask::refuse_all(&body, &cause)
                    .map_err(|malformed| unanswered(format!("a message with a wrong {malformed}")))?),
                _ => Err(unanswered(cause)),
            };
        };
        group.handle(from, subject, body).await.map_err(unanswered)
    }
}
