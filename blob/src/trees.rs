//! Directory trees: put as a whole, and got as a whole or not at all.
//!
//! A directory is an object that lists names; files below it are blobs, so that versions of a tree have in common what did not
//! change. Nothing is written outside of where a tree is got to, whatever its objects say: it is looked through before anything is
//! written, then written into a directory beside, through handles that do not leave it, which takes its name at the end.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use base::Hash;

use crate::directory::{Content, Directory};
use crate::{BlobError, BlobStore, Chunking, Held, ObjectKind};

mod check;
mod get;
mod put;

/// How a tree is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutTreeOptions {
    /// How its files are cut. Default: fixed.
    pub chunking: Chunking,
    /// Whether symbolic links are left out that lead out of the tree; otherwise they are refused. Default: no.
    pub skip_unsafe: bool,
}

impl Default for PutTreeOptions {
    fn default() -> Self {
        Self { chunking: Chunking::Fixed, skip_unsafe: false }
    }
}

/// How a tree is got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetTreeOptions {
    /// Names that it may have, with those in its directories. Default 10,000,000: a few small objects can stand for any number.
    pub entries_max: u64,
}

impl Default for GetTreeOptions {
    fn default() -> Self {
        Self { entries_max: 10_000_000 }
    }
}

/// A tree that was put or got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeInfo {
    /// Its name: that of the object of its topmost directory.
    pub hash: Hash,
    /// Regular files.
    pub files: u64,
    /// Directories below it.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// What was left out: devices, sockets and pipes, and links that lead out of it where that was asked for.
    pub skipped: Vec<PathBuf>,
}

/// What stands under a path in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path from the top of the tree.
    pub path: PathBuf,
    /// Its permissions, as of Unix; 0 of a link.
    pub mode: u16,
    /// What it is.
    pub what: TreeContent,
}

/// What stands under a name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeContent {
    /// A regular file.
    File {
        /// Its content.
        blob: Hash,
        /// Its length.
        bytes: u64,
    },
    /// A directory.
    Directory {
        /// Its object.
        hash: Hash,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: PathBuf,
    },
}

impl BlobStore {
    /// Puts a directory with everything below it. Symbolic links are put as such, and never followed; of modes only permissions are
    /// kept. Devices, sockets and pipes are left out.
    ///
    /// *Durability*: survives a power failure once this returns. It is kept from being collected as long as what is returned lives.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnsafePath`] for links that lead out of the tree; [`BlobError::File`] where something cannot be read;
    /// [`BlobError::TooLarge`] for more names in a directory than fit 16 MiB; as [`put`](Self::put).
    pub fn put_tree(&self, dir: &Path, options: PutTreeOptions) -> Result<(TreeInfo, Held), BlobError> {
        put::put_tree(self, dir, options)
    }

    /// Writes a tree to a path where nothing is yet. Every byte is verified; the tree appears once it is whole.
    ///
    /// *Durability*: survives a power failure once this returns. What an interrupted one leaves stands beside `target` with a name
    /// that begins with a dot and ends with `.part`, and goes when the same tree is got there again.
    ///
    /// # Errors
    ///
    /// [`BlobError::UnsafePath`] for a tree in which something leads out of it, or names cannot be told apart that must be:
    /// nothing of it is written. [`BlobError::TooManyEntries`]; [`BlobError::NoDirectory`]; [`BlobError::File`], also where
    /// something is at `target`; as [`get`](Self::get).
    pub fn get_tree(
        &self,
        hash: &Hash,
        target: &Path,
        options: GetTreeOptions,
    ) -> Result<TreeInfo, BlobError> {
        get::get_tree(self, hash, target, options)
    }

    /// Tells of everything in a tree, a directory before what is in it.
    ///
    /// # Errors
    ///
    /// [`BlobError::NoDirectory`]; as [`stat`](Self::stat); what `visit` says.
    pub fn visit_tree(
        &self,
        hash: &Hash,
        visit: &mut dyn FnMut(TreeEntry) -> Result<(), BlobError>,
    ) -> Result<(), BlobError> {
        // What is to come at each level: a few objects can stand for many long paths.
        let mut path = PathBuf::new();
        let mut open = vec![self.visit_directory(hash, &path, visit)?.into_iter()];
        while let Some(below) = open.last_mut() {
            match below.next() {
                Some((name, hash)) => {
                    path.push(name);
                    open.push(self.visit_directory(&hash, &path, visit)?.into_iter());
                }
                None => {
                    open.pop();
                    path.pop();
                }
            }
        }
        Ok(())
    }

    /// Tells of what is in a directory, and returns the directories in it.
    fn visit_directory(
        &self,
        hash: &Hash,
        path: &Path,
        visit: &mut dyn FnMut(TreeEntry) -> Result<(), BlobError>,
    ) -> Result<Vec<(PathBuf, Hash)>, BlobError> {
        let mut below = Vec::new();
        for entry in self.directory(hash)?.entries {
            let name = os(&entry.name);
            let path = path.join(&name);
            let what = match entry.what {
                Content::File { blob, bytes } => TreeContent::File { blob, bytes },
                Content::Link { target } => TreeContent::Link { target: os(&target) },
                Content::Directory { object: hash, .. } => {
                    below.push((name, hash));
                    TreeContent::Directory { hash }
                }
            };
            visit(TreeEntry { path, mode: entry.mode, what })?;
        }
        Ok(below)
    }

    /// Returns a directory.
    pub(crate) fn directory(&self, name: &Hash) -> Result<Directory, BlobError> {
        match self.objects().get(name)? {
            (ObjectKind::Directory, bytes) => Directory::decode(&bytes),
            _ => Err(BlobError::NoDirectory { hash: *name }),
        }
    }
}

fn os(bytes: &[u8]) -> PathBuf {
    std::ffi::OsString::from_vec(bytes.to_vec()).into()
}
