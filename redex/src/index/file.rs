//! The index file of a sealed segment; derived data, rebuilt from the segment whenever it does not read.
//!
//! ```text
//!   0  [8]  "NetDbIdx"
//!   8  u16  format version   10  u16 reserved, 0   12  u32 bytes of the directory
//!  16  [16] log id
//!  32  u64  segment number   40  u64 bytes of the segment
//!  48  u32  blocks           52  u32 CRC of the directory
//!  56  u32  reserved, 0      60  u32 CRC of bytes 0..60
//!  64  directory: u64 entries, u64 events, i64 first and i64 last recorded at,
//!      u32 lists, by name, each: u16 + channel name (empty: all entries), u64 first, u64 next, u64 events,
//!      u32 points, u32 place of its first point among those of all lists, and, when its points stand in more than
//!      one block, the first of them in each
//!   +  zeros to a multiple of 4096, then blocks of 4096 bytes: 127 points, zeros, u32 CRC at 4092; the points of
//!      each list follow those of the list before
//! point: u64 seq, u64 index, u64 offset, i64 recorded at
//! ```

use std::ops::Range;

use base::{ChannelName, LogId, Seq, Timestamp};

use super::{ChannelPoints, Point, SegmentIndex, Target, search};
use crate::codec::superblock::{checked_copy, finish_copy};
use crate::codec::{Cursor, FORMAT_VERSION, Malformed, Put};

const MAGIC: [u8; 8] = *b"NetDbIdx";
const HEADER_BYTES: usize = 64;
/// Bytes of a block.
pub(crate) const BLOCK_BYTES: usize = 4096;
const POINT_BYTES: usize = 32;
const POINTS_PER_BLOCK: usize = (BLOCK_BYTES - 4) / POINT_BYTES;

/// Which segment an index file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexOwner {
    pub log: LogId,
    pub segment: u64,
    pub segment_bytes: u64,
}

/// One list of points, of a channel or of all entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListDirectory {
    pub channel: Option<ChannelName>,
    pub first: Seq,
    pub next: Seq,
    pub events: u64,
    pub points: usize,
    /// The place of its first point among those of all lists.
    first_point: usize,
    /// When its points stand in more than one block, the first of them in each.
    fences: Vec<Point>,
}

/// The points of one list that stand in one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The place of the first in its list.
    pub first: usize,
    /// Their places in the block.
    pub within: Range<usize>,
}

/// What is kept in memory of an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub entries: u64,
    pub events: u64,
    pub first_recorded_at: Timestamp,
    pub last_recorded_at: Timestamp,
    pub lists: Vec<ListDirectory>,
    blocks_at: usize,
}

pub(crate) fn encode(owner: IndexOwner, index: &SegmentIndex) -> Vec<u8> {
    let all =
        ChannelPoints { events: index.events, points: index.points.clone(), ..ChannelPoints::default() };
    let lists = std::iter::once((None, &all))
        .chain(index.by_name().into_iter().map(|(name, list)| (Some(name), list)));
    let mut directory = Vec::new();
    directory.put_u64(index.entries);
    directory.put_u64(index.events);
    directory.put_i64(index.first_recorded_at.as_nanos());
    directory.put_i64(index.last_recorded_at.as_nanos());
    directory.put_length(index.channels.len() + 1);
    let mut points = Vec::new();
    for (name, list) in lists {
        directory.put_text16(name.map_or("", ChannelName::as_str));
        directory.put_u64(list.first.0);
        directory.put_u64(list.next.0);
        directory.put_u64(list.events);
        directory.put_length(list.points.len());
        directory.put_length(points.len());
        let parts = Part::all(points.len(), list.points.len());
        if parts > 1 {
            let first = |part| &list.points[Part::of(points.len(), list.points.len(), part).first];
            (0..parts).for_each(|part| put_point(&mut directory, first(part)));
        }
        points.extend_from_slice(&list.points);
    }
    let blocks = points.len().div_ceil(POINTS_PER_BLOCK);
    let mut out = Vec::with_capacity(HEADER_BYTES + directory.len() + (blocks + 1) * BLOCK_BYTES);
    out.put(&MAGIC);
    out.put_u16(FORMAT_VERSION);
    out.put_u16(0);
    out.put_length(directory.len());
    out.put(owner.log.as_bytes());
    out.put_u64(owner.segment);
    out.put_u64(owner.segment_bytes);
    out.put_length(blocks);
    out.put_u32(crc32fast::hash(&directory));
    finish_copy(&mut out, 0, HEADER_BYTES);
    out.put(&directory);
    out.resize(out.len().next_multiple_of(BLOCK_BYTES), 0);
    for block in points.chunks(POINTS_PER_BLOCK) {
        let begin = out.len();
        block.iter().for_each(|point| put_point(&mut out, point));
        finish_copy(&mut out, begin, BLOCK_BYTES);
    }
    out
}

fn put_point(out: &mut Vec<u8>, point: &Point) {
    out.put_u64(point.seq);
    out.put_u64(point.index);
    out.put_u64(point.offset);
    out.put_i64(point.recorded_at);
}

fn take_point(cursor: &mut Cursor<'_>) -> Result<Point, Malformed> {
    Ok(Point {
        seq: cursor.u64("point")?,
        index: cursor.u64("point")?,
        offset: cursor.u64("point")?,
        recorded_at: cursor.i64("point")?,
    })
}

/// Decodes the header; returns the bytes from the file's beginning to the directory's end.
pub(crate) fn decode_header(bytes: &[u8], owner: IndexOwner) -> Result<usize, Malformed> {
    let mut cursor = checked_copy(bytes, HEADER_BYTES, &MAGIC, "index magic")?;
    let directory = cursor.length("directory length")?;
    let log = LogId::from_bytes(cursor.array("log id")?);
    let segment = cursor.u64("segment number")?;
    let segment_bytes = cursor.u64("segment length")?;
    if (IndexOwner { log, segment, segment_bytes }) != owner {
        return Err(Malformed::new("index owner"));
    }
    Ok(HEADER_BYTES + directory)
}

/// Decodes header and directory of a file of `file_bytes` bytes.
pub(crate) fn decode_directory(
    bytes: &[u8],
    owner: IndexOwner,
    file_bytes: u64,
) -> Result<Directory, Malformed> {
    let end = decode_header(bytes, owner)?;
    let mut header = Cursor::new(bytes);
    header.take(48, "index header")?;
    let blocks = header.length("block count")?;
    let crc = header.u32("directory checksum")?;
    if header.u32("reserved bits")? != 0 {
        return Err(Malformed::new("reserved bits"));
    }
    let directory = bytes.get(HEADER_BYTES..end).ok_or(Malformed::new("directory length"))?;
    if crc32fast::hash(directory) != crc {
        return Err(Malformed::new("directory checksum"));
    }
    let blocks_at = end.next_multiple_of(BLOCK_BYTES);
    if file_bytes != (blocks_at + blocks * BLOCK_BYTES) as u64 {
        return Err(Malformed::new("index length"));
    }
    let mut cursor = Cursor::new(directory);
    let entries = cursor.u64("entries")?;
    let events = cursor.u64("events")?;
    let first_recorded_at = Timestamp::from_nanos(cursor.i64("first recorded at")?);
    let last_recorded_at = Timestamp::from_nanos(cursor.i64("last recorded at")?);
    let lists: Vec<ListDirectory> = (0..cursor.u32("lists")?)
        .map(|_| decode_list(&mut cursor, blocks * POINTS_PER_BLOCK))
        .collect::<Result<_, _>>()?;
    cursor.finish("directory length")?;
    // The list of all entries comes first, then the channels by name: they are found by bisection.
    if !lists.is_sorted_by(|one, next| one.channel < next.channel) {
        return Err(Malformed::new("order of channels"));
    }
    Ok(Directory { entries, events, first_recorded_at, last_recorded_at, lists, blocks_at })
}

/// Decodes the directory of one list; there is room for so many points.
fn decode_list(cursor: &mut Cursor<'_>, room: usize) -> Result<ListDirectory, Malformed> {
    let channel = match cursor.text16("channel name")? {
        "" => None,
        name => Some(ChannelName::new(name).map_err(|_| Malformed::new("channel name"))?),
    };
    let first = Seq(cursor.u64("first sequence number")?);
    let next = Seq(cursor.u64("next sequence number")?);
    let events = cursor.u64("channel events")?;
    let points = cursor.length("point count")?;
    let first_point = cursor.length("first point")?;
    if first_point + points > room {
        return Err(Malformed::new("point count"));
    }
    let fences = match Part::all(first_point, points) {
        parts @ 2.. => (0..parts).map(|_| take_point(cursor)).collect::<Result<_, _>>()?,
        _ => Vec::new(),
    };
    Ok(ListDirectory { channel, first, next, events, points, first_point, fences })
}

/// Checks one block and returns its points (the unused ones behind the last list's last are zero).
pub(crate) fn decode_block(bytes: &[u8]) -> Result<Vec<Point>, Malformed> {
    let block = bytes.get(..BLOCK_BYTES).ok_or(Malformed::new("block length"))?;
    let (content, crc) = block.split_at(BLOCK_BYTES - 4);
    if crc != crc32fast::hash(content).to_le_bytes() {
        return Err(Malformed::new("block checksum"));
    }
    let mut cursor = Cursor::new(content);
    (0..POINTS_PER_BLOCK).map(|_| take_point(&mut cursor)).collect()
}

/// Tells whether every part of an index file reads.
pub(crate) fn is_whole(bytes: &[u8], owner: IndexOwner) -> bool {
    let Ok(directory) = decode_directory(bytes, owner, bytes.len() as u64) else { return false };
    let (padding, blocks) = bytes.split_at(directory.blocks_at);
    let Ok(end) = decode_header(bytes, owner) else { return false };
    padding[end..].iter().all(|byte| *byte == 0)
        && blocks.chunks(BLOCK_BYTES).all(|block| decode_block(block).is_ok())
}

impl Directory {
    /// Returns the list of a channel, or of all entries.
    pub(crate) fn list(&self, channel: Option<&ChannelName>) -> Option<&ListDirectory> {
        let place = self.lists.binary_search_by(|list| list.channel.as_ref().cmp(&channel)).ok()?;
        self.lists.get(place)
    }

    /// Returns the bytes of memory that it takes.
    pub(crate) fn weight(&self) -> usize {
        let list = |list: &ListDirectory| {
            let name = list.channel.as_ref().map_or(0, |name| name.as_str().len() + 16);
            size_of::<ListDirectory>() + name + list.fences.len() * size_of::<Point>()
        };
        self.lists.iter().map(list).sum()
    }

    /// Returns where in the file a block of a list stands.
    pub(crate) fn block_offset(&self, list: &ListDirectory, block: usize) -> u64 {
        (self.blocks_at + (list.first_point / POINTS_PER_BLOCK + block) * BLOCK_BYTES) as u64
    }
}

impl Part {
    /// Returns in how many blocks the points of a list stand, the first of which has the place `first_point`.
    fn all(first_point: usize, points: usize) -> usize {
        match points {
            0 => 0,
            points => (first_point % POINTS_PER_BLOCK + points).div_ceil(POINTS_PER_BLOCK),
        }
    }

    /// Returns what stands in a block of such a list.
    fn of(first_point: usize, points: usize, block: usize) -> Self {
        let before = first_point % POINTS_PER_BLOCK;
        let first = (block * POINTS_PER_BLOCK).saturating_sub(before);
        let begin = if block == 0 { before } else { 0 };
        let count = points.saturating_sub(first).min(POINTS_PER_BLOCK - begin);
        Self { first, within: begin..begin + count }
    }
}

impl ListDirectory {
    /// Returns the block of the list that holds the last point from which `target` is reached.
    pub(crate) fn block_of(&self, target: Target) -> usize {
        search(&self.fences, target)
    }

    /// Returns where a point stands: its block, of the list's, and its place there.
    pub(crate) fn place(&self, point: usize) -> (usize, usize) {
        let place = self.first_point % POINTS_PER_BLOCK + point;
        (place / POINTS_PER_BLOCK, place % POINTS_PER_BLOCK)
    }

    /// Returns what of the list stands in one of its blocks.
    pub(crate) fn part(&self, block: usize) -> Part {
        Part::of(self.first_point, self.points, block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::block::BlockItem;
    use base::{Hash, Index};

    fn sample() -> (IndexOwner, SegmentIndex) {
        let mut index = SegmentIndex::default();
        for entry in 0..400 {
            let name = if entry % 2 == 0 { format!("rare/{}", entry % 23) } else { "often".to_owned() };
            let item = BlockItem {
                channel: ChannelName::new(&name).unwrap(),
                first_seq: Seq(entry),
                events: 1,
                bytes: 0,
                erasable: false,
                hash: Hash::ZERO,
            };
            let time = Timestamp::from_nanos(entry as i64);
            index.add(Index(entry), 1024 + entry * 20_000, time, &[item]);
        }
        (IndexOwner { log: LogId::from_bytes([1; 16]), segment: 3, segment_bytes: 9_000_000 }, index)
    }

    fn read(bytes: &[u8], owner: IndexOwner) -> Result<SegmentIndex, Malformed> {
        let directory = decode_directory(bytes, owner, bytes.len() as u64)?;
        let mut index = SegmentIndex {
            entries: directory.entries,
            events: directory.events,
            first_recorded_at: directory.first_recorded_at,
            last_recorded_at: directory.last_recorded_at,
            ..SegmentIndex::default()
        };
        for list in &directory.lists {
            let mut points = Vec::new();
            for block in 0..Part::all(list.first_point, list.points) {
                let at = directory.block_offset(list, block) as usize;
                points.extend_from_slice(&decode_block(&bytes[at..])?[list.part(block).within]);
            }
            match &list.channel {
                None => index.points = points,
                Some(name) => {
                    let (first, next, events) = (list.first, list.next, list.events);
                    index.channels.insert(name.clone(), ChannelPoints { first, next, events, points });
                }
            }
        }
        Ok(index)
    }

    #[test]
    fn an_index_round_trips() {
        let (owner, index) = sample();
        assert_eq!(read(&encode(owner, &index), owner), Ok(index));
    }

    #[test]
    fn blocks_are_shared_by_lists_and_searched_within_each() {
        let (owner, index) = sample();
        let bytes = encode(owner, &index);
        let directory = decode_directory(&bytes, owner, bytes.len() as u64).unwrap();
        assert_eq!(bytes.len(), directory.blocks_at + 800_usize.div_ceil(127) * BLOCK_BYTES);
        for list in &directory.lists {
            let points = index.list(list.channel.as_ref());
            for (place, point) in points.iter().enumerate() {
                let (block, within) = list.place(place);
                let (part, at) = (list.part(block), directory.block_offset(list, block) as usize);
                let stored = decode_block(&bytes[at..]).unwrap();
                assert_eq!(stored[within], *point);
                let target = Target::Index(point.index);
                assert_eq!(list.block_of(target), block, "{:?} {place}", list.channel);
                assert_eq!(part.first + search(&stored[part.within], target), place);
            }
        }
    }

    #[test]
    fn an_index_of_another_segment_is_refused() {
        let (owner, index) = sample();
        let bytes = encode(owner, &index);
        assert!(read(&bytes, IndexOwner { segment: 4, ..owner }).is_err());
        assert!(read(&bytes, IndexOwner { segment_bytes: 5, ..owner }).is_err());
    }

    #[test]
    fn flipped_bits_are_found_where_they_matter() {
        let (owner, index) = sample();
        let bytes = encode(owner, &index);
        for bit in (0..bytes.len() * 8).step_by(11) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped, owner).map_or(true, |read| read == index), "bit {bit}");
        }
    }
}
