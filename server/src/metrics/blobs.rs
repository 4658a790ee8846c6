//! What blobs count.

use std::fmt;

use netdb::blob::{BlobMetrics, DiskUse, OverflowMetrics};
use netdb::{Blobs, NetDb};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Which store it is; there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AdapterLabels {
    adapter: &'static str,
}

const OWN: AdapterLabels = AdapterLabels { adapter: "own" };

type Count = fn(&BlobMetrics) -> u64;
type OverflowCount = fn(&OverflowMetrics) -> u64;

/// Without their endings, which the format gives them.
const COUNTS: [(&str, &str, Count); 5] = [
    ("dataforts_blobs_stored", "Blobs that were put, a tree as one", |counts| counts.blobs_stored),
    ("dataforts_blobs_fetched", "Blobs, and ranges of blobs, that were read", |counts| counts.blobs_fetched),
    ("dataforts_blob_bytes_stored", "Bytes of the blobs that were put", |counts| counts.bytes_stored),
    ("dataforts_blob_bytes_fetched", "Bytes of the blobs that were read", |counts| counts.bytes_fetched),
    ("dataforts_blob_gc_swept", "Objects that collections removed", |counts| counts.swept),
];

const OVERFLOW_COUNTS: [(&str, &str, OverflowCount); 5] = [
    ("dataforts_blob_overflow_pushes_admitted", "Chunks that went elsewhere and were read back", |counts| {
        counts.pushes_admitted
    }),
    ("dataforts_blob_overflow_push_errors", "Chunks with which something failed", |counts| {
        counts.push_errors
    }),
    ("dataforts_blob_overflow_pushed_bytes", "Bytes of chunks that went elsewhere", |counts| {
        counts.pushed_bytes
    }),
    (
        "dataforts_blob_overflow_high_water_triggered",
        "Times that the disk came above the high watermark",
        |counts| counts.high_water_triggered,
    ),
    (
        "dataforts_blob_overflow_low_water_cleared",
        "Times that it came below the low watermark after that",
        |counts| counts.low_water_cleared,
    ),
];

/// Writes what the blobs of a database count, if somebody opened them.
pub(super) fn encode(db: &NetDb, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(blobs) = db.opened_blobs() else { return Ok(()) };
    let store = blobs.store();
    let counts = store.metrics();
    for (name, help, count) in COUNTS {
        counter(encoder, (name, help), count(&counts))?;
    }
    let pending = "Objects that nothing reached when a collection last ended, and that were too young to go";
    gauge(encoder, ("dataforts_blob_gc_pending", pending), counts.pending)?;
    if let Some(disk) = disk_use(&blobs) {
        let used = "Bytes in use of the quota, or of the file system";
        gauge(encoder, ("dataforts_blob_disk_used_bytes", used), disk.used)?;
        let capacity = "The quota, or the bytes of the file system";
        gauge(encoder, ("dataforts_blob_disk_capacity_bytes", capacity), disk.capacity)?;
    }
    let away = store.objects().away_use();
    gauge(encoder, ("netdb_blob_away_chunks", "Chunks that lie where the store overflows to"), away.chunks)?;
    gauge(encoder, ("netdb_blob_away_bytes", "Their bytes"), away.bytes)?;
    let pins = blobs.pins().len();
    gauge(encoder, ("netdb_blob_pins", "Pins"), u64::try_from(pins).unwrap_or(u64::MAX))?;
    let overflow = blobs.overflow().ok().flatten();
    overflow.map_or(Ok(()), |overflow| of_overflow(encoder, &overflow.metrics()))
}

fn of_overflow(encoder: &mut DescriptorEncoder<'_>, counts: &OverflowMetrics) -> fmt::Result {
    for (name, help, count) in OVERFLOW_COUNTS {
        counter(encoder, (name, help), count(counts))?;
    }
    let active = "1 while chunks go elsewhere, else 0";
    gauge(encoder, ("dataforts_blob_overflow_active", active), counts.active.into())?;
    let (name, help) = ("dataforts_blob_overflow_disk_ratio", "The share in use when it was last looked");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(counts.disk_ratio).encode(family.encode_family(&OWN)?)
}

/// Returns how full it is; `None` where that cannot be told.
fn disk_use(blobs: &Blobs) -> Option<DiskUse> {
    let quota = blobs.overflow_settings().ok()?.and_then(|settings| settings.quota);
    blobs.store().disk_use(quota).ok()
}

fn counter(encoder: &mut DescriptorEncoder<'_>, (name, help): (&str, &str), count: u64) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    ConstCounter::new(count).encode(family.encode_family(&OWN)?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, (name, help): (&str, &str), value: u64) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(family.encode_family(&OWN)?)
}
