//! What the operating system and the hash alone do, without a store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use netdb_benches::blob::{expect_equal, large, megabytes_per_second};
use netdb_benches::harness::Sample;
use netdb_benches::scratch::{Scratch, settle};
use netdb_benches::session::Setting;
use netdb_benches::{Failure, Result};

use super::{Store, sync_file_system};

/// A file for each blob, in one directory.
pub(super) struct Files {
    dir: PathBuf,
}

impl Store for Files {
    type Name = String;

    const DIRECTORIES: [&'static str; 2] = ["large file", "small files"];

    fn open(dir: &Path) -> Result<Self> {
        Ok(Self { dir: dir.to_owned() })
    }

    /// The beginning of the content, which is not looked at further: contents are noise.
    fn name(content: &[u8]) -> Result<String> {
        let beginning: &[u8; 16] = content.first_chunk().ok_or("a content is too short for a name")?;
        Ok(format!("{:032x}", u128::from_be_bytes(*beginning)))
    }

    fn put(&self, contents: &[Bytes]) -> Result<()> {
        for content in contents {
            std::fs::write(self.dir.join(Self::name(content)?), content)?;
        }
        sync_file_system(&self.dir)
    }

    fn get(&self, name: &String) -> Result<Bytes> {
        Ok(Bytes::from(std::fs::read(self.dir.join(name))?))
    }
}

/// Returns a file with the large content, which is in the page cache.
fn large_file(setting: &Setting) -> Result<PathBuf> {
    let fill = |dir: &Path| Files::open(dir)?.put(&[Bytes::from_static(large())]);
    let dir = setting.prepared.other(setting, Files::DIRECTORIES[0], fill)?;
    let path = dir.join(Files::name(large())?);
    expect_equal(&std::fs::read(&path)?, large())?;
    Ok(path)
}

/// Copies a file, and syncs the copy and its directory; gives MB/s.
pub(super) fn copied(setting: &Setting) -> Result<Sample> {
    let from = large_file(setting)?;
    let scratch = Scratch::new(&setting.dir)?;
    let to = scratch.path().join("copy");
    settle(&setting.dir)?;
    let begun = Instant::now();
    let bytes = std::fs::copy(from, &to)?;
    File::open(&to)?.sync_all()?;
    File::open(scratch.path())?.sync_all()?;
    let sample = megabytes_per_second(bytes as usize, begun);
    expect_equal(&std::fs::read(&to)?, large())?;
    Ok(sample)
}

/// Reads a file into new memory; gives MB/s.
pub(super) fn read(setting: &Setting) -> Result<Sample> {
    let path = large_file(setting)?;
    let begun = Instant::now();
    let target = std::fs::read(&path)?;
    let sample = megabytes_per_second(target.len(), begun);
    expect_equal(&target, large())?;
    Ok(sample)
}

/// Hashes a file as `b3sum` does, mapped and on all cores; gives MB/s.
pub(super) fn hashed(setting: &Setting) -> Result<Sample> {
    let path = large_file(setting)?;
    let mut hasher = blake3::Hasher::new();
    let begun = Instant::now();
    hasher.update_mmap_rayon(&path)?;
    let hash = hasher.finalize();
    let sample = megabytes_per_second(large().len(), begun);
    match hash == blake3::hash(large()) {
        true => Ok(sample),
        false => Err(Failure::from("the file has another hash")),
    }
}
