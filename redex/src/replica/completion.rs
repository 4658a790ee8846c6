//! What is told, exactly once, when entries are durable.

use std::fmt;

use super::ReplicaError;

type Callback = Box<dyn FnOnce(Result<(), ReplicaError>) + Send>;

/// A callback that is called exactly once: with the outcome, or with [`ReplicaError::Abandoned`] when it is dropped, so
/// that nobody waits for ever.
pub struct Completion(Option<Callback>);

impl Completion {
    /// Takes what is to be called, without locks held, on the thread that made the entries durable.
    pub fn new(callback: impl FnOnce(Result<(), ReplicaError>) + Send + 'static) -> Self {
        Self(Some(Box::new(callback)))
    }

    /// Nobody wants to know.
    pub fn ignored() -> Self {
        Self(None)
    }

    pub(super) fn complete(mut self, outcome: Result<(), ReplicaError>) {
        if let Some(callback) = self.0.take() {
            callback(outcome);
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(ReplicaError::Abandoned));
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Completion")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_completion_is_called_once_also_when_it_is_dropped() {
        let (sender, receiver) = mpsc::channel();
        let sending = || {
            let sender = sender.clone();
            Completion::new(move |outcome| sender.send(outcome).unwrap())
        };
        sending().complete(Ok(()));
        drop(sending());
        drop(Completion::ignored());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [Ok(()), Err(ReplicaError::Abandoned)]);
    }
}
