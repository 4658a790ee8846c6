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

pub mod adapter;
mod blobs;
mod builder;
mod chunking;
mod collect;
mod directory;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod journal;
pub mod limits;
mod metrics;
mod node;
mod object;
mod overflow;
mod pins;
mod reference;
mod slice;
mod store;
mod trees;

pub use blobs::{BlobForm, BlobInfo, BlobStore, PlacedChunk};
pub use chunking::{Chunking, ContentSizes};
pub use collect::{CollectOptions, Collected, Collection};
pub use error::BlobError;
pub use journal::{Change, Journal, MemoryJournal, NoRoots, Roots, Table, WiringError};
pub use metrics::BlobMetrics;
pub use object::ObjectKind;
pub use overflow::{DiskUse, Overflow, OverflowConfig, OverflowMetrics, OverflowSettings, Ticked};
pub use pins::{Named, Pin, PinMode, Pins};
pub use reference::{BlobEncoding, BlobRef, OWN_SCHEME, ReferenceForm};
pub use slice::read_slice;
pub use store::{
    AwayUse, DamagedObject, DamagedStretch, Held, ObjectInfo, ObjectPlace, ObjectReport, ObjectStore,
};
pub use trees::{GetTreeOptions, PutTreeOptions, TreeContent, TreeEntry, TreeInfo};
