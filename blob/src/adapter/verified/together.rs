//! A few things at the same time.

use std::panic;
use std::thread;

use crate::BlobError;

/// Objects that are moved at the same time.
pub(super) const TOGETHER: usize = 4;

/// Works on all items at the same time, and returns what comes of them in their order.
pub(super) fn together<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, BlobError> + Sync,
) -> Vec<Result<R, BlobError>> {
    if items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    thread::scope(|scope| {
        let work = &work;
        let started: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        let ended =
            started.into_iter().map(|item| item.join().unwrap_or_else(|what| panic::resume_unwind(what)));
        ended.collect()
    })
}
