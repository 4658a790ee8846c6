//! The flusher: commits for those who await, and for those who did not wait.
//!
//! It is a state machine, [`Shared::flush_step`]; here is the thread that runs it in production.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use base::{Clock, Signal};

use super::Shared;
use crate::FlusherMode;

/// The flusher's thread and what wakes it.
#[derive(Debug)]
pub(crate) struct Flusher {
    mode: FlusherMode,
    log: Weak<Shared>,
    clock: Arc<dyn Clock>,
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Flusher {
    pub(crate) fn new(mode: FlusherMode, clock: Arc<dyn Clock>, log: Weak<Shared>) -> Self {
        Self { mode, log, clock, signal: Arc::new(Signal::new()), thread: Mutex::new(None) }
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
            let spawned = std::thread::Builder::new()
                .name("redex-flusher".to_owned())
                .spawn(move || run(&log, &signal, &*clock));
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

fn run(log: &Weak<Shared>, signal: &Signal, clock: &dyn Clock) {
    loop {
        let deadline: Option<Duration> = match log.upgrade() {
            Some(log) if !log.is_shut() => log.flush_step(),
            _ => return,
        };
        clock.wait(signal, deadline);
    }
}
