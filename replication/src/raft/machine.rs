//! What openraft calls the state machine: log state, which the log store has applied already, and where it is committed.

use std::io;

use base::Slot;
use futures::{Stream, StreamExt as _};
use openraft::entry::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use redex::ReplicaLog;
use tokio::sync::watch;

use super::membership::decode_membership;
use super::{Committed, LogId, TypeConfig, log_id_of, slot_of};

/// The state machine of one group on one node. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    last: Option<LogId>,
    membership: StoredMembershipOf<TypeConfig>,
    applied: watch::Sender<Option<Slot>>,
}

/// What a snapshot carries; nothing yet, since the log is the data and nobody is sent one.
#[derive(Debug, Clone, Default)]
pub(super) struct Manifest;

impl Machine {
    /// Begins where the log is known to be committed.
    pub(super) fn new(log: &ReplicaLog) -> io::Result<Self> {
        let mut committed = log.committed();
        let mut membership = StoredMembershipOf::<TypeConfig>::default();
        let written = log.consensus();
        // A membership is proposed only when the one before is committed.
        if let [older, _] = written.as_slice() {
            committed = committed.max(Some(older.0));
        }
        for (slot, bytes) in written {
            if committed.is_some_and(|committed| slot.index <= committed.index) {
                let decoded = decode_membership(&bytes).map_err(io::Error::other)?;
                membership = StoredMembershipOf::<TypeConfig>::new(Some(log_id_of(&slot)), decoded);
            }
        }
        let applied = watch::Sender::new(committed);
        Ok(Self { last: committed.as_ref().map(log_id_of), membership, applied })
    }

    /// Tells what was applied last, and each time that changes.
    pub(super) fn applied(&self) -> watch::Receiver<Option<Slot>> {
        self.applied.subscribe()
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Manifest;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembershipOf<TypeConfig>), io::Error> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let slot = slot_of(&entry.log_id);
            let as_proposed = !matches!(entry.payload, EntryPayload::Blank);
            self.last = Some(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                self.membership = StoredMembershipOf::<TypeConfig>::new(Some(entry.log_id), membership);
            }
            self.applied.send_replace(Some(slot));
            if let Some(responder) = responder {
                responder.send(Committed { index: slot.index, as_proposed });
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        _: &SnapshotMetaOf<TypeConfig>,
        _: Manifest,
    ) -> Result<(), io::Error> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a snapshot came, which nobody sends"))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, Manifest>>, io::Error> {
        Ok(None)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = Manifest;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Manifest>, io::Error> {
        let meta =
            SnapshotMetaOf::<TypeConfig> { last_log_id: self.last, last_membership: self.membership.clone() };
        Ok(SnapshotOf::<TypeConfig, _> { meta, snapshot: Manifest })
    }
}
