//! Blobs in object stores: S3 and what speaks its protocol, a directory, memory.
//!
//! One type, [`ObjectStoreAdapter`], is a [`blob::adapter::BlobAdapter`] over each of them. Callers are plain threads: requests run
//! on a small runtime that belongs to the adapter.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use blob::adapter::VerifiedAdapter;
//! use blob_remote::{ObjectStoreAdapter, RemoteOptions};
//!
//! let adapter = ObjectStoreAdapter::open("memory:", RemoteOptions::default())?;
//! let blobs = VerifiedAdapter::new(Arc::new(adapter));
//! let reference = blobs.put(&mut &b"content"[..], blob::Chunking::Fixed)?;
//! assert_eq!(blobs.fetch(&reference)?, b"content");
//! # Ok::<(), blob::BlobError>(())
//! ```

mod adapter;
mod address;
mod directory;
mod failure;
mod limits;
mod options;
mod runtime;

pub use adapter::ObjectStoreAdapter;
pub use address::place_within;
pub use options::RemoteOptions;
