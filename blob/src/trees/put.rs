//! Putting a directory with everything below it.

#![allow(clippy::disallowed_methods, reason = "what is put are the user's own files, not part of a database")]

use std::io::BufReader;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use base::Hash;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustc_hash::FxHashSet;
use rustix::fs::OFlags;

use super::check::Checked;
use super::{PutTreeOptions, TreeInfo};
use crate::directory::{Content, Directory, Entry, MODE_MASK, is_name, is_target};
use crate::limits::DIRECTORY_LEVELS_MAX;
use crate::store::Putting;
use crate::{BlobError, BlobStore, Held, ObjectKind};

pub(super) fn put_tree(
    store: &BlobStore,
    dir: &Path,
    options: PutTreeOptions,
) -> Result<(TreeInfo, Held), BlobError> {
    let top = Dir::open_ambient_dir(dir, ambient_authority()).map_err(BlobError::file(dir))?;
    let putting = store.objects().begin_put();
    let mut left_out = FxHashSet::default();
    loop {
        let info = TreeInfo::default();
        let mut put = Put { store, putting: &putting, options, root: dir, left_out: &left_out, info };
        let (hash, directory) = put.directory(&top, &PathBuf::new())?;
        let mut info = put.info;
        let found = Checked::new(store).find_unsafe(&hash, usize::MAX)?;
        if found.is_empty() {
            (info.hash, info.bytes) = (hash, directory.bytes());
            info.skipped.sort_unstable();
            store.objects().note_blob(hash)?;
            store.objects().sync()?;
            store.objects().counters().count_put(info.bytes);
            return Ok((info, store.objects().hold(&hash)?));
        }
        let count = left_out.len();
        if options.skip_unsafe {
            left_out.extend(found.iter().map(|found| found.path.clone()));
        }
        if left_out.len() == count {
            return found.into_iter().next().map_or(Err(BlobError::Cancelled), |found| Err(found.into()));
        }
    }
}

struct Put<'a> {
    store: &'a BlobStore,
    putting: &'a Putting,
    options: PutTreeOptions,
    /// Where the tree is, for errors.
    root: &'a Path,
    left_out: &'a FxHashSet<PathBuf>,
    info: TreeInfo,
}

impl Put<'_> {
    /// Puts a directory after everything in it.
    fn directory(&mut self, dir: &Dir, path: &Path) -> Result<(Hash, Directory), BlobError> {
        let mut directory = Directory::default();
        if path.components().count() > usize::from(DIRECTORY_LEVELS_MAX) {
            return Err(self.unsafe_path(path, "it has too many levels of directories"));
        }
        for found in dir.entries().map_err(self.failed(path))? {
            let found = found.map_err(self.failed(path))?;
            let name = found.file_name();
            let path = path.join(&name);
            let metadata = found.metadata().map_err(self.failed(&path))?;
            let what = match self.entry(dir, &path, &metadata)? {
                Some(what) => what,
                None => {
                    self.info.skipped.push(path);
                    continue;
                }
            };
            if !is_name(name.as_bytes()) {
                return Err(self.unsafe_path(&path, "its name is too long"));
            }
            let (what, levels) = what;
            directory.levels = directory.levels.max(levels);
            let is_link = matches!(what, Content::Link { .. });
            let mode = if is_link { 0 } else { metadata.mode() as u16 & MODE_MASK };
            directory.entries.push(Entry { name: name.as_bytes().into(), mode, what });
        }
        let bytes = directory.encode()?;
        let hash = self.store.objects().put_within(Some(self.putting), ObjectKind::Directory, &bytes)?;
        Ok((hash, directory))
    }

    /// Puts what stands under a name; `None` for what is left out. With it, levels that a directory has because of it.
    fn entry(
        &mut self,
        dir: &Dir,
        path: &Path,
        metadata: &Metadata,
    ) -> Result<Option<(Content, u16)>, BlobError> {
        let kind = metadata.file_type();
        let Some(name) = path.file_name() else { return Ok(None) };
        if kind.is_dir() {
            let below = dir.open_dir(name).map_err(self.failed(path))?;
            let (object, below) = self.directory(&below, path)?;
            self.info.directories += 1;
            return Ok(Some((Content::Directory { object, bytes: below.bytes() }, below.levels + 1)));
        }
        if kind.is_symlink() {
            if self.left_out.contains(path) {
                return Ok(None);
            }
            let target = dir.read_link_contents(name).map_err(self.failed(path))?;
            let target = target.into_os_string().into_vec().into_boxed_slice();
            if !is_target(&target) {
                return Err(self.unsafe_path(path, "its target is too long"));
            }
            self.info.links += 1;
            return Ok(Some((Content::Link { target }, 0)));
        }
        if !kind.is_file() {
            return Ok(None);
        }
        // It may have become a pipe since, on which opening would wait.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = dir.open_with(name, &options).map_err(self.failed(path))?;
        if !file.metadata().map_err(self.failed(path))?.is_file() {
            return Ok(None);
        }
        let source = BufReader::with_capacity(1 << 16, file);
        let (blob, bytes) = self.store.put_parts(self.putting, source, self.options.chunking).map_err(
            |error| match error {
                BlobError::Stream(source) => self.failed(path)(source),
                error => error,
            },
        )?;
        self.info.files += 1;
        Ok(Some((Content::File { blob, bytes }, 0)))
    }

    fn failed(&self, path: &Path) -> impl Fn(std::io::Error) -> BlobError + use<> {
        let path = self.root.join(path);
        move |source| BlobError::File { path: path.clone(), source }
    }

    fn unsafe_path(&self, path: &Path, why: &'static str) -> BlobError {
        BlobError::UnsafePath { path: path.to_owned(), why }
    }
}
