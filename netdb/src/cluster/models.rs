//! The log that models are folded from: one for the cluster, which every member holds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base::{ChannelName, ErrorKind, LogId};
use cortex::Fold as _;
use cortex::models::memories::MemoriesFold;
use cortex::models::tasks::TasksFold;
use redex::{LogName, LogOptions, LogWriter, Store};
use replication::control::ControlState;
use replication::{Group, GroupWriter, Role};

use super::{Inner, REQUEST_WITHIN, decide, random_bytes};
use crate::member::MODELS_LOG;
use crate::{Error, is_of_models};

/// How long a node that begins its models waits for what was committed, before it sees to other things.
const CAUGHT_UP_WITHIN: Duration = Duration::from_millis(500);

/// Opens a database that is to become a member, so that nobody writes to it meanwhile; refuses one that has models of its
/// own, which those of the cluster would hide.
pub(super) fn open_to_join(dir: &Path, doors: &base::Doors) -> Result<Store, Error> {
    let store = Store::open_to_hold(dir, doors, &LogOptions::default())?;
    let channels = store.main().reader().view().channels()?;
    match channels.iter().find(|channel| is_of_models(&channel.name)) {
        None => Ok(store),
        Some(channel) => {
            let (dir, name) = (dir.display(), &channel.name);
            let message = format!(
                "`{dir}` has tasks or memories of its own (channel `{name}`), and would read those of the cluster instead: take a fresh directory, and bring them there by `net-db export --channel {name}` and `net-db import`"
            );
            store.close()?;
            Err(Error::new(ErrorKind::Conflict, message))
        }
    }
}

fn log() -> Result<LogName, Error> {
    Ok(LogName::new(MODELS_LOG)?)
}

/// Makes the log, where this node leads the control log and there is none.
pub(super) async fn create(inner: &Inner, state: &ControlState) {
    let node = inner.membership.node;
    let leads = inner.control.group().standing().role == Role::Leader;
    if !leads || state.member(node).is_none() {
        return;
    }
    if let Err(reason) = try_create(inner, state).await {
        tracing::warn!(%reason, "there is no log for models yet");
    }
}

async fn try_create(inner: &Inner, state: &ControlState) -> Result<(), Error> {
    let log = log()?;
    if state.logs.contains_key(&log) {
        return Ok(());
    }
    let id = LogId::from_bytes(random_bytes(&*inner.doors.random));
    let by = (inner.membership.node, inner.identity.origin());
    let channels = [TasksFold.channels(), MemoriesFold.channels()].concat();
    let decide = |state: &ControlState| decide::create_models(state, &log, &channels, id, by);
    inner.control.change(REQUEST_WITHIN, decide).await?;
    tracing::info!(log = log.as_str(), "log for models created");
    Ok(())
}

/// Begins the models of this node once it has the log, if they have not begun.
pub(super) async fn begin(inner: &Inner, state: &ControlState) {
    if !inner.models.is_waiting() {
        return;
    }
    match try_begin(inner, state).await {
        Ok(()) => {}
        Err(reason) => {
            tracing::debug!(%reason, "models do not begin yet");
            inner.models.wait_since(reason.to_string());
        }
    }
}

async fn try_begin(inner: &Inner, state: &ControlState) -> Result<(), Error> {
    let log = log()?;
    let not_here = || Error::new(ErrorKind::Unavailable, format!("this node does not hold log `{log}` yet"));
    let record = state.logs.get(&log).ok_or_else(not_here)?;
    let group = inner.groups.get(record.id).ok_or_else(not_here)?;
    place(inner, state, &log).await?;
    catch_up(&group).await?;
    inner.models.check(group.reader())?;
    let writer: Arc<dyn LogWriter> = Arc::new(GroupWriter::new(group, inner.runtime.clone(), REQUEST_WITHIN));
    let (models, clock) = (Arc::clone(&inner.models), Arc::clone(&inner.doors.clock));
    // It folds the whole log; the node sees to other things meanwhile. Closing the log ends it.
    drop(inner.runtime.spawn_blocking(move || match models.begin(&writer, &clock) {
        Ok(()) => tracing::info!("models run"),
        Err(reason) => tracing::error!(%reason, "models cannot begin"),
    }));
    Ok(())
}

/// Places the channels of this node's models in the log, for all members.
async fn place(inner: &Inner, state: &ControlState, log: &LogName) -> Result<(), Error> {
    let channels = inner.models.channels();
    let is_placed = |channel: &ChannelName| state.channels.get(channel) == Some(log);
    if !channels.iter().all(is_placed) {
        let decide = |state: &ControlState| decide::place_in_models(state, log, channels);
        inner.control.change(REQUEST_WITHIN, decide).await?;
    }
    for channel in channels {
        inner.store.place_attached(channel, log)?;
    }
    Ok(())
}

/// Waits until this node has what was committed; where nobody leads, what it has is good enough, if it has anything.
async fn catch_up(group: &Group) -> Result<(), Error> {
    let has_some = group.replica().state().visible.0 > 0;
    if !(has_some && group.standing().leader.is_none()) {
        group.read_position(CAUGHT_UP_WITHIN).await?;
    }
    Ok(())
}
