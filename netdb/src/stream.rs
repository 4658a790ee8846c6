//! Following a channel asynchronously.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use redex::{Event, ReadError, StoreTail};

use crate::Error;

/// A stream of events that never ends before the database is closed. Files are read on the runtime's blocking
/// threads, one batch at a time, and only when asked for; however slow its reader, it holds nobody up.
///
/// *Cancel safety*: dropping it, or a future of its next item, loses nothing that a new stream from the same
/// number would not give again.
pub struct EventStream {
    ready: VecDeque<Event>,
    state: State,
}

enum State {
    Reading(BoxFuture<'static, (StoreTail, Result<Vec<Event>, ReadError>)>),
    Ended,
}

impl EventStream {
    pub(crate) fn new(tail: StoreTail) -> Self {
        Self { ready: VecDeque::new(), state: State::Reading(Box::pin(next_batch(tail))) }
    }

    /// Returns the next event; `None` once the database was closed and everything was given out.
    ///
    /// # Errors
    ///
    /// Kind `Corrupt` where stored bytes are damaged; the stream ends there.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

/// Waits until there are events, or the log is closed, and reads them.
async fn next_batch(tail: StoreTail) -> (StoreTail, Result<Vec<Event>, ReadError>) {
    let mut tail = tail;
    loop {
        let ended = tail.is_ended();
        let read = tokio::task::spawn_blocking(move || {
            let batch = tail.next_batch();
            (tail, batch)
        });
        let batch;
        (tail, batch) = match read.await {
            Ok(read) => read,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        if ended || !matches!(&batch, Ok(events) if events.is_empty()) {
            return (tail, batch);
        }
        tail.changed().await;
    }
}

impl Stream for EventStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let State::Reading(reading) = &mut self.state else { return Poll::Ready(None) };
            let (tail, batch) = std::task::ready!(reading.as_mut().poll(context));
            match batch {
                Ok(events) if events.is_empty() => self.state = State::Ended,
                Ok(events) => {
                    self.ready = events.into();
                    self.state = State::Reading(Box::pin(next_batch(tail)));
                }
                Err(error) => {
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}
