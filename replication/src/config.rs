//! How a log is replicated.

use std::collections::BTreeSet;
use std::time::Duration;

use base::{Classify, ErrorKind, NodeId};
use redex::Retention;
use serde::{Deserialize, Serialize};

use crate::raft::Timing;

/// Replicas of a log at most.
pub const FACTOR_MAX: u8 = 16;
/// The shortest and the longest time between two heartbeats, in milliseconds.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 100..=300_000;

/// How a log is replicated. Channels of equal configuration share one log and one group.
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
    /// How many nodes hold the log; 1 to 16. A pinned placement has as many as it names. Default: 3.
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
}

/// A retention as it is written: with milliseconds.
mod keeping {
    use std::time::Duration;

    use redex::Retention;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize, Default)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    struct Written {
        #[serde(skip_serializing_if = "Option::is_none")]
        events: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        age_ms: Option<u64>,
    }

    pub(super) fn serialize<S: Serializer>(retention: &Retention, to: S) -> Result<S::Ok, S::Error> {
        let age_ms = retention.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Written { events: retention.events, bytes: retention.bytes, age_ms }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Retention, D::Error> {
        let Written { events, bytes, age_ms } = Written::deserialize(from)?;
        let mut retention = Retention::default();
        (retention.events, retention.bytes) = (events, bytes);
        retention.age = age_ms.map(Duration::from_millis);
        Ok(retention)
    }
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
}

impl Default for ReplicationConfig {
    fn default() -> Self {
        Self {
            factor: 3,
            heartbeat_ms: 100,
            placement: Placement::Standard,
            leader_pinned: None,
            retention: Retention::default(),
        }
    }
}

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
}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl ReplicationConfig {
    /// Checks every value against its range.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first that is out of it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { factor, heartbeat_ms, placement, leader_pinned, .. } = self;
        let (factor, heartbeat_ms) = (*factor, *heartbeat_ms);
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
        match placement {
            Placement::Standard | Placement::Members => Ok(()),
            Placement::Pinned(nodes) => check_pinned(nodes, *leader_pinned),
        }
    }

    /// Returns how many nodes are to hold the log, where there are as many.
    pub fn replicas(&self) -> usize {
        match &self.placement {
            Placement::Standard => self.factor.into(),
            Placement::Pinned(nodes) => nodes.len(),
            Placement::Members => usize::MAX,
        }
    }

    /// Returns the times of the group.
    pub fn timing(&self) -> Timing {
        Timing::of(Duration::from_millis(self.heartbeat_ms))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(nodes: &[u64], leader_pinned: Option<u64>) -> Result<(), ConfigError> {
        let placement = Placement::Pinned(nodes.iter().map(|node| NodeId(*node)).collect());
        let leader_pinned = leader_pinned.map(NodeId);
        ReplicationConfig { placement, leader_pinned, ..ReplicationConfig::default() }.validate()
    }

    #[test]
    fn each_value_has_its_range_and_its_error() {
        let with = |factor, heartbeat_ms| {
            ReplicationConfig { factor, heartbeat_ms, ..ReplicationConfig::default() }.validate()
        };
        assert_eq!(with(1, 100), Ok(()));
        assert_eq!(with(16, 300_000), Ok(()));
        assert_eq!(with(0, 100), Err(ConfigError::FactorBelowMin { factor: 0 }));
        assert_eq!(with(17, 100), Err(ConfigError::FactorAboveMax { factor: 17 }));
        assert_eq!(with(3, 99), Err(ConfigError::HeartbeatTooLow { heartbeat_ms: 99 }));
        assert_eq!(with(3, 300_001), Err(ConfigError::HeartbeatTooHigh { heartbeat_ms: 300_001 }));
        assert_eq!(pinned(&[], None), Err(ConfigError::PinnedSetEmpty));
        let many: Vec<u64> = (1..=17).collect();
        assert_eq!(pinned(&many, None), Err(ConfigError::PinnedSetTooLarge { nodes: 17 }));
        assert_eq!(pinned(&[1, 2, 1], None), Err(ConfigError::PinnedSetDuplicate { node: NodeId(1) }));
        let outside = ConfigError::LeaderPinnedOutsidePinnedSet { leader: NodeId(3) };
        assert_eq!(pinned(&[1, 2], Some(3)), Err(outside));
        assert_eq!(pinned(&[1, 2], Some(2)), Ok(()));
    }

    #[test]
    fn the_times_of_every_heartbeat_fit_together() {
        for heartbeat_ms in [100, 500, 300_000] {
            let config = ReplicationConfig { heartbeat_ms, ..ReplicationConfig::default() };
            assert!(crate::raft::config("g", &config.timing()).is_ok(), "{heartbeat_ms}");
        }
    }

    #[test]
    fn a_configuration_is_read_as_it_was_written_and_unknown_keys_are_refused() {
        let config = ReplicationConfig {
            placement: Placement::Pinned(vec![NodeId(1), NodeId(2)]),
            leader_pinned: Some(NodeId(2)),
            ..ReplicationConfig::default()
        };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ReplicationConfig>(&text).unwrap(), config);
        let mut keeps = ReplicationConfig { retention: Retention::of_age(Duration::from_secs(90)), ..config };
        keeps.retention.bytes = Some(1 << 30);
        let text = serde_json::to_value(&keeps).unwrap();
        assert_eq!(text["retention"], serde_json::json!({ "bytes": 1 << 30, "age-ms": 90_000 }));
        assert_eq!(serde_json::from_value::<ReplicationConfig>(text).unwrap(), keeps);
        assert!(serde_json::from_str::<ReplicationConfig>(r#"{"retention":{"evnts":3}}"#).is_err());
        assert_eq!(serde_json::from_str::<ReplicationConfig>("{}").unwrap(), ReplicationConfig::default());
        assert!(serde_json::from_str::<ReplicationConfig>(r#"{"facter":3}"#).is_err());
        let on_all = r#"{"factor":3,"heartbeat-ms":100,"placement":"members","leader-pinned":null}"#;
        let config = ReplicationConfig { placement: Placement::Members, ..ReplicationConfig::default() };
        assert_eq!(serde_json::to_string(&config).unwrap(), on_all);
        assert_eq!(serde_json::from_str::<ReplicationConfig>(on_all).unwrap(), config);
    }
}
