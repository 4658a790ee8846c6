//! Outcomes that somebody else tells: where a log is put in order elsewhere, a ticket waits for the answer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Outcome;

/// The duty to tell a [`Ticket`](crate::Ticket) its outcome. Dropped without, it tells `Unknown`, so that nobody waits for
/// ever.
#[derive(Debug)]
pub struct Promise {
    promised: Option<Arc<Promised>>,
}

/// What a ticket and its promise share.
#[derive(Debug, Default)]
pub(crate) struct Promised {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    outcome: Option<Outcome>,
    /// Whoever awaits the ticket; there is one ticket, and it is awaited once.
    waker: Option<Waker>,
}

impl Promise {
    pub(crate) fn new() -> (Self, Arc<Promised>) {
        let promised = Arc::<Promised>::default();
        (Self { promised: Some(Arc::clone(&promised)) }, promised)
    }

    /// Tells the outcome.
    pub fn keep(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        let Some(promised) = self.promised.take() else { return };
        let waker = {
            let mut told = promised.told();
            told.outcome = Some(outcome);
            told.waker.take()
        };
        promised.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.tell(Outcome::Unknown { cause: "who was asked ended without an answer".to_owned() });
    }
}

impl Promised {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks until the outcome was told.
    pub(crate) fn wait(&self) -> Outcome {
        let mut told = self.told();
        loop {
            if let Some(outcome) = &told.outcome {
                return outcome.clone();
            }
            told = self.changed.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Outcome> {
        let mut told = self.told();
        match &told.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                told.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;

    use base::Signal;

    use super::*;
    use crate::{Ack, Ticket};

    fn unknown() -> Outcome {
        Outcome::Unknown { cause: "told".to_owned() }
    }

    #[test]
    fn a_ticket_is_told_what_its_promise_keeps_by_waiting_and_by_awaiting() {
        let (ticket, promise) = Ticket::promised();
        assert!(ticket.staged().is_none());
        promise.keep(unknown());
        assert_eq!(ticket.wait(Ack::Staged), unknown());

        let (ticket, promise) = Ticket::promised();
        let waiting = std::thread::spawn(move || ticket.wait(Ack::Durable));
        promise.keep(unknown());
        assert_eq!(waiting.join().unwrap(), unknown());

        let (ticket, promise) = Ticket::promised();
        let mut acknowledged = pin!(ticket.acknowledged(Ack::Durable));
        let signal = Arc::new(Signal::new());
        let waker = Waker::from(Arc::clone(&signal));
        let mut context = Context::from_waker(&waker);
        assert!(acknowledged.as_mut().poll(&mut context).is_pending());
        drop(promise);
        assert!(matches!(acknowledged.as_mut().poll(&mut context), Poll::Ready(Outcome::Unknown { .. })));
    }
}
