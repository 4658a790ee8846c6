//! What becomes of an append: acknowledgement levels, places and outcomes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base::{ChannelName, Hash, Index, Position, Seq, Timestamp};

use crate::LogName;
use crate::error::AppendError;

/// How safe an append must be before its caller goes on. The levels are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Ack {
    /// In memory: lost with the process.
    Staged,
    /// In the operating system: survives a crash of the process.
    Written,
    /// On stable storage (`fdatasync` returned): survives a power failure.
    #[default]
    Durable,
}

impl Ack {
    /// Returns the name used everywhere: `staged`, `written` or `durable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Written => "written",
            Self::Durable => "durable",
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Ack {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Staged, Self::Written, Self::Durable]
            .into_iter()
            .find(|ack| ack.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no acknowledgement level: give staged, written or durable"))
    }
}

/// Consecutive events of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChannelRange {
    /// The channel.
    pub channel: ChannelName,
    /// The first event's number.
    pub first: Seq,
    /// How many events.
    pub count: u64,
}

impl ChannelRange {
    /// Returns the number behind the last event's.
    pub fn next(&self) -> Seq {
        self.first.plus(self.count)
    }
}

/// Where an append stands in its log. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct At {
    /// The index of its entry.
    pub index: Index,
    ranges: Ranges,
}

/// One range, the usual number, is kept in place.
#[derive(Debug, Clone)]
enum Ranges {
    One([ChannelRange; 1]),
    Many(Arc<[ChannelRange]>),
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.ranges() == other.ranges()
    }
}

impl Eq for At {}

impl At {
    pub(crate) fn one(index: Index, range: ChannelRange) -> Self {
        Self { index, ranges: Ranges::One([range]) }
    }

    pub(crate) fn many(index: Index, ranges: Vec<ChannelRange>) -> Self {
        Self { index, ranges: Ranges::Many(ranges.into()) }
    }

    /// Returns the numbers that the append's events got, in the order of the append.
    pub fn ranges(&self) -> &[ChannelRange] {
        match &self.ranges {
            Ranges::One(range) => range,
            Ranges::Many(ranges) => ranges,
        }
    }

    /// Returns the number of the append's first event; `None` for an append without events.
    pub fn first_seq(&self) -> Option<Seq> {
        self.ranges().first().map(|range| range.first)
    }

    /// Returns the position that includes the append.
    pub fn position(&self) -> Position {
        self.index.position_after()
    }
}

/// What a condition demands of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Expect {
    /// Nothing.
    #[default]
    Any,
    /// The channel does not exist.
    NoChannel,
    /// The channel exists.
    Exists,
    /// The channel exists and its next event gets this number; 0 for an existing empty channel.
    Exact(Seq),
}

impl Expect {
    /// Tells whether a channel whose next number is `next` (`None`: it does not exist) is as demanded.
    pub(crate) fn holds(self, next: Option<Seq>) -> bool {
        match self {
            Self::Any => true,
            Self::NoChannel => next.is_none(),
            Self::Exists => next.is_some(),
            Self::Exact(seq) => next == Some(seq),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::NoChannel => f.write_str("none"),
            Self::Exists => f.write_str("exists"),
            Self::Exact(seq) => seq.fmt(f),
        }
    }
}

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "any" => Ok(Self::Any),
            "none" => Ok(Self::NoChannel),
            "exists" => Ok(Self::Exists),
            _ => text
                .parse()
                .map(|seq| Self::Exact(Seq(seq)))
                .map_err(|_| format!("`{text}` is no expectation: give any, none, exists or a number")),
        }
    }
}

/// Why an append is surely not in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A condition does not hold.
    #[error(
        "channel `{channel}` is not as expected: expected {expected}, found {}; read it again and retry",
        found(actual)
    )]
    ConditionFailed {
        /// The channel.
        channel: ChannelName,
        /// What was demanded.
        expected: Expect,
        /// The number that its next event would get; `None` when there is no such channel.
        actual: Option<Seq>,
    },
    /// The channel exists with another configuration.
    #[error("channel `{channel}` exists with another configuration: use it as it is, or another name")]
    ConfigMismatch {
        /// The channel.
        channel: ChannelName,
    },
    /// The idempotency key was used for another append.
    #[error("idempotency key `{key}` was used for other content: use a new key for a new append")]
    KeyReused {
        /// The key.
        key: String,
        /// Where the append that used it stands.
        at: Box<At>,
    },
    /// The producer has appended this number, or a later one, already.
    #[error("producer `{id}` is at number {last}, not below {number}: read its state and go on behind it")]
    StaleProducer {
        /// The producer.
        id: String,
        /// The number of the refused append.
        number: u64,
        /// The producer's last number.
        last: u64,
    },
    /// The channel left the log.
    #[error("channel `{channel}` goes on in log `{to}`: append there, or let the store find it")]
    Moved {
        /// The channel.
        channel: ChannelName,
        /// The log that it goes on in.
        to: LogName,
    },
    /// A channel of the name lives in another log.
    #[error("channel `{channel}` lives in log `{log}`: append there, or use another name")]
    Elsewhere {
        /// The channel.
        channel: ChannelName,
        /// Where it lives.
        log: LogName,
    },
    /// The log takes only channels that were placed in it.
    #[error("log `{log}` has no channel `{channel}`: place it there by creating or moving it")]
    Unplaced {
        /// The channel.
        channel: ChannelName,
        /// The log.
        log: LogName,
    },
    /// The wall clock leapt.
    #[error(
        "the wall clock shows {now} where {expected} was due: set the clock right, or reopen the log to accept it"
    )]
    ClockLeap {
        /// What the clock shows.
        now: Timestamp,
        /// What it should show by the monotonic clock.
        expected: Timestamp,
    },
    /// The newest records of all keys of a keyed log would be too large together.
    #[error(
        "the keys of the log would take {bytes} bytes, at most {max} are allowed: delete some, or allow more"
    )]
    KeysFull {
        /// What they would take, at most.
        bytes: u64,
        /// What is allowed.
        max: u64,
    },
    /// An event refers to bytes that are not held.
    #[error("blob {hash} of {bytes} bytes is not held: put it first, then append again")]
    BlobMissing {
        /// The hash that names them.
        hash: Hash,
        /// How many there are, as the reference says.
        bytes: u64,
    },
    /// The disk is full.
    #[error("the disk is full: free some space and append again")]
    DiskFull,
    /// Nobody who could have put it in order was reached in time.
    #[error("nobody put it in order ({cause}); append again")]
    Unavailable {
        /// What was in the way.
        cause: String,
    },
    /// Writing failed; the bytes were taken back.
    #[error("writing the log failed: {cause}; append again")]
    WriteFailed {
        /// What the operating system said.
        cause: String,
    },
}

fn found(actual: &Option<Seq>) -> String {
    actual.map_or_else(|| "no such channel".to_owned(), |seq| seq.to_string())
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is in the log, as safe as was asked.
    Appended {
        /// Where.
        at: At,
    },
    /// An earlier append with the same key or producer number is in the log, as safe as was asked.
    AlreadyAppended {
        /// Where the earlier one stands.
        at: At,
    },
    /// It is surely not in the log.
    Rejected {
        /// Why.
        reason: Rejection,
        /// The position of the log that the decision was made at.
        position: Position,
    },
    /// It may or may not be in the log: ask again with the same key.
    Unknown {
        /// What happened.
        cause: String,
    },
}

/// An append that is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Where it stands.
    pub at: At,
    /// Whether it was there before, by an earlier append with the same key or producer number.
    pub already: bool,
}

impl Outcome {
    /// Returns where the append stands, if it is in the log.
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::Appended { at } | Self::AlreadyAppended { at } => Some(at),
            Self::Rejected { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Turns the two outcomes that are in the log into a value and the others into an error.
    ///
    /// # Errors
    ///
    /// [`AppendError::Rejected`] and [`AppendError::Unknown`].
    pub fn into_result(self) -> Result<Appended, AppendError> {
        match self {
            Self::Appended { at } => Ok(Appended { at, already: false }),
            Self::AlreadyAppended { at } => Ok(Appended { at, already: true }),
            Self::Rejected { reason, position } => Err(AppendError::Rejected { reason, position }),
            Self::Unknown { cause } => Err(AppendError::Unknown { cause }),
        }
    }
}
