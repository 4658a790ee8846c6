//! The end of a statement's time.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::QueryError;

/// A timer that runs from its making; without a limit, nothing.
pub(crate) struct Deadline(Option<(Duration, Pin<Box<Sleep>>)>);

impl Deadline {
    /// Begins to count.
    pub(crate) fn start(limit: Option<Duration>) -> Self {
        Self(limit.map(|limit| (limit, Box::pin(tokio::time::sleep(limit)))))
    }

    /// Returns the error once the time is over; else wakes the task of `context` then.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Option<QueryError> {
        let (limit, sleep) = self.0.as_mut()?;
        match sleep.as_mut().poll(context) {
            Poll::Ready(()) => Some(QueryError::TimedOut { limit: *limit }),
            Poll::Pending => None,
        }
    }

    /// Runs `work` for as long as there is time.
    pub(crate) async fn within<T>(
        &mut self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| match self.poll(context) {
            Some(error) => Poll::Ready(Err(error)),
            None => work.as_mut().poll(context),
        })
        .await
    }
}
