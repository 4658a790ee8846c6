//! What replication counts, and how far replicas are behind.

use std::fmt;

use netdb::base::NodeId;
use netdb::cluster::Cluster;
use netdb::net::EndpointCounts;
use netdb::replication::{Group, GroupCounts, Role};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::LogLabels;
use crate::limits::LOGS_MEASURED_MAX;

/// Where other replicas stand is known where a log is led from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabels {
    log: String,
    node: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabels {
    log: String,
    role: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: String,
}

/// What a cluster counts by itself, read when it is asked for.
#[derive(Debug)]
pub(super) struct Replication(pub(super) Cluster);

type Count = fn(&GroupCounts) -> u64;

/// Without their endings, which the format gives them.
const COUNTS: [(&str, &str, Count); 5] = [
    ("dataforts_leader_changes", "Times that another node was seen to lead", |counts| counts.leader_changes),
    ("dataforts_replication_elections", "Times that this node stood for election", |counts| counts.elections),
    (
        "dataforts_replication_election_thrash",
        "Elections less than 30 s after the one before, that this node stood for",
        |counts| counts.election_thrash,
    ),
    ("dataforts_replication_sync_bytes", "Bytes of consensus that were sent to other members", |counts| {
        counts.sync_bytes
    }),
    (
        "dataforts_replication_under_capacity",
        "Times that a replica began to wait for room on the disk",
        |counts| counts.under_capacity,
    ),
];

impl Collector for Replication {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let groups: Vec<_> = self.0.groups().into_iter().take(LOGS_MEASURED_MAX).collect();
        for (name, help, count) in COUNTS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (log, group) in &groups {
                let labels = LogLabels { log: log.clone() };
                ConstCounter::new(count(&group.counts())).encode(family.encode_family(&labels)?)?;
            }
        }
        forks(&mut encoder, &groups)?;
        roles(&mut encoder, &groups)?;
        behind(&mut encoder, &groups)?;
        mesh(&mut encoder, &self.0.mesh_counts())
    }
}

/// Who knocked at the door for other nodes, and was let in or not.
fn mesh(encoder: &mut DescriptorEncoder<'_>, counts: &EndpointCounts) -> fmt::Result {
    let refused = "Connections that were not let in, by why";
    let mut family = encoder.encode_descriptor("netdb_mesh_refused", refused, None, MetricType::Counter)?;
    for (code, count) in &counts.refused {
        let labels = ReasonLabels { reason: format!("{code:?}").to_lowercase() };
        ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
    }
    let refused = "Nodes that did not join, by why";
    let mut family =
        encoder.encode_descriptor("netdb_mesh_joins_refused", refused, None, MetricType::Counter)?;
    for (code, count) in &counts.joins_refused {
        let labels = ReasonLabels { reason: format!("{code:?}").to_lowercase() };
        ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
    }
    let counts = [
        ("netdb_mesh_let_in", "Connections that were let in", counts.let_in),
        ("netdb_mesh_joins", "Nodes that joined through this one", counts.joins),
        ("netdb_mesh_retries", "Those who had to show that their address is theirs", counts.retries),
        ("netdb_mesh_turned_away", "Connections that were too many at once", counts.turned_away),
        ("netdb_mesh_handshakes_failed", "Handshakes that failed", counts.handshakes_failed),
        ("netdb_mesh_greetings_unfinished", "Greetings that were not finished", counts.greetings_unfinished),
        ("netdb_mesh_too_large", "Messages that were not read since they are too long", counts.too_large),
        ("netdb_mesh_datagrams_unread", "Datagrams that nobody read", counts.datagrams_unread),
    ];
    for (name, help, count) in counts {
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(count).encode(metric)?;
    }
    Ok(())
}

/// What is wrong with histories: each of these is to be 0.
fn forks(encoder: &mut DescriptorEncoder<'_>, groups: &[(String, Group)]) -> fmt::Result {
    let help = "Places for which a key signed two different entries, by this node's proofs";
    let mut family = encoder.encode_descriptor("netdb_forks", help, None, MetricType::Counter)?;
    for (log, group) in groups {
        let labels = LogLabels { log: log.clone() };
        ConstCounter::new(group.forks()).encode(family.encode_family(&labels)?)?;
    }
    let help = "Nodes that count other entries as committed than this one";
    let mut family = encoder.encode_descriptor("netdb_diverged_nodes", help, None, MetricType::Gauge)?;
    for (log, group) in groups {
        let labels = LogLabels { log: log.clone() };
        let nodes = i64::try_from(group.divergences().len()).unwrap_or(i64::MAX);
        ConstGauge::new(nodes).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn roles(encoder: &mut DescriptorEncoder<'_>, groups: &[(String, Group)]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "dataforts_replication_role",
        "1 for what this node is in a log's group",
        None,
        MetricType::Gauge,
    )?;
    for (log, group) in groups {
        let labels = RoleLabels { log: log.clone(), role: group.standing().role.as_str() };
        ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// How far other replicas are behind, by the logs that this node leads.
fn behind(encoder: &mut DescriptorEncoder<'_>, groups: &[(String, Group)]) -> fmt::Result {
    let led: Vec<_> = groups.iter().filter(|(_, group)| group.standing().role == Role::Leader).collect();
    let labels = |log: &str, node: NodeId| ReplicaLabels { log: log.to_owned(), node: node.0 };
    let mut family = encoder.encode_descriptor(
        "dataforts_replication_lag_seconds",
        "Seconds since a replica answered last, by its leader",
        None,
        MetricType::Gauge,
    )?;
    for (log, group) in &led {
        for (node, known) in group.progress() {
            // Of one that never answered, nothing is known.
            if let Some(heard) = known.heard {
                let gauge = ConstGauge::new(heard.as_secs_f64());
                gauge.encode(family.encode_family(&labels(log, node))?)?;
            }
        }
    }
    let mut family = encoder.encode_descriptor(
        "netdb_replication_lag_entries",
        "Entries that a replica is known to lack, by its leader",
        None,
        MetricType::Gauge,
    )?;
    for (log, group) in &led {
        let end = group.replica().state().last.map_or(0, |last| last.index.position_after().0);
        for (node, known) in group.progress() {
            let lacks = end.saturating_sub(known.position.0);
            let gauge = ConstGauge::new(i64::try_from(lacks).unwrap_or(i64::MAX));
            gauge.encode(family.encode_family(&labels(log, node))?)?;
        }
    }
    Ok(())
}
