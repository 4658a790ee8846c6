//! One channel of a database.

use std::sync::Arc;

use base::{ChannelName, Seq};
use redex::{
    Ack, AppendRequest, Appended, ChannelEvents, ChannelHistory, Condition, Encoding, Event, EventInput,
    Expect, LogWriter, Placement, Selection, Store, TypedChannel,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, EventStream};

/// A stream of events with dense numbers from 0, in whatever log it lives. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Channel {
    store: Store,
    name: ChannelName,
}

impl Channel {
    pub(crate) fn new(store: Store, name: ChannelName) -> Self {
        Self { store, name }
    }

    /// Returns the channel's name.
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Appends one event and blocks until it is durable.
    ///
    /// *Durability*: once this returns, the event survives a power failure (in a database on disk).
    ///
    /// # Errors
    ///
    /// Kind `Invalid` when a limit is passed; `Unavailable` when the disk is full (the event is not in the
    /// log) or failed (it may be); `Closed`.
    pub fn append(&self, kind: &str, payload: &[u8]) -> Result<Appended, Error> {
        self.append_all(&[EventInput::new(kind, payload)])
    }

    /// Appends events, all or none, and blocks until they are durable.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_all(&self, events: &[EventInput<'_>]) -> Result<Appended, Error> {
        Ok(self.store.append(&self.name, events)?.wait(Ack::Durable).into_result()?)
    }

    /// Appends events, all or none, and completes when they are durable; no thread is blocked meanwhile.
    ///
    /// *Cancel safety*: the events are staged by the first poll; dropping the future then does not take them
    /// back.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_async(&self, events: &[EventInput<'_>]) -> Result<Appended, Error> {
        Ok(self.store.append(&self.name, events)?.acknowledged(Ack::Durable).await.into_result()?)
    }

    /// Appends events if the channel is as expected, and blocks until they are durable.
    ///
    /// # Errors
    ///
    /// Kind `Conflict` when it is not, with nothing appended; otherwise as [`append`](Self::append).
    pub fn append_if(&self, expect: Expect, events: &[EventInput<'_>]) -> Result<Appended, Error> {
        let parts = [ChannelEvents { channel: &self.name, events }];
        let conditions = [Condition { channel: self.name.clone(), expect }];
        let request = AppendRequest { parts: &parts, conditions: &conditions, ..AppendRequest::default() };
        Ok(self.store.submit(&request)?.wait(Ack::Durable).into_result()?)
    }

    /// Reads all durable events from a number on.
    ///
    /// # Errors
    ///
    /// Kind `Corrupt` where stored bytes are damaged; also as items. `NotFound` for a channel that other nodes of the
    /// cluster hold and this one does not.
    pub fn read(&self, from: Seq) -> Result<impl Iterator<Item = Result<Event, Error>> + use<>, Error> {
        if let Some(message) = self.held_elsewhere() {
            return Err(Error::new(base::ErrorKind::NotFound, message));
        }
        let mut selection = Selection::channel(&self.name);
        selection.seqs.from = Some(from.0);
        let events = self.store.reader().view().read(&selection)?;
        Ok(events.map(|event| event.map_err(Error::from)))
    }

    /// Says which nodes of the cluster are to be asked for a channel that this one does not hold; `None` for any other.
    pub fn held_elsewhere(&self) -> Option<String> {
        let (log, holders) = self.store.away(&self.name)?;
        let holders: Vec<_> = holders.iter().map(ToString::to_string).collect();
        let nodes = if holders.is_empty() { "others".to_owned() } else { holders.join(", ") };
        let name = &self.name;
        Some(format!(
            "channel `{name}` lives in log `{log}`, which this node does not hold: read it on a node that does ({nodes})"
        ))
    }

    /// Follows the channel from a number on: history first, then new events as they become durable, without
    /// gap or repetition. Needs a tokio runtime.
    pub fn tail(&self, from: Seq) -> EventStream {
        let mut selection = Selection::channel(&self.name);
        selection.seqs.from = Some(from.0);
        EventStream::new(self.store.tail(selection))
    }

    /// Returns the channel as one of typed values, in the log that it lives in. Once it moves, appending says so
    /// (kind `Conflict`): take it anew then.
    pub fn typed<T>(&self, encoding: Encoding) -> TypedChannel<T, Arc<dyn LogWriter>>
    where
        T: Serialize + DeserializeOwned,
    {
        TypedChannel::new(&self.store.writer_of(&self.name), &self.name, encoding)
    }

    /// Returns how the channel stands, and the logs that have parts of it; `None` while nobody has created it.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when the log cannot be read.
    pub fn history(&self) -> Result<Option<ChannelHistory>, Error> {
        Ok(self.store.reader().view().channel(&self.name)?)
    }

    /// Moves the channel to another log: what it has is read from where it is, what comes goes there, and its numbers
    /// go on. Blocks until that is durable.
    ///
    /// *Durability*: once this returns, the new place survives a power failure. A crash before leaves the channel where
    /// it was, or the next opening ends the move.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` when there is no such channel or log, `Conflict` for a log that it was in before or that is for
    /// another channel; `Denied` for a channel that models are folded from; `Unavailable` as for
    /// [`append`](Self::append).
    pub fn move_to(&self, placement: &Placement) -> Result<(), Error> {
        if crate::is_of_models(&self.name) {
            let message =
                format!("channel `{}` is what state is folded from: it stays where it is", self.name);
            return Err(Error::new(base::ErrorKind::Denied, message));
        }
        Ok(self.store.move_channel(&self.name, placement)?)
    }
}
