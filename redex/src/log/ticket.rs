//! What an append gives back: the outcome, and the wait until it is as safe as the caller wants.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Shared;
use super::progress::{Need, Verdict};
use crate::promise::Promised;
use crate::{Ack, Outcome, Promise};

/// A staged append.
///
/// Nobody has to wait for it: the append becomes durable within the log's `sync_within`, whatever becomes of the
/// ticket.
#[derive(Debug)]
#[must_use = "a ticket that is not waited for tells nothing about durability"]
pub struct Ticket(Source);

/// Who tells the outcome.
#[derive(Debug)]
enum Source {
    /// A log of this process, once what was decided is safe.
    Staged(Staged),
    /// Somebody else.
    Promised(Arc<Promised>),
}

#[derive(Debug)]
struct Staged {
    shared: Arc<Shared>,
    need: Need,
    outcome: Outcome,
}

impl Ticket {
    pub(super) fn new(shared: Arc<Shared>, need: Need, outcome: Outcome) -> Self {
        Self(Source::Staged(Staged { shared, need, outcome }))
    }

    /// Makes a ticket for an append that is decided on elsewhere. What is told is committed, so that all levels are one.
    pub fn promised() -> (Self, Promise) {
        let (promise, promised) = Promise::new();
        (Self(Source::Promised(promised)), promise)
    }

    /// Returns what was decided when the append was staged; it holds once the ticket was waited for, unless a
    /// write failed meanwhile. `None` where somebody else decides.
    pub fn staged(&self) -> Option<&Outcome> {
        match &self.0 {
            Source::Staged(staged) => Some(&staged.outcome),
            Source::Promised(_) => None,
        }
    }

    /// Blocks until the append is as safe as `ack` says; this thread commits for all who wait.
    ///
    /// *Durability*: that of the level. `Outcome::Appended` and `AlreadyAppended` hold at this level;
    /// `Rejected` is final, since it completes with the newest staged entry that it relied on.
    pub fn wait(&self, ack: Ack) -> Outcome {
        match &self.0 {
            Source::Staged(staged) => staged.wait(ack),
            Source::Promised(promised) => promised.wait(),
        }
    }

    /// Returns a future of the outcome at a level; the log's flusher completes it, so that no runtime is
    /// blocked and none is needed.
    ///
    /// *Cancel safety*: dropping the future does not take the append back.
    pub fn acknowledged(self, ack: Ack) -> Acknowledged {
        Acknowledged { source: self.0, ack, waker: None }
    }
}

impl Staged {
    fn wait(&self, ack: Ack) -> Outcome {
        self.shared.wait(self.need, ack);
        let verdict = self.shared.progress.lock().verdict(self.need, ack);
        settle(verdict.unwrap_or(Verdict::Reached), &self.outcome, self.need)
    }

    fn poll(&self, ack: Ack, noted: &mut Option<u64>, context: &Context<'_>) -> Poll<Outcome> {
        let mut progress = self.shared.progress.lock();
        if let Some(verdict) = progress.verdict(self.need, ack) {
            drop(progress);
            return Poll::Ready(settle(verdict, &self.outcome, self.need));
        }
        *noted = Some(progress.set_waker(*noted, self.need, ack, context.waker()));
        drop(progress);
        self.shared.request_flush();
        Poll::Pending
    }
}

/// The future of an append's outcome; see [`Ticket::acknowledged`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Acknowledged {
    source: Source,
    ack: Ack,
    waker: Option<u64>,
}

impl Future for Acknowledged {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        match &this.source {
            Source::Staged(staged) => staged.poll(this.ack, &mut this.waker, context),
            Source::Promised(promised) => promised.poll(context),
        }
    }
}

impl Drop for Acknowledged {
    fn drop(&mut self) {
        if let (Source::Staged(staged), Some(waker)) = (&self.source, self.waker) {
            staged.shared.progress.lock().remove_waker(waker);
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
