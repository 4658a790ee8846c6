//! What an append gives back: the outcome, and the wait until it is as safe as the caller wants.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Shared;
use super::progress::{Need, Verdict};
use crate::{Ack, Outcome};

/// A staged append.
///
/// Nobody has to wait for it: the append becomes durable within the log's `sync_within`, whatever becomes of the
/// ticket.
#[derive(Debug)]
#[must_use = "a ticket that is not waited for tells nothing about durability"]
pub struct Ticket {
    shared: Arc<Shared>,
    need: Need,
    outcome: Outcome,
}

impl Ticket {
    pub(super) fn new(shared: Arc<Shared>, need: Need, outcome: Outcome) -> Self {
        Self { shared, need, outcome }
    }

    /// Returns what was decided when the append was staged; it holds once the ticket was waited for, unless a
    /// write failed meanwhile.
    pub fn staged(&self) -> &Outcome {
        &self.outcome
    }

    /// Blocks until the append is as safe as `ack` says; this thread commits for all who wait.
    ///
    /// *Durability*: that of the level. `Outcome::Appended` and `AlreadyAppended` hold at this level;
    /// `Rejected` is final, since it completes with the newest staged entry that it relied on.
    pub fn wait(&self, ack: Ack) -> Outcome {
        self.shared.wait(self.need, ack);
        let verdict = self.shared.progress.lock().verdict(self.need, ack);
        settle(verdict.unwrap_or(Verdict::Reached), &self.outcome, self.need)
    }

    /// Returns a future of the outcome at a level; the log's flusher completes it, so that no runtime is
    /// blocked and none is needed.
    ///
    /// *Cancel safety*: dropping the future does not take the append back.
    pub fn acknowledged(self, ack: Ack) -> Acknowledged {
        Acknowledged { ticket: self, ack, waker: None }
    }
}

/// The future of an append's outcome; see [`Ticket::acknowledged`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Acknowledged {
    ticket: Ticket,
    ack: Ack,
    waker: Option<u64>,
}

impl Future for Acknowledged {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let (need, ack) = (this.ticket.need, this.ack);
        let shared = Arc::clone(&this.ticket.shared);
        let mut progress = shared.progress.lock();
        if let Some(verdict) = progress.verdict(need, ack) {
            drop(progress);
            return Poll::Ready(settle(verdict, &this.ticket.outcome, need));
        }
        this.waker = Some(progress.set_waker(this.waker, need, ack, context.waker()));
        drop(progress);
        shared.request_flush();
        Poll::Pending
    }
}

impl Drop for Acknowledged {
    fn drop(&mut self) {
        if let Some(waker) = self.waker {
            self.ticket.shared.progress.lock().remove_waker(waker);
        }
    }
}

fn settle(verdict: Verdict, outcome: &Outcome, need: Need) -> Outcome {
    match verdict {
        Verdict::Reached => outcome.clone(),
        Verdict::Failed(reason) => Outcome::Rejected { reason, position: need.position },
        Verdict::Unknown(cause) => Outcome::Unknown { cause },
    }
}
