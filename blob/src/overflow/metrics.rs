//! What overflow counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What overflow did; the metrics `dataforts_blob_overflow_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OverflowMetrics {
    /// `pushes_admitted_total`: chunks that went and were read back.
    pub pushes_admitted: u64,
    /// `push_errors_total`: chunks with which something failed.
    pub push_errors: u64,
    /// `pushed_bytes_total`: bytes of chunks that went.
    pub pushed_bytes: u64,
    /// `high_water_triggered_total`: how often the disk came above the high watermark.
    pub high_water_triggered: u64,
    /// `low_water_cleared_total`: how often it came below the low one after that.
    pub low_water_cleared: u64,
    /// `active`: whether chunks are going.
    pub active: bool,
    /// `disk_ratio`: the share in use at the last tick.
    pub disk_ratio: f64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pushes: AtomicU64,
    errors: AtomicU64,
    bytes: AtomicU64,
    high: AtomicU64,
    low: AtomicU64,
    active: AtomicBool,
    ratio: AtomicU64,
}

impl Counters {
    pub(super) fn count_push(&self, bytes: u64) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_high_water(&self) {
        self.high.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_low_water(&self) {
        self.low.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note(&self, active: bool, ratio: f64) {
        self.active.store(active, Ordering::Relaxed);
        self.ratio.store(ratio.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> OverflowMetrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OverflowMetrics {
            pushes_admitted: read(&self.pushes),
            push_errors: read(&self.errors),
            pushed_bytes: read(&self.bytes),
            high_water_triggered: read(&self.high),
            low_water_cleared: read(&self.low),
            active: self.active.load(Ordering::Relaxed),
            disk_ratio: f64::from_bits(read(&self.ratio)),
        }
    }
}
