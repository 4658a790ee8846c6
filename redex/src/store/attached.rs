//! Logs of the node that somebody else puts in order: they are read with the others, and written through whoever knows
//! who does.

use std::collections::BTreeSet;

use base::{IncarnationId, NodeId, Position};

use super::routing::Route;
use super::*;
use crate::LogReader;
use crate::error::PlaceError;
use crate::log::Home;
use crate::replica::{self, ReplicaIdentity, ReplicaLog};

/// The place of a log that is none of the store's own.
const ATTACHED: usize = usize::MAX;

impl Store {
    /// Opens the replica of a log that consensus puts in order, beside the logs of this node; creates what is missing. It
    /// keeps everything, whatever `main` gives up.
    ///
    /// # Errors
    ///
    /// As [`ReplicaLog::open`]; [`OpenError::Locked`] once the store was closed.
    pub fn open_replica(&self, identity: &ReplicaIdentity) -> Result<ReplicaLog, OpenError> {
        let shared = &self.shared;
        let lock = self.placing().lock.clone();
        let lock = lock.ok_or_else(|| OpenError::Locked { dir: shared.dir.clone(), owner: None })?;
        let options = LogOptions { retention: Retention::default(), ..shared.options.clone() };
        let holder = Arc::clone(&shared.holder);
        replica::open::open_locked(&shared.dir, identity, &shared.doors, &options, holder, lock)
    }

    /// Has a log read with the others, and its channels written through it; in place of an earlier one of its name.
    /// Channels are placed in it by [`place_attached`](Self::place_attached).
    ///
    /// # Errors
    ///
    /// [`PlaceError::ConfigMismatch`] when the node puts a log of the name in order itself.
    pub fn attach(&self, writer: Arc<dyn LogWriter>) -> Result<(), PlaceError> {
        let reader = writer.reader().clone();
        let name = LogName::new(reader.name()).unwrap_or_else(|_| LogName::main());
        if self.find(&name).is_some() {
            return Err(PlaceError::ConfigMismatch { log: name });
        }
        self.attached_mut().insert(name, writer);
        self.shared.shelf.add(reader);
        Ok(())
    }

    /// Places a channel in an attached log, once and for all: no log of this node takes it from now on. Nothing is
    /// written; whoever calls this knows from elsewhere that it is so.
    ///
    /// # Errors
    ///
    /// [`PlaceError::NoLog`] when none of the name is attached; [`PlaceError::Append`] with [`Rejection::Elsewhere`] when
    /// the channel lives in another log.
    pub fn place_attached(&self, channel: &ChannelName, log: &LogName) -> Result<(), PlaceError> {
        if !self.attached().contains_key(log) {
            return Err(PlaceError::NoLog { log: log.clone() });
        }
        self.reserve_for_attached(channel, log)
    }

    /// Has appends to a log sent on while none of its name is attached; in place of what sent them before.
    pub fn send_on(&self, log: &LogName, sender: Arc<dyn LogSender>) {
        self.shared.senders.write().unwrap_or_else(PoisonError::into_inner).insert(log.clone(), sender);
    }

    fn sender(&self, log: &LogName) -> Option<Arc<dyn LogSender>> {
        self.shared.senders.read().unwrap_or_else(PoisonError::into_inner).get(log).cloned()
    }

    /// Returns the log of a channel that this node does not hold, and the nodes that do; `None` for any other channel.
    pub fn away(&self, channel: &ChannelName) -> Option<(LogName, BTreeSet<NodeId>)> {
        let home = self.shared.homes.get(channel).filter(|home| home.place == ATTACHED)?;
        if self.attached().contains_key(&home.log) {
            return None;
        }
        let holders = self.sender(&home.log).map(|sender| sender.holders());
        Some((home.log, holders.unwrap_or_default()))
    }

    /// Places a channel in a log that is to be attached: until then appends to it are [sent on](Self::send_on), or refused as
    /// unavailable. Nothing is written; whoever calls this knows from elsewhere that it is so.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Append`] with [`Rejection::Elsewhere`] when the channel lives in another log.
    pub fn reserve_for_attached(&self, channel: &ChannelName, log: &LogName) -> Result<(), PlaceError> {
        let _placing = self.placing();
        let (main, homes) = (&self.shared.main, &self.shared.homes);
        if let Some(home) = homes.get(channel) {
            return if home.log == *log { Ok(()) } else { Err(self.elsewhere(channel, home.log)) };
        }
        let home = Home { place: ATTACHED, log: log.clone() };
        // While `main` can create nothing of the name.
        match main.while_absent(channel, || homes.set(channel, Some(home))) {
            true => Ok(()),
            false => Err(self.elsewhere(channel, LogName::main())),
        }
    }

    /// Takes an attached log off the store: it is not read with the others any more, and appends to its channels are
    /// [sent on](Self::send_on), or refused, until one of its name is attached again.
    pub fn detach(&self, log: &LogName) {
        if let Some(writer) = self.attached_mut().remove(log) {
            self.shared.shelf.remove(writer.reader().id());
        }
    }

    /// Lets no channel begin in `main` that is not there yet, since it may live in a log that is to be attached: appends that
    /// would are refused as unavailable, with the cause. `None` lets them begin again.
    pub fn close_to_new_channels(&self, cause: Option<String>) {
        self.shared.homes.close(cause);
    }

    /// Returns a producer's last append to any log, attached ones included; of several, the one with the highest number.
    pub fn newest_of_producer(&self, id: &str) -> Option<ProducerState> {
        let own = self.opened().into_iter().filter_map(|opened| opened.log.producer(id));
        let attached: Vec<_> = self.attached().values().cloned().collect();
        own.chain(attached.iter().filter_map(|log| log.producer(id))).max_by_key(|state| state.number)
    }

    /// Returns what a channel is written through: the log that it lives in, whoever puts it in order. Where this node does not
    /// hold that one, nothing of the channel is read, and what is acknowledged is committed elsewhere.
    pub fn writer_of(&self, channel: &ChannelName) -> Arc<dyn LogWriter> {
        match self.shared.homes.get(channel) {
            None => Arc::new(self.shared.main.clone()),
            Some(home) => self.writer_at(&home),
        }
    }

    pub(super) fn writer_at(&self, home: &Home) -> Arc<dyn LogWriter> {
        if home.place == ATTACHED {
            if let Some(writer) = self.attached().get(&home.log) {
                return Arc::clone(writer);
            }
            if let Some(sender) = self.sender(&home.log) {
                return Arc::new(SentOn { sender, nothing: self.main().reader().clone() });
            }
        }
        Arc::new(self.at(home.place))
    }

    /// Returns the attached log that a channel lives in.
    pub(super) fn attached_home(&self, channel: &ChannelName) -> Option<Arc<dyn LogWriter>> {
        let home = self.shared.homes.get(channel)?;
        (home.place == ATTACHED).then(|| self.writer_at(&home))
    }

    /// Returns where a request to a log goes that others put in order; `None` for a log of this node.
    ///
    /// # Errors
    ///
    /// [`Rejection::Unavailable`] for one that is neither attached nor sent on to.
    pub(super) fn route_to_others(&self, home: &Home) -> Result<Option<Route>, AppendError> {
        if home.place != ATTACHED {
            return Ok(None);
        }
        if let Some(writer) = self.attached().get(&home.log) {
            return Ok(Some(Route::Attached(Arc::clone(writer))));
        }
        if let Some(sender) = self.sender(&home.log) {
            return Ok(Some(Route::Away(sender)));
        }
        let cause = format!(
            "log `{}` is not held by this node, or not yet: ask one that holds it, or wait until this one takes part",
            home.log
        );
        let position = self.main().reader().visible();
        Err(AppendError::Rejected { reason: Rejection::Unavailable { cause }, position })
    }
}

/// The writing side of a log that is not here, whose channels nothing is read of.
#[derive(Debug)]
struct SentOn {
    sender: Arc<dyn LogSender>,
    /// A log that the channels do not live in.
    nothing: LogReader,
}

impl LogWriter for SentOn {
    fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        self.sender.submit(request)
    }

    fn append(&self, channel: &ChannelName, events: &[EventInput<'_>]) -> Result<Ticket, AppendError> {
        let parts = [ChannelEvents { channel, events }];
        self.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() })
    }

    fn incarnation(&self) -> IncarnationId {
        IncarnationId::NONE
    }

    fn producer(&self, _: &str) -> Option<ProducerState> {
        None
    }

    fn reader(&self) -> &LogReader {
        &self.nothing
    }

    fn visible(&self) -> Position {
        Position::ZERO
    }
}
