//! How a command ends: the exit codes of the contract, and failures with the text that a person reads.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use netdb::base::{Classify, ErrorKind};
use netdb::redex::{AppendError, Rejection};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Corrupt = 5,
    Unavailable = 6,
    Denied = 7,
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Corrupt => Self::Corrupt,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Denied => Self::Denied,
            _ => Self::Failed,
        }
    }
}

/// Why a command did not do what it was asked to. An empty message ends the process without a word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// Ends the process with `code` and without a message.
    pub(crate) fn silent(code: Code) -> Self {
        Self { code, message: String::new() }
    }

    /// Says what was being done when the failure was met. A silent failure stays silent.
    pub(crate) fn context(mut self, what: impl fmt::Display) -> Self {
        if !self.message.is_empty() {
            self.message = format!("{what}: {}", self.message);
        }
        self
    }

    /// Adds what the caller can do next.
    pub(crate) fn hint(mut self, next_step: impl fmt::Display) -> Self {
        if !self.message.is_empty() {
            self.message = format!("{}; {next_step}", self.message);
        }
        self
    }

    /// A failure of the system on something that the caller named, such as an input file.
    pub(crate) fn system(error: &io::Error, what: impl fmt::Display) -> Self {
        let code = if error.kind() == io::ErrorKind::NotFound { Code::NotFound } else { Code::Failed };
        Self::new(code, format!("{what}: {}", describe(error)))
    }
}

impl<E: Error + Classify + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let code = code_of(&error, error.kind());
        if code == Code::Ok {
            return Self::silent(code);
        }
        Self::new(code, describe(&error))
    }
}

/// The kind decides, but for causes in the system that no retry and no other credentials would change.
fn code_of(error: &(dyn Error + 'static), kind: ErrorKind) -> Code {
    if let Some(AppendError::Rejected { reason: Rejection::DiskFull, .. }) = error.downcast_ref() {
        return Code::Failed;
    }
    let direct = error.is::<io::Error>();
    match system_cause(error) {
        Some(io::ErrorKind::BrokenPipe) if direct => Code::Ok,
        Some(_) if direct => Code::Failed,
        Some(
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory,
        ) => Code::Failed,
        _ => kind.into(),
    }
}

fn system_cause(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    chain(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// The texts of an error and its causes in one line, leaving out what was said already.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut message = String::new();
    for cause in chain(error) {
        let text = cause.to_string();
        if message.is_empty() {
            message = text;
        } else if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the log")]
    struct Outer {
        kind: ErrorKind,
        source: Option<io::Error>,
    }

    impl Classify for Outer {
        fn kind(&self) -> ErrorKind {
            self.kind
        }
    }

    fn failure(kind: ErrorKind, source: Option<io::ErrorKind>) -> Failure {
        Outer { kind, source: source.map(Into::into) }.into()
    }

    #[test]
    fn the_kind_decides_the_code() {
        let code = |kind| failure(kind, None).code;
        assert_eq!(code(ErrorKind::Invalid), Code::Failed);
        assert_eq!(code(ErrorKind::NotFound), Code::NotFound);
        assert_eq!(code(ErrorKind::Conflict), Code::Conflict);
        assert_eq!(code(ErrorKind::Corrupt), Code::Corrupt);
        assert_eq!(code(ErrorKind::Unavailable), Code::Unavailable);
        assert_eq!(code(ErrorKind::Denied), Code::Denied);
        assert_eq!(code(ErrorKind::Internal), Code::Failed);
    }

    #[test]
    fn a_full_disk_and_an_unreadable_directory_are_plain_failures() {
        for cause in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied] {
            assert_eq!(failure(ErrorKind::Unavailable, Some(cause)).code, Code::Failed);
        }
        assert_eq!(failure(ErrorKind::Unavailable, Some(io::ErrorKind::WouldBlock)).code, Code::Unavailable);
    }

    #[test]
    fn an_append_that_finds_the_disk_full_is_a_plain_failure() {
        let position = netdb::base::Position::ZERO;
        let failure = Failure::from(AppendError::Rejected { reason: Rejection::DiskFull, position });
        assert_eq!(failure.code, Code::Failed);
    }

    #[test]
    fn a_closed_output_ends_without_a_word() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.context("writing"), Failure::silent(Code::Ok));
    }

    #[test]
    fn causes_are_told_once() {
        let failure = failure(ErrorKind::Unavailable, Some(io::ErrorKind::StorageFull));
        assert_eq!(failure.message, "cannot open the log: no storage space");
    }
}
