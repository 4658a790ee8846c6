//! What a tree may be, looked through before anything of it is written.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use base::Hash;
use icu_normalizer::ComposingNormalizer;
use rustc_hash::FxHashMap;

use super::os;
use crate::directory::{Content, Directory};
use crate::{BlobError, BlobStore};

/// Links that one path may go through, as on Linux.
const LINKS_MAX: u32 = 40;

/// What is wrong with a tree.
#[derive(Debug)]
pub(super) struct Unsafe {
    pub path: PathBuf,
    pub why: &'static str,
}

impl From<Unsafe> for BlobError {
    fn from(Unsafe { path, why }: Unsafe) -> Self {
        Self::UnsafePath { path, why }
    }
}

/// Directories of a tree, each read once.
pub(super) struct Checked<'a> {
    store: &'a BlobStore,
    directories: FxHashMap<Hash, Arc<Directory>>,
}

impl<'a> Checked<'a> {
    pub(super) fn new(store: &'a BlobStore) -> Self {
        Self { store, directories: FxHashMap::default() }
    }

    pub(super) fn directory(&mut self, hash: &Hash) -> Result<Arc<Directory>, BlobError> {
        if let Some(directory) = self.directories.get(hash) {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(self.store.directory(hash)?);
        self.directories.insert(*hash, Arc::clone(&directory));
        Ok(directory)
    }

    /// Refuses a tree with more names than that. A directory that stands in several places counts as often.
    pub(super) fn count(&mut self, top: &Hash, max: u64) -> Result<(), BlobError> {
        let mut counts = FxHashMap::<Hash, u64>::default();
        // A directory is counted once all below it are.
        let mut open = vec![*top];
        while let Some(hash) = open.last().copied() {
            if counts.contains_key(&hash) {
                open.pop();
                continue;
            }
            let directory = self.directory(&hash)?;
            let below: Vec<Hash> = below(&directory).collect();
            // Also of those that were counted, since recursion must end.
            for hash in &below {
                if self.directory(hash)?.levels >= directory.levels {
                    return Err(BlobError::Decode { what: format!("directory {hash}") });
                }
            }
            let missing: Vec<Hash> =
                below.iter().filter(|below| !counts.contains_key(*below)).copied().collect();
            if missing.is_empty() {
                open.pop();
                let own = directory.entries.len() as u64;
                let count = below.iter().fold(own, |sum, below| sum.saturating_add(counts[below]));
                if count > max {
                    return Err(BlobError::TooManyEntries { hash: *top, max });
                }
                counts.insert(hash, count);
            }
            open.extend(missing);
        }
        Ok(())
    }

    /// Returns what in a tree leads out of it, and names beside a link that some file systems take for the link's: about so many
    /// at most.
    pub(super) fn find_unsafe(&mut self, top: &Hash, max: usize) -> Result<Vec<Unsafe>, BlobError> {
        let mut found = Vec::new();
        let mut path = PathBuf::new();
        // Where it is, and which of the entries is next at each level: a few objects can stand for many long paths.
        let (mut way, mut next) = (vec![self.directory(top)?], vec![0]);
        while let (Some(directory), Some(at)) = (way.last().cloned(), next.last_mut()) {
            if *at == 0 {
                find_alike(&path, &directory, &mut found, max);
            }
            if found.len() >= max {
                break;
            }
            let Some(entry) = directory.entries.get(*at) else {
                way.pop();
                next.pop();
                path.pop();
                continue;
            };
            *at += 1;
            match &entry.what {
                Content::File { .. } => {}
                Content::Directory { object, .. } => {
                    way.push(self.directory(object)?);
                    next.push(0);
                    path.push(os(&entry.name));
                }
                Content::Link { target } => {
                    if let Some(why) = self.why_unsafe(&way, target)? {
                        found.push(Unsafe { path: path.join(os(&entry.name)), why });
                    }
                }
            }
        }
        Ok(found)
    }

    /// Follows a link from a directory, through other links of the tree; tells why it is not safe.
    fn why_unsafe(
        &mut self,
        way: &[Arc<Directory>],
        target: &[u8],
    ) -> Result<Option<&'static str>, BlobError> {
        // Where it is; what is not in the tree is unknown, and can only be a directory that somebody makes later.
        let mut here: Vec<Option<Arc<Directory>>> = way.iter().cloned().map(Some).collect();
        let mut parts: VecDeque<Vec<u8>> = split(target);
        let mut links = 0;
        if target.first() == Some(&b'/') {
            return Ok(Some("it leads to an absolute path"));
        }
        while let Some(part) = parts.pop_front() {
            if part == b".." {
                here.pop();
                if here.is_empty() {
                    return Ok(Some("it leads out of the tree"));
                }
                continue;
            }
            let directory = here.last().cloned().flatten();
            let entry = directory.as_ref().and_then(|directory| {
                let at = directory.entries.binary_search_by(|entry| (*entry.name).cmp(&part[..]));
                at.ok().map(|at| &directory.entries[at])
            });
            match entry.map(|entry| &entry.what) {
                Some(Content::Directory { object, .. }) => here.push(Some(self.directory(object)?)),
                Some(Content::Link { target }) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Ok(Some("it leads through too many links"));
                    }
                    if target.first() == Some(&b'/') {
                        return Ok(Some("it leads through a link to an absolute path"));
                    }
                    for part in split(target).into_iter().rev() {
                        parts.push_front(part);
                    }
                }
                Some(Content::File { .. }) | None => here.push(None),
            }
        }
        Ok(None)
    }
}

fn below(directory: &Directory) -> impl Iterator<Item = Hash> {
    directory.entries.iter().filter_map(|entry| match entry.what {
        Content::Directory { object, .. } => Some(object),
        _ => None,
    })
}

fn split(path: &[u8]) -> VecDeque<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts.filter(|part| !part.is_empty() && *part != b".").map(<[u8]>::to_vec).collect()
}

/// Finds names that are one name where case or the form of Unicode does not count, if one of them is a link: what is written below the
/// other one would go where the link leads.
fn find_alike(path: &std::path::Path, directory: &Directory, found: &mut Vec<Unsafe>, max: usize) {
    let is_link = |entry: &&crate::directory::Entry| matches!(entry.what, Content::Link { .. });
    let links: Vec<_> = directory.entries.iter().filter(is_link).collect();
    if links.is_empty() {
        return;
    }
    let mut folded = FxHashMap::<String, u32>::default();
    for entry in &directory.entries {
        *folded.entry(fold(&entry.name)).or_default() += 1;
    }
    for link in links {
        if found.len() >= max {
            return;
        }
        if folded.get(&fold(&link.name)).is_some_and(|count| *count > 1) {
            let why = "another name beside it is the same but for case or the form of Unicode";
            found.push(Unsafe { path: path.join(os(&link.name)), why });
        }
    }
}

/// Returns what a name is where neither case nor the form of Unicode counts.
fn fold(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let nfc = ComposingNormalizer::new_nfc();
    // Upper case first, which takes a sharp s for `ss`, as such file systems do.
    nfc.normalize(&nfc.normalize(&text).to_uppercase().to_lowercase()).into_owned()
}
