//! The flusher: commits for those who await, and for those who did not wait.
//!
//! It is a state machine, [`Flush::flush_step`]; here is the thread that runs it in production.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Signal};

use crate::FlusherMode;

/// What a flusher acts for.
pub(crate) trait Flush: std::fmt::Debug + Send + Sync {
    /// Acts once, and returns when it wants to act again, by the monotonic clock.
    fn flush_step(&self) -> Option<Duration>;

    /// Tells whether there is nothing more to be done, ever.
    fn is_shut(&self) -> bool;

    /// Tells whether there is something to be done before `nanos` of the monotonic clock.
    fn acts_before(&self, nanos: u64) -> bool;
}

/// The flusher's thread and what wakes it.
#[derive(Debug)]
pub(crate) struct Flusher {
    mode: FlusherMode,
    log: Weak<dyn Flush>,
    clock: Arc<dyn Clock>,
    signal: Arc<Signal>,
    /// When the thread acts next by itself, in nanoseconds of the monotonic clock; `u64::MAX` for never.
    acts_at: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flusher {
    pub(crate) fn new(mode: FlusherMode, clock: Arc<dyn Clock>, log: Weak<dyn Flush>) -> Self {
        let acts_at = Arc::new(AtomicU64::new(u64::MAX));
        Self { mode, log, clock, signal: Arc::new(Signal::new()), acts_at, thread: Mutex::new(None) }
    }

    /// Makes sure that the thread acts at `nanos` or earlier. Mostly it will anyway, and is not woken.
    pub(crate) fn act_by(&self, nanos: u64) {
        if self.acts_at.load(Ordering::SeqCst) > nanos {
            self.wake();
        }
    }

    /// Starts the thread if it does not run, and wakes it.
    pub(crate) fn wake(&self) {
        if self.mode == FlusherMode::Manual {
            return;
        }
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let log = Weak::clone(&self.log);
            let (signal, clock) = (Arc::clone(&self.signal), Arc::clone(&self.clock));
            let acts_at = Arc::clone(&self.acts_at);
            let spawned = std::thread::Builder::new()
                .name("redex-flusher".to_owned())
                .spawn(move || run(&log, &signal, &acts_at, &*clock));
            match spawned {
                Ok(handle) => *thread = Some(handle),
                Err(cause) => tracing::error!(%cause, "flusher not started"),
            }
        }
        drop(thread);
        self.signal.raise();
    }

    /// Ends the thread, if it runs, and waits for its end; not from the thread itself.
    pub(crate) fn join(&self) {
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.signal.raise();
        if let Some(handle) = handle
            && handle.thread().id() != std::thread::current().id()
            && handle.join().is_err()
        {
            tracing::error!("flusher panicked");
        }
    }
}

fn run(log: &Weak<dyn Flush>, signal: &Signal, acts_at: &AtomicU64, clock: &dyn Clock) {
    loop {
        let deadline: Option<Duration> = match log.upgrade() {
            Some(log) if !log.is_shut() => log.flush_step(),
            _ => return,
        };
        let nanos =
            deadline.map_or(u64::MAX, |deadline| u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX));
        acts_at.store(nanos, Ordering::SeqCst);
        // Whoever set an earlier deadline before this was stored did not wake the thread.
        let missed = log.upgrade().is_some_and(|log| log.acts_before(nanos));
        if !missed {
            clock.wait(signal, deadline);
        }
        acts_at.store(u64::MAX, Ordering::SeqCst);
    }
}
