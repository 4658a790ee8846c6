//! The blobs of net-mesh 0.46: chunks of 4 MiB that are channels of its log, or one file each.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use net::adapter::net::dataforts::blob::{
    BlobAdapter, BlobRef, Encoding, FileSystemAdapter, MeshBlobAdapter, chunk_payload, store_blob_reader,
};
use net::adapter::net::redex::Redex;
use netdb_benches::beside::Skipped;
use netdb_benches::{Failure, Result};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Handle;

use super::{OUTSTANDING, Store};

/// Small blobs of [`MeshBlobs`], which keeps six files open for each as long as it lives.
const OPEN_BLOBS_MAX: u64 = 1_000;

/// Files that are open then, with some more for everything else.
const OPEN_FILES: u64 = 6 * OPEN_BLOBS_MAX + 500;

/// `MeshBlobAdapter`: each chunk is a channel, which is a directory of three files and is kept in memory, too.
pub(super) struct MeshBlobs {
    adapter: MeshBlobAdapter,
}

impl Store for MeshBlobs {
    type Name = BlobRef;

    const DIRECTORIES: [&'static str; 2] = ["net-mesh large blob", "net-mesh small blobs"];

    const SMALL_MAX: u64 = OPEN_BLOBS_MAX;

    fn open(dir: &Path) -> Result<Self> {
        allow_open_files()?;
        let redex = Arc::new(Redex::new().with_persistent_dir(dir));
        Ok(Self { adapter: MeshBlobAdapter::new("bench", redex).with_persistent(true) })
    }

    fn name(content: &[u8]) -> Result<BlobRef> {
        let chunks = chunk_payload(content).map_err(failure)?;
        chunks.into_blob_ref("mesh://blob", Encoding::Replicated).map_err(failure)
    }

    fn put(&self, contents: &[Bytes]) -> Result<()> {
        Handle::current().block_on(async {
            for content in contents {
                let stored =
                    store_blob_reader(Some(&self.adapter), &content[..], "mesh://blob", Encoding::Replicated);
                self.adapter.sync_blob(&stored.await.map_err(failure)?).await.map_err(failure)?;
            }
            Ok(())
        })
    }

    fn get(&self, name: &BlobRef) -> Result<Bytes> {
        Handle::current().block_on(self.adapter.fetch(name)).map_err(failure)
    }
}

/// `FileSystemAdapter`: each blob is a file, synced with its directory before a put returns.
pub(super) struct MeshFiles {
    adapter: FileSystemAdapter,
}

impl Store for MeshFiles {
    type Name = BlobRef;

    const DIRECTORIES: [&'static str; 2] = ["net-mesh large file", "net-mesh small files"];

    fn open(dir: &Path) -> Result<Self> {
        Ok(Self { adapter: FileSystemAdapter::new("bench", dir) })
    }

    fn name(content: &[u8]) -> Result<BlobRef> {
        Ok(BlobRef::small("file:///blob", *blake3::hash(content).as_bytes(), content.len() as u64))
    }

    fn put(&self, contents: &[Bytes]) -> Result<()> {
        let puts = futures::stream::iter(contents).map(|content| async move {
            self.adapter.store(&Self::name(content)?, content).await.map_err(failure)
        });
        Handle::current().block_on(puts.buffer_unordered(OUTSTANDING).try_collect())
    }

    fn get(&self, name: &BlobRef) -> Result<Bytes> {
        let content = Handle::current().block_on(self.adapter.fetch(name)).map_err(failure)?;
        name.verify(&content).map_err(failure)?;
        Ok(content)
    }
}

fn failure(error: impl std::fmt::Display) -> Failure {
    error.to_string().into()
}

/// Lets this process have as many files open as [`MeshBlobs`] needs.
fn allow_open_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= OPEN_FILES) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < OPEN_FILES) {
        return Err(Skipped(format!("it wants {OPEN_FILES} open files (ulimit -Hn)")).into());
    }
    limit.current = Some(OPEN_FILES);
    Ok(setrlimit(Resource::Nofile, limit)?)
}
