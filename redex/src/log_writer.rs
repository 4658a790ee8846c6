//! The seam that folds and typed channels stand on.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{ChannelName, IncarnationId, NodeId, Position};

use crate::error::AppendError;
use crate::{AppendRequest, EventInput, Log, LogReader, ProducerState, Selection, Tail, Ticket};

/// Something that puts a log in order: a local log, or a replicated one.
///
/// # Contract
///
/// What a ticket acknowledges as durable is below [`visible`](Self::visible) and seen by readers and tails from
/// then on. Entries below the visible position never change.
pub trait LogWriter: Send + Sync + std::fmt::Debug {
    /// Stages an append; atomic, under conditions.
    ///
    /// # Errors
    ///
    /// As [`Log::submit`].
    fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError>;

    /// Stages an append to one channel.
    ///
    /// # Errors
    ///
    /// As [`Log::append`].
    fn append(&self, channel: &ChannelName, events: &[EventInput<'_>]) -> Result<Ticket, AppendError>;

    /// Returns the incarnation that appends belong to from now on; none where what is acknowledged is committed, and so
    /// outlasts every incarnation.
    fn incarnation(&self) -> IncarnationId;

    /// Returns a producer's last append, as far as this writer knows; `None` for an unknown producer.
    fn producer(&self, id: &str) -> Option<ProducerState>;

    /// Returns the reading side.
    fn reader(&self) -> &LogReader;

    /// Returns how far the log may be read.
    fn visible(&self) -> Position {
        self.reader().visible()
    }

    /// Follows selected events.
    fn tail(&self, selection: Selection) -> Tail {
        self.reader().tail(selection)
    }
}

/// Something that has appends to a log decided that this node does not hold, and so cannot read.
pub trait LogSender: Send + Sync + std::fmt::Debug {
    /// Sends an append on; atomic, under conditions. The ticket is told what whoever puts the log in order made of it.
    ///
    /// # Errors
    ///
    /// As [`Log::submit`], for what breaks a limit; nothing was sent then.
    fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError>;

    /// Returns the nodes that hold the log.
    fn holders(&self) -> BTreeSet<NodeId>;
}

impl<W: LogWriter + ?Sized> LogWriter for Arc<W> {
    fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        (**self).submit(request)
    }

    fn append(&self, channel: &ChannelName, events: &[EventInput<'_>]) -> Result<Ticket, AppendError> {
        (**self).append(channel, events)
    }

    fn incarnation(&self) -> IncarnationId {
        (**self).incarnation()
    }

    fn producer(&self, id: &str) -> Option<ProducerState> {
        (**self).producer(id)
    }

    fn reader(&self) -> &LogReader {
        (**self).reader()
    }
}

impl LogWriter for Log {
    fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        Log::submit(self, request)
    }

    fn append(&self, channel: &ChannelName, events: &[EventInput<'_>]) -> Result<Ticket, AppendError> {
        Log::append(self, channel, events)
    }

    fn incarnation(&self) -> IncarnationId {
        Log::incarnation(self)
    }

    fn producer(&self, id: &str) -> Option<ProducerState> {
        Log::producer(self, id)
    }

    fn reader(&self) -> &LogReader {
        Log::reader(self)
    }
}
