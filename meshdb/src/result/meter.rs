//! What a statement has read so far.

use std::sync::atomic::{AtomicU64, Ordering};

use redex::ScanStatistics;

use crate::QueryError;

/// What a statement read from the logs and the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScanTotals {
    /// Events that the logs delivered.
    pub events: u64,
    /// Entries that were opened for them.
    pub entries: u64,
    /// Rows that models gave.
    pub rows: u64,
    /// Bytes of frames that were read, from disk or cache, and of values that were copied out of models.
    pub bytes: u64,
    /// Segments that were visited; one that several threads share counts for each.
    pub segments: u64,
    /// Blocks of sparse indexes that were read.
    pub index_blocks: u64,
}

impl ScanTotals {
    /// What came on top of `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            events: self.events.saturating_sub(earlier.events),
            entries: self.entries.saturating_sub(earlier.entries),
            rows: self.rows.saturating_sub(earlier.rows),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            segments: self.segments.saturating_sub(earlier.segments),
            index_blocks: self.index_blocks.saturating_sub(earlier.index_blocks),
        }
    }
}

impl From<ScanStatistics> for ScanTotals {
    fn from(statistics: ScanStatistics) -> Self {
        Self {
            events: statistics.events,
            entries: statistics.entries,
            rows: 0,
            bytes: statistics.bytes,
            segments: statistics.segments,
            index_blocks: statistics.index_blocks,
        }
    }
}

/// Counts for all scans of one statement, and stops them at the limit.
#[derive(Debug)]
pub(crate) struct Meter {
    events: AtomicU64,
    entries: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    segments: AtomicU64,
    index_blocks: AtomicU64,
    bytes_max: Option<u64>,
}

impl Meter {
    pub(crate) fn new(bytes_max: Option<u64>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            events: zero(),
            entries: zero(),
            rows: zero(),
            bytes: zero(),
            segments: zero(),
            index_blocks: zero(),
            bytes_max,
        }
    }

    /// Adds what a scan read since it was last asked.
    pub(crate) fn add(&self, more: ScanTotals) -> Result<(), QueryError> {
        self.events.fetch_add(more.events, Ordering::Relaxed);
        self.entries.fetch_add(more.entries, Ordering::Relaxed);
        self.rows.fetch_add(more.rows, Ordering::Relaxed);
        self.segments.fetch_add(more.segments, Ordering::Relaxed);
        self.index_blocks.fetch_add(more.index_blocks, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(more.bytes, Ordering::Relaxed) + more.bytes;
        match self.bytes_max {
            Some(max) if bytes > max => Err(QueryError::TooManyBytes { max }),
            _ => Ok(()),
        }
    }

    pub(crate) fn totals(&self) -> ScanTotals {
        ScanTotals {
            events: self.events.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            segments: self.segments.load(Ordering::Relaxed),
            index_blocks: self.index_blocks.load(Ordering::Relaxed),
        }
    }
}
