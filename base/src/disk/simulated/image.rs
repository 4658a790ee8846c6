//! A file system's content at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::contents::Contents as Pages;
use super::super::tree::Tree;
use super::pending::Pending;
use crate::Hash;

/// Small, so that images which differ in little share the rest.
const PAGE_BYTES: usize = 4096;

/// Ends a file's pages in a digest; no page has this number.
const NO_PAGE: u64 = u64::MAX;

/// The bytes of a file.
pub(super) type Contents = Pages<PAGE_BYTES>;

/// A file's identity, apart from its name. Not used again until the disk starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inode(pub(super) u64);

/// Names, and the contents behind them. Clones share the bytes of files until one of them writes.
///
/// There may be contents without a name: of a removed file that is still open, or of a synced file whose name
/// was not synced. A name without contents is an empty file.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    pub(super) tree: Tree<Inode>,
    contents: BTreeMap<Inode, Arc<Contents>>,
}

impl Image {
    pub(super) fn contents(&self, inode: Inode) -> Option<&Contents> {
        self.contents.get(&inode).map(|contents| &**contents)
    }

    pub(super) fn contents_mut(&mut self, inode: Inode) -> &mut Contents {
        Arc::make_mut(self.contents.entry(inode).or_default())
    }

    pub(super) fn length(&self, inode: Inode) -> u64 {
        self.contents(inode).map_or(0, Contents::length)
    }

    pub(super) fn replace(&mut self, inode: Inode, contents: Contents) {
        self.contents.insert(inode, Arc::new(contents));
    }

    /// Cuts or extends a file whose length programs have seen.
    pub(super) fn set_length(&mut self, inode: Inode, bytes: u64) {
        if self.length(inode) != bytes {
            self.contents_mut(inode).set_length(bytes).expect("a length that a file had is not too large");
        }
    }

    #[cfg(test)]
    pub(super) fn contents_count(&self) -> usize {
        self.contents.len()
    }

    /// Returns the bytes of a file.
    pub(super) fn read_all(&self, path: &Path) -> Option<Vec<u8>> {
        let inode = *self.tree.get(path)?;
        let length = usize::try_from(self.length(inode)).expect("a file that is read whole fits in memory");
        let mut bytes = vec![0; length];
        if let Some(contents) = self.contents(inode) {
            contents.read_at(&mut bytes, 0);
        }
        Some(bytes)
    }

    /// Inverts one bit, if the file reaches so far; tells whether it does.
    pub(super) fn flip_bit(&mut self, inode: Inode, bit_offset: u64) -> bool {
        let mut byte = [0];
        if self.contents(inode).map_or(0, |contents| contents.read_at(&mut byte, bit_offset / 8)) == 0 {
            return false;
        }
        byte[0] ^= 1 << (bit_offset % 8);
        self.contents_mut(inode).write_at(&byte, bit_offset / 8).is_ok()
    }

    /// Does one pending change. Names that it needs and that are not there make it do nothing.
    ///
    /// # Errors
    ///
    /// Kind `FileTooLarge`.
    pub(super) fn apply(&mut self, change: &Pending) -> io::Result<()> {
        match change {
            Pending::Create { path, inode } => {
                self.tree.insert(path.clone(), *inode);
            }
            Pending::Rename { from, to } => {
                if let Some(inode) = self.tree.take(from) {
                    self.tree.insert(to.clone(), inode);
                }
            }
            Pending::Remove { path } => {
                self.tree.take(path);
            }
            Pending::Write { inode, offset, bytes } => {
                self.contents_mut(*inode).write_at(bytes, *offset)?;
            }
            Pending::SetLength { inode, bytes } => self.contents_mut(*inode).set_length(*bytes)?,
        }
        Ok(())
    }

    /// Returns the files that have names.
    pub(super) fn named(&self) -> impl Iterator<Item = Inode> {
        self.tree.files().map(|(_, inode)| *inode)
    }

    /// Forgets the contents of all other files.
    pub(super) fn keep_only(&mut self, kept: &BTreeSet<Inode>) {
        self.contents.retain(|inode, _| kept.contains(inode));
    }

    /// Hashes everything that a program can find, independent of how it came about.
    pub(super) fn digest(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hash_number(&mut hasher, self.tree.directories().count() as u64);
        for directory in self.tree.directories() {
            hash_path(&mut hasher, directory);
        }
        for (path, inode) in self.tree.files() {
            hash_path(&mut hasher, path);
            hash_number(&mut hasher, self.length(*inode));
            for (page, hash) in self.contents(*inode).into_iter().flat_map(Contents::page_hashes) {
                hash_number(&mut hasher, page);
                hasher.update(hash.as_bytes());
            }
            hash_number(&mut hasher, NO_PAGE);
        }
        hasher.finalize().into()
    }
}

fn hash_path(hasher: &mut blake3::Hasher, path: &Path) {
    let bytes = path.as_os_str().as_encoded_bytes();
    hash_number(hasher, bytes.len() as u64);
    hasher.update(bytes);
}

fn hash_number(hasher: &mut blake3::Hasher, number: u64) {
    hasher.update(&number.to_le_bytes());
}
