//! Whether somebody holds the bytes that events refer to.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::request::AppendRequest;
use crate::{BlobReference, Rejection};

/// Who holds the bytes that events refer to. The sequencer asks before it takes events with references; see
/// [`Store::set_held_blobs`](crate::Store::set_held_blobs).
///
/// What was said yes to is kept from being collected for at least an hour, whatever becomes of the append: by then the
/// references are found in the log, or never will be.
pub trait HeldBlobs: fmt::Debug + Send + Sync {
    /// Keeps the bytes of all references for at least an hour, or says which is the first that is not held, with the
    /// length that the reference gives it. Bytes named before that one may be kept, too.
    ///
    /// Everybody who appends to the log waits meanwhile: it looks up and notes, and neither fetches anything nor uses the
    /// log.
    ///
    /// # Errors
    ///
    /// The first reference whose bytes are not held; the append is refused with [`Rejection::BlobMissing`].
    fn hold(&self, references: &mut dyn Iterator<Item = BlobReference>) -> Result<(), BlobReference>;
}

/// Whom the sequencers of a store ask, and those of its replicas.
#[derive(Debug, Default)]
pub(crate) struct Holder(RwLock<Option<Arc<dyn HeldBlobs>>>);

impl Holder {
    pub(crate) fn set(&self, held: Arc<dyn HeldBlobs>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    /// Returns why the events of a request are not taken, if what they refer to is not held.
    pub(crate) fn refuse(&self, request: &AppendRequest<'_>) -> Option<Rejection> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let events = request.parts.iter().flat_map(|part| part.events);
        let mut references = events.flat_map(|event| event.blobs.iter().copied());
        let missing = held.hold(&mut references).err();
        missing.map(|BlobReference { hash, bytes }| Rejection::BlobMissing { hash, bytes })
    }
}
