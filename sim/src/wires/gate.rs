//! What a stopped process does not do, whatever reaches it.

use tokio::sync::watch;

/// Holds everything up that passes a node while it is closed. Cloning shares it.
///
/// A process that was stopped has timers that go off all at once when it goes on; here they go off meanwhile, but nothing
/// that they lead to leaves the node, nothing arrives, and no disk takes anything.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Gate {
    /// Closes it, or opens it again.
    pub fn close(&self, closed: bool) {
        self.0.send_replace(closed);
    }

    /// Waits while it is closed.
    pub async fn pass(&self) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|closed| !closed).await;
    }
}
