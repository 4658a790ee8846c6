//! What openraft calls the state machine: log state, which the log store has applied already, and where it is committed.

use std::io;

use base::Slot;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use openraft::entry::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use redex::ReplicaLog;
use tokio::sync::watch;

use super::membership::decode_membership;
use super::room::Room;
use super::{Committed, LogId, TypeConfig, log_id_of, slot_of};
use crate::snapshot::{Manifest, Snapshots};

/// The state machine of one group on one node. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    log: ReplicaLog,
    room: Room,
    snapshots: Snapshots,
    installing: Installing,
    last: Option<LogId>,
    membership: StoredMembershipOf<TypeConfig>,
    applied: watch::Sender<Option<Slot>>,
}

/// A snapshot as consensus hands it on: what names it and, where it is to be installed, the state.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub manifest: Manifest,
    pub state: Option<Bytes>,
}

/// Whether consensus counts on a snapshot that the log does not begin with yet. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Installing(watch::Sender<bool>);

impl Installing {
    pub(super) fn set(&self, is_installing: bool) {
        self.0.send_replace(is_installing);
    }

    /// Waits until nothing is being installed.
    pub(super) async fn over(&self) {
        // It cannot be dropped: this is one.
        let _ = self.0.subscribe().wait_for(|is_installing| !is_installing).await;
    }
}

impl Machine {
    /// Begins where the log is known to be committed.
    pub(super) fn new(
        log: &ReplicaLog,
        room: Room,
        snapshots: Snapshots,
        installing: Installing,
    ) -> io::Result<Self> {
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
        let last = committed.as_ref().map(log_id_of);
        Ok(Self { log: log.clone(), room, snapshots, installing, last, membership, applied })
    }

    /// Makes a snapshot of where the log begins; `None` where nothing of it was given up.
    fn offer(&self) -> io::Result<Option<SnapshotOf<TypeConfig, Offer>>> {
        let made = self.snapshots.make().map_err(io::Error::other)?;
        made.map(|manifest| snapshot_of(Offer { manifest, state: None })).transpose()
    }

    /// Tells what was applied last, and each time that changes.
    pub(super) fn applied(&self) -> watch::Receiver<Option<Slot>> {
        self.applied.subscribe()
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Offer;
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

    async fn try_create_snapshot_builder(&mut self, _: bool) -> Option<Self> {
        // Where nothing was given up, nobody needs one.
        self.offer().ok()?.is_some().then(|| self.clone())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        offer: Offer,
    ) -> Result<(), io::Error> {
        let slot = offer.manifest.slot;
        let state = offer.state.ok_or_else(|| io::Error::other("a snapshot came without its state"))?;
        let installed = loop {
            let installed = self.log.install(slot, &state);
            if !self.room.again(&installed, self.log.state().durable).await {
                break installed;
            }
        };
        self.installing.set(false);
        installed.map_err(io::Error::other)?;
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.applied.send_replace(Some(slot));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<TypeConfig, Offer>>, io::Error> {
        self.offer()
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = Offer;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Offer>, io::Error> {
        self.offer()?.ok_or_else(|| io::Error::other("nothing of the log was given up"))
    }
}

/// Returns a snapshot as consensus wants it.
///
/// # Errors
///
/// What consensus wrote into it does not read.
pub(super) fn snapshot_of(offer: Offer) -> io::Result<SnapshotOf<TypeConfig, Offer>> {
    let Manifest { slot, consensus, .. } = &offer.manifest;
    let last_membership = match consensus {
        Some((at, written)) => StoredMembershipOf::<TypeConfig>::new(
            Some(log_id_of(at)),
            decode_membership(written).map_err(io::Error::other)?,
        ),
        None => StoredMembershipOf::<TypeConfig>::default(),
    };
    let meta = SnapshotMetaOf::<TypeConfig> { last_log_id: Some(log_id_of(slot)), last_membership };
    Ok(SnapshotOf::<TypeConfig, _> { meta, snapshot: offer })
}
