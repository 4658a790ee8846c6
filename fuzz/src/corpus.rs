//! Small files of each structure, in `corpus/`.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use base::{Disk, OpenMode, SystemDisk, read_to_end, write_all_at};

/// Returns the folder of a structure's or reader's files.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name.to_lowercase())
}

/// Returns the folder of the files of a structure or message.
pub fn folder_of(read: impl Debug) -> PathBuf {
    folder(&format!("{read:?}"))
}

/// Returns the folder of the files of a structure of blobs.
pub fn folder_of_blobs(read: impl Debug) -> PathBuf {
    folder(&format!("blob-{read:?}"))
}

/// Returns the names and contents of a folder's files, by name.
///
/// # Panics
///
/// When the folder cannot be read or holds nothing.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = SystemDisk.list(folder).expect("the corpus is part of the tree");
    assert!(!names.is_empty(), "{} is empty", folder.display());
    let read = |name: String| {
        let file = SystemDisk.open(&folder.join(&name), OpenMode::Read).expect("the corpus is readable");
        let bytes = read_to_end(&*file, 1 << 20).expect("the corpus is readable");
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

/// Returns the contents of the files that must be accepted: those whose names begin with `valid`.
pub fn valid(folder: &Path) -> Vec<Vec<u8>> {
    files(folder).into_iter().filter(|(name, _)| name.starts_with("valid")).map(|(_, bytes)| bytes).collect()
}

/// Writes a file.
///
/// # Panics
///
/// When it cannot be written.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) {
    SystemDisk.create_directories(folder).expect("the corpus is writable");
    let file = SystemDisk.open(&folder.join(name), OpenMode::OpenOrCreate).expect("the corpus is writable");
    file.set_length(0).expect("the corpus is writable");
    write_all_at(&*file, bytes, 0).expect("the corpus is writable");
}
