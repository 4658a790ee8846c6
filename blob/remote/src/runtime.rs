//! The runtime of one adapter, and threads that wait for what runs there.

use std::future::Future;
use std::io;
use std::sync::mpsc;

/// A runtime of one worker. Dropping it drops what still runs, and waits for nothing.
#[derive(Debug)]
pub(crate) struct OwnRuntime {
    runtime: Option<tokio::runtime::Runtime>,
}

impl OwnRuntime {
    /// Starts its worker.
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("blob-remote").enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs something and waits for it; also on a thread that itself belongs to a runtime, which then does nothing else.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = mpsc::sync_channel(1);
        let ended = || io::Error::other("its runtime ended");
        let task = async move {
            // Whoever waits may be gone.
            let _ = tell.send(work.await);
        };
        self.runtime.as_ref().ok_or_else(ended)?.spawn(task);
        told.recv().map_err(|_| ended())
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
