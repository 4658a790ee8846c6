//! Ranges, names, and what is refused.

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

fn with_metadata(placement: Placement, metadata: PlacementMetadata) -> Result<(), ConfigError> {
    ReplicationConfig { placement, placement_metadata: metadata, ..ReplicationConfig::default() }.validate()
}

#[test]
fn what_a_log_is_to_be_with_has_a_name_and_a_placement_that_looks_at_it() {
    let soft = |name: &str| PlacementMetadata { colocate_with: Some(name.to_owned()), ..Default::default() };
    let strict =
        |name: &str| PlacementMetadata { colocate_with_strict: Some(name.to_owned()), ..Default::default() };
    assert_eq!(with_metadata(Placement::Standard, soft("orders")), Ok(()));
    assert_eq!(with_metadata(Placement::ColocationStrict, strict("replicated-1")), Ok(()));
    assert_eq!(
        with_metadata(Placement::ColocationStrict, PlacementMetadata::default()),
        Err(ConfigError::ColocationStrictWithoutChain)
    );
    let invalid = |key, value: &str| Err(ConfigError::PlacementChainInvalid { key, value: value.to_owned() });
    assert_eq!(with_metadata(Placement::ColocationStrict, strict("")), invalid("colocate-with-strict", ""));
    assert_eq!(with_metadata(Placement::Standard, soft("a b")), invalid("colocate-with", "a b"));
    let unused = |key, placement| Err(ConfigError::PlacementChainUnused { key, placement });
    let key = "colocate-with-strict";
    assert_eq!(with_metadata(Placement::Standard, strict("orders")), unused(key, "colocation-strict"));
    let pinned = Placement::Pinned(vec![NodeId(1)]);
    assert_eq!(with_metadata(pinned, soft("orders")), unused("colocate-with", "standard"));
    let intent = |bytes| PlacementMetadata { intent: Some("x".repeat(bytes)), ..Default::default() };
    assert_eq!(with_metadata(Placement::Standard, intent(256)), Ok(()));
    let long = Err(ConfigError::IntentTooLong { bytes: 257 });
    assert_eq!(with_metadata(Placement::Standard, intent(257)), long);
}

#[test]
fn fractions_of_the_budget_have_their_ranges_and_eviction_needs_a_retention() {
    let with = |budget, background| {
        let [replication_budget_fraction, background_fraction] =
            [budget, background].map(Fraction::from_millionths);
        ReplicationConfig { replication_budget_fraction, background_fraction, ..Default::default() }
            .validate()
    };
    assert_eq!(with(1, 0), Ok(()));
    assert_eq!(with(1_000_000, 999_999), Ok(()));
    for wrong in [0, 1_000_001] {
        let fraction = Fraction::from_millionths(wrong);
        assert_eq!(with(wrong, 0), Err(ConfigError::BudgetFractionOutOfRange { fraction }));
    }
    let fraction = Fraction::WHOLE;
    assert_eq!(with(1, 1_000_000), Err(ConfigError::BackgroundFractionOutOfRange { fraction }));
    let evicting =
        ReplicationConfig { on_under_capacity: UnderCapacity::EvictOldest, ..ReplicationConfig::default() };
    assert_eq!(evicting.validate(), Err(ConfigError::EvictOldestWithoutRetention));
    let retention = Retention::of_age(Duration::from_secs(90));
    assert_eq!(ReplicationConfig { retention, ..evicting }.validate(), Ok(()));
}

#[test]
fn every_key_has_its_name_and_what_is_default_is_not_written() {
    let text = r#"{"factor":5,"heartbeat-ms":200,"placement":"colocation-strict","leader-pinned":2,"placement-metadata":{"colocate-with-strict":"orders","intent":"billing"},"on-under-capacity":"evict-oldest","replication-budget-fraction":0.25,"default-bandwidth-class":"background","background-fraction":0.1}"#;
    let config: ReplicationConfig = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&config).unwrap(), text);
    assert_eq!(config.replication_budget_fraction.millionths(), 250_000);
    let default = serde_json::to_string(&ReplicationConfig::default()).unwrap();
    assert_eq!(default, r#"{"factor":3,"heartbeat-ms":100,"placement":"standard","leader-pinned":null}"#);
    let unknown = r#"{"placement-metadata":{"colocate":"orders"}}"#;
    assert!(serde_json::from_str::<ReplicationConfig>(unknown).is_err());
}

#[test]
fn a_change_replaces_what_it_names_and_can_name_no_place() {
    let config = ReplicationConfig { factor: 5, leader_pinned: Some(NodeId(1)), ..Default::default() };
    assert_eq!(ConfigChange::default().over(&config), config);
    let change: ConfigChange = serde_json::from_str(
        r#"{"leader-pinned":null,"retention":{"events":5},"background-fraction":0.5,"default-bandwidth-class":"background"}"#,
    )
    .unwrap();
    let changed = change.over(&config);
    let mut retention = Retention::default();
    retention.events = Some(5);
    let wanted = ReplicationConfig {
        leader_pinned: None,
        retention,
        background_fraction: Fraction::from_millionths(500_000),
        default_bandwidth_class: BandwidthClass::Background,
        ..config.clone()
    };
    assert_eq!(changed, wanted);
    assert!(changed.is_placed_as(&config));
    assert!(!ReplicationConfig { factor: 3, ..config.clone() }.is_placed_as(&config));
    let text = serde_json::to_string(&change).unwrap();
    assert_eq!(serde_json::from_str::<ConfigChange>(&text).unwrap(), change);
    for fixed in [r#"{"factor":3}"#, r#"{"placement":"standard"}"#, r#"{"placement-metadata":{}}"#] {
        assert!(serde_json::from_str::<ConfigChange>(fixed).is_err(), "{fixed}");
    }
}
