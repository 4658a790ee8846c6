//! Interrupts from the keyboard (SIGINT).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::exit::Code;

/// Watches for interrupts. The first ends the process with exit code 130 unless somebody has asked to be
/// woken; the second ends it in any case. Cloning shares the watch.
#[derive(Clone, Default)]
pub(crate) struct Interrupts(Arc<Inner>);

#[derive(Default)]
struct Inner {
    raised: AtomicBool,
    wake: Mutex<Option<Wake>>,
}

type Wake = Box<dyn Fn() + Send>;

/// While it lives, an interrupt wakes its owner instead of ending the process.
pub(crate) struct Caught(Interrupts);

impl Interrupts {
    /// Begins to watch, on a thread that lasts as long as the process.
    pub(crate) fn watch() -> Self {
        let interrupts = Self::default();
        let watched = interrupts.clone();
        let thread = std::thread::Builder::new().name("interrupts".to_owned());
        if let Err(cause) = thread.spawn(move || watched.run()) {
            warn!(%cause, "interrupts end the process at once");
        }
        interrupts
    }

    /// Tells whether there was an interrupt.
    pub(crate) fn raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// Calls `wake` at an interrupt, from another thread, for as long as the returned value lives. `wake`
    /// must not block.
    pub(crate) fn catch(&self, wake: impl Fn() + Send + 'static) -> Caught {
        *self.wake() = Some(Box::new(wake));
        Caught(self.clone())
    }

    fn run(&self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(cause) => {
                warn!(%cause, "interrupts end the process at once");
                return;
            }
        };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                self.interrupt();
            }
        });
    }

    fn interrupt(&self) {
        let again = self.0.raised.swap(true, Ordering::SeqCst);
        match &*self.wake() {
            Some(wake) if !again => wake(),
            _ => std::process::exit(Code::Interrupted as i32),
        }
    }

    fn wake(&self) -> MutexGuard<'_, Option<Wake>> {
        self.0.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        *self.0.wake() = None;
        // What was interrupted has ended; the next one may be interrupted again.
        self.0.0.raised.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_wakes_who_asked_for_it() {
        let interrupts = Interrupts::default();
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        let caught = interrupts.catch(move || flag.store(true, Ordering::SeqCst));
        interrupts.interrupt();
        assert!(interrupts.raised() && woken.load(Ordering::SeqCst));
        drop(caught);
        assert!(interrupts.wake().is_none() && !interrupts.raised());
    }
}
