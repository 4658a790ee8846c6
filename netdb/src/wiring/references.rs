//! What events refer to, for collections; and whether it is here, for the sequencer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Classify, Doors, Hash};
use blob::{BlobError, BlobStore, Roots, WiringError};
use redex::{BlobReference, HeldBlobs, ReadError, Store, StoreReader};

/// How long what an append refers to is kept before the append is found in its log.
const HELD_FOR: Duration = Duration::from_secs(2 * 3_600);

/// The references of all events in all logs of a node.
#[derive(Debug)]
pub(crate) struct References {
    reader: StoreReader,
    /// Whether entries that are known to be lost are passed over.
    beside_holes: bool,
}

impl References {
    pub(crate) fn new(store: &Store, beside_holes: bool) -> Self {
        Self { reader: store.reader(), beside_holes }
    }
}

impl Roots for References {
    fn visit(&self, visit: &mut dyn FnMut(Hash)) -> Result<(), WiringError> {
        let visited = match self.beside_holes {
            true => self.reader.blob_references_beside_holes(&mut |hash| visit(*hash)),
            false => self.reader.blob_references(&mut |hash| visit(*hash)),
        };
        visited.map_err(|error| match error {
            ReadError::Hole { .. } if !self.beside_holes => {
                let message = format!(
                    "{error}: what these entries referred to is not known, so nothing is collected; restore them, or, if they are lost for good, collect beside holes"
                );
                WiringError::new(error.kind(), crate::Error::new(error.kind(), message))
            }
            error => WiringError::new(error.kind(), error),
        })
    }
}

/// The blobs of a directory, opened when they are first needed. Whoever has it has the same store.
#[derive(Debug)]
pub(crate) struct BlobDirectory {
    dir: PathBuf,
    doors: Doors,
    open: Mutex<Option<BlobStore>>,
}

impl BlobDirectory {
    pub(crate) fn new(store: &Store) -> Arc<Self> {
        let (dir, doors) = (store.dir().to_owned(), store.doors().clone());
        Arc::new(Self { dir, doors, open: Mutex::default() })
    }

    /// Returns the store, which is made where there is none.
    pub(crate) fn open(&self) -> Result<BlobStore, BlobError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some(store) => Ok(store.clone()),
            None => Ok(open.insert(crate::open_blobs(&self.dir, &self.doors)?).clone()),
        }
    }

    /// Returns the store; `None` where there is none in the directory.
    fn open_existing(&self) -> Result<Option<BlobStore>, BlobError> {
        self.exists()?.then(|| self.open()).transpose()
    }

    /// Tells whether there is a store in the directory.
    pub(crate) fn exists(&self) -> Result<bool, BlobError> {
        let dir = self.dir.join("blobs");
        self.doors.disk.exists(&dir).map_err(|source| BlobError::Io { path: dir, source })
    }

    /// Makes everything durable, and lets go of the store.
    pub(crate) fn close(&self) -> Result<(), BlobError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        open.map_or(Ok(()), |store| store.close())
    }
}

impl HeldBlobs for BlobDirectory {
    fn hold(&self, references: &mut dyn Iterator<Item = BlobReference>) -> Result<(), BlobReference> {
        let mut store = None;
        for reference in references {
            if store.is_none() {
                store = Some(self.open_existing().unwrap_or_else(|error| {
                    tracing::warn!(%error, "blobs that events refer to cannot be looked for");
                    None
                }));
            }
            let held = store.iter().flatten().any(|store| is_held(store, &reference));
            held.then_some(()).ok_or(reference)?;
        }
        Ok(())
    }
}

/// Tells whether a blob is here with the length that a reference says, and keeps it if so.
fn is_held(store: &BlobStore, reference: &BlobReference) -> bool {
    let held = store.objects().hold_for(&reference.hash, HELD_FOR);
    held.is_ok() && store.stat(&reference.hash).is_ok_and(|info| info.bytes == reference.bytes)
}
