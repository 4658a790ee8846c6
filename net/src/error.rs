//! What goes wrong between nodes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use base::{Classify, ClusterId, ErrorKind, NodeId};

use crate::greeting::{Refusal, RefusalCode};

/// Why an endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The operating system refused the address.
    #[error("cannot listen on {address}: {source}; choose another address or port")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The socket could not be used.
    #[error("the socket does not work: {source}")]
    Socket {
        /// What the operating system said.
        source: io::Error,
    },
    /// The settings of TLS were refused.
    #[error("TLS does not take the node's key: {cause}")]
    Tls {
        /// What the library said.
        cause: String,
    },
}

impl Classify for BindError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Address { source, .. } | Self::Socket { source } => Classify::kind(source),
            Self::Tls { .. } => ErrorKind::Internal,
        }
    }
}

/// Why there is no connection to a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody was reached, or somebody with another key.
    #[error("no connection to {address}: {cause}")]
    Handshake {
        /// The address.
        address: SocketAddr,
        /// What the library said; names both keys where the other side has another one.
        cause: String,
    },
    /// The connection and its greeting took too long.
    #[error("{address} did not let us in within {within:?}")]
    Timeout {
        /// The address.
        address: SocketAddr,
        /// The limit.
        within: Duration,
    },
    /// The other side does not let us in.
    #[error("{address} refuses this node: {}", refusal.reason)]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// The other side let us in, and this node's own admission does not want it.
    #[error("{address} is not to be talked to: {}", refusal.reason)]
    Unwanted {
        /// The address.
        address: SocketAddr,
        /// Why.
        refusal: Refusal,
    },
    /// The other side let us in, and is not who it should be.
    #[error("{address} is node {node} of cluster {cluster}: look at the address")]
    Elsewhere {
        /// The address.
        address: SocketAddr,
        /// Its node.
        node: NodeId,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// What came back is no answer.
    #[error("{address} gave no answer that reads: is a node listening there?")]
    Answer {
        /// The address.
        address: SocketAddr,
    },
    /// The peer could not be reached a moment ago.
    #[error("{address} could not be reached just now: ask again in {wait:?}")]
    NotYet {
        /// The address.
        address: SocketAddr,
        /// When it is tried again.
        wait: Duration,
    },
    /// The endpoint was closed.
    #[error("the endpoint is closed: open it again")]
    Closed,
}

impl Classify for ConnectError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Handshake { .. } | Self::Timeout { .. } | Self::NotYet { .. } => ErrorKind::Unavailable,
            Self::Refused { refusal, .. } if refusal.code == RefusalCode::Busy => ErrorKind::Unavailable,
            Self::Refused { .. } | Self::Unwanted { .. } => ErrorKind::Denied,
            Self::Elsewhere { .. } => ErrorKind::Conflict,
            Self::Answer { .. } => ErrorKind::Invalid,
            Self::Closed => ErrorKind::Closed,
        }
    }
}

/// Why a request has no answer. Whether the other side acted on it is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The connection ended.
    #[error("the connection ended: {cause}; connect again")]
    Closed {
        /// What the library said.
        cause: String,
    },
    /// The answer did not come in time.
    #[error("no answer within {within:?}")]
    Timeout {
        /// The limit.
        within: Duration,
    },
    /// What was sent is longer than who reads it takes.
    #[error("a message of more than {max} bytes: send less at a time")]
    TooLarge {
        /// The most bytes that are read.
        max: usize,
    },
}

impl Classify for RequestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed { .. } | Self::Timeout { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::Invalid,
        }
    }
}

/// Why a datagram was not sent, or none will come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The connection ended.
    #[error("the connection ended: {cause}; connect again")]
    Closed {
        /// What the library said.
        cause: String,
    },
    /// It does not fit into a packet.
    #[error("a datagram of {bytes} bytes where {max} fit: send less, or a request")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The most bytes that fit now.
        max: usize,
    },
    /// The other side takes no datagrams.
    #[error("the other side takes no datagrams: send a request")]
    Unsupported,
}

impl Classify for DatagramError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } | Self::Unsupported => ErrorKind::Invalid,
        }
    }
}
