//! Following the changes of a fold.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use base::{Position, Signal};

use crate::error::FoldStopped;
use crate::host::{Core, SharedHost};
use crate::{Fold, Snapshot};

/// A place in the changes of a fold. Nothing is kept for a subscriber who is far behind: it begins again with the
/// whole state.
pub struct Subscription<F: Fold> {
    host: SharedHost<F>,
    /// The number of the next change.
    next: u64,
    position: Position,
    waker: Option<u64>,
}

/// What happened since a subscriber looked last.
#[derive(Debug, Clone)]
pub struct News<S, C> {
    /// The state now.
    pub snapshot: Snapshot<S>,
    /// The changes from the state before to this one; `None` when they are not kept any more.
    pub changes: Option<Vec<C>>,
}

/// What happened in a fold since a subscriber looked last.
pub type FoldNews<F> = News<<F as Fold>::State, <F as Fold>::Change>;

impl<F: Fold> Subscription<F> {
    pub(crate) fn begin(host: &SharedHost<F>) -> Result<(Snapshot<F::State>, Self), FoldStopped> {
        let mut core = host.look();
        if let Some(stopped) = &core.stopped {
            return Err(stopped.clone());
        }
        core.changes.watchers += 1;
        let snapshot = Snapshot { state: core.state.clone(), position: core.folded };
        let (next, position) = (core.changes.next(), core.folded);
        drop(core);
        Ok((snapshot, Self { host: Arc::clone(host), next, position, waker: None }))
    }

    /// Returns what happened since the last call; `None` when nothing did. Does not wait.
    ///
    /// # Errors
    ///
    /// [`FoldStopped`] once everything before was given out.
    pub fn try_next(&mut self) -> Result<Option<FoldNews<F>>, FoldStopped> {
        let host = Arc::clone(&self.host);
        let core = host.look();
        self.take(&core)
    }

    fn take(&mut self, core: &Core<F>) -> Result<Option<FoldNews<F>>, FoldStopped> {
        if core.changes.next() == self.next {
            self.position = core.folded;
            return core.stopped.as_ref().map_or(Ok(None), |stopped| Err(stopped.clone()));
        }
        let changes = core.changes.since(self.next);
        (self.next, self.position) = (core.changes.next(), core.folded);
        let snapshot = Snapshot { state: core.state.clone(), position: core.folded };
        Ok(Some(News { snapshot, changes }))
    }

    /// Waits for changes.
    ///
    /// *Cancel safety*: nothing is lost; the next call gives what this one would have.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub async fn next(&mut self) -> Result<FoldNews<F>, FoldStopped> {
        poll_fn(|context| self.poll(context.waker())).await
    }

    /// Asks for changes; without any, `waker` is woken when the fold has moved.
    pub fn poll(&mut self, waker: &Waker) -> Poll<Result<FoldNews<F>, FoldStopped>> {
        let host = Arc::clone(&self.host);
        let mut core = host.look();
        match self.take(&core) {
            Ok(Some(news)) => Poll::Ready(Ok(news)),
            Err(stopped) => Poll::Ready(Err(stopped)),
            Ok(None) => {
                let beyond = Position(core.folded.0 + 1);
                self.waker = Some(core.note_waker(self.waker, beyond, waker));
                Poll::Pending
            }
        }
    }

    /// Blocks until there are changes.
    ///
    /// # Errors
    ///
    /// As [`try_next`](Self::try_next).
    pub fn next_blocking(&mut self, clock: &dyn base::Clock) -> Result<FoldNews<F>, FoldStopped> {
        let alarm = Arc::new(Signal::new());
        let waker = Waker::from(Arc::clone(&alarm));
        loop {
            if let Poll::Ready(news) = self.poll(&waker) {
                return news;
            }
            clock.wait(&alarm, None);
        }
    }
}

impl<F: Fold> Drop for Subscription<F> {
    fn drop(&mut self) {
        let mut core = self.host.look();
        if let Some(id) = self.waker {
            core.remove_waker(id);
        }
        core.changes.leave();
    }
}

impl<F: Fold> std::fmt::Debug for Subscription<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}
