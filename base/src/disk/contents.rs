//! The bytes of a file in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::Hash;

/// The largest page that [`is_zero`] can look at.
const PAGE_BYTES_MAX: usize = 64 << 10;
/// The longest file, as on POSIX systems.
const LENGTH_MAX: u64 = i64::MAX as u64;

static ZEROS: [u8; PAGE_BYTES_MAX] = [0; PAGE_BYTES_MAX];

/// The bytes of a file in pages of `PAGE` bytes. Clones share their pages until one of them writes.
///
/// A page that is not there holds zeros, and so does every page behind the file's end.
#[derive(Clone, Default)]
pub(super) struct Contents<const PAGE: usize> {
    length: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

#[derive(Clone)]
struct Page {
    bytes: Box<[u8]>,
    /// The hash of `bytes` if somebody asked for it since they changed; `None` in it stands for zeros. Shared
    /// pages are hashed once for all who share them, which is what makes digests of many images cheap.
    hash: OnceLock<Option<Hash>>,
}

impl<const PAGE: usize> Contents<PAGE> {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from `offset` as far as the file goes; returns how many bytes that is.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        let left = self.length.saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        for piece in pieces::<PAGE>(offset, count) {
            match self.pages.get(&piece.page) {
                Some(page) => buffer[piece.outer].copy_from_slice(&page.bytes[piece.inner]),
                None => buffer[piece.outer].fill(0),
            }
        }
        count
    }

    /// Writes all of `bytes`, extending the file with zeros where needed.
    ///
    /// # Errors
    ///
    /// Kind `FileTooLarge` when the file would pass 2^63 - 1 bytes; nothing is written then.
    pub(super) fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= LENGTH_MAX);
        let end = end.ok_or(io::ErrorKind::FileTooLarge)?;
        for piece in pieces::<PAGE>(offset, bytes.len()) {
            let source = &bytes[piece.outer];
            match self.pages.entry(piece.page) {
                Entry::Occupied(page) => {
                    Arc::make_mut(page.into_mut()).bytes_mut()[piece.inner].copy_from_slice(source);
                }
                Entry::Vacant(_) if is_zero(source) => {}
                Entry::Vacant(place) => {
                    place.insert(Arc::new(Page::new::<PAGE>(source, piece.inner)));
                }
            }
        }
        self.length = self.length.max(end);
        Ok(())
    }

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// Kind `FileTooLarge` when `bytes` passes 2^63 - 1.
    pub(super) fn set_length(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > LENGTH_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if bytes < self.length {
            let (last, kept) = split::<PAGE>(bytes);
            let behind = self.pages.split_off(&last);
            if let Some(mut page) = behind.into_iter().next().filter(|(page, _)| *page == last && kept > 0) {
                Arc::make_mut(&mut page.1).bytes_mut()[kept..].fill(0);
                self.pages.insert(last, page.1);
            }
        }
        self.length = bytes;
        Ok(())
    }

    /// Returns the hashes of the pages that hold anything but zeros, with the pages' numbers, in order.
    pub(super) fn page_hashes(&self) -> impl Iterator<Item = (u64, Hash)> {
        self.pages.iter().filter_map(|(number, page)| Some((*number, page.hash()?)))
    }
}

impl Page {
    /// Makes a page that holds `source` at `place` and zeros elsewhere.
    fn new<const PAGE: usize>(source: &[u8], place: Range<usize>) -> Self {
        let bytes = if source.len() == PAGE {
            source.into()
        } else {
            let mut bytes = vec![0; PAGE].into_boxed_slice();
            bytes[place].copy_from_slice(source);
            bytes
        };
        Self { bytes, hash: OnceLock::new() }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.hash.take();
        &mut self.bytes
    }

    /// Returns the hash of the page, or `None` for zeros.
    fn hash(&self) -> Option<Hash> {
        *self.hash.get_or_init(|| (!is_zero(&self.bytes)).then(|| Hash::of(&self.bytes)))
    }
}

impl<const PAGE: usize> fmt::Debug for Contents<PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contents({} bytes in {} pages)", self.length, self.pages.len())
    }
}

/// The part of a byte range that lies in one page.
struct Piece {
    page: u64,
    /// Where in the page.
    inner: Range<usize>,
    /// Where in the whole range.
    outer: Range<usize>,
}

fn pieces<const PAGE: usize>(offset: u64, count: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == count {
            return None;
        }
        let (page, start) = split::<PAGE>(offset + done as u64);
        let bytes = (PAGE - start).min(count - done);
        let outer = done..done + bytes;
        done += bytes;
        Some(Piece { page, inner: start..start + bytes, outer })
    })
}

/// Returns the page that an offset lies in, and the place in that page.
fn split<const PAGE: usize>(offset: u64) -> (u64, usize) {
    const { assert!(PAGE <= PAGE_BYTES_MAX) }
    (offset / PAGE as u64, (offset % PAGE as u64) as usize)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes == &ZEROS[..bytes.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_take_no_pages() {
        let mut contents = Contents::<16>::default();
        contents.write_at(&[0; 100], 0).unwrap();
        contents.set_length(1000).unwrap();
        assert_eq!(format!("{contents:?}"), "Contents(1000 bytes in 0 pages)");
        contents.write_at(&[1; 17], 100).unwrap();
        assert_eq!(format!("{contents:?}"), "Contents(1000 bytes in 2 pages)");
    }

    #[test]
    fn cutting_gives_pages_back() {
        let mut contents = Contents::<16>::default();
        contents.write_at(&[1; 64], 0).unwrap();
        contents.set_length(32).unwrap();
        assert_eq!(format!("{contents:?}"), "Contents(32 bytes in 2 pages)");
    }

    #[test]
    fn clones_do_not_share_what_is_written_later() {
        let mut contents = Contents::<16>::default();
        contents.write_at(b"old", 0).unwrap();
        let clone = contents.clone();
        contents.write_at(b"new", 0).unwrap();
        let mut bytes = [0; 3];
        clone.read_at(&mut bytes, 0);
        assert_eq!(bytes, *b"old");
    }

    #[test]
    fn page_hashes_follow_the_bytes() {
        let mut contents = Contents::<4>::default();
        let hashes = |contents: &Contents<4>| contents.page_hashes().collect::<Vec<_>>();
        contents.write_at(b"aaaabb", 4).unwrap();
        assert_eq!(hashes(&contents), [(1, Hash::of(b"aaaa")), (2, Hash::of(b"bb\0\0"))]);
        contents.write_at(b"b", 7).unwrap();
        contents.set_length(9).unwrap();
        assert_eq!(hashes(&contents), [(1, Hash::of(b"aaab")), (2, Hash::of(b"b\0\0\0"))]);
        contents.write_at(b"\0", 8).unwrap();
        assert_eq!(hashes(&contents), [(1, Hash::of(b"aaab"))]);
    }
}
