//! What of a configuration can be changed while the log is there.

use base::NodeId;
use redex::Retention;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BandwidthClass, Fraction, ReplicationConfig, UnderCapacity, keeping};

/// New values for a replicated log; what is not named stays. Who holds the log, and how many do, is changed by moving it.
///
/// # Examples
///
/// ```
/// let change: replication::ConfigChange =
///     serde_json::from_str(r#"{"heartbeat-ms":200,"leader-pinned":null}"#)?;
/// let config = change.over(&replication::ReplicationConfig::default());
/// assert_eq!((config.heartbeat_ms, config.factor), (200, 3));
/// assert!(serde_json::from_str::<replication::ConfigChange>(r#"{"factor":5}"#).is_err());
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConfigChange {
    /// As [`ReplicationConfig::heartbeat_ms`]. The group starts anew with it on each of its nodes, those that do not lead
    /// first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
    /// As [`ReplicationConfig::leader_pinned`]; `Some(None)`, as JSON `null`, pins nobody any more.
    #[serde(deserialize_with = "even_none", skip_serializing_if = "Option::is_none")]
    pub leader_pinned: Option<Option<NodeId>>,
    /// As [`ReplicationConfig::retention`], as a whole; `{}` keeps everything from now on.
    #[serde(
        deserialize_with = "retention",
        serialize_with = "written",
        skip_serializing_if = "Option::is_none"
    )]
    pub retention: Option<Retention>,
    /// As [`ReplicationConfig::on_under_capacity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_under_capacity: Option<UnderCapacity>,
    /// As [`ReplicationConfig::replication_budget_fraction`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_budget_fraction: Option<Fraction>,
    /// As [`ReplicationConfig::default_bandwidth_class`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_bandwidth_class: Option<BandwidthClass>,
    /// As [`ReplicationConfig::background_fraction`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background_fraction: Option<Fraction>,
}

/// Tells `null` from nothing.
fn even_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<NodeId>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn retention<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Retention>, D::Error> {
    keeping::deserialize(deserializer).map(Some)
}

fn written<S: Serializer>(retention: &Option<Retention>, serializer: S) -> Result<S::Ok, S::Error> {
    match retention {
        Some(retention) => keeping::serialize(retention, serializer),
        None => serializer.serialize_none(),
    }
}

impl ConfigChange {
    /// Returns a configuration with the new values in place of those that it has.
    pub fn over(&self, config: &ReplicationConfig) -> ReplicationConfig {
        let Self { heartbeat_ms, leader_pinned, retention, on_under_capacity, .. } = self;
        let Self { replication_budget_fraction, default_bandwidth_class, background_fraction, .. } = self;
        let fraction = config.replication_budget_fraction;
        ReplicationConfig {
            heartbeat_ms: heartbeat_ms.unwrap_or(config.heartbeat_ms),
            leader_pinned: leader_pinned.unwrap_or(config.leader_pinned),
            retention: retention.clone().unwrap_or_else(|| config.retention.clone()),
            on_under_capacity: on_under_capacity.unwrap_or(config.on_under_capacity),
            replication_budget_fraction: replication_budget_fraction.unwrap_or(fraction),
            default_bandwidth_class: default_bandwidth_class.unwrap_or(config.default_bandwidth_class),
            background_fraction: background_fraction.unwrap_or(config.background_fraction),
            factor: config.factor,
            placement: config.placement.clone(),
            placement_metadata: config.placement_metadata.clone(),
        }
    }
}
