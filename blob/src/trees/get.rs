//! Writing a tree: all of it, or nothing.

#![allow(
    clippy::disallowed_methods,
    reason = "what is written are the user's own files, not part of a database"
)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use base::Hash;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, Permissions, PermissionsExt};

use super::check::Checked;
use super::{GetTreeOptions, TreeInfo, os};
use crate::directory::Content;
use crate::{BlobError, BlobStore};

/// Bytes of a file that are written at once.
const BUFFER_BYTES: usize = 1 << 16;

pub(super) fn get_tree(
    store: &BlobStore,
    hash: &Hash,
    target: &Path,
    options: GetTreeOptions,
) -> Result<TreeInfo, BlobError> {
    let _held = store.objects().hold(hash)?;
    let mut checked = Checked::new(store);
    checked.count(hash, options.entries_max)?;
    if let Some(found) = checked.find_unsafe(hash, 1)?.into_iter().next() {
        return Err(found.into());
    }
    let failed = || BlobError::file(target);
    let name = target.file_name().ok_or_else(|| failed()(io::ErrorKind::InvalidInput.into()))?;
    let parent = match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let parent = Dir::open_ambient_dir(parent, ambient_authority()).map_err(failed())?;
    if parent.symlink_metadata(name).is_ok() {
        return Err(failed()(io::ErrorKind::AlreadyExists.into()));
    }
    let staging = staging(name, hash);
    match parent.remove_dir_all(&staging) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed()(error)),
    }
    parent.create_dir(&staging).map_err(failed())?;
    let written = (|| {
        let top = parent.open_dir(&staging).map_err(failed())?;
        let mut get = Get { store, checked: &mut checked, target, info: TreeInfo::default() };
        get.directory(&top, hash, &PathBuf::new())?;
        // One for all files, instead of one for each.
        sync(&top).map_err(failed())?;
        parent.rename(&staging, &parent, name).map_err(failed())?;
        parent.open(".").and_then(|parent| parent.sync_all()).map_err(failed())?;
        Ok(TreeInfo { hash: *hash, ..get.info })
    })();
    if written.is_err() {
        let _ = parent.remove_dir_all(&staging);
    }
    written
}

/// Makes everything durable on the file system of a directory.
fn sync(dir: &Dir) -> io::Result<()> {
    Ok(rustix::fs::syncfs(dir.open(".")?)?)
}

/// Returns the name under which a tree is written before it gets its own.
fn staging(name: &OsStr, hash: &Hash) -> OsString {
    let mut staging = OsString::from(".");
    staging.push(name);
    staging.push(format!(".{}.part", &hash.to_string()[..16]));
    staging
}

struct Get<'a, 'b> {
    store: &'a BlobStore,
    checked: &'a mut Checked<'b>,
    /// Where the tree will be, for errors.
    target: &'a Path,
    info: TreeInfo,
}

impl Get<'_, '_> {
    /// Writes what is in a directory into one that is empty.
    fn directory(&mut self, to: &Dir, hash: &Hash, path: &Path) -> Result<(), BlobError> {
        let directory = self.checked.directory(hash)?;
        for entry in &directory.entries {
            let name = os(&entry.name);
            let path = path.join(&name);
            let permissions = Permissions::from_mode(entry.mode.into());
            match &entry.what {
                Content::File { blob, bytes } => {
                    self.file(to, &name, &path, (blob, *bytes), permissions)?;
                    self.info.files += 1;
                    self.info.bytes += bytes;
                }
                Content::Directory { object, .. } => {
                    // A name that is there already is none of this tree's: the file system takes two names for one.
                    to.create_dir(&name).map_err(self.failed(&path))?;
                    let below = to.open_dir(&name).map_err(self.failed(&path))?;
                    self.directory(&below, object, &path)?;
                    to.set_permissions(&name, permissions).map_err(self.failed(&path))?;
                    self.info.directories += 1;
                }
                Content::Link { target } => {
                    to.symlink_contents(os(target), &name).map_err(self.failed(&path))?;
                    self.info.links += 1;
                }
            }
        }
        Ok(())
    }

    fn file(
        &self,
        to: &Dir,
        name: &Path,
        path: &Path,
        (blob, bytes): (&Hash, u64),
        permissions: Permissions,
    ) -> Result<(), BlobError> {
        let file = to.open_with(name, OpenOptions::new().write(true).create_new(true));
        let mut out = io::BufWriter::with_capacity(BUFFER_BYTES, file.map_err(self.failed(path))?);
        let found = self.store.get(blob, &mut out).map_err(|error| match error {
            BlobError::Stream(source) => self.failed(path)(source),
            error => error,
        })?;
        if found != bytes {
            return Err(BlobError::ShortChunk { hash: *blob, expected: bytes, found });
        }
        let file = out.into_inner().map_err(|error| self.failed(path)(error.into_error()))?;
        file.set_permissions(permissions).map_err(self.failed(path))
    }

    fn failed(&self, path: &Path) -> impl Fn(io::Error) -> BlobError + use<> {
        let path = self.target.join(path);
        move |source| BlobError::File { path: path.clone(), source }
    }
}
