//! iroh-blobs' store on disk: small blobs in a redb, large ones as files with their hash trees beside them.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use iroh_blobs::Hash;
use iroh_blobs::store::fs::FsStore;
use netdb_benches::{Failure, Result};
use tokio::runtime::Handle;

use super::{OUTSTANDING, Store, sync_file_system};

/// A store without garbage collection, in its own runtime.
pub(super) struct Iroh {
    store: FsStore,
    dir: PathBuf,
}

impl Store for Iroh {
    type Name = Hash;

    const DIRECTORIES: [&'static str; 2] = ["iroh large blob", "iroh small blobs"];

    fn open(dir: &Path) -> Result<Self> {
        let store = Handle::current().block_on(FsStore::load(dir)).map_err(failure)?;
        Ok(Self { store, dir: dir.to_owned() })
    }

    fn name(content: &[u8]) -> Result<Hash> {
        Ok(Hash::new(content))
    }

    fn put(&self, contents: &[Bytes]) -> Result<()> {
        Handle::current().block_on(async {
            let puts = futures::stream::iter(contents).map(|content| async move {
                self.store.add_bytes(content.clone()).temp_tag().await.map(drop).map_err(failure)
            });
            puts.buffer_unordered(OUTSTANDING).try_collect::<()>().await?;
            self.store.sync_db().await.map_err(failure)
        })?;
        // It commits its database durably, but never syncs a file of data.
        sync_file_system(&self.dir)
    }

    fn get(&self, name: &Hash) -> Result<Bytes> {
        Handle::current().block_on(self.store.get_bytes(*name)).map_err(failure)
    }

    fn close(self) -> Result<()> {
        Handle::current().block_on(self.store.shutdown()).map_err(failure)
    }
}

fn failure(error: impl std::fmt::Display) -> Failure {
    error.to_string().into()
}
