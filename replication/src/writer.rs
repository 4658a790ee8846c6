//! A group as a log that folds and channels write to, without knowing that it is replicated.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use base::{ChannelName, IncarnationId, Position};
use bytes::Bytes;
use redex::exchange::{Request, encode_request};
use redex::{
    AppendError, AppendRequest, ChannelEvents, EventInput, LogReader, LogWriter, Outcome, ProducerState,
    Promise, Ticket,
};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::Group;
use crate::queue::Asked;
use crate::sequencer::{Decision, Tell};

/// How long readers of this node may take to see what is committed, beyond the time of a request.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

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
        let until = Instant::now() + self.within;
        let queue = self.group.queue();
        if queue.is_served() {
            self.wait(Asked::new(encoded, until, promise));
            return Ok(ticket);
        }
        let asking = Asking { group: self.group.clone(), encoded, until, promise };
        let mut asking = Some(asking);
        let runtime = self.runtime.clone();
        // Where this node decides, no task of its own is needed unless something is in the way.
        let tell = || {
            let asking = asking.take();
            let told = move |decision| {
                if let Some(late) = asking.and_then(|asking| asking.told(decision)) {
                    runtime.spawn(late);
                }
            };
            Box::new(told) as Tell
        };
        self.group.decide_here(request, until, tell)?;
        if let Some(Asking { encoded, promise, .. }) = asking {
            self.wait(Asked::new(encoded, until, promise));
        }
        Ok(ticket)
    }

    /// Has a request decided behind those that wait.
    fn wait(&self, asking: Asked) {
        let queue = self.group.queue();
        if queue.add(asking) {
            self.runtime.spawn(queue.clone().serve(self.group.clone()));
        }
    }
}

/// A request whose ticket is not told yet.
struct Asking {
    group: Group,
    encoded: Bytes,
    until: Instant,
    promise: Promise,
}

impl Asking {
    /// Hears what this node's sequencer made of the request; what is left to do then, if anything.
    fn told(self, decision: Decision) -> Option<impl Future<Output = ()> + Send + use<>> {
        let is_seen = |outcome: &Outcome| {
            let visible = self.group.reader().visible();
            outcome.at().is_none_or(|at| visible.includes(at.index))
        };
        match decision {
            Decision::Decided(outcome) if is_seen(&outcome) => {
                self.promise.keep(outcome);
                None
            }
            decision => Some(async move {
                let outcome = self.group.go_on(&self.encoded, self.until, decision).await;
                self.keep(outcome).await;
            }),
        }
    }

    /// Tells the outcome once this node's readers see it.
    async fn keep(self, outcome: Result<Outcome, AppendError>) {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            // It was checked before it was encoded, so that this is a defect; nothing was asked of anybody.
            Err(error) => Outcome::Unknown { cause: error.to_string() },
        };
        self.promise.keep(once_seen(&self.group, outcome, self.until).await);
    }
}

/// Returns an outcome once readers of this node see what it tells of.
pub(crate) async fn once_seen(group: &Group, outcome: Outcome, until: Instant) -> Outcome {
    if let Some(at) = outcome.at() {
        let seen = Position(at.index.0);
        // Committed is committed: it is waited for a little longer.
        let within = until.saturating_duration_since(Instant::now()).max(SEEN_WITHIN);
        if tokio::time::timeout(within, group.reader().beyond(seen)).await.is_err() {
            let cause = format!("it is committed at {}, which this node has not seen yet", at.index);
            return Outcome::Unknown { cause };
        }
    }
    outcome
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
