//! How messages reach other nodes: implemented over connections in production, and over nothing but memory in tests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use base::{Classify, ErrorKind, NodeId};
use bytes::Bytes;

/// An answer that is on its way.
pub type Answer = Pin<Box<dyn Future<Output = Result<Bytes, LinkError>> + Send>>;

/// Carries requests to other nodes, which answer with what their [`Groups::handle`](crate::Groups::handle) gives.
///
/// # Contract
///
/// Whoever answers is surely the node that was asked, and learns surely who asks. A request arrives once, or not at all;
/// requests may overtake each other.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Sends a request; the answer fails when it is not there within the time.
    fn request(&self, to: NodeId, body: Bytes, within: Duration) -> Answer;

    /// Sends a request, before larger ones that wait to be sent, where that makes a difference.
    fn request_urgent(&self, to: NodeId, body: Bytes, within: Duration) -> Answer {
        self.request(to, body, within)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The request surely did not arrive.
    #[error("node {node} cannot be reached: {cause}")]
    Unreachable {
        /// The node.
        node: NodeId,
        /// What was in the way.
        cause: String,
    },
    /// The request may have arrived.
    #[error("node {node} did not answer: {cause}")]
    Lost {
        /// The node.
        node: NodeId,
        /// What happened.
        cause: String,
    },
}

impl Classify for LinkError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}
