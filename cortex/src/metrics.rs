//! Counters of one model.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened to a model since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub events: Counter,
    pub skipped: Counter,
    pub ignored: Counter,
    pub waits: Counter,
    pub timeouts: Counter,
    pub queue_full: Counter,
    pub wrong_log: Counter,
    pub lost: Counter,
    pub wait_nanos: Counter,
}

impl Metrics {
    pub(crate) fn snapshot(&self) -> ModelMetrics {
        ModelMetrics {
            events_total: self.events.get(),
            skipped_total: self.skipped.get(),
            ignored_total: self.ignored.get(),
            waits_total: self.waits.get(),
            timeouts_total: self.timeouts.get(),
            queue_full_total: self.queue_full.get(),
            wrong_log_total: self.wrong_log.get(),
            lost_total: self.lost.get(),
            wait_duration: Duration::from_nanos(self.wait_nanos.get()),
        }
    }
}

/// The counters of a model since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ModelMetrics {
    /// Events that were looked at.
    pub events_total: u64,
    /// Events that were left out and recorded.
    pub skipped_total: u64,
    /// Events of kinds that the fold does not know.
    pub ignored_total: u64,
    /// Waits for tokens.
    pub waits_total: u64,
    /// Waits whose deadline passed.
    pub timeouts_total: u64,
    /// Waits that were refused, since too many waited.
    pub queue_full_total: u64,
    /// Waits for tokens of other logs.
    pub wrong_log_total: u64,
    /// Waits for tokens whose position was lost.
    pub lost_total: u64,
    /// How long all waits took together.
    pub wait_duration: Duration,
}
