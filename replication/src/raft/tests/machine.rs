//! A state machine that only remembers what it was told to apply.

use std::io;
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt as _};
use openraft::entry::EntryPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf, StoredMembershipOf};

use super::{Committed, LogId, TypeConfig, slot_of};

#[derive(Debug, Clone, Default)]
pub struct Applied {
    last: Option<LogId>,
    membership: StoredMembershipOf<TypeConfig>,
    pub entries: Vec<LogId>,
    snapshot: Option<(SnapshotMetaOf<TypeConfig>, Vec<LogId>)>,
}

#[derive(Debug, Clone, Default)]
pub struct Machine(pub Arc<Mutex<Applied>>);

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = Vec<LogId>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, Vec<LogId>>, io::Error> {
        let mut applied = self.0.lock().unwrap();
        let last_membership = applied.membership.clone();
        let meta = SnapshotMetaOf::<TypeConfig> { last_log_id: applied.last, last_membership };
        let snapshot = applied.entries.clone();
        applied.snapshot = Some((meta.clone(), snapshot.clone()));
        Ok(SnapshotOf::<TypeConfig, _> { meta, snapshot })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = Vec<LogId>;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembershipOf<TypeConfig>), io::Error> {
        let applied = self.0.lock().unwrap();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let mut applied = self.0.lock().unwrap();
            applied.last = Some(entry.log_id);
            applied.entries.push(entry.log_id);
            if let EntryPayload::Membership(membership) = entry.payload {
                applied.membership = StoredMembershipOf::<TypeConfig>::new(Some(entry.log_id), membership);
            }
            drop(applied);
            if let Some(responder) = responder {
                responder.send(Committed { index: slot_of(&entry.log_id).index, as_proposed: true });
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: Vec<LogId>,
    ) -> Result<(), io::Error> {
        let mut applied = self.0.lock().unwrap();
        applied.last = meta.last_log_id;
        applied.membership = meta.last_membership.clone();
        applied.entries = snapshot.clone();
        applied.snapshot = Some((meta.clone(), snapshot));
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, Vec<LogId>>>, io::Error> {
        let snapshot = self.0.lock().unwrap().snapshot.clone();
        Ok(snapshot.map(|(meta, snapshot)| SnapshotOf::<TypeConfig, _> { meta, snapshot }))
    }
}
