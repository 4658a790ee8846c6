//! Where a directory keeps its blobs.

use std::path::Path;

use base::Doors;
use blob::{BlobError, BlobStore};

/// Opens the blobs of a database's directory, beside the database or without it. One process at a time has them open.
///
/// # Errors
///
/// As [`BlobStore::open`].
pub fn open_blobs(dir: &Path, doors: &Doors) -> Result<BlobStore, BlobError> {
    BlobStore::open(&dir.join("blobs"), doors)
}
