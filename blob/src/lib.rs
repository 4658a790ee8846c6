//! Large values as chunks that are named by what they hold: stored once, verified whenever they are read.
//!
//! # Examples
//!
//! ```
//! use std::path::Path;
//! use blob::{BlobStore, Chunking};
//!
//! let store = BlobStore::open(Path::new("blobs"), &base::Doors::memory())?;
//! let blob = store.put(&b"the content of a file"[..], Chunking::Fixed)?;
//! assert_eq!(blob.hash, base::Hash::of(b"the content of a file"));
//! let mut read = Vec::new();
//! store.get(&blob.hash, &mut read)?;
//! assert_eq!(read, b"the content of a file");
//! # Ok::<(), blob::BlobError>(())
//! ```

mod blobs;
mod builder;
mod chunking;
mod error;
pub mod limits;
mod node;
mod object;
mod store;

pub use blobs::{BlobForm, BlobInfo, BlobStore, PlacedChunk};
pub use chunking::{Chunking, ContentSizes};
pub use error::BlobError;
pub use object::ObjectKind;
pub use store::{DamagedObject, DamagedStretch, ObjectInfo, ObjectReport, ObjectStore};
