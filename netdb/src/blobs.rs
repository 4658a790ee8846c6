//! The blobs of a database: large values beside its logs.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use base::{Clock, Doors, ErrorKind, Hash};
use blob::{
    BlobError, BlobInfo, BlobStore, Chunking, CollectOptions, Collected, Collection, Held, Overflow, PinMode,
    Pins,
};
use redex::{Appended, BlobReference, Event, EventInput, Store, StoreReader};

mod keeper;
mod overflow;

pub use keeper::{KeepOptions, Keeper};
pub use overflow::{OverflowChange, OverflowStatus};

use crate::wiring::{ReadJournal, References, SystemJournal};
use crate::{Channel, Error};

/// Content up to so many bytes stands in an event itself, unless something else is said.
pub const INLINE_BYTES: usize = 4 << 10;

/// Opens the blobs of a database's directory, beside the database or without it. One process at a time has them open.
///
/// # Errors
///
/// As [`BlobStore::open`].
pub fn open_blobs(dir: &Path, doors: &Doors) -> Result<BlobStore, BlobError> {
    let store = BlobStore::open(&dir.join("blobs"), doors)?;
    overflow::connect(&store);
    Ok(store)
}

/// Opens the blobs of a directory with their names and pins, which cannot be changed; `None` where there are none. One process at a
/// time has them open, until what is returned is dropped.
///
/// # Errors
///
/// As [`BlobStore::open`]; kind `Corrupt` for names and pins that do not read.
pub fn open_pins(dir: &Path, doors: &Doors, reader: &StoreReader) -> Result<Option<Pins>, Error> {
    let blobs = dir.join("blobs");
    if !doors.disk.exists(&blobs).map_err(|source| BlobError::Io { path: blobs, source })? {
        return Ok(None);
    }
    let journal = Arc::new(ReadJournal::new(reader));
    Ok(Some(Pins::open(open_blobs(dir, doors)?, journal, Arc::clone(&doors.clock))?))
}

/// The blobs of a database, with their names and pins. Cloning shares them.
///
/// # Examples
///
/// ```
/// use netdb::blob::{Chunking, CollectOptions, PinMode};
///
/// let db = netdb::NetDb::in_memory()?;
/// let blobs = db.blobs()?;
/// let model = blobs.put(&b"the weights"[..], Chunking::Fixed)?;
/// blobs.pin(&model.hash, PinMode::Recursive, Some("weights of today"))?;
/// let collected = blobs.collect(CollectOptions::default())?;
/// assert_eq!((collected.reached, collected.removed), (1, 0));
/// # db.close()?;
/// # Ok::<(), netdb::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Blobs {
    store: Store,
    clock: Arc<dyn Clock>,
    pins: Pins,
    /// Opened when it is first asked for.
    overflow: Arc<Mutex<Option<Overflow>>>,
}

/// When something may refer to a blob.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BlobDurability {
    /// Once it is stored: a power failure may take it, and leave what refers to it.
    BestEffort,
    /// Once it survives a power failure of this node.
    #[default]
    Durable,
    /// Once so many nodes have it, this one among them.
    Replicated(u32),
}

/// How content becomes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishOptions {
    /// What must have become of the blob before the event is appended.
    pub durability: BlobDurability,
    /// Content of up to so many bytes is the event's payload, and no blob.
    pub inline_bytes: usize,
    /// How a blob is cut.
    pub chunking: Chunking,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self { durability: BlobDurability::default(), inline_bytes: INLINE_BYTES, chunking: Chunking::Fixed }
    }
}

/// What became of content that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The event.
    pub appended: Appended,
    /// The blob; `None` where the content is the event's payload.
    pub blob: Option<BlobInfo>,
}

impl Blobs {
    /// Opens the blobs in the directory of a store that is open without [`NetDb`](crate::NetDb); the directory is made where
    /// there is none.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` while another process has them open; `Corrupt`.
    pub fn open(store: &Store) -> Result<Self, Error> {
        Self::of(store, open_blobs(store.dir(), store.doors())?)
    }

    pub(crate) fn of(store: &Store, blobs: BlobStore) -> Result<Self, Error> {
        let doors = store.doors();
        let journal = Arc::new(SystemJournal::open(store)?);
        let pins = Pins::open(blobs, journal, Arc::clone(&doors.clock))?;
        let (clock, overflow) = (Arc::clone(&doors.clock), Arc::default());
        Ok(Self { store: store.clone(), clock, pins, overflow })
    }

    /// Returns the store of the blobs.
    pub fn store(&self) -> &BlobStore {
        self.pins.store()
    }

    /// Returns names, pins and leases.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Puts what is read as a blob; see [`BlobStore::put`].
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` when the disk is full or failed; `Invalid` for too much.
    pub fn put(&self, source: impl Read + Send, chunking: Chunking) -> Result<BlobInfo, Error> {
        Ok(self.store().put(source, chunking)?)
    }

    /// Writes a blob, every byte of it verified before it is written.
    ///
    /// # Errors
    ///
    /// Kind `NotFound`, `Corrupt`, and that of `target`.
    pub fn get(&self, hash: &Hash, target: &mut impl Write) -> Result<u64, Error> {
        Ok(self.store().get(hash, target)?)
    }

    /// Pins a blob; see [`Pins::pin`]. What lies of it where the blobs overflow to comes back.
    ///
    /// # Errors
    ///
    /// Kind `NotFound`, `Conflict`, `Invalid`, `Unavailable`.
    pub fn pin(&self, hash: &Hash, mode: PinMode, label: Option<&str>) -> Result<(), Error> {
        self.pins.pin(hash, mode, label)?;
        self.take_back_pinned(hash);
        Ok(())
    }

    /// Takes a pin away; tells whether there was one.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable`.
    pub fn unpin(&self, hash: &Hash) -> Result<bool, Error> {
        Ok(self.pins.unpin(hash)?)
    }

    /// Begins to collect what no pin, name, lease, event and recent put reaches.
    ///
    /// # Errors
    ///
    /// Kind `Unavailable` while another collection goes on; `Corrupt` where a log cannot be read or lost entries: nothing is
    /// collected then.
    pub fn begin_collection(&self, options: CollectOptions) -> Result<Collection, Error> {
        let references = References::new(&self.store, false);
        Ok(Collection::begin(&self.pins, &references, &*self.clock, options)?)
    }

    /// Begins to collect as [`begin_collection`](Self::begin_collection) does, although logs lost entries for good: what only
    /// these referred to goes.
    ///
    /// # Errors
    ///
    /// The same, but for entries that are known to be lost.
    pub fn begin_collection_beside_holes(&self, options: CollectOptions) -> Result<Collection, Error> {
        let references = References::new(&self.store, true);
        Ok(Collection::begin(&self.pins, &references, &*self.clock, options)?)
    }

    /// Collects what no pin, name, lease, event and recent put reaches.
    ///
    /// # Errors
    ///
    /// As [`begin_collection`](Self::begin_collection) and [`Collection::step`].
    pub fn collect(&self, options: CollectOptions) -> Result<Collected, Error> {
        Ok(self.begin_collection(options)?.run()?)
    }

    /// Appends an event with content of any size: small content is its payload, larger content a blob that it refers to, and
    /// that is as durable as was asked for before the event is appended. The payload of `event` is not looked at. Blocks until
    /// the event is durable.
    ///
    /// After an error nothing refers to the blob, which goes with a later collection.
    ///
    /// # Errors
    ///
    /// Kind `Invalid` for more copies than there are nodes; as [`put`](Self::put) and [`Channel::append`].
    ///
    /// # Examples
    ///
    /// ```
    /// let db = netdb::NetDb::in_memory()?;
    /// let (blobs, scans) = (db.blobs()?, db.channel("scans")?);
    /// let event = netdb::EventInput::new("scan.taken", b"").with_key("machine-7");
    /// let image = vec![7; 100_000];
    /// let published = blobs.publish(&scans, event, &image[..], netdb::PublishOptions::default())?;
    /// assert_eq!(published.blob.unwrap().bytes, 100_000);
    /// let event = scans.read(netdb::Seq(0))?.next().unwrap()?;
    /// assert_eq!(blobs.content(&event)?, image);
    /// # db.close()?;
    /// # Ok::<(), netdb::Error>(())
    /// ```
    pub fn publish(
        &self,
        channel: &Channel,
        event: EventInput<'_>,
        mut content: impl Read + Send,
        options: PublishOptions,
    ) -> Result<Published, Error> {
        check(options.durability)?;
        let mut beginning = Vec::new();
        let read = content.by_ref().take(options.inline_bytes as u64 + 1).read_to_end(&mut beginning);
        read.map_err(BlobError::Stream)?;
        if beginning.len() <= options.inline_bytes {
            let event = EventInput { payload: &beginning, ..event };
            return Ok(Published { appended: channel.append_all(&[event])?, blob: None });
        }
        let (info, _held) = self.put_as(beginning.chain(content), options)?;
        let references = [event.blobs, &[BlobReference { hash: info.hash, bytes: info.bytes }]].concat();
        let event = EventInput { payload: b"", blobs: &references, ..event };
        Ok(Published { appended: channel.append_all(&[event])?, blob: Some(info) })
    }

    fn put_as(&self, content: impl Read + Send, options: PublishOptions) -> Result<(BlobInfo, Held), Error> {
        let put = match options.durability {
            BlobDurability::BestEffort => self.store().put_unsynced(content, options.chunking),
            BlobDurability::Durable | BlobDurability::Replicated(_) => {
                self.store().put_held(content, options.chunking)
            }
        };
        Ok(put?)
    }

    /// Returns what an event was [published](Self::publish) with: its payload, or the blob that it refers to first.
    ///
    /// # Errors
    ///
    /// Kind `NotFound` for a blob that is not here, `Corrupt` for a damaged one.
    pub fn content(&self, event: &Event) -> Result<Vec<u8>, Error> {
        match event.blobs.first() {
            Some(reference) => Ok(self.store().read(&reference.hash, reference.bytes)?),
            None => Ok(event.payload.to_vec()),
        }
    }
}

/// Refuses what no node can promise yet.
fn check(durability: BlobDurability) -> Result<(), Error> {
    match durability {
        BlobDurability::Replicated(copies) if copies > 1 => {
            let message = format!(
                "a blob on {copies} nodes was asked for, and blobs are not sent to other nodes yet: ask for `durable`"
            );
            Err(Error::new(ErrorKind::Invalid, message))
        }
        _ => Ok(()),
    }
}
