//! Blobs: put and got as streams, in memory for a few chunks whatever their size.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use base::{Doors, Hash, Timestamp};
use rustc_hash::FxHashSet;

use crate::BlobError;
use crate::builder::Builder;
use crate::chunking::{Chunking, Chunks};
use crate::directory::Content;
use crate::metrics::BlobMetrics;
use crate::node::{Node, Part};
use crate::object::ObjectKind;
use crate::store::{Held, ObjectReport, ObjectStore, Putting};

/// Chunks that are worked on at the same time.
const WORKERS: usize = 4;

/// A store of blobs on disk. Cloning shares it.
#[derive(Debug, Clone)]
pub struct BlobStore {
    objects: ObjectStore,
}

/// A blob that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its name: the BLAKE3 hash of its content where it is one chunk, else that of the list of its parts.
    pub hash: Hash,
    /// Its length.
    pub bytes: u64,
    /// What it is made of.
    pub form: BlobForm,
    /// When it was put, the first time unless it was damaged since.
    pub put_at: Timestamp,
}

/// What a blob is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobForm {
    /// One chunk.
    Small,
    /// A list of chunks.
    Manifest {
        /// How many.
        chunks: u32,
        /// How it was cut.
        chunking: Chunking,
    },
    /// A tree of lists.
    Tree {
        /// Levels of lists.
        depth: u8,
        /// How it was cut.
        chunking: Chunking,
    },
    /// A directory, of which the length is that of all files below it.
    Directory {
        /// How many names are in it.
        entries: u32,
    },
}

impl BlobForm {
    /// Returns the name used in output: `small`, `manifest`, `tree` or `directory`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Manifest { .. } => "manifest",
            Self::Tree { .. } => "tree",
            Self::Directory { .. } => "directory",
        }
    }
}

/// A chunk of a blob, and where it begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedChunk {
    /// Its name.
    pub hash: Hash,
    /// Where it begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
}

impl BlobStore {
    /// Opens the blobs in a directory, which is made where there is none.
    ///
    /// # Errors
    ///
    /// As [`ObjectStore::open`].
    pub fn open(dir: &Path, doors: &Doors) -> Result<Self, BlobError> {
        Ok(Self { objects: ObjectStore::open(dir, doors)? })
    }

    /// Returns the objects that blobs are made of.
    pub fn objects(&self) -> &ObjectStore {
        &self.objects
    }

    /// Puts what is read as a blob, and returns what it became. The same content, cut the same way, is the same blob, and is
    /// stored once.
    ///
    /// *Durability*: survives a power failure once this returns. After an error, parts of it may be there, under their own names.
    ///
    /// # Errors
    ///
    /// [`BlobError::Stream`] where it cannot be read; [`BlobError::TooLarge`]; [`BlobError::Io`], [`BlobError::Poisoned`].
    pub fn put(&self, source: impl Read + Send, chunking: Chunking) -> Result<BlobInfo, BlobError> {
        Ok(self.put_held(source, chunking)?.0)
    }

    /// Puts as [`put`](Self::put) does, and keeps what it became from being collected as long as what is returned lives: until
    /// something refers to it.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_held(
        &self,
        source: impl Read + Send,
        chunking: Chunking,
    ) -> Result<(BlobInfo, Held), BlobError> {
        let putting = self.objects.begin_put();
        let whole = self.put_objects(&putting, source, chunking)?;
        self.objects.sync()?;
        self.put_done(&whole)
    }

    fn put_done(&self, whole: &Hash) -> Result<(BlobInfo, Held), BlobError> {
        let info = self.stat(whole)?;
        self.objects.counters().count_put(info.bytes);
        Ok((info, self.objects.hold(whole)?))
    }

    /// Puts all objects of a blob, and notes that it is one.
    fn put_objects(
        &self,
        putting: &Putting,
        source: impl Read + Send,
        chunking: Chunking,
    ) -> Result<Hash, BlobError> {
        let (whole, _) = self.put_parts(putting, source, chunking)?;
        self.objects.note_blob(whole)?;
        Ok(whole)
    }

    /// Puts all objects of a blob, and returns its name and length.
    pub(crate) fn put_parts(
        &self,
        putting: &Putting,
        source: impl Read + Send,
        chunking: Chunking,
    ) -> Result<(Hash, u64), BlobError> {
        let mut builder = Builder::new(chunking);
        let mut put_node =
            |node: &Node| self.objects.put_within(Some(putting), ObjectKind::Node, &node.encode());
        let chunks = Chunks::new(source, chunking);
        self.put_chunks(putting, chunks, |chunk| builder.add(chunk, &mut put_node))?;
        let whole = match builder.finish(&mut put_node)? {
            Some(whole) => (whole.name, whole.bytes),
            None => (self.objects.put_within(Some(putting), ObjectKind::Chunk, &[])?, 0),
        };
        Ok(whole)
    }

    /// Puts as [`put_held`](Self::put_held) does, but without waiting for the disk.
    ///
    /// *Durability*: survives a power failure once a later put, or [`close`](Self::close), returns.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_unsynced(
        &self,
        source: impl Read + Send,
        chunking: Chunking,
    ) -> Result<(BlobInfo, Held), BlobError> {
        let putting = self.objects.begin_put();
        let whole = self.put_objects(&putting, source, chunking)?;
        self.put_done(&whole)
    }

    /// Puts chunks, several at a time, and tells of them in their order.
    fn put_chunks(
        &self,
        putting: &Putting,
        mut chunks: impl Iterator<Item = io::Result<Vec<u8>>>,
        mut add: impl FnMut(Part) -> Result<(), BlobError>,
    ) -> Result<(), BlobError> {
        let put = |content: &[u8]| {
            let name = self.objects.put_within(Some(putting), ObjectKind::Chunk, content)?;
            Ok(Part { name, bytes: content.len() as u64 })
        };
        let Some(first) = chunks.next().transpose().map_err(BlobError::Stream)? else { return Ok(()) };
        let Some(second) = chunks.next() else { return add(put(&first)?) };
        let chunks = [Ok(first), second].into_iter().chain(chunks);
        in_order(chunks, |chunk| put(&chunk.map_err(BlobError::Stream)?), add)
    }

    /// Returns what is known of a blob, without reading its chunks.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`]; [`BlobError::HashMismatch`] and [`BlobError::Decode`] for a damaged one; [`BlobError::Io`].
    pub fn stat(&self, hash: &Hash) -> Result<BlobInfo, BlobError> {
        let info = self.objects.info(hash)?.ok_or(BlobError::NotFound { hash: *hash })?;
        let put_at = info.put_at;
        if info.kind == ObjectKind::Chunk {
            return Ok(BlobInfo { hash: *hash, bytes: info.bytes, form: BlobForm::Small, put_at });
        }
        if info.kind == ObjectKind::Directory {
            let directory = self.directory(hash)?;
            let form = BlobForm::Directory { entries: directory.entries.len() as u32 };
            return Ok(BlobInfo { hash: *hash, bytes: directory.bytes(), form, put_at });
        }
        let node = self.node(hash)?;
        let chunking = node.chunking;
        let form = match node.levels {
            0 => BlobForm::Manifest { chunks: node.parts.len() as u32, chunking },
            levels => BlobForm::Tree { depth: levels + 1, chunking },
        };
        Ok(BlobInfo { hash: *hash, bytes: node.bytes(), form, put_at })
    }

    /// Tells whether a blob or a part of one of this name is here; not whether all its chunks are.
    ///
    /// # Errors
    ///
    /// As [`ObjectStore::info`].
    pub fn exists(&self, hash: &Hash) -> Result<bool, BlobError> {
        Ok(self.objects.info(hash)?.is_some())
    }

    /// Returns the names of all that was put as a blob, in their order.
    pub fn list(&self) -> Vec<Hash> {
        self.objects.blobs()
    }

    /// Writes a blob. Every chunk is verified before any of it is written; in memory are a few chunks.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] for it or a part of it; [`BlobError::HashMismatch`], [`BlobError::ShortChunk`] and
    /// [`BlobError::Decode`] where something is damaged: what was written before is good. [`BlobError::Stream`] where it cannot be
    /// written; [`BlobError::Io`].
    pub fn get(&self, hash: &Hash, target: &mut impl Write) -> Result<u64, BlobError> {
        let bytes = self.stat(hash)?.bytes;
        self.get_range(hash, 0..bytes, target)?;
        Ok(bytes)
    }

    /// Returns a blob as a whole, verified. Its chunks are read straight into their places, several at a time, which is the
    /// quickest way where all of it is wanted in memory.
    ///
    /// # Errors
    ///
    /// [`BlobError::TooLarge`] for more than `bytes_max`; as [`get`](Self::get).
    pub fn read(&self, hash: &Hash, bytes_max: u64) -> Result<Vec<u8>, BlobError> {
        // A collection does not take what is being read.
        let _held = self.objects.hold(hash)?;
        let BlobInfo { bytes, form, .. } = self.stat(hash)?;
        let length = usize::try_from(bytes).ok().filter(|_| bytes <= bytes_max);
        let length = length.ok_or(BlobError::TooLarge { max: bytes_max })?;
        let content = match form {
            BlobForm::Small => self.objects.get(hash)?.1,
            _ => self.read_chunks(hash, length)?,
        };
        self.objects.counters().count_fetch(bytes);
        Ok(content)
    }

    fn read_chunks(&self, hash: &Hash, length: usize) -> Result<Vec<u8>, BlobError> {
        let mut content = vec![0; length];
        let (mut places, mut rest) = (Vec::new(), &mut *content);
        for chunk in self.chunks(hash)? {
            let chunk = chunk?;
            let wrong = || BlobError::Decode { what: format!("list of chunks {hash}") };
            let bytes = usize::try_from(chunk.bytes).map_err(|_| wrong())?;
            let (place, behind) = rest.split_at_mut_checked(bytes).ok_or_else(wrong)?;
            places.push((chunk.hash, place));
            rest = behind;
        }
        let (workers, places) = (WORKERS.min(places.len()), Mutex::new(places.into_iter()));
        let work = || -> Result<(), BlobError> {
            loop {
                let next = places.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((hash, place)) = next else { return Ok(()) };
                self.objects.get_chunk_into(&hash, place)?;
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            let mut ended = Ok(());
            for thread in threads {
                ended = ended.and(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            ended
        })?;
        Ok(content)
    }

    /// Writes a range of a blob, as [`get`](Self::get). Only chunks are read that have something of it.
    ///
    /// # Errors
    ///
    /// [`BlobError::Range`] for what does not lie in the blob; as [`get`](Self::get).
    pub fn get_range(
        &self,
        hash: &Hash,
        range: Range<u64>,
        target: &mut impl Write,
    ) -> Result<(), BlobError> {
        // A collection does not take what is being read.
        let _held = self.objects.hold(hash)?;
        let BlobInfo { bytes, form, .. } = self.stat(hash)?;
        if range.start > range.end || range.end > bytes {
            return Err(BlobError::Range { from: range.start, to: range.end, bytes });
        }
        let read = |chunk: Result<PlacedChunk, BlobError>| {
            let chunk = chunk?;
            let (_, content) = self.objects.get(&chunk.hash)?;
            let found = content.len() as u64;
            match found == chunk.bytes {
                true => Ok((chunk.offset, content)),
                false => Err(BlobError::ShortChunk { hash: chunk.hash, expected: chunk.bytes, found }),
            }
        };
        let mut write = |(offset, content): (u64, Vec<u8>)| {
            let from = range.start.saturating_sub(offset) as usize;
            let to = (range.end - offset).min(content.len() as u64) as usize;
            target.write_all(&content[from..to]).map_err(BlobError::Stream)
        };
        if form == BlobForm::Small {
            // Not worth several threads.
            write(read(Ok(PlacedChunk { hash: *hash, offset: 0, bytes }))?)?;
            self.objects.counters().count_fetch(range.end - range.start);
            return Ok(());
        }
        let chunks = self.chunks(hash)?.filter(|chunk| {
            let chunk = chunk.as_ref().ok();
            chunk.is_none_or(|chunk| chunk.offset < range.end && range.start < chunk.offset + chunk.bytes)
        });
        in_order(chunks, read, write)?;
        self.objects.counters().count_fetch(range.end - range.start);
        Ok(())
    }

    /// Returns how much of what is read is a blob's beginning: whole chunks of it, each compared with its name, so that somebody
    /// who was interrupted goes on behind them.
    ///
    /// # Errors
    ///
    /// [`BlobError::Stream`] where it cannot be read; as [`stat`](Self::stat).
    pub fn verified_prefix(&self, hash: &Hash, source: &mut impl Read) -> Result<u64, BlobError> {
        let (mut good, mut content) = (0, Vec::new());
        for chunk in self.chunks(hash)? {
            let chunk = chunk?;
            content.clear();
            source.by_ref().take(chunk.bytes).read_to_end(&mut content).map_err(BlobError::Stream)?;
            if Hash::of(&content) != chunk.hash {
                break;
            }
            good += chunk.bytes;
        }
        Ok(good)
    }

    /// Returns the chunks of a blob in their order; lists are read as they are needed.
    ///
    /// # Errors
    ///
    /// As [`stat`](Self::stat), also of each.
    pub fn chunks(
        &self,
        hash: &Hash,
    ) -> Result<impl Iterator<Item = Result<PlacedChunk, BlobError>> + Send + use<>, BlobError> {
        let info = self.stat(hash)?;
        if let BlobForm::Directory { .. } = info.form {
            return Err(BlobError::IsDirectory { hash: *hash });
        }
        let whole = Part { name: *hash, bytes: info.bytes };
        let is_node = info.form != BlobForm::Small;
        Ok(Walk { store: self.clone(), open: vec![(whole, is_node.then_some(None))], offset: 0 })
    }

    /// Takes the note back that somebody put a blob; tells whether there was one. It goes with a later collection, if nothing
    /// refers to it.
    ///
    /// *Durability*: survives a power failure once this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`], [`BlobError::Poisoned`].
    pub fn remove(&self, hash: &Hash) -> Result<bool, BlobError> {
        let was_blob = self.objects.note_no_blob(*hash)?;
        self.objects.sync()?;
        Ok(was_blob)
    }

    /// Returns a part of a blob that is not here, or the blob itself; `None` where all of it is. Nothing is verified but lists.
    ///
    /// # Errors
    ///
    /// As [`stat`](Self::stat).
    pub fn missing_part(&self, hash: &Hash) -> Result<Option<Hash>, BlobError> {
        let (mut open, mut met) = (vec![*hash], FxHashSet::default());
        while let Some(name) = open.pop() {
            match self.objects.kind_of(&name)? {
                None => return Ok(Some(name)),
                Some(ObjectKind::Chunk) => {}
                Some(kind) => {
                    for below in self.below(&name, kind)? {
                        match below.is_chunk {
                            true if !self.objects.exists(&below.hash)? => return Ok(Some(below.hash)),
                            false if met.insert(below.hash) => open.push(below.hash),
                            _ => {}
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    /// Returns what a list or directory lists.
    pub(crate) fn below(&self, name: &Hash, kind: ObjectKind) -> Result<Vec<Below>, BlobError> {
        Ok(match kind {
            ObjectKind::Chunk => Vec::new(),
            ObjectKind::Node => {
                let Node { levels, parts, .. } = self.node(name)?;
                parts.iter().map(|part| Below { hash: part.name, is_chunk: levels == 0 }).collect()
            }
            ObjectKind::Directory => {
                let entries = self.directory(name)?.entries.into_iter();
                let hashes = entries.filter_map(|entry| match entry.what {
                    Content::File { blob: hash, .. } | Content::Directory { object: hash, .. } => Some(hash),
                    Content::Link { .. } => None,
                });
                hashes.map(|hash| Below { hash, is_chunk: false }).collect()
            }
        })
    }

    pub(crate) fn node(&self, name: &Hash) -> Result<Node, BlobError> {
        match self.objects.get(name)? {
            (ObjectKind::Node, bytes) => Node::decode(&bytes),
            _ => Err(BlobError::Decode { what: format!("list of chunks {name}") }),
        }
    }

    /// Reads and verifies everything that is stored.
    ///
    /// # Errors
    ///
    /// As [`ObjectStore::verify`].
    pub fn verify(&self) -> Result<ObjectReport, BlobError> {
        self.objects.verify()
    }

    /// Returns what was done with the store since it was opened.
    pub fn metrics(&self) -> BlobMetrics {
        self.objects.counters().read()
    }

    /// Makes everything durable, so that opening it again need not look at it.
    ///
    /// # Errors
    ///
    /// As [`ObjectStore::sync`].
    pub fn close(&self) -> Result<(), BlobError> {
        self.objects.close()
    }
}

/// What a list or directory lists.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Below {
    pub hash: Hash,
    /// Whether it is known to be a chunk.
    pub is_chunk: bool,
}

/// The chunks of a blob, one after the other.
struct Walk {
    store: BlobStore,
    /// Parts to come, the next one last; for a node, the levels that it must have below, where these are known.
    open: Vec<(Part, Option<Option<u8>>)>,
    offset: u64,
}

impl Iterator for Walk {
    type Item = Result<PlacedChunk, BlobError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (part, node) = self.open.pop()?;
            let Some(levels) = node else {
                let chunk = PlacedChunk { hash: part.name, offset: self.offset, bytes: part.bytes };
                self.offset += part.bytes;
                return Some(Ok(chunk));
            };
            let opened = self.store.node(&part.name).and_then(|node| {
                let fits = node.bytes() == part.bytes && levels.is_none_or(|levels| levels == node.levels);
                let wrong = || BlobError::Decode { what: format!("list of chunks {}", part.name) };
                fits.then_some(node).ok_or_else(wrong)
            });
            match opened {
                Ok(node) => {
                    let below = node.levels.checked_sub(1).map(Some);
                    self.open.extend(node.parts.into_iter().rev().map(|part| (part, below)));
                }
                Err(error) => {
                    self.open.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Works on several items at the same time, and takes what comes of them in their order. Ends with the first error.
fn in_order<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> Result<R, BlobError> + Sync,
    mut take: impl FnMut(R) -> Result<(), BlobError>,
) -> Result<(), BlobError> {
    let (ask, asked) = mpsc::sync_channel::<(u64, T)>(WORKERS);
    let asked = Mutex::new(asked);
    thread::scope(|scope| {
        let (ask, (answer, answers)) = (ask, mpsc::channel());
        for _ in 0..WORKERS {
            let (answer, asked, work) = (answer.clone(), &asked, &work);
            scope.spawn(move || {
                loop {
                    let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, item)) = next else { return };
                    if answer.send((number, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(answer);
        let (mut asked_for, mut taken, mut early) = (0u64, 0u64, BTreeMap::new());
        let mut collect = |wait_for: u64, taken: &mut u64| -> Result<(), BlobError> {
            while *taken < wait_for {
                let Ok((number, done)) = answers.recv() else { return Ok(()) };
                early.insert(number, done);
                while let Some(done) = early.remove(taken) {
                    take(done?)?;
                    *taken += 1;
                }
            }
            Ok(())
        };
        for item in items {
            // No more than that are in memory, done or not.
            collect((asked_for + 1).saturating_sub(2 * WORKERS as u64), &mut taken)?;
            if ask.send((asked_for, item)).is_err() {
                break;
            }
            asked_for += 1;
        }
        drop(ask);
        collect(asked_for, &mut taken)
    })
}
