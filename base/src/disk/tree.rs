//! The names of a file system in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

/// Brings a path into the form in which trees compare it: no `.` segments, no doubled or trailing `/`.
///
/// `..` stays as it is: a tree has no links, and nobody asks it to climb.
pub(super) fn normalized(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

/// Files, each with what the disk knows about it, and the directories that hold them.
///
/// All paths are [`normalized`]. The empty path and `/` are directories that always exist.
#[derive(Debug, Clone)]
pub(super) struct Tree<T> {
    files: BTreeMap<PathBuf, T>,
    directories: BTreeSet<PathBuf>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { files: BTreeMap::new(), directories: BTreeSet::new() }
    }
}

impl<T> Tree<T> {
    pub(super) fn files(&self) -> impl Iterator<Item = (&PathBuf, &T)> {
        self.files.iter()
    }

    pub(super) fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.directories.iter()
    }

    pub(super) fn get(&self, path: &Path) -> Option<&T> {
        self.files.get(path)
    }

    /// Puts a file under a name, without looking at its surroundings; returns the one that had it.
    pub(super) fn insert(&mut self, path: PathBuf, file: T) -> Option<T> {
        self.files.insert(path, file)
    }

    /// Takes a name away, if it is there.
    pub(super) fn take(&mut self, path: &Path) -> Option<T> {
        self.files.remove(path)
    }

    /// Returns the file with this name.
    ///
    /// # Errors
    ///
    /// Kinds `NotFound` and `IsADirectory`.
    pub(super) fn file(&self, path: &Path) -> io::Result<&T> {
        match self.files.get(path) {
            Some(file) => Ok(file),
            None if self.is_directory(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns the file with this name, or `None` when one may be put there.
    ///
    /// # Errors
    ///
    /// Kind `AlreadyExists` when the name is taken and must be new; kinds `IsADirectory` for the name itself,
    /// `NotADirectory` and `NotFound` for its parent.
    pub(super) fn find_or_place(&self, path: &Path, must_be_new: bool) -> io::Result<Option<&T>> {
        if must_be_new && self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = self.files.get(path);
        if file.is_none() {
            self.check_place(path)?;
        }
        Ok(file)
    }

    /// Tells whether a file may be put under this name, where one may already be.
    fn check_place(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            None => Err(io::ErrorKind::IsADirectory.into()),
            Some(_) if self.is_directory(path) => Err(io::ErrorKind::IsADirectory.into()),
            Some(parent) => self.check_directory(parent),
        }
    }

    /// # Errors
    ///
    /// Kinds `NotADirectory` and `NotFound`.
    pub(super) fn check_directory(&self, path: &Path) -> io::Result<()> {
        if self.is_directory(path) {
            Ok(())
        } else if self.files.contains_key(path) {
            Err(io::ErrorKind::NotADirectory.into())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Makes a directory and its missing parents.
    ///
    /// # Errors
    ///
    /// Kind `AlreadyExists` or `NotADirectory` when there is a file in the way; nothing is made then.
    pub(super) fn create_directories(&mut self, path: &Path) -> io::Result<()> {
        if self.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if path.ancestors().any(|ancestor| self.files.contains_key(ancestor)) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let named = path.ancestors().filter(|ancestor| ancestor.file_name().is_some());
        self.directories.extend(named.map(Path::to_owned));
        Ok(())
    }

    /// Returns the names in a directory, sorted.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.check_directory(path)?;
        let behind = (Bound::Excluded(path), Bound::Unbounded);
        let files = self.files.range::<Path, _>(behind).map(|(file, _)| file);
        let directories = self.directories.range::<Path, _>(behind);
        let mut names: Vec<_> = files
            .take_while(|file| file.starts_with(path))
            .chain(directories.take_while(|directory| directory.starts_with(path)))
            .filter(|entry| entry.parent() == Some(path))
            .filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(path) || self.is_directory(path)
    }

    /// Renames a file; returns the one that was replaced.
    ///
    /// # Errors
    ///
    /// Those of [`file`](Self::file) and [`check_place`](Self::check_place).
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<T>> {
        self.file(from)?;
        self.check_place(to)?;
        let file = self.files.remove(from).expect("the file was there a moment ago");
        Ok(self.files.insert(to.to_owned(), file))
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// Those of [`file`](Self::file).
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<T> {
        self.file(path)?;
        Ok(self.files.remove(path).expect("the file was there a moment ago"))
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.file_name().is_none() || self.directories.contains(path)
    }
}
