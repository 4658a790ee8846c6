//! Whole blobs over an adapter, every object of which is verified.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Hash, Timestamp};
use rustc_hash::FxBuildHasher;

use super::walk::{Expected, Walk};
use super::{BlobAdapter, ListQuery, ObjectName, ObjectStat};
use crate::BlobError;
use crate::blobs::PlacedChunk;
use crate::builder::Builder;
use crate::chunking::{Chunking, Chunks};
use crate::limits::CHUNK_BYTES_MAX;
use crate::node::{Node, Part};
use crate::object::ObjectKind;
use crate::reference::{BlobRef, OWN_SCHEME, ReferenceForm};

mod together;

use self::together::{TOGETHER, together};

/// An adapter through which only what its name says comes out or goes in. Cloning shares the adapter.
///
/// Blobs are named by references whose scheme the adapter answers for, or that name our own storage: a name says which bytes are
/// meant, wherever they lie. Up to four objects are moved at the same time.
#[derive(Debug, Clone)]
pub struct VerifiedAdapter {
    adapter: Arc<dyn BlobAdapter>,
    cancelled: Arc<AtomicBool>,
}

/// What an adapter has of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobStat {
    /// Its length.
    pub bytes: u64,
    /// What it is made of.
    pub form: ReferenceForm,
    /// How it was cut; `None` for one chunk, of which nobody knows.
    pub chunking: Option<Chunking>,
    /// When the object was stored that names it, where that is known.
    pub stored_at: Option<Timestamp>,
}

/// Names of lists that were met, so that one that stands at many places is worked on once.
type Met = HashSet<Hash, FxBuildHasher>;

impl VerifiedAdapter {
    /// Verifies what an adapter does.
    pub fn new(adapter: Arc<dyn BlobAdapter>) -> Self {
        Self { adapter, cancelled: Arc::default() }
    }

    /// Has everything that is done through the returned one end with [`BlobError::Cancelled`], before its next object, once the
    /// flag is set.
    #[must_use]
    pub fn cancelled_by(&self, flag: Arc<AtomicBool>) -> Self {
        Self { adapter: Arc::clone(&self.adapter), cancelled: flag }
    }

    /// Returns the adapter's id.
    pub fn adapter_id(&self) -> &str {
        self.adapter.adapter_id()
    }

    /// Tells whether the adapter answers for a scheme.
    pub fn accepts(&self, scheme: &str) -> bool {
        self.adapter.accepted_schemes().iter().any(|accepted| accepted == scheme)
    }

    /// Tells whether the adapter can list objects.
    pub fn supports_list(&self) -> bool {
        self.adapter.supports_list()
    }

    /// Tells whether the adapter can remove objects.
    pub fn supports_delete(&self) -> bool {
        self.adapter.supports_delete()
    }

    /// Stores an object that is what its name says.
    ///
    /// *Durability*: as [`BlobAdapter::store_object`].
    ///
    /// # Errors
    ///
    /// [`BlobError::HashMismatch`] for another content and [`BlobError::TooLarge`] beyond 16 MiB, before anything is stored;
    /// [`BlobError::Cancelled`]; what the adapter says.
    pub fn store_object(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        self.go_on()?;
        self.check(name, content)?;
        self.adapter.store_object(name, content)
    }

    /// Returns an object, which is what its name says.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`]; [`BlobError::HashMismatch`] for something else under its name, [`BlobError::Decode`] for something
    /// larger than any object; [`BlobError::Cancelled`]; what the adapter says.
    pub fn fetch_object(&self, name: &ObjectName) -> Result<Vec<u8>, BlobError> {
        self.go_on()?;
        // What is larger than any object is not what the name says.
        let content = self.adapter.fetch_object(name).and_then(|content| {
            self.check(name, &content)?;
            Ok(content)
        });
        content.map_err(|error| match error {
            BlobError::TooLarge { .. } => {
                BlobError::Decode { what: format!("length of object {}", name.hash) }
            }
            error => error,
        })
    }

    /// Tells what the adapter knows of an object without reading it; `None` where there is none.
    ///
    /// # Errors
    ///
    /// What the adapter says.
    pub fn stat_object(&self, name: &ObjectName) -> Result<Option<ObjectStat>, BlobError> {
        self.adapter.stat_object(name)
    }

    /// Removes an object, and tells whether it was there.
    ///
    /// # Errors
    ///
    /// What the adapter says.
    pub fn delete_object(&self, name: &ObjectName) -> Result<bool, BlobError> {
        self.adapter.delete_object(name)
    }

    /// Returns names of objects in their order: chunks and lists, which their names do not tell apart.
    ///
    /// # Errors
    ///
    /// What the adapter says.
    pub fn list(&self, query: &ListQuery) -> Result<Vec<Hash>, BlobError> {
        self.adapter.list_objects(query)
    }

    /// Stores what is read as a blob, and returns a reference to what it became.
    ///
    /// *Durability*: as [`BlobAdapter::store_object`]. After an error, parts of it may be there, under their own names.
    ///
    /// # Errors
    ///
    /// [`BlobError::Stream`] where it cannot be read; [`BlobError::TooLarge`]; [`BlobError::Cancelled`]; what the adapter says.
    pub fn put(&self, source: &mut dyn Read, chunking: Chunking) -> Result<BlobRef, BlobError> {
        let reference = self.put_parts(source, chunking)?;
        self.adapter.note_blob(&root(&reference))?;
        Ok(reference)
    }

    /// Stores what is read, without saying that it is a blob.
    fn put_parts(&self, source: &mut dyn Read, chunking: Chunking) -> Result<BlobRef, BlobError> {
        // What names the blob is the list with the most levels below.
        let (mut levels_max, mut form) = (0, ReferenceForm::Small);
        let mut put_node = |node: &Node| {
            let bytes = node.encode();
            let name = ObjectName::of(ObjectKind::Node, &bytes);
            self.store_object(&name, &bytes)?;
            if node.levels >= levels_max {
                (levels_max, form) = (node.levels, form_of(node));
            }
            Ok(name.hash)
        };
        let mut builder = Builder::new(chunking);
        let mut chunks = Chunks::new(source, chunking).peekable();
        while chunks.peek().is_some() {
            let some: Vec<_> = chunks.by_ref().take(TOGETHER).collect();
            let some = together(some, |chunk| self.put_chunk(&chunk.map_err(BlobError::Stream)?));
            some.into_iter().try_for_each(|part| builder.add(part?, &mut put_node))?;
        }
        let whole = match builder.finish(&mut put_node)? {
            Some(whole) => whole,
            None => self.put_chunk(&[])?,
        };
        BlobRef::new(form, whole.name, whole.bytes)
    }

    fn put_chunk(&self, content: &[u8]) -> Result<Part, BlobError> {
        let name = ObjectName::of(ObjectKind::Chunk, content);
        self.store_object(&name, content)?;
        Ok(Part { name: name.hash, bytes: content.len() as u64 })
    }

    /// Stores the content of a blob, as [`store_stream`](Self::store_stream).
    ///
    /// # Errors
    ///
    /// As [`store_stream`](Self::store_stream).
    pub fn store(
        &self,
        reference: &BlobRef,
        chunking: Chunking,
        mut content: &[u8],
    ) -> Result<(), BlobError> {
        self.store_stream(reference, chunking, &mut content)
    }

    /// Stores the content of a blob, cut the way in which it was cut when it got its name; for one chunk that makes no difference.
    ///
    /// *Durability*: as [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// [`BlobError::HashMismatch`] for another content and [`BlobError::ShortChunk`] for another length: nothing has the blob's
    /// name then. As [`put`](Self::put); [`BlobError::UnsupportedScheme`], [`BlobError::UnsupportedEncoding`].
    pub fn store_stream(
        &self,
        reference: &BlobRef,
        chunking: Chunking,
        source: &mut dyn Read,
    ) -> Result<(), BlobError> {
        self.accept(reference)?;
        let expected = reference.bytes();
        // One byte more than expected tells that there is too much.
        let mut source = source.take(expected + 1);
        if reference.form() == ReferenceForm::Small {
            let mut content = Vec::new();
            source.read_to_end(&mut content).map_err(BlobError::Stream)?;
            of_length(&reference.hash(), expected, content.len() as u64)?;
            self.store_object(&root(reference), &content)?;
            return self.adapter.note_blob(&root(reference));
        }
        let stored = self.put_parts(&mut source, chunking)?;
        of_length(&reference.hash(), expected, stored.bytes())?;
        match stored.hash() == reference.hash() && stored.form() == reference.form() {
            true => self.adapter.note_blob(&root(reference)),
            false => Err(self.mismatch(reference.hash(), stored.hash())),
        }
    }

    /// Stores a blob that another adapter has, object by object, each verified; lists come behind what they list, so that whoever
    /// finds the blob finds all of it.
    ///
    /// *Durability*: as [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// As [`store_object`](Self::store_object) here, and as [`fetch`](Self::fetch) there.
    pub fn copy_from(&self, source: &Self, reference: &BlobRef) -> Result<(), BlobError> {
        self.accept(reference)?;
        source.accept(reference)?;
        match Expected::of(reference) {
            None => {
                self.copy_chunk(source, Part { name: reference.hash(), bytes: reference.bytes() })?;
            }
            Some(list) => self.copy_list(source, list, &mut Met::default())?,
        }
        self.adapter.note_blob(&root(reference))
    }

    fn copy_list(&self, source: &Self, list: Expected, met: &mut Met) -> Result<(), BlobError> {
        if met.contains(&list.part.name) {
            return Ok(());
        }
        let bytes = source.fetch_object(&list.name())?;
        let node = list.decode(&bytes)?;
        if list.levels == 0 {
            for some in node.parts.chunks(TOGETHER) {
                let copied = together(some.to_vec(), |part| self.copy_chunk(source, part));
                copied.into_iter().collect::<Result<(), _>>()?;
            }
        }
        for below in node.parts.iter().filter_map(|part| list.below(*part)) {
            self.copy_list(source, below, met)?;
        }
        self.store_object(&list.name(), &bytes)?;
        met.insert(list.part.name);
        Ok(())
    }

    fn copy_chunk(&self, source: &Self, part: Part) -> Result<(), BlobError> {
        let name = ObjectName { kind: ObjectKind::Chunk, hash: part.name };
        let content = source.fetch_object(&name)?;
        of_length(&part.name, part.bytes, content.len() as u64)?;
        self.store_object(&name, &content)
    }

    /// Returns a blob, all of it in memory.
    ///
    /// # Errors
    ///
    /// As [`fetch_stream`](Self::fetch_stream).
    pub fn fetch(&self, reference: &BlobRef) -> Result<Vec<u8>, BlobError> {
        let mut content = Vec::new();
        self.fetch_stream(reference, &mut content)?;
        Ok(content)
    }

    /// Writes a blob, and returns its length. Every chunk is verified before any of it is written; in memory are a few chunks.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`] for it or a part of it; [`BlobError::HashMismatch`], [`BlobError::ShortChunk`] and
    /// [`BlobError::Decode`] where something is damaged: what was written before is good. [`BlobError::Stream`] where it cannot
    /// be written; [`BlobError::UnsupportedScheme`], [`BlobError::UnsupportedEncoding`]; [`BlobError::Cancelled`]; what the
    /// adapter says.
    pub fn fetch_stream(&self, reference: &BlobRef, target: &mut dyn Write) -> Result<u64, BlobError> {
        self.accept(reference)?;
        let bytes = reference.bytes();
        self.write_range(reference, 0..bytes, target)?;
        Ok(bytes)
    }

    /// Returns a range of a blob. Only objects are read that have something of it, each of them as a whole.
    ///
    /// # Errors
    ///
    /// As [`fetch_range_stream`](Self::fetch_range_stream).
    pub fn fetch_range(&self, reference: &BlobRef, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let mut content = Vec::new();
        self.fetch_range_stream(reference, range, &mut content)?;
        Ok(content)
    }

    /// Writes a range of a blob, as [`fetch_range`](Self::fetch_range).
    ///
    /// # Errors
    ///
    /// [`BlobError::Range`] for what does not lie in the blob; as [`fetch_stream`](Self::fetch_stream).
    pub fn fetch_range_stream(
        &self,
        reference: &BlobRef,
        range: Range<u64>,
        target: &mut dyn Write,
    ) -> Result<(), BlobError> {
        self.accept(reference)?;
        let bytes = reference.bytes();
        if range.start > range.end || range.end > bytes {
            return Err(BlobError::Range { from: range.start, to: range.end, bytes });
        }
        match range.is_empty() {
            true => self.stat(reference).map(drop),
            false => self.write_range(reference, range, target),
        }
    }

    /// Writes a range that lies in the blob. What names the blob is read in any case.
    fn write_range(
        &self,
        reference: &BlobRef,
        range: Range<u64>,
        target: &mut dyn Write,
    ) -> Result<(), BlobError> {
        let mut chunks = Walk::new(self, reference, range.clone()).peekable();
        while chunks.peek().is_some() {
            let some: Vec<_> = chunks.by_ref().take(TOGETHER).collect();
            for read in together(some, |chunk| self.read_chunk(chunk?)) {
                let (offset, content) = read?;
                let from = range.start.saturating_sub(offset) as usize;
                let to = (range.end - offset).min(content.len() as u64) as usize;
                target.write_all(&content[from..to]).map_err(BlobError::Stream)?;
            }
        }
        Ok(())
    }

    fn read_chunk(&self, chunk: PlacedChunk) -> Result<(u64, Vec<u8>), BlobError> {
        let content = self.fetch_object(&ObjectName { kind: ObjectKind::Chunk, hash: chunk.hash })?;
        of_length(&chunk.hash, chunk.bytes, content.len() as u64)?;
        Ok((chunk.offset, content))
    }

    /// Reads and verifies all of a blob, and returns its length.
    ///
    /// # Errors
    ///
    /// As [`fetch_stream`](Self::fetch_stream).
    pub fn verify(&self, reference: &BlobRef) -> Result<u64, BlobError> {
        self.fetch_stream(reference, &mut io::sink())
    }

    /// Tells whether the object is there that names a blob; not whether all its parts are, nor whether they are whole.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnsupportedScheme`]; what the adapter says.
    pub fn exists(&self, reference: &BlobRef) -> Result<bool, BlobError> {
        self.accept(reference)?;
        Ok(self.stat_object(&root(reference))?.is_some())
    }

    /// Returns what the adapter has of a blob; reads and verifies its list, none of its chunks.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`]; [`BlobError::ShortChunk`] for another length; as [`fetch_stream`](Self::fetch_stream).
    pub fn stat(&self, reference: &BlobRef) -> Result<BlobStat, BlobError> {
        self.accept(reference)?;
        let (hash, bytes, form) = (reference.hash(), reference.bytes(), reference.form());
        let stat = self.stat_object(&root(reference))?.ok_or(BlobError::NotFound { hash })?;
        let chunking = match Expected::of(reference) {
            None => of_length(&hash, bytes, stat.bytes).map(|_| None)?,
            Some(list) => Some(list.decode(&self.fetch_object(&list.name())?)?.chunking),
        };
        Ok(BlobStat { bytes, form, chunking, stored_at: stat.stored_at })
    }

    /// Removes a blob with all its parts, but for those that the caller says are to be kept, since something else refers to them;
    /// tells whether anything was there. What is kept, is kept with all its parts. Parts go before the list that lists them, so that
    /// asking once more finishes what was interrupted.
    ///
    /// # Errors
    ///
    /// [`BlobError::HashMismatch`] and [`BlobError::Decode`] for a list that is damaged: nobody knows what it listed. As
    /// [`exists`](Self::exists).
    pub fn delete(&self, reference: &BlobRef, keep: &dyn Fn(&ObjectName) -> bool) -> Result<bool, BlobError> {
        self.accept(reference)?;
        match Expected::of(reference) {
            Some(list) => self.delete_list(list, keep, &mut Met::default()),
            None => self.delete_unless(&root(reference), keep),
        }
    }

    fn delete_list(
        &self,
        list: Expected,
        keep: &dyn Fn(&ObjectName) -> bool,
        met: &mut Met,
    ) -> Result<bool, BlobError> {
        if keep(&list.name()) || !met.insert(list.part.name) {
            return Ok(false);
        }
        let bytes = match self.fetch_object(&list.name()) {
            Err(BlobError::NotFound { .. }) => return Ok(false),
            bytes => bytes?,
        };
        for part in list.decode(&bytes)?.parts {
            match list.below(part) {
                Some(below) => self.delete_list(below, keep, met)?,
                None => self.delete_unless(&ObjectName { kind: ObjectKind::Chunk, hash: part.name }, keep)?,
            };
        }
        self.delete_object(&list.name())
    }

    fn delete_unless(
        &self,
        name: &ObjectName,
        keep: &dyn Fn(&ObjectName) -> bool,
    ) -> Result<bool, BlobError> {
        self.go_on()?;
        if keep(name) { Ok(false) } else { self.delete_object(name) }
    }

    /// Has a blob at hand soon, where that makes a difference to the adapter.
    ///
    /// # Errors
    ///
    /// As [`fetch_stream`](Self::fetch_stream).
    pub fn prefetch(&self, reference: &BlobRef) -> Result<(), BlobError> {
        self.accept(reference)?;
        let makes_a_difference = self.adapter.prefetch_object(&root(reference))?;
        if !makes_a_difference || reference.form() == ReferenceForm::Small {
            return Ok(());
        }
        for chunk in Walk::new(self, reference, 0..reference.bytes()) {
            self.adapter.prefetch_object(&ObjectName { kind: ObjectKind::Chunk, hash: chunk?.hash })?;
        }
        Ok(())
    }

    /// Checks that a blob can be here, and can be read.
    fn accept(&self, reference: &BlobRef) -> Result<(), BlobError> {
        reference.require_replicated()?;
        let scheme = reference.scheme();
        match scheme == OWN_SCHEME || self.accepts(scheme) {
            true => Ok(()),
            false => Err(BlobError::UnsupportedScheme {
                adapter: self.adapter_id().to_owned(),
                scheme: scheme.to_owned(),
            }),
        }
    }

    fn check(&self, name: &ObjectName, content: &[u8]) -> Result<(), BlobError> {
        if content.len() > CHUNK_BYTES_MAX {
            return Err(BlobError::TooLarge { max: CHUNK_BYTES_MAX as u64 });
        }
        let found = name.kind.name_of(content);
        if found == name.hash { Ok(()) } else { Err(self.mismatch(name.hash, found)) }
    }

    fn mismatch(&self, hash: Hash, found: Hash) -> BlobError {
        BlobError::HashMismatch { file: PathBuf::from(self.adapter_id()), offset: 0, hash, found }
    }

    fn go_on(&self) -> Result<(), BlobError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(BlobError::Cancelled) } else { Ok(()) }
    }
}

/// Returns the object that names a blob.
fn root(reference: &BlobRef) -> ObjectName {
    let kind = match reference.form() {
        ReferenceForm::Small => ObjectKind::Chunk,
        ReferenceForm::Manifest { .. } | ReferenceForm::Tree { .. } => ObjectKind::Node,
    };
    ObjectName { kind, hash: reference.hash() }
}

/// Returns what a blob is that a list names.
fn form_of(list: &Node) -> ReferenceForm {
    match list.levels {
        0 => ReferenceForm::Manifest { chunks: u32::try_from(list.parts.len()).unwrap_or(u32::MAX) },
        levels => ReferenceForm::Tree { depth: levels + 1 },
    }
}

/// Returns a length that must be as expected.
fn of_length(hash: &Hash, expected: u64, found: u64) -> Result<u64, BlobError> {
    if found == expected { Ok(found) } else { Err(BlobError::ShortChunk { hash: *hash, expected, found }) }
}

#[cfg(test)]
mod tests;
