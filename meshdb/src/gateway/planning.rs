//! Planning, on a thread of its own.
//!
//! Finding names reads logs, which may block, and the engine computes for as long as a statement is
//! complicated, so neither may sit on the runtime's threads. The engine also recurses through expressions,
//! partly without guarding its stack; here it has a large one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::QueryError;
use crate::limits::PLANNING_STACK_BYTES;
use crate::result::panicked;

/// Runs `plan` on a thread of its own, where it may block and recurse deeply.
///
/// *Cancel safety*: when the future is dropped the thread finishes its work and throws it away.
pub(super) async fn on_own_thread<T, F>(plan: F) -> Result<T, QueryError>
where
    T: Send + 'static,
    F: AsyncFnOnce() -> Result<T, QueryError> + Send + 'static,
{
    let (done, result) = oneshot::channel();
    let runtime = Handle::current();
    let work = move || {
        let planned = catch_unwind(AssertUnwindSafe(|| runtime.block_on(plan())));
        // Nobody waits any more when the statement was given up.
        let _ = done.send(planned.unwrap_or_else(|_| Err(panicked())));
    };
    let thread = std::thread::Builder::new().name("meshdb-plan".to_owned()).stack_size(PLANNING_STACK_BYTES);
    thread.spawn(work).map_err(|source| QueryError::NoThread { source: Arc::new(source) })?;
    result.await.unwrap_or_else(|_| Err(panicked()))
}
