//! The errors of this crate, one enum for each family of operations.

use std::io;
use std::path::{Path, PathBuf};

use base::{ChannelName, Classify, ErrorKind, IdentityError, Index, OriginId, Position, Seq, Timestamp};

use crate::LogName;
use crate::outcome::Rejection;

/// Damaged bytes: where, what was expected, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` at offset {offset}: expected {expected}, found {found}", file.display())]
pub struct Corruption {
    /// The damaged file.
    pub file: PathBuf,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// Why an append did not happen, or not surely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Something of the append is too long.
    #[error(
        "{what} is too large: {bytes}, at most {max} allowed; store large values elsewhere and refer to them"
    )]
    TooLarge {
        /// What is too long.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Something of the append must not be empty.
    #[error("{what} is empty: give one")]
    Empty {
        /// What is empty.
        what: &'static str,
    },
    /// A channel configuration is not valid.
    #[error("configuration of channel `{channel}`: {fault}")]
    Config {
        /// The channel.
        channel: ChannelName,
        /// What is wrong.
        fault: String,
    },
    /// A typed value could not be encoded.
    #[error("encode a value for channel `{channel}`: {cause}")]
    Encode {
        /// The channel.
        channel: ChannelName,
        /// What the encoder said.
        cause: String,
    },
    /// An append over channels of several logs would not be atomic.
    #[error(
        "channel `{first}` is in log `{log}` and channel `{second}` in log `{other}`: append to them one after the other"
    )]
    SeveralLogs {
        /// A channel of the request.
        first: ChannelName,
        /// Its log.
        log: LogName,
        /// Another channel of the request.
        second: ChannelName,
        /// The log of that one.
        other: LogName,
    },
    /// The append is surely not in the log.
    #[error("{reason}")]
    Rejected {
        /// Why.
        reason: Rejection,
        /// The position that the decision was made at.
        position: Position,
    },
    /// The append may or may not be in the log.
    #[error("outcome unknown: {cause}; reopen the log and append again with the same key")]
    Unknown {
        /// What happened.
        cause: String,
    },
    /// An earlier failure made it unknown what the disk holds.
    #[error("the log takes no appends since {cause}; reopen it, which verifies its end")]
    Poisoned {
        /// The failure.
        cause: String,
    },
    /// What came over a network is no request.
    #[error(transparent)]
    Exchange(#[from] crate::exchange::ExchangeError),
    /// The log was closed.
    #[error("the log is closed: open it again")]
    Closed,
    /// The log was opened for reading.
    #[error("the log was opened for reading only: open it for writing")]
    ReadOnly,
}

impl Classify for AppendError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. }
            | Self::Empty { .. }
            | Self::Config { .. }
            | Self::Encode { .. }
            | Self::SeveralLogs { .. }
            | Self::Exchange(_) => ErrorKind::Invalid,
            Self::Rejected { reason, .. } => reason.kind(),
            Self::Unknown { .. } | Self::Poisoned { .. } => ErrorKind::Unavailable,
            Self::Closed => ErrorKind::Closed,
            Self::ReadOnly => ErrorKind::Denied,
        }
    }
}

impl Classify for Rejection {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ConditionFailed { .. }
            | Self::ConfigMismatch { .. }
            | Self::KeyReused { .. }
            | Self::Moved { .. }
            | Self::Elsewhere { .. }
            | Self::StaleProducer { .. } => ErrorKind::Conflict,
            Self::Unplaced { .. } | Self::BlobMissing { .. } => ErrorKind::NotFound,
            Self::ClockLeap { .. }
            | Self::KeysFull { .. }
            | Self::DiskFull
            | Self::WriteFailed { .. }
            | Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }
}

/// Why a channel could not be placed in a log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// There is no log of the name.
    #[error("there is no log `{log}`: create it, or name one that there is")]
    NoLog {
        /// The name.
        log: LogName,
    },
    /// There is no channel of the name.
    #[error("there is no channel `{channel}`: create it by appending to it")]
    NoChannel {
        /// The name.
        channel: ChannelName,
    },
    /// The log exists with another configuration.
    #[error("log `{log}` exists with another configuration: use it as it is, or another name")]
    ConfigMismatch {
        /// The log.
        log: LogName,
    },
    /// The log takes one channel only, and has another.
    #[error("log `{log}` is for one channel, and has `{has}`: choose another log for `{channel}`")]
    OneChannel {
        /// The log.
        log: LogName,
        /// The channel that it has.
        has: ChannelName,
        /// The channel that was to be placed there.
        channel: ChannelName,
    },
    /// The channel was in that log before, where its numbers end.
    #[error("channel `{channel}` left log `{log}` and cannot come back: choose a log that it was not in")]
    WasThere {
        /// The channel.
        channel: ChannelName,
        /// The log.
        log: LogName,
    },
    /// A limit that is of no use.
    #[error("the configuration of log `{log}`: {fault}")]
    Config {
        /// The log.
        log: LogName,
        /// What is wrong.
        fault: String,
    },
    /// The entry that says so was not written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log could not be made.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Classify for PlaceError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLog { .. } | Self::NoChannel { .. } => ErrorKind::NotFound,
            Self::ConfigMismatch { .. } | Self::OneChannel { .. } | Self::WasThere { .. } => {
                ErrorKind::Conflict
            }
            Self::Config { .. } => ErrorKind::Invalid,
            Self::Append(error) => error.kind(),
            Self::Open(error) => error.kind(),
        }
    }
}

/// Why a log or a node's directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another writer holds the directory.
    #[error("`{}` is locked by another writer{}: stop it, or read beside it", dir.display(), owner_text(owner))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who says to hold it.
        owner: Option<Owner>,
    },
    /// The directory holds data already.
    #[error("`{}` is initialised already: open it instead", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no data in the directory.
    #[error("`{}` holds no data: create it by `net-db init` or by writing to it", dir.display())]
    NotInitialised {
        /// The directory.
        dir: PathBuf,
    },
    /// There are logs but no key.
    #[error("`{}` is missing though there are logs: restore it from a backup", path.display())]
    IdentityMissing {
        /// The key's file.
        path: PathBuf,
    },
    /// The key does not belong to the log.
    #[error(
        "identity file `{}` belongs to origin {found}, but the log was begun by {expected}: restore the right file",
        path.display()
    )]
    IdentityMismatch {
        /// The key's file.
        path: PathBuf,
        /// The log's origin.
        expected: OriginId,
        /// The key's origin.
        found: OriginId,
    },
    /// The key's file cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file is not ours, or damaged beyond repair.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// A file was written by a version of the software that knows another format.
    #[error(
        "`{}` has {found}, and this software knows {known}: open it by the software that wrote it, or export there and import here",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The version or the features that it has.
        found: String,
        /// The version that can be read here.
        known: String,
    },
    /// The clock is behind the log.
    #[error("the clock shows {now}, but the log was last written at {last}: set the clock right")]
    ClockBehind {
        /// What the clock shows.
        now: Timestamp,
        /// The time of the newest entry.
        last: Timestamp,
    },
    /// Settings are out of range.
    #[error("settings: {}", faults.join("; "))]
    Options {
        /// Every fault, naming its key.
        faults: Vec<String>,
    },
    /// The operating system refused.
    #[error("open `{}`: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

fn owner_text(owner: &Option<Owner>) -> String {
    owner.as_ref().map_or_else(String::new, |owner| format!(" (process {} on {})", owner.pid, owner.host))
}

/// Who says to hold a lock; information only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub pid: u32,
    /// The host.
    pub host: String,
}

impl OpenError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl Classify for OpenError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Locked { .. } | Self::ClockBehind { .. } => ErrorKind::Unavailable,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::NotInitialised { .. } => ErrorKind::NotFound,
            Self::IdentityMissing { .. } | Self::IdentityMismatch { .. } => ErrorKind::Denied,
            Self::Identity(error) => error.kind(),
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Options { .. } | Self::Format { .. } => ErrorKind::Invalid,
            Self::Io { source, .. } => Classify::kind(source),
        }
    }
}

/// Why events were not redacted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedactError {
    /// There is no such channel.
    #[error("there is no channel `{channel}`: look at the channels of the log")]
    NoChannel {
        /// The channel.
        channel: ChannelName,
    },
    /// The channel was not created erasable.
    #[error(
        "channel `{channel}` is not erasable, so that its events stay: write what is to be redacted later to a channel that is created so"
    )]
    NotErasable {
        /// The channel.
        channel: ChannelName,
    },
    /// No events were named.
    #[error("no events of channel `{channel}` are named: give their sequence numbers")]
    Empty {
        /// The channel.
        channel: ChannelName,
    },
    /// An event is not in the log: not yet, not any more, or lost.
    #[error("event {seq} is not in channel `{channel}`, which has {first} to below {next}")]
    NotThere {
        /// The channel.
        channel: ChannelName,
        /// The first event that is not there.
        seq: Seq,
        /// The first event that is kept.
        first: Seq,
        /// The number of the next event.
        next: Seq,
    },
    /// More is asked for than is done in one go.
    #[error("{what} is too large: {count}, at most {max} in one redaction; redact in several steps")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The redaction was not put on record; nothing was taken out.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What is to be taken out could not be read; nothing was taken out.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The redaction is on record, and readers see no content any more, but some of it may still be on disk. The
    /// log takes no more appends until it was opened again.
    #[error("redaction recorded but not finished: {cause}; reopen the log, which finishes it")]
    Unfinished {
        /// What happened.
        cause: String,
    },
}

impl Classify for RedactError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoChannel { .. } | Self::NotThere { .. } => ErrorKind::NotFound,
            Self::NotErasable { .. } | Self::Empty { .. } | Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::Append(error) => error.kind(),
            Self::Read(error) => Classify::kind(error),
            Self::Unfinished { .. } => ErrorKind::Unavailable,
        }
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The range crosses entries that were lost to corruption.
    #[error("entries {first} to {last} were lost to corruption: skip holes to read on, or restore a backup")]
    Hole {
        /// The first lost entry.
        first: Index,
        /// The last lost entry.
        last: Index,
    },
    /// The log has given up its beginning.
    #[error("the log keeps nothing below position {first} any more: read from there on")]
    Trimmed {
        /// What the first entry that is kept is behind.
        first: Position,
    },
    /// Stored bytes are damaged.
    #[error("{0}: run `net-db log verify`")]
    Corrupt(Corruption),
    /// A typed value could not be decoded.
    #[error("decode event {seq} of channel `{channel}`: {cause}")]
    Decode {
        /// The channel.
        channel: ChannelName,
        /// The event.
        seq: base::Seq,
        /// What the decoder said.
        cause: String,
    },
    /// The event was taken out of the log, so that it has no value.
    #[error("event {seq} of channel `{channel}` was redacted: pass over it")]
    Redacted {
        /// The channel.
        channel: ChannelName,
        /// The event.
        seq: base::Seq,
    },
    /// The operating system refused.
    #[error("read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl ReadError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<Corruption> for ReadError {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(corruption)
    }
}

impl Classify for ReadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Hole { .. } | Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Trimmed { .. } | Self::Redacted { .. } => ErrorKind::NotFound,
            Self::Decode { .. } => ErrorKind::Invalid,
            Self::Io { source, .. } => Classify::kind(source),
        }
    }
}
