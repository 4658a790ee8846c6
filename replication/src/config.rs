//! How a log is replicated.

mod change;
mod error;
mod fraction;
mod keeping;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use base::{ChannelName, NodeId};
use redex::{LogName, Retention};
use serde::{Deserialize, Serialize};

pub use change::ConfigChange;
pub use error::ConfigError;
pub use fraction::{Fraction, FractionError};

use crate::raft::Timing;

/// Replicas of a log at most.
pub const FACTOR_MAX: u8 = 16;
/// The shortest and the longest time between two heartbeats, in milliseconds.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 100..=300_000;
/// The longest intent.
const INTENT_BYTES_MAX: usize = 256;
/// What of a node's peak catching up takes unless it is said.
const BUDGET_FRACTION: Fraction = Fraction::from_millionths(500_000);
/// What of the budget what is in the background takes unless it is said.
const BACKGROUND_FRACTION: Fraction = Fraction::from_millionths(300_000);

/// How a log is replicated. Channels of equal configuration share one log and one group.
///
/// As JSON it has keys such as `heartbeat-ms`. Those behind `leader-pinned` are written only where they are not the default,
/// so that nodes which do not know them read what does not use them.
///
/// # Examples
///
/// ```
/// let config = replication::ReplicationConfig { factor: 5, ..Default::default() };
/// assert!(config.validate().is_ok());
/// let none = replication::ReplicationConfig { factor: 0, ..Default::default() };
/// assert_eq!(none.validate(), Err(replication::ConfigError::FactorBelowMin { factor: 0 }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReplicationConfig {
    /// How many nodes hold the log; 1 to 16. A pinned placement has as many as it names, one of strict colocation as many as
    /// the log that it is with. Default: 3.
    pub factor: u8,
    /// How often the leader tells that it is there, in milliseconds; 100 to 300,000. A follower that has heard nothing for
    /// 6 to 7 times as long stands for election. Default: 100.
    pub heartbeat_ms: u64,
    /// On which nodes. Default: on those with the fewest replicas.
    pub placement: Placement,
    /// The node that is to lead while it can. Default: none.
    pub leader_pinned: Option<NodeId>,
    /// How much of its past the log keeps: `events` at least, `bytes` of segment files at most, `age-ms` at least; whole
    /// segments go on all replicas, as committed by the leader. Default: everything.
    #[serde(with = "keeping", skip_serializing_if = "Retention::is_unlimited")]
    pub retention: Retention,
    /// What the log is to be with, and what it is for. Default: nothing.
    #[serde(skip_serializing_if = "PlacementMetadata::is_empty")]
    pub placement_metadata: PlacementMetadata,
    /// What a replica does whose disk is full. Default: it takes no part until there is room.
    #[serde(skip_serializing_if = "UnderCapacity::is_default")]
    pub on_under_capacity: UnderCapacity,
    /// The part of its peak that a node takes, as leader, to bring replicas of the log up that are behind; above 0, at most 1.
    /// Of use where the node's peak is known. More is sooner as safe as before, less leaves more of the network to what is
    /// new. Default: 0.5.
    #[serde(skip_serializing_if = "is_budget_fraction")]
    pub replication_budget_fraction: Fraction,
    /// Whether bringing them up goes before that of other logs, or behind it. Default: foreground.
    #[serde(skip_serializing_if = "BandwidthClass::is_default")]
    pub default_bandwidth_class: BandwidthClass,
    /// The part of the budget that is for the background: it waits while more than that is in use. From 0, which leaves it
    /// what nothing else uses for a minute, to below 1. Default: 0.3.
    #[serde(skip_serializing_if = "is_background_fraction")]
    pub background_fraction: Fraction,
}

fn is_budget_fraction(fraction: &Fraction) -> bool {
    *fraction == BUDGET_FRACTION
}

fn is_background_fraction(fraction: &Fraction) -> bool {
    *fraction == BACKGROUND_FRACTION
}

/// On which nodes a log is held.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// On those that hold the fewest logs, all of them different.
    #[default]
    Standard,
    /// On these; 1 to 16, each once.
    Pinned(Vec<NodeId>),
    /// On every member of the cluster, whoever joins and leaves; the first few vote. For what every node reads.
    Members,
    /// On those that hold the log which `colocate-with-strict` names, now and whenever that one moves.
    ColocationStrict,
}

/// What a log is to be with, and what it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlacementMetadata {
    /// A replicated log, or a channel in one: nodes that hold that one go before others, with the standard placement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colocate_with: Option<String>,
    /// A replicated log, or a channel in one: exactly the nodes that hold that one, with the placement `colocation-strict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colocate_with_strict: Option<String>,
    /// What the log is for, in words for operators; it is kept and shown. At most 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
}

impl PlacementMetadata {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a replica does whose disk is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnderCapacity {
    /// It takes no part until there is room, then by itself.
    #[default]
    Withdraw,
    /// It gives up what its retention lets it, and goes on once there is room. Only with a retention: since that runs by itself,
    /// full disk or not, such a replica waits as any other does.
    EvictOldest,
}

impl UnderCapacity {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What goes first where the budget is not enough for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BandwidthClass {
    /// As soon as the budget has it.
    #[default]
    Foreground,
    /// While little of the budget is in use, and at the latest after a minute.
    Background,
}

impl BandwidthClass {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            factor: 3,
            heartbeat_ms: 100,
            placement: Placement::Standard,
            leader_pinned: None,
            retention: Retention::default(),
            placement_metadata: PlacementMetadata::default(),
            on_under_capacity: UnderCapacity::Withdraw,
            replication_budget_fraction: BUDGET_FRACTION,
            default_bandwidth_class: BandwidthClass::Foreground,
            background_fraction: BACKGROUND_FRACTION,
        }
    }
}

impl ReplicationConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first that is out of it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (factor, heartbeat_ms) = (self.factor, self.heartbeat_ms);
        if factor < 1 {
            return Err(ConfigError::FactorBelowMin { factor });
        }
        if factor > FACTOR_MAX {
            return Err(ConfigError::FactorAboveMax { factor });
        }
        if heartbeat_ms < *HEARTBEAT_MS.start() {
            return Err(ConfigError::HeartbeatTooLow { heartbeat_ms });
        }
        if heartbeat_ms > *HEARTBEAT_MS.end() {
            return Err(ConfigError::HeartbeatTooHigh { heartbeat_ms });
        }
        if let Placement::Pinned(nodes) = &self.placement {
            check_pinned(nodes, self.leader_pinned)?;
        }
        self.placement_metadata.validate(&self.placement)?;
        if self.on_under_capacity == UnderCapacity::EvictOldest && self.retention.is_unlimited() {
            return Err(ConfigError::EvictOldestWithoutRetention);
        }
        let fraction = self.replication_budget_fraction;
        if fraction == Fraction::NONE || fraction > Fraction::WHOLE {
            return Err(ConfigError::BudgetFractionOutOfRange { fraction });
        }
        let fraction = self.background_fraction;
        if fraction >= Fraction::WHOLE {
            return Err(ConfigError::BackgroundFractionOutOfRange { fraction });
        }
        Ok(())
    }

    /// Returns how many nodes are to hold the log, where there are as many; with strict colocation the log that it is with
    /// says how many.
    pub fn replicas(&self) -> usize {
        match &self.placement {
            Placement::Standard | Placement::ColocationStrict => self.factor.into(),
            Placement::Pinned(nodes) => nodes.len(),
            Placement::Members => usize::MAX,
        }
    }

    /// Returns the log that one of this configuration is with strictly, where a log of the name can be: the same nodes hold it.
    pub fn follows(&self) -> Option<LogName> {
        let named = self.placement_metadata.colocate_with_strict.as_ref();
        let is_strict = self.placement == Placement::ColocationStrict;
        named.filter(|_| is_strict).and_then(|named| LogName::new(named).ok())
    }

    /// Returns the log whose nodes go before others, where a log of the name can be.
    pub fn prefers(&self) -> Option<LogName> {
        self.placement_metadata.colocate_with.as_ref().and_then(|named| LogName::new(named).ok())
    }

    /// Tells whether another configuration places the log alike, whatever else is different.
    pub fn is_placed_as(&self, other: &Self) -> bool {
        (self.factor, &self.placement, &self.placement_metadata)
            == (other.factor, &other.placement, &other.placement_metadata)
    }

    /// Returns the times of the group.
    pub fn timing(&self) -> Timing {
        Timing::of(Duration::from_millis(self.heartbeat_ms))
    }
}

impl PlacementMetadata {
    fn validate(&self, placement: &Placement) -> Result<(), ConfigError> {
        let Self { colocate_with, colocate_with_strict, intent } = self;
        if *placement == Placement::ColocationStrict && colocate_with_strict.is_none() {
            return Err(ConfigError::ColocationStrictWithoutChain);
        }
        for (key, value, looks, name) in [
            ("colocate-with", colocate_with, Placement::Standard, "standard"),
            ("colocate-with-strict", colocate_with_strict, Placement::ColocationStrict, "colocation-strict"),
        ] {
            let Some(value) = value else { continue };
            if LogName::new(value).is_err() && ChannelName::new(value).is_err() {
                return Err(ConfigError::PlacementChainInvalid { key, value: value.clone() });
            }
            if *placement != looks {
                return Err(ConfigError::PlacementChainUnused { key, placement: name });
            }
        }
        match intent.as_ref().map(String::len).filter(|bytes| *bytes > INTENT_BYTES_MAX) {
            Some(bytes) => Err(ConfigError::IntentTooLong { bytes }),
            None => Ok(()),
        }
    }
}

fn check_pinned(nodes: &[NodeId], leader: Option<NodeId>) -> Result<(), ConfigError> {
    if nodes.is_empty() {
        return Err(ConfigError::PinnedSetEmpty);
    }
    if nodes.len() > FACTOR_MAX.into() {
        return Err(ConfigError::PinnedSetTooLarge { nodes: nodes.len() });
    }
    let mut known = BTreeSet::new();
    if let Some(node) = nodes.iter().find(|node| !known.insert(**node)) {
        return Err(ConfigError::PinnedSetDuplicate { node: *node });
    }
    match leader.filter(|leader| !known.contains(leader)) {
        Some(leader) => Err(ConfigError::LeaderPinnedOutsidePinnedSet { leader }),
        None => Ok(()),
    }
}
