//! Which channels a log has and may have, where a node has several logs.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use base::{ChannelName, Position, Seq, Timestamp};
use rustc_hash::FxHashMap;

use super::progress::Need;
use super::stage::{Stage, Staged};
use super::{Log, Ticket};
use crate::codec::compression::Compressor;
use crate::codec::control::{ArrivedRecord, Control, LogPlace, MovedRecord};
use crate::error::AppendError;
use crate::request::creation_bytes;
use crate::state::{ArrivedState, ChannelState, MovedState};
use crate::{At, ChannelConfig, ChannelRange, Compression, LogName, Outcome, Rejection};

/// Where the channels live that are not in `main`. Its lock is taken last, and nothing is done under it.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    count: AtomicUsize,
    map: RwLock<FxHashMap<ChannelName, Home>>,
    /// Why channels that nobody knows yet may not begin in `main`, if they may not.
    closed: RwLock<Option<String>>,
}

/// The log that a channel lives in: its place among the node's logs, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    pub place: usize,
    pub log: LogName,
}

impl Homes {
    fn read(&self) -> RwLockReadGuard<'_, FxHashMap<ChannelName, Home>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, FxHashMap<ChannelName, Home>> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether every channel lives in `main`.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// Lets no channel begin in `main` that is not there, or lets them again.
    pub(crate) fn close(&self, cause: Option<String>) {
        *self.closed.write().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    fn closed(&self) -> Option<String> {
        self.closed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns where a channel lives; `None` for `main`.
    pub(crate) fn get(&self, channel: &ChannelName) -> Option<Home> {
        if self.is_empty() { None } else { self.read().get(channel).cloned() }
    }

    /// Sets where a channel lives; `None` is `main`.
    pub(crate) fn set(&self, channel: &ChannelName, home: Option<Home>) {
        let mut map = self.write();
        match (map.entry(channel.clone()), home) {
            (Entry::Occupied(mut known), Some(home)) => drop(known.insert(home)),
            (Entry::Occupied(known), None) => drop(known.remove()),
            (Entry::Vacant(free), Some(home)) => drop(free.insert(home)),
            (Entry::Vacant(_), None) => {}
        }
        self.count.store(map.len(), Ordering::SeqCst);
    }
}

/// Which channels a log takes that it does not have yet.
#[derive(Debug, Clone)]
pub(crate) enum Admission {
    /// All that live nowhere else: the log is `main`.
    Unplaced(Arc<Homes>),
    /// None but those that are placed in it.
    Placed(LogName),
    /// All: consensus puts the log in order, wherever else the node has channels.
    Any,
}

impl Admission {
    /// Tells whether there is any that it does not take.
    pub(crate) fn refuses_some(&self) -> bool {
        match self {
            Self::Unplaced(homes) => !homes.is_empty() || homes.closed().is_some(),
            Self::Placed(_) => true,
            Self::Any => false,
        }
    }

    pub(crate) fn refuses(&self, channel: &ChannelName) -> Option<Rejection> {
        let channel = channel.clone();
        match self {
            Self::Unplaced(homes) => match homes.get(&channel) {
                Some(home) => Some(Rejection::Elsewhere { channel, log: home.log }),
                None if channel.is_system() => None,
                None => homes.closed().map(|cause| Rejection::Unavailable { cause }),
            },
            Self::Placed(log) => Some(Rejection::Unplaced { channel, log: log.clone() }),
            Self::Any => None,
        }
    }
}

/// How a channel stands in a log, with everything staged.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub next: Seq,
    pub config: ChannelConfig,
    pub moved: Option<MovedState>,
    pub arrived: Option<ArrivedState>,
}

impl Standing {
    fn of(channel: &ChannelState) -> Self {
        Self {
            next: channel.next,
            config: channel.config.clone(),
            moved: channel.moved.as_deref().cloned(),
            arrived: channel.arrived.as_deref().cloned(),
        }
    }
}

impl Log {
    /// Sets how entries are stored from now on, in place of [`LogOptions`](crate::LogOptions).
    pub fn set_compression(&self, compression: Compression) {
        self.shared.committer().compressor = Compressor::new(compression);
    }

    pub(crate) fn place(&self) -> LogPlace {
        let name = LogName::new(self.reader.name()).unwrap_or_else(|_| LogName::main());
        LogPlace { id: self.reader.id(), name }
    }

    pub(crate) fn standing(&self, channel: &ChannelName) -> Option<Standing> {
        let stage = self.shared.stage();
        stage.state.slot(channel).map(|slot| Standing::of(stage.state.channel(slot)))
    }

    /// Returns the channels that the log has or had, with everything staged.
    pub(crate) fn standings(&self) -> Vec<(ChannelName, Standing)> {
        let stage = self.shared.stage();
        stage.state.channels().iter().map(|channel| (channel.name.clone(), Standing::of(channel))).collect()
    }

    /// Tells whether any channel left the log or came from another one.
    pub(crate) fn has_moves(&self) -> bool {
        let stage = self.shared.stage();
        stage.state.has_moved() || stage.state.channels().iter().any(|channel| channel.arrived.is_some())
    }

    /// Returns a channel that lives in the log, other than `but`.
    pub(crate) fn other_channel(&self, but: &ChannelName) -> Option<ChannelName> {
        let stage = self.shared.stage();
        let mut living = stage.state.channels().iter().filter(|channel| channel.moved.is_none());
        living.find(|channel| channel.name != *but).map(|channel| channel.name.clone())
    }

    /// Does something while the log has no channel of a name, and nobody can make one; else says that it has.
    pub(crate) fn while_absent(&self, channel: &ChannelName, act: impl FnOnce()) -> bool {
        let stage = self.shared.stage();
        let absent = stage.state.slot(channel).is_none();
        if absent {
            act();
        }
        absent
    }

    /// Tells whether an append with this key, or this number or a later one of a producer, was seen.
    pub(crate) fn remembers(&self, idempotency: crate::Idempotency<'_>) -> bool {
        let stage = self.shared.stage();
        match idempotency {
            crate::Idempotency::None => false,
            crate::Idempotency::Key(key) => stage.state.key(key).is_some(),
            crate::Idempotency::Producer { id, number, .. } => {
                stage.state.producer(id).is_some_and(|known| known.number >= number)
            }
        }
    }

    /// Creates a channel that is placed here; `claim` has the last word, while nothing is staged meanwhile.
    pub(crate) fn create_placed(
        &self,
        channel: &ChannelName,
        config: &ChannelConfig,
        claim: impl FnOnce() -> Option<Rejection>,
    ) -> Result<Ticket, AppendError> {
        self.check_config(channel, config)?;
        self.stage_with(creation_bytes(config), |stage| {
            stage.create_channel(channel, config, |_| claim(), || self.shared.now())
        })
    }

    /// Takes no more events of a channel, which goes on in another log.
    pub(crate) fn leave(&self, channel: &ChannelName, to: &LogPlace) -> Result<Ticket, AppendError> {
        let bytes = creation_bytes(&ChannelConfig::default());
        self.stage_with(bytes, |stage| {
            let Some(slot) = stage.state.slot(channel) else {
                let log = self.place().name;
                return stage.rejected(Rejection::Unplaced { channel: channel.clone(), log });
            };
            let next = stage.state.channel(slot).next;
            let record = MovedRecord { channel: channel.clone(), to: to.clone(), next };
            // Controls of an entry come before its events.
            stage.go_beyond(Timestamp::MAX);
            let staged = stage.control(
                Control::Moved(record),
                bytes,
                || self.shared.now(),
                |state, index, recorded_at| {
                    state.leave(slot, MovedState { to: to.clone(), index, recorded_at });
                },
            );
            settled(stage, staged, channel, next)
        })
    }

    /// Goes on with a channel that left another log at a time.
    pub(crate) fn arrive(&self, record: &ArrivedRecord, left_at: Timestamp) -> Result<Ticket, AppendError> {
        let bytes = creation_bytes(&record.config) + creation_bytes(&ChannelConfig::default());
        self.stage_with(bytes, |stage| {
            let channel = &record.channel;
            if let Some(slot) = stage.state.slot(channel) {
                let known = stage.state.channel(slot);
                let at = At::one(known.created_index, range(channel, known.next));
                return Staged { relies_on: at.position(), outcome: Outcome::AlreadyAppended { at } };
            }
            // Above what a channel of the name may have had in entries that were lost.
            let record = ArrivedRecord { base: record.base.max(stage.state.seq_floor()), ..record.clone() };
            let next = record.base;
            // So that the times of recording tell which of the channel's events are older.
            stage.go_beyond(left_at);
            let staged = stage.control(
                Control::Arrived(record.clone()),
                bytes,
                || Ok(self.shared.now()?.max(left_at.plus(std::time::Duration::from_nanos(1)))),
                |state, index, recorded_at| {
                    state.insert_channel(ChannelState::arrived(&record, index, recorded_at));
                },
            );
            settled(stage, staged, channel, next)
        })
    }

    pub(super) fn stage_with(
        &self,
        bytes: usize,
        act: impl FnOnce(&mut Stage) -> Staged,
    ) -> Result<Ticket, AppendError> {
        let mut stage = self.shared.stage_with_room(bytes);
        stage.check_open()?;
        let staged = act(&mut stage);
        let need = Need { epoch: stage.epoch, position: staged.relies_on };
        drop(stage);
        self.shared.arm();
        Ok(Ticket::new(Arc::clone(&self.shared), need, staged.outcome))
    }
}

fn settled(
    stage: &Stage,
    staged: Result<base::Index, Rejection>,
    channel: &ChannelName,
    next: Seq,
) -> Staged {
    match staged {
        Ok(index) => {
            let at = At::one(index, range(channel, next));
            Staged { relies_on: Position(index.0 + 1), outcome: Outcome::Appended { at } }
        }
        Err(reason) => stage.rejected(reason),
    }
}

fn range(channel: &ChannelName, first: Seq) -> ChannelRange {
    ChannelRange { channel: channel.clone(), first, count: 0 }
}
