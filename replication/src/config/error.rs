//! What can be wrong with a configuration.

use base::{Classify, ErrorKind, NodeId};

use super::{FACTOR_MAX, Fraction, HEARTBEAT_MS, INTENT_BYTES_MAX};

/// A configuration that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Fewer replicas than one.
    #[error("factor {factor} is below 1: a log is held somewhere")]
    FactorBelowMin {
        /// The factor.
        factor: u8,
    },
    /// More replicas than can be.
    #[error("factor {factor} is above {FACTOR_MAX}: name fewer replicas")]
    FactorAboveMax {
        /// The factor.
        factor: u8,
    },
    /// Heartbeats that come too often.
    #[error("heartbeat-ms {heartbeat_ms} is below {}: beat less often", HEARTBEAT_MS.start())]
    HeartbeatTooLow {
        /// The time between two.
        heartbeat_ms: u64,
    },
    /// Heartbeats that come too rarely.
    #[error("heartbeat-ms {heartbeat_ms} is above {}: beat more often", HEARTBEAT_MS.end())]
    HeartbeatTooHigh {
        /// The time between two.
        heartbeat_ms: u64,
    },
    /// A pinned placement without nodes.
    #[error("a pinned placement names no node: name 1 to {FACTOR_MAX}")]
    PinnedSetEmpty,
    /// A pinned placement on too many nodes.
    #[error("a pinned placement names {nodes} nodes: name 1 to {FACTOR_MAX}")]
    PinnedSetTooLarge {
        /// How many.
        nodes: usize,
    },
    /// A node that is named twice.
    #[error("a pinned placement names node {node} twice: name each once")]
    PinnedSetDuplicate {
        /// The node.
        node: NodeId,
    },
    /// A leader that does not hold the log.
    #[error(
        "node {leader} is to lead, but the pinned placement does not name it: add it, or pin another leader"
    )]
    LeaderPinnedOutsidePinnedSet {
        /// The node.
        leader: NodeId,
    },
    /// A strict colocation with nothing.
    #[error(
        "a colocation-strict placement does not say with what: name a log or a channel as `colocate-with-strict` in `placement-metadata`"
    )]
    ColocationStrictWithoutChain,
    /// What a log is to be with is no name.
    #[error("`{key}` is `{value}`, which names neither a log nor a channel: write a name such as `orders`")]
    PlacementChainInvalid {
        /// `colocate-with` or `colocate-with-strict`.
        key: &'static str,
        /// What was given.
        value: String,
    },
    /// A log is to be with another one, and its placement does not look at that.
    #[error(
        "`{key}` is not looked at with this placement: leave it out, or take the placement `{placement}`"
    )]
    PlacementChainUnused {
        /// `colocate-with` or `colocate-with-strict`.
        key: &'static str,
        /// The placement that looks at it.
        placement: &'static str,
    },
    /// An intent that is too long.
    #[error("an intent of {bytes} bytes: write at most {INTENT_BYTES_MAX}")]
    IntentTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A log that gives nothing up is to give up its oldest entries.
    #[error(
        "on-under-capacity is `evict-oldest`, and the log keeps everything: give it a retention, or say `withdraw`"
    )]
    EvictOldestWithoutRetention,
    /// No part, or more than the whole, for catching up.
    #[error(
        "replication-budget-fraction {fraction} is not above 0 and at most 1: it is a part of the node's peak"
    )]
    BudgetFractionOutOfRange {
        /// The fraction.
        fraction: Fraction,
    },
    /// The whole, or more, for what is in the background.
    #[error(
        "background-fraction {fraction} is not below 1: leave a part of the budget to what is in the foreground"
    )]
    BackgroundFractionOutOfRange {
        /// The fraction.
        fraction: Fraction,
    },
}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
