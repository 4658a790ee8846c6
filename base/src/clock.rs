//! The door to time: readings, and waits that end at a deadline.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::time::Duration;

use crate::Timestamp;

mod manual;
mod system;

pub use manual::ManualClock;
pub use system::SystemClock;

/// Where readings of time come from, and how threads wait for a time.
///
/// # Contract
///
/// [`monotonic`](Self::monotonic) never decreases. [`now`](Self::now) may leap in either direction.
/// [`wait`](Self::wait) returns when the signal was raised, or when `deadline` (a monotonic reading) has
/// passed, and takes the raised signal back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the wall time.
    fn now(&self) -> Timestamp;

    /// Returns the time since an arbitrary fixed moment.
    fn monotonic(&self) -> Duration;

    /// Blocks until `signal` is raised or the monotonic `deadline` has passed; `None` waits without limit.
    /// Returns whether the signal was raised.
    fn wait(&self, signal: &Signal, deadline: Option<Duration>) -> bool;
}

/// Something that one thread raises and another waits for through a [`Clock`].
#[derive(Debug, Default)]
pub struct Signal {
    raised: Mutex<bool>,
    condition: Condvar,
}

/// Waking raises it, so that a thread can wait for what futures wait for.
impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

impl Signal {
    /// Makes a signal that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the signal; the current wait, or else the next one, ends at once.
    pub fn raise(&self) {
        *self.lock() = true;
        self.condition.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the raised state back and tells what it was.
    fn take(&self) -> bool {
        std::mem::take(&mut *self.lock())
    }

    /// Blocks for at most `limit`; tells whether the signal was raised, and takes it back.
    fn wait_at_most(&self, limit: Option<Duration>) -> bool {
        let guard = self.lock();
        let mut guard = match limit {
            None => {
                self.condition.wait_while(guard, |raised| !*raised).unwrap_or_else(PoisonError::into_inner)
            }
            Some(limit) => {
                self.condition
                    .wait_timeout_while(guard, limit, |raised| !*raised)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        std::mem::take(&mut *guard)
    }
}
