//! What is counted and measured, in the text format of OpenMetrics.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use netdb::NetDb;
use netdb::cluster::Cluster;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

mod blobs;
mod replication;

use crate::limits::LOGS_MEASURED_MAX;
use replication::Replication;

/// The type of what [`Metrics::encode`] writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of latencies, in seconds.
const SECONDS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    60.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabels {
    log: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: &'static str,
}

#[derive(Clone)]
struct Latencies;

impl MetricConstructor<Histogram> for Latencies {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

/// The counters of one server. Labels have few values: routes are templates, not paths.
pub(crate) struct Metrics {
    registry: std::sync::RwLock<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, Latencies>,
    pub(crate) connections: Gauge<i64, AtomicI64>,
    pub(crate) in_flight: Gauge<i64, AtomicI64>,
    pub(crate) streams: Gauge<i64, AtomicI64>,
    appends: Family<OutcomeLabels, Counter>,
    append_events: Counter,
    append_bytes: Counter,
    append_seconds: Histogram,
    syncs: Family<OutcomeLabels, Counter>,
    sync_seconds: Histogram,
    statements: Family<OutcomeLabels, Counter>,
    statement_seconds: Histogram,
    statement_rows: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: std::sync::RwLock::new(Registry::default()),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(Latencies),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            streams: Gauge::default(),
            appends: Family::default(),
            append_events: Counter::default(),
            append_bytes: Counter::default(),
            append_seconds: Histogram::new(SECONDS),
            syncs: Family::default(),
            sync_seconds: Histogram::new(SECONDS),
            statements: Family::default(),
            statement_seconds: Histogram::new(SECONDS),
            statement_rows: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let it = &mut *registry;
        it.register("netdb_http_requests", "Requests, by route, method and status", self.requests.clone());
        it.register(
            "netdb_http_request_seconds",
            "How long requests took until their answer began",
            self.request_seconds.clone(),
        );
        it.register("netdb_http_connections", "Open connections", self.connections.clone());
        it.register(
            "netdb_http_in_flight",
            "Requests that are worked on, streams apart",
            self.in_flight.clone(),
        );
        it.register("netdb_http_streams", "Open tails and watches", self.streams.clone());
        it.register("netdb_appends", "Appends over HTTP, by outcome", self.appends.clone());
        it.register("netdb_append_events", "Events that were appended over HTTP", self.append_events.clone());
        it.register(
            "netdb_append_payload_bytes",
            "Payload bytes that were appended over HTTP",
            self.append_bytes.clone(),
        );
        it.register(
            "netdb_append_seconds",
            "How long appends took from staging to acknowledgement",
            self.append_seconds.clone(),
        );
        it.register("netdb_syncs", "Syncs of files' contents, by outcome", self.syncs.clone());
        it.register(
            "netdb_sync_seconds",
            "How long syncs of files' contents took",
            self.sync_seconds.clone(),
        );
        it.register("netdb_sql_statements", "SQL statements, by outcome", self.statements.clone());
        it.register(
            "netdb_sql_seconds",
            "How long statements took until their last row was taken",
            self.statement_seconds.clone(),
        );
        it.register("netdb_sql_rows", "Rows that statements gave", self.statement_rows.clone());
    }

    /// Adds what the database itself counts.
    pub(crate) fn watch(&self, db: NetDb) {
        let mut registry = self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register_collector(Box::new(Database(db)));
    }

    /// Adds what a cluster counts.
    pub(crate) fn watch_cluster(&self, cluster: Cluster) {
        let mut registry = self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.register_collector(Box::new(Replication(cluster)));
    }

    /// Forgets the database, whose files it would keep open.
    pub(crate) fn forget(&self) {
        *self.registry.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Registry::default();
        self.register();
    }

    pub(crate) fn answered(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.requests.get_or_create(&RequestLabels { route: route.clone(), method, status }).inc();
        self.request_seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// Counts an append; `events` are the numbers that were given to new events.
    pub(crate) fn appended(&self, outcome: &'static str, events: u64, bytes: u64, took: Duration) {
        self.appends.get_or_create(&OutcomeLabels { outcome }).inc();
        self.append_events.inc_by(events);
        self.append_bytes.inc_by(bytes);
        self.append_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn synced(&self, took: Duration, is_ok: bool) {
        let outcome = if is_ok { "ok" } else { "failed" };
        self.syncs.get_or_create(&OutcomeLabels { outcome }).inc();
        self.sync_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn ran(&self, outcome: &'static str, rows: u64, took: Duration) {
        self.statements.get_or_create(&OutcomeLabels { outcome }).inc();
        self.statement_rows.inc_by(rows);
        self.statement_seconds.observe(took.as_secs_f64());
    }

    /// Writes everything.
    pub(crate) fn encode(&self) -> Result<String, fmt::Error> {
        let registry = self.registry.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = String::new();
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}

/// A number of a log.
type OfLog = fn(&netdb::redex::LogView) -> u64;

/// What a database counts by itself, read when it is asked for.
#[derive(Debug)]
struct Database(NetDb);

impl Collector for Database {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reader = self.0.store().reader();
        let logs: Vec<_> = reader.logs().into_iter().take(LOGS_MEASURED_MAX).collect();
        let label = |log: &netdb::redex::LogReader| LogLabels { log: log.name().to_owned() };
        let gauges: [(&str, &str, OfLog); 4] = [
            ("netdb_log_position", "Visible position: entries that can be read", |view| view.position().0),
            ("netdb_log_begins", "Position that the log begins at", |view| view.begins().0),
            ("netdb_log_segments", "Segments", |view| view.segments().len() as u64),
            ("netdb_log_bytes", "Bytes of segment files", |view| {
                view.segments().iter().map(|segment| segment.bytes).sum()
            }),
        ];
        for (name, help, value) in gauges {
            let mut family =
                encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
            for log in &logs {
                let gauge = ConstGauge::new(i64::try_from(value(&log.view())).unwrap_or(i64::MAX));
                gauge.encode(family.encode_family(&label(log))?)?;
            }
        }
        blobs::encode(&self.0, &mut encoder)?;
        self.models(&mut encoder)
    }
}

impl Database {
    fn models(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut models = Vec::new();
        if let Ok(tasks) = self.0.tasks() {
            models.push(("tasks", tasks.lag(), tasks.metrics()));
        }
        if let Ok(memories) = self.0.memories() {
            models.push(("memories", memories.lag(), memories.metrics()));
        }
        let gauge = prometheus_client::metrics::MetricType::Gauge;
        let mut family = encoder.encode_descriptor(
            "netdb_model_lag",
            "Visible entries that are not folded yet",
            None,
            gauge,
        )?;
        for (model, lag, _) in &models {
            let lag = ConstGauge::new(i64::try_from(*lag).unwrap_or(i64::MAX));
            lag.encode(family.encode_family(&ModelLabels { model })?)?;
        }
        let counter = prometheus_client::metrics::MetricType::Counter;
        let mut family =
            encoder.encode_descriptor("netdb_model_skipped", "Events that were left out", None, counter)?;
        for (model, _, metrics) in &models {
            let skipped = ConstCounter::new(metrics.skipped_total);
            skipped.encode(family.encode_family(&ModelLabels { model })?)?;
        }
        Ok(())
    }
}
