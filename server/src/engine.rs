//! Threads for SQL, apart from those that answer: however long a statement computes without a pause, health, appends
//! and tails go on.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime for statements. Dropping it waits for nobody.
#[derive(Debug)]
pub(crate) struct Engine(Option<Runtime>);

impl Engine {
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self(Some(Builder::new_multi_thread().thread_name("sql").enable_all().build()?)))
    }

    /// Runs something there; it goes on by itself.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(task);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
