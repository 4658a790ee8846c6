//! What a caller can do about an error.

/// The class of an error: what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong; change it.
    Invalid,
    /// What was named does not exist.
    NotFound,
    /// The state is not what the call expected; read again, then retry.
    Conflict,
    /// Not possible at the moment; retry later.
    Unavailable,
    /// Stored bytes are damaged; stop, then repair or restore.
    Corrupt,
    /// A newer owner exists; this handle is void.
    Fenced,
    /// The caller may not do this.
    Denied,
    /// The handle was closed.
    Closed,
    /// A defect of this software; report it.
    Internal,
}

impl ErrorKind {
    /// Returns the name used in output and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Fenced => "fenced",
            Self::Denied => "denied",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Implemented by every public error.
///
/// # Contract
///
/// The kind depends on the error's own content only, so that equal errors are handled alike everywhere.
pub trait Classify {
    /// Returns what the caller can do about this error.
    fn kind(&self) -> ErrorKind;
}

impl Classify for std::io::Error {
    fn kind(&self) -> ErrorKind {
        use std::io::ErrorKind as Io;
        match std::io::Error::kind(self) {
            Io::NotFound => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::Denied,
            Io::AlreadyExists => ErrorKind::Conflict,
            Io::InvalidInput => ErrorKind::Invalid,
            Io::InvalidData | Io::UnexpectedEof => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        }
    }
}
