//! The thread that looks after blobs: collects them, and moves cold ones where they overflow to.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netdb::base::{Clock, Signal};
use netdb::{KeepOptions, Keeper, NetDb};

/// How often it is looked whether there are blobs by now.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// A thread that looks after the blobs of a database, if there are any, until it is stopped.
#[derive(Debug)]
pub(crate) struct Keeping {
    stop: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Keeping {
    pub(crate) fn start(db: NetDb, clock: Arc<dyn Clock>, options: KeepOptions) -> io::Result<Self> {
        let stop = Arc::new(Signal::new());
        let stopped = Arc::clone(&stop);
        let work = move || {
            loop {
                match db.existing_blobs() {
                    Ok(Some(blobs)) => return Keeper::new(blobs, options).keep(&stopped),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(%error, "blobs could not be opened to look after them"),
                }
                if clock.wait(&stopped, Some(clock.monotonic() + LOOK_EVERY)) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("blobs".to_owned()).spawn(work)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends it, and waits until it has. Blocks.
    pub(crate) fn stop(mut self) {
        self.stop.raise();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.stop.raise();
    }
}
