//! What a store counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What was done with a store since it was opened; the metrics `dataforts_blob*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobMetrics {
    /// `dataforts_blobs_stored_total`: puts that ended well, a tree as one.
    pub blobs_stored: u64,
    /// `dataforts_blob_bytes_stored_total`: the bytes of what was put, whether some of it was here before or not.
    pub bytes_stored: u64,
    /// `dataforts_blobs_fetched_total`: blobs, or ranges of blobs, that were read to their end.
    pub blobs_fetched: u64,
    /// `dataforts_blob_bytes_fetched_total`: the bytes of those.
    pub bytes_fetched: u64,
    /// `dataforts_blob_gc_swept_total`: objects that collections removed.
    pub swept: u64,
    /// `dataforts_blob_gc_pending`: objects that nothing reached when a collection last ended, and that were left since they are
    /// young.
    pub pending: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    blobs_stored: AtomicU64,
    bytes_stored: AtomicU64,
    blobs_fetched: AtomicU64,
    bytes_fetched: AtomicU64,
    swept: AtomicU64,
    pending: AtomicU64,
}

impl Counters {
    pub(crate) fn count_put(&self, bytes: u64) {
        self.blobs_stored.fetch_add(1, Ordering::Relaxed);
        self.bytes_stored.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_fetch(&self, bytes: u64) {
        self.blobs_fetched.fetch_add(1, Ordering::Relaxed);
        self.bytes_fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_swept(&self, objects: u64) {
        self.swept.fetch_add(objects, Ordering::Relaxed);
    }

    pub(crate) fn note_pending(&self, objects: u64) {
        self.pending.store(objects, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> BlobMetrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BlobMetrics {
            blobs_stored: read(&self.blobs_stored),
            bytes_stored: read(&self.bytes_stored),
            blobs_fetched: read(&self.blobs_fetched),
            bytes_fetched: read(&self.bytes_fetched),
            swept: read(&self.swept),
            pending: read(&self.pending),
        }
    }
}
