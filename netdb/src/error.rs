//! The one error of this crate.

use std::fmt;

use base::{Classify, ErrorKind};

/// What went wrong: a kind that says what the caller can do, a text that names the next step, and the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Returns what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    fn of<E: std::error::Error + Classify + Send + Sync + 'static>(error: E) -> Self {
        Self { kind: error.kind(), message: error.to_string(), source: Some(Box::new(error)) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The text is the source's own, so that what follows is the source's source.
        self.source.as_ref().and_then(|source| source.source())
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

macro_rules! from {
    ($($error:ty),+) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::of(error)
            }
        })+
    };
}

from!(base::ChannelNameError, redex::OpenError, redex::AppendError, redex::ReadError);
from!(redex::LogNameError, redex::PlaceError, blob::BlobError);
from!(cortex::OpenError, cortex::FoldStopped, cortex::WaitError, cortex::WriteError);
#[cfg(feature = "cluster")]
from!(
    net::BindError,
    net::ConnectError,
    net::GossipError,
    net::JoinError,
    net::TicketError,
    replication::ConfigError
);
#[cfg(feature = "cluster")]
from!(
    replication::ConsensusError,
    replication::RepairError,
    replication::control::ChangeError,
    base::IdentityError
);
#[cfg(feature = "sql")]
from!(meshdb::QueryError, meshdb::ModelTableError);
