//! Stores of blobs beside ours, and what the machine does without any.
//!
//! All get the same contents from memory and give them back into memory, compared with what was put outside of the
//! timed part. What each does beyond or short of our promise stands in its name.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use netdb_benches::blob::{
    SMALL_BYTES, bytes_on_disk, expect_equal, large, megabytes_per_second, small, small_count,
};
use netdb_benches::harness::Sample;
use netdb_benches::scratch::{Scratch, settle};
use netdb_benches::session::Setting;
use netdb_benches::{Failure, Result};

use crate::Side;

mod files;
#[cfg(feature = "iroh")]
mod iroh;
mod mesh;

use self::files::Files;
#[cfg(feature = "iroh")]
use self::iroh::Iroh;
use self::mesh::{MeshBlobs, MeshFiles};

/// Puts outstanding at a time where each waits for the disk by itself, or for a task of the store.
const OUTSTANDING: usize = 64;

/// A large blob put.
pub(crate) const PUT: &[Side] = &[
    ("net-mesh MeshBlobAdapter, store_blob_reader + sync_blob; in memory too", put_large::<MeshBlobs>),
    ("net-mesh FileSystemAdapter, one synced file, hashed twice", put_large::<MeshFiles>),
    #[cfg(feature = "iroh")]
    ("iroh-blobs add_bytes + sync_db, and our syncfs since it syncs no data", put_large::<Iroh>),
    ("limit: fs::copy + sync_all, not hashed", files::copied),
    ("limit: blake3 of the mapped file on all cores, as b3sum; nothing is written", files::hashed),
];

/// A large blob got.
pub(crate) const GET: &[Side] = &[
    ("net-mesh MeshBlobAdapter fetch, verified, from its memory", get_large::<MeshBlobs>),
    ("net-mesh FileSystemAdapter fetch, and verify, which it leaves to its caller", get_large::<MeshFiles>),
    #[cfg(feature = "iroh")]
    ("iroh-blobs get_bytes, verified", get_large::<Iroh>),
    ("limit: the file read into memory, not verified", files::read),
    ("limit: blake3 of the mapped file on all cores, as b3sum; nothing is copied", files::hashed),
];

/// Many small blobs put.
pub(crate) const PUT_SMALL: &[Side] = &[
    ("net-mesh MeshBlobAdapter, 1,000 only, each synced by sync_blob; in memory too", put_small::<MeshBlobs>),
    ("net-mesh FileSystemAdapter, a synced file each, 64 at a time", put_small::<MeshFiles>),
    #[cfg(feature = "iroh")]
    ("iroh-blobs add_bytes, 64 at a time, sync_db and our syncfs in the end", put_small::<Iroh>),
    ("limit: a file each, one syncfs in the end, not hashed", put_small::<Files>),
];

/// Many small blobs got.
pub(crate) const GET_SMALL: &[Side] = &[
    ("net-mesh MeshBlobAdapter fetch, 1,000 only, verified, from its memory", get_small::<MeshBlobs>),
    ("net-mesh FileSystemAdapter fetch, and verify", get_small::<MeshFiles>),
    #[cfg(feature = "iroh")]
    ("iroh-blobs get_bytes, verified", get_small::<Iroh>),
    ("limit: a file each, read, not verified", get_small::<Files>),
];

/// What many small blobs take on the disk.
pub(crate) const SMALL_ON_DISK: &[Side] = &[
    ("net-mesh MeshBlobAdapter, 1,000 scaled up", small_on_disk::<MeshBlobs>),
    ("net-mesh FileSystemAdapter", small_on_disk::<MeshFiles>),
    #[cfg(feature = "iroh")]
    ("iroh-blobs", small_on_disk::<Iroh>),
    ("limit: a file each", small_on_disk::<Files>),
];

/// Small blobs put by many callers, each of them durable when its put returns.
pub(crate) const PUT_SMALL_DURABLE: &[Side] =
    &[("net-mesh FileSystemAdapter, a synced file each, 64 at a time", put_small_durable::<MeshFiles>)];

/// A store of blobs that a workload is run on.
trait Store: Sized {
    /// What a blob is got by.
    type Name;

    /// Its names among the directories of a session: that of a large blob, and that of many small ones.
    const DIRECTORIES: [&'static str; 2];

    /// Small blobs that it takes at most.
    const SMALL_MAX: u64 = u64::MAX;

    /// Opens a directory, or makes what belongs there.
    fn open(dir: &Path) -> Result<Self>;

    /// Returns what a content is called, without putting it.
    fn name(content: &[u8]) -> Result<Self::Name>;

    /// Puts blobs, which are durable when it returns.
    fn put(&self, contents: &[Bytes]) -> Result<()>;

    /// Gets a blob into memory.
    fn get(&self, name: &Self::Name) -> Result<Bytes>;

    /// Closes it, with everything durable.
    fn close(self) -> Result<()> {
        Ok(())
    }
}

fn put_large<S: Store>(setting: &Setting) -> Result<Sample> {
    let contents = [Bytes::from_static(large())];
    let mut bytes_per_second = Sample::of(0.0);
    put::<S>(setting, &contents, |begun| bytes_per_second = megabytes_per_second(large().len(), begun))?;
    Ok(bytes_per_second)
}

fn put_small<S: Store>(setting: &Setting) -> Result<Sample> {
    put_some::<S>(setting, small_count(setting).min(S::SMALL_MAX))
}

/// Puts as many as our workload of the same name does.
fn put_small_durable<S: Store>(setting: &Setting) -> Result<Sample> {
    put_some::<S>(setting, small_count(setting) / 4)
}

fn put_some<S: Store>(setting: &Setting, count: u64) -> Result<Sample> {
    let contents = contents(count);
    let mut blobs_per_second = Sample::of(0.0);
    let ended = |begun: Instant| blobs_per_second = Sample::of(count as f64 / begun.elapsed().as_secs_f64());
    put::<S>(setting, &contents, ended)?;
    Ok(blobs_per_second)
}

/// Puts into a new store, tells when that began once it has ended, and looks whether all is there.
fn put<S: Store>(setting: &Setting, contents: &[Bytes], ended: impl FnOnce(Instant)) -> Result<()> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = S::open(scratch.path())?;
    settle(&setting.dir)?;
    let begun = Instant::now();
    store.put(contents)?;
    ended(begun);
    expect_all(&store, contents)?;
    store.close()
}

fn get_large<S: Store>(setting: &Setting) -> Result<Sample> {
    let content = Bytes::from_static(large());
    let store = S::open(&filled::<S>(setting, S::DIRECTORIES[0], || vec![content.clone()])?)?;
    let name = S::name(&content)?;
    store.get(&name)?;
    let begun = Instant::now();
    let got = store.get(&name)?;
    let sample = megabytes_per_second(got.len(), begun);
    expect_equal(&got, &content)?;
    store.close()?;
    Ok(sample)
}

fn get_small<S: Store>(setting: &Setting) -> Result<Sample> {
    let store = S::open(&filled_small::<S>(setting)?)?;
    let mut contents = contents(small_count(setting).min(S::SMALL_MAX));
    // The order in which ours are got.
    contents.sort_by_cached_key(|content| *blake3::hash(content).as_bytes());
    expect_all(&store, &contents)?;
    let names = contents.iter().map(|content| S::name(content)).collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    for name in &names {
        if store.get(name)?.len() != SMALL_BYTES {
            return Err(Failure::from("a small blob has another length"));
        }
    }
    let sample = Sample::of(names.len() as f64 / begun.elapsed().as_secs_f64());
    store.close()?;
    Ok(sample)
}

/// Gives what as many small blobs as ours take, in MB.
fn small_on_disk<S: Store>(setting: &Setting) -> Result<Sample> {
    let dir = filled_small::<S>(setting)?;
    let (wanted, there) = (small_count(setting), small_count(setting).min(S::SMALL_MAX));
    Ok(Sample::of(bytes_on_disk(&dir)? as f64 / 1e6 * wanted as f64 / there as f64))
}

fn filled_small<S: Store>(setting: &Setting) -> Result<std::path::PathBuf> {
    filled::<S>(setting, S::DIRECTORIES[1], || contents(small_count(setting).min(S::SMALL_MAX)))
}

fn filled<S: Store>(
    setting: &Setting,
    name: &'static str,
    contents: impl FnOnce() -> Vec<Bytes>,
) -> Result<std::path::PathBuf> {
    setting.prepared.other(setting, name, |dir| {
        let store = S::open(dir)?;
        store.put(&contents())?;
        store.close()
    })
}

fn contents(count: u64) -> Vec<Bytes> {
    (0..count).map(|number| Bytes::from(small(number))).collect()
}

fn expect_all<S: Store>(store: &S, contents: &[Bytes]) -> Result<()> {
    contents.iter().try_for_each(|content| expect_equal(&store.get(&S::name(content)?)?, content))
}

/// Waits until the file system of a directory has written everything.
fn sync_file_system(dir: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(std::fs::File::open(dir)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_what_it_is_told<S: Store>() {
        let scratch = Scratch::new(&std::env::temp_dir()).unwrap();
        let contents = [small(0), small(1), large()[..9 << 20].to_vec()].map(Bytes::from);
        let store = S::open(scratch.path()).unwrap();
        store.put(&contents).unwrap();
        expect_all(&store, &contents).unwrap();
        assert!(store.get(&S::name(&small(2)).unwrap()).is_err());
        store.close().unwrap();
        let store = S::open(scratch.path()).unwrap();
        expect_all(&store, &contents).unwrap();
        store.close().unwrap();
    }

    #[test]
    fn every_store_keeps_what_it_is_told() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        keeps_what_it_is_told::<MeshBlobs>();
        keeps_what_it_is_told::<MeshFiles>();
        keeps_what_it_is_told::<Files>();
        #[cfg(feature = "iroh")]
        keeps_what_it_is_told::<Iroh>();
    }
}
