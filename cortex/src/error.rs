//! The errors of this crate, one enum for each family of operations.

use base::{ChannelName, Classify, ErrorKind, IncarnationId, LogId, Position, Seq};

/// Why a fold does not go on. Its state is that before the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldStopped {
    /// The log was closed.
    #[error("the log of model `{model}` is closed: open it again")]
    Closed {
        /// The model.
        model: String,
    },
    /// An event could not be applied, and the policy is to stop.
    #[error(
        "model `{model}` stopped at event {seq} of channel `{channel}`: {reason}; \
         open it with a fold that accepts the event, or with the policy that skips and records"
    )]
    Event {
        /// The model.
        model: String,
        /// The event's channel.
        channel: ChannelName,
        /// The event.
        seq: Seq,
        /// What is wrong with it.
        reason: String,
    },
    /// The fold panicked; its state cannot be trusted.
    #[error(
        "model `{model}` panicked at event {seq} of channel `{channel}`: {message}; \
         mend the fold and open it again: the log is whole"
    )]
    Panicked {
        /// The model.
        model: String,
        /// The event's channel.
        channel: ChannelName,
        /// The event.
        seq: Seq,
        /// What the panic said.
        message: String,
    },
    /// The log could not be read.
    #[error("model `{model}` cannot read its log behind position {position}: {cause}")]
    Read {
        /// The model.
        model: String,
        /// Everything below was folded.
        position: Position,
        /// Why.
        cause: String,
        /// What can be done about it.
        kind: ErrorKind,
    },
}

impl Classify for FoldStopped {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed { .. } => ErrorKind::Closed,
            Self::Event { .. } => ErrorKind::Invalid,
            Self::Panicked { .. } => ErrorKind::Internal,
            Self::Read { kind, .. } => *kind,
        }
    }
}

/// Why a wait for a token is over without the write being in the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The token is of another log.
    #[error("the token is of log {token}, the model folds log {own}: wait where it was written")]
    WrongLog {
        /// The token's log.
        token: LogId,
        /// The model's log.
        own: LogId,
    },
    /// The token's position is not in the log any more: it was never durable, and a crash took it.
    #[error(
        "position {position} of incarnation {incarnation} was lost before it was durable: write it again"
    )]
    Lost {
        /// The token's incarnation.
        incarnation: IncarnationId,
        /// The token's position.
        position: Position,
    },
    /// So many wait already.
    #[error("{max} wait for this model already: try again later")]
    QueueFull {
        /// The limit.
        max: usize,
    },
    /// The deadline is over.
    #[error("not folded in time: at {folded}, wanted {wanted}; wait longer, or look at the model's lag")]
    Timeout {
        /// The token's position.
        wanted: Position,
        /// Everything below is folded.
        folded: Position,
    },
    /// The write's own event was skipped.
    #[error("event {seq} of channel `{channel}` was skipped: {reason}")]
    Skipped {
        /// The event's channel.
        channel: ChannelName,
        /// The event.
        seq: Seq,
        /// What is wrong with it.
        reason: String,
    },
    /// The fold stopped before it.
    #[error("{stopped}")]
    Stopped {
        /// Everything below is folded.
        folded: Position,
        /// Why.
        stopped: FoldStopped,
    },
}

impl Classify for WaitError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongLog { .. } => ErrorKind::Invalid,
            Self::Lost { .. } => ErrorKind::NotFound,
            Self::QueueFull { .. } | Self::Timeout { .. } => ErrorKind::Unavailable,
            Self::Skipped { .. } => ErrorKind::Invalid,
            Self::Stopped { stopped, .. } => stopped.kind(),
        }
    }
}

/// Why a model could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The runner has begun to fold.
    #[error("model `{model}` comes too late: add models before the runner is started")]
    Started {
        /// The model.
        model: String,
    },
    /// A model is to go on from a state that includes what the log does not have.
    #[error(
        "model `{model}` stands at position {position}, but the log ends at {visible}: fold it from the log instead"
    )]
    Ahead {
        /// The model.
        model: String,
        /// What its state includes.
        position: Position,
        /// What the log has.
        visible: Position,
    },
    /// The log does not have the events any more that the state would be made of.
    #[error(
        "model `{model}` needs the log from position {wanted} on, which begins at {begins} by now: open it from a \
         snapshot or a checkpoint that includes what is gone"
    )]
    BeforeHistory {
        /// The model.
        model: String,
        /// Where it would go on.
        wanted: Position,
        /// Where the log begins.
        begins: Position,
    },
    /// There is a model of this name.
    #[error("there is a model `{model}` already: give the other one another name")]
    Twice {
        /// The model.
        model: String,
    },
}

impl Classify for OpenError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::BeforeHistory { .. } => ErrorKind::NotFound,
            Self::Started { .. } | Self::Ahead { .. } | Self::Twice { .. } => ErrorKind::Invalid,
        }
    }
}
