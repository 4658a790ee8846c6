//! Why a server does not serve.

use std::net::SocketAddr;
use std::path::PathBuf;

use netdb::base::{Classify, ErrorKind};

/// Why a server could not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be had.
    #[error(
        "cannot listen on {address}: {source}; free it, or choose another with --listen-http or --port-base"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An address off loopback lacks TLS or authentication.
    #[error("{message}")]
    Exposed {
        /// What it needs.
        message: String,
    },
    /// Certificate or key cannot be used.
    #[error("TLS file `{}`: {message}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// The threads for SQL could not be started.
    #[error("cannot start threads: {source}")]
    Threads {
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] netdb::Error),
    /// The file for local clients could not be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Closing the database failed; what was acknowledged as durable is.
    #[error("closing failed: {source}; the next opening puts the end of the log in order")]
    Close {
        /// Why.
        source: netdb::Error,
    },
}

impl Classify for ServeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Bind { source, .. } | Self::Local { source, .. } | Self::Threads { source } => {
                Classify::kind(source)
            }
            Self::Exposed { .. } | Self::Tls { .. } => ErrorKind::Invalid,
            Self::Open(source) | Self::Close { source } => source.kind(),
        }
    }
}

/// How a server stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Connections that were cut, since they were not done in time.
    pub connections_cut: usize,
}
