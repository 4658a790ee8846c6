//! What blocks, off the threads of a runtime.

use base::ErrorKind;

use crate::Error;

/// Runs something on a thread that may block; a panic passes through.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(run).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
        },
    }
}
