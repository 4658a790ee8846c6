//! A group as a log that folds and channels write to, without knowing that it is replicated.

use std::fmt;
use std::time::Duration;

use base::{ChannelName, IncarnationId, Position};
use bytes::Bytes;
use redex::exchange::{Request, encode_request};
use redex::{
    AppendError, AppendRequest, ChannelEvents, EventInput, LogReader, LogWriter, Outcome, ProducerState,
    Promise, Ticket,
};
use tokio::runtime::Handle;

use crate::Group;

/// Writes to a group from threads of any kind. Cloning shares it.
#[derive(Clone)]
pub struct GroupWriter {
    group: Group,
    runtime: Handle,
    within: Duration,
}

impl fmt::Debug for GroupWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupWriter").field("group", &self.group).finish_non_exhaustive()
    }
}

impl GroupWriter {
    /// Writes to a group; requests travel on a runtime, and take at most so long.
    pub fn new(group: Group, runtime: Handle, within: Duration) -> Self {
        Self { group, runtime, within }
    }

    /// Returns the group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Has a request decided by whoever leads; the ticket is told once readers of this node see it.
    ///
    /// # Errors
    ///
    /// As [`Request::check`].
    pub fn ask(&self, request: &Request<'_>) -> Result<Ticket, AppendError> {
        let encoded = Bytes::from(encode_request(request)?);
        let (ticket, promise) = Ticket::promised();
        self.runtime.spawn(keep(self.group.clone(), encoded, self.within, promise));
        Ok(ticket)
    }
}

/// Has a request decided, and tells the outcome once this node's readers see it.
async fn keep(group: Group, encoded: Bytes, within: Duration, promise: Promise) {
    let outcome = match group.ask_encoded(&encoded, within).await {
        Ok(outcome) => outcome,
        // It was checked before it was encoded, so that this is a defect; nothing was asked of anybody.
        Err(error) => Outcome::Unknown { cause: error.to_string() },
    };
    if let Some(at) = outcome.at() {
        let seen = Position(at.index.0);
        if tokio::time::timeout(within, group.reader().beyond(seen)).await.is_err() {
            let cause = format!("it is committed at {}, which this node has not seen yet", at.index);
            return promise.keep(Outcome::Unknown { cause });
        }
    }
    promise.keep(outcome);
}

impl LogWriter for GroupWriter {
    fn submit(&self, request: &AppendRequest<'_>) -> Result<Ticket, AppendError> {
        self.ask(&Request::Append(request))
    }

    fn append(&self, channel: &ChannelName, events: &[EventInput<'_>]) -> Result<Ticket, AppendError> {
        let parts = [ChannelEvents { channel, events }];
        self.submit(&AppendRequest { parts: &parts, ..AppendRequest::default() })
    }

    fn incarnation(&self) -> IncarnationId {
        IncarnationId::NONE
    }

    fn producer(&self, id: &str) -> Option<ProducerState> {
        self.group.replica().producer(id)
    }

    fn reader(&self) -> &LogReader {
        self.group.reader()
    }
}
