//! What wakes the thread that folds.

use std::cell::Cell;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread::Thread;

use base::Position;
use redex::{Beyond, LogReader};

thread_local! {
    /// The bell that this thread does not ring, since it folds itself next; the address of its ringer.
    static SILENCED: Cell<usize> = const { Cell::new(0) };
}

/// Wakes the thread that folds when the log's visible position moves, unless the thread that moves it is about
/// to fold as well: waking another one would cost more than the folding, and the two would compete.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    ringer: Arc<Ringer>,
    /// The wait for the position that rings next.
    armed: Mutex<Option<Beyond>>,
}

#[derive(Debug, Default)]
struct Ringer {
    sleeper: OnceLock<Thread>,
}

impl Ringer {
    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    fn ring(&self) {
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
    }
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        if SILENCED.get() != self.address() {
            self.ring();
        }
    }
}

impl Bell {
    /// Makes this the thread that is woken.
    pub(crate) fn is_for_this_thread(&self) {
        // A runner has one thread, so there is nothing to replace.
        let _ = self.ringer.sleeper.set(std::thread::current());
    }

    /// Blocks until the log has something beyond `position`, or is closed; may return earlier.
    pub(crate) fn sleep(&self, reader: &LogReader, position: Position) {
        self.arm(reader, position);
        std::thread::park();
    }

    /// Has the thread woken once the log has something beyond `position`: at once, if it does already.
    fn arm(&self, reader: &LogReader, position: Position) {
        let mut beyond = reader.beyond(position);
        let waker = Waker::from(Arc::clone(&self.ringer));
        if Pin::new(&mut beyond).poll(&mut Context::from_waker(&waker)).is_ready() {
            self.ringer.ring();
        } else {
            *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some(beyond);
        }
    }

    /// Runs `write_and_fold` on this thread, without ringing for what it writes. What it leaves, the thread
    /// that folds is woken for afterwards; `folded` is where folding stands then.
    pub(crate) fn silenced<T>(
        &self,
        reader: &LogReader,
        folded: impl Fn() -> Position,
        write_and_fold: impl FnOnce() -> T,
    ) -> T {
        if self.ringer.sleeper.get().is_none() {
            return write_and_fold();
        }
        let before = SILENCED.replace(self.ringer.address());
        let rearm = OnDrop(|| {
            SILENCED.set(before);
            self.arm(reader, folded());
        });
        let done = write_and_fold();
        drop(rearm);
        done
    }
}

/// Does something also when a panic passes by.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
