//! Ranges of a blob with all that is needed to verify them from its name alone.
//!
//! ```text
//!  0 [8] "NetDbSli"   8 u16 format version   10 u8 what the blob is: 1 one chunk, 2 a list   11 [5] 0   16 u64 its bytes
//! 24 what the blob is:
//!    a list: u32 bytes, the list as it is stored, then each part of it that has something of the range, in their order
//!    a chunk: the pairs of hashes and the groups of 16 KiB of the range, in pre-order, as `bao` slices have them; of a blob that
//!    is one chunk, the last group, too, which shows how long it is
//! ```

use std::io::{self, Read, Write};
use std::ops::Range;

use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::{DecodeResponseIter, encode_ranges};
use bao_tree::io::{BaoContentItem, DecodeError, Leaf, round_up_to_chunks, round_up_to_chunks_groups};
use bao_tree::{BaoTree, BlockSize, ByteRanges, ChunkNum, ChunkRanges};
use base::Hash;
use base::wire::{Cursor, Malformed, Put};

use crate::limits::{CHUNK_BYTES_MAX, NODE_BYTES_MAX};
use crate::node::Node;
use crate::object::ObjectKind;
use crate::{BlobError, BlobForm, BlobStore};

const MAGIC: [u8; 8] = *b"NetDbSli";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 24;
/// What is verified at once within a chunk: 16 KiB.
const GROUP: BlockSize = BlockSize::from_chunk_log(4);

impl BlobStore {
    /// Writes a range of a blob with all that is needed to verify it from the blob's name alone: what
    /// [`read_slice`] reads. Everything is verified before it is written.
    ///
    /// # Errors
    ///
    /// As [`get_range`](Self::get_range).
    pub fn slice(&self, hash: &Hash, range: Range<u64>, target: &mut impl Write) -> Result<(), BlobError> {
        let _held = self.objects().hold(hash)?;
        let info = self.stat(hash)?;
        check_range(&range, info.bytes)?;
        let kind = match info.form {
            BlobForm::Small => ObjectKind::Chunk,
            BlobForm::Manifest { .. } | BlobForm::Tree { .. } => ObjectKind::Node,
            BlobForm::Directory { .. } => return Err(BlobError::IsDirectory { hash: *hash }),
        };
        target.write_all(&header(kind, info.bytes)).map_err(BlobError::Stream)?;
        match kind {
            ObjectKind::Chunk => {
                self.slice_chunk(hash, info.bytes, groups_with_end(range, info.bytes), target)
            }
            _ => self.slice_list(hash, range, target),
        }
    }

    /// Writes a list, and what of the range is in its parts; the range is one of the list's bytes.
    fn slice_list(&self, name: &Hash, range: Range<u64>, target: &mut impl Write) -> Result<(), BlobError> {
        let node = self.node(name)?;
        let list = node.encode();
        let mut framed = Vec::new();
        framed.put_length(list.len());
        framed.put(&list);
        target.write_all(&framed).map_err(BlobError::Stream)?;
        each_part(&node, &range, |part, within| match node.levels {
            0 => self.slice_chunk(&part.name, part.bytes, groups(within), target),
            _ => self.slice_list(&part.name, within, target),
        })
    }

    fn slice_chunk(
        &self,
        name: &Hash,
        bytes: u64,
        ranges: ChunkRanges,
        target: &mut impl Write,
    ) -> Result<(), BlobError> {
        let (_, content) = self.objects().get(name)?;
        let found = content.len() as u64;
        if found != bytes {
            return Err(BlobError::ShortChunk { hash: *name, expected: bytes, found });
        }
        let outboard = PreOrderMemOutboard::create(&content, GROUP);
        encode_ranges(&content[..], &outboard, &ranges, target)
            .map_err(|error| BlobError::Stream(error.into()))
    }
}

/// Reads a range of a blob from somebody who need not be trusted: every byte is verified from the blob's name before it is
/// written. Returns how many bytes the blob has.
///
/// # Errors
///
/// [`BlobError::Slice`] for what does not fit the name or the range, or ends early: what was written before is good.
/// [`BlobError::UnsupportedVersion`]; [`BlobError::Range`] for what does not lie in the blob; [`BlobError::Stream`].
///
/// # Examples
///
/// ```
/// # let store = blob::BlobStore::open("blobs".as_ref(), &base::Doors::memory())?;
/// let hash = store.put(&b"0123456789"[..], blob::Chunking::Fixed)?.hash;
/// let mut slice = Vec::new();
/// store.slice(&hash, 3..6, &mut slice)?;
///
/// let mut read = Vec::new();
/// assert_eq!(blob::read_slice(&hash, 3..6, &mut &slice[..], &mut read)?, 10);
/// assert_eq!(read, b"345");
/// # Ok::<(), blob::BlobError>(())
/// ```
pub fn read_slice(
    hash: &Hash,
    range: Range<u64>,
    source: &mut impl Read,
    target: &mut impl Write,
) -> Result<u64, BlobError> {
    let mut reader = SliceReader { hash, source, target };
    let (kind, bytes) = reader.header()?;
    match kind {
        ObjectKind::Chunk => {
            if bytes > CHUNK_BYTES_MAX as u64 {
                return Err(reader.wrong("length"));
            }
            // The range is looked at once the length is known to be right.
            let within = range.start.min(bytes)..range.end.min(bytes);
            let ranges = groups_with_end(within, bytes);
            reader.chunk(hash, bytes, &ranges, &range)?;
        }
        ObjectKind::Directory => return Err(reader.wrong("kind")),
        ObjectKind::Node => {
            let node = reader.list(hash, None)?;
            if node.bytes() != bytes {
                return Err(reader.wrong("length"));
            }
            check_range(&range, bytes)?;
            reader.parts(&node, &range)?;
        }
    }
    check_range(&range, bytes)?;
    Ok(bytes)
}

struct SliceReader<'a, R, W> {
    hash: &'a Hash,
    source: &'a mut R,
    target: &'a mut W,
}

impl<R: Read, W: Write> SliceReader<'_, R, W> {
    fn wrong(&self, what: &'static str) -> BlobError {
        BlobError::Slice { hash: *self.hash, what }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), BlobError> {
        self.source.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.wrong("end"),
            _ => BlobError::Stream(error),
        })
    }

    fn header(&mut self) -> Result<(ObjectKind, u64), BlobError> {
        let mut header = [0; HEADER_BYTES];
        self.fill(&mut header)?;
        decode_header(&header, self.hash)
    }

    /// Reads a list, which must have so many levels below it, where that is known.
    fn list(&mut self, name: &Hash, levels: Option<u8>) -> Result<Node, BlobError> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > NODE_BYTES_MAX {
            return Err(self.wrong("length of a list"));
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        if ObjectKind::Node.name_of(&bytes) != *name {
            return Err(self.wrong("list"));
        }
        let node = Node::decode(&bytes)?;
        match levels.is_none_or(|levels| levels == node.levels) {
            true => Ok(node),
            false => Err(self.wrong("level of a list")),
        }
    }

    fn parts(&mut self, node: &Node, range: &Range<u64>) -> Result<(), BlobError> {
        each_part(node, range, |part, within| match node.levels.checked_sub(1) {
            None => self.chunk(&part.name, part.bytes, &groups(within.clone()), &within),
            below => {
                let list = self.list(&part.name, below)?;
                if list.bytes() != part.bytes {
                    return Err(self.wrong("length of a list"));
                }
                self.parts(&list, &within)
            }
        })
    }

    /// Reads groups of a chunk, and writes what of the wanted bytes is in them.
    fn chunk(
        &mut self,
        name: &Hash,
        bytes: u64,
        groups: &ChunkRanges,
        wanted: &Range<u64>,
    ) -> Result<(), BlobError> {
        let wrong = {
            let hash = *self.hash;
            move |what| BlobError::Slice { hash, what }
        };
        let tree = BaoTree::new(bytes, GROUP);
        let root = blake3::Hash::from_bytes(*name.as_bytes());
        // What is wanted stands before the group that shows the length; it is written once that is verified, too.
        let mut content = Vec::new();
        for item in DecodeResponseIter::new(root, tree, &mut *self.source, groups) {
            let item = item.map_err(|error| match error {
                DecodeError::Io(error) => BlobError::Stream(error),
                DecodeError::ParentNotFound(_) | DecodeError::LeafNotFound(_) => wrong("end"),
                _ => wrong("hash"),
            })?;
            if let BaoContentItem::Leaf(Leaf { offset, data }) = item {
                let end = offset + data.len() as u64;
                let (from, to) = (wanted.start.max(offset), wanted.end.min(end));
                if from < to {
                    content.extend_from_slice(&data[(from - offset) as usize..(to - offset) as usize]);
                }
            }
        }
        self.target.write_all(&content).map_err(BlobError::Stream)
    }
}

/// Goes through the parts of a list that have something of a range of its bytes, with the range of theirs.
fn each_part(
    node: &Node,
    range: &Range<u64>,
    mut visit: impl FnMut(&crate::node::Part, Range<u64>) -> Result<(), BlobError>,
) -> Result<(), BlobError> {
    let mut begin = 0;
    for part in &node.parts {
        let end = begin + part.bytes;
        let (from, to) = (range.start.max(begin), range.end.min(end));
        if from < to {
            visit(part, from - begin..to - begin)?;
        }
        begin = end;
    }
    Ok(())
}

fn groups(range: Range<u64>) -> ChunkRanges {
    round_up_to_chunks_groups(round_up_to_chunks(&ByteRanges::from(range)), GROUP)
}

/// Returns the groups of a range, and the last one of so many bytes.
fn groups_with_end(range: Range<u64>, bytes: u64) -> ChunkRanges {
    let last = ChunkRanges::from(ChunkNum::full_chunks(bytes.saturating_sub(1))..);
    groups(range) | round_up_to_chunks_groups(last, GROUP)
}

fn check_range(range: &Range<u64>, bytes: u64) -> Result<(), BlobError> {
    match range.start <= range.end && range.end <= bytes {
        true => Ok(()),
        false => Err(BlobError::Range { from: range.start, to: range.end, bytes }),
    }
}

fn header(kind: ObjectKind, bytes: u64) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.put_u16(VERSION);
    out.put_u8(kind.as_u8());
    out.put(&[0; 5]);
    out.put_u64(bytes);
    out
}

fn decode_header(bytes: &[u8], hash: &Hash) -> Result<(ObjectKind, u64), BlobError> {
    let read = || -> Result<_, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let magic: [u8; 8] = cursor.array("magic")?;
        let version = cursor.u16("version")?;
        let kind = ObjectKind::from_u8(cursor.u8("kind")?);
        let zeros: [u8; 5] = cursor.array("reserved bytes")?;
        let kind = kind.filter(|_| magic == MAGIC && zeros == [0; 5]);
        Ok((magic, version, kind, cursor.u64("length")?))
    };
    match read() {
        Ok((MAGIC, found, ..)) if found != VERSION => {
            Err(BlobError::UnsupportedVersion { what: "a slice", found, known: VERSION })
        }
        Ok((_, _, Some(kind), bytes)) => Ok((kind, bytes)),
        _ => Err(BlobError::Slice { hash: *hash, what: "header" }),
    }
}
