//! Forks that a replica meets: what it is given is compared with what it holds, and with what it held until it was cut off.
//!
//! What was cut off is remembered in memory, the first entries of each truncation, and only until the replica is closed: a
//! fork between an entry that was cut off before that and one that comes later is not seen here, unless another node
//! holds the first one.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Disk, IncarnationId, Index, LogId, OpenMode, Position, PublicKey};

use super::core::Core;
use super::{EntryContent, ReplicaEntry, ReplicaLog, read};
use crate::codec::entry;
use crate::error::{OpenError, ReadError};
use crate::fork::{EntryMark, ForkProof, PROOF_ENDING, forks_dir};
use crate::hashing::LogHasher;

/// Entries that were cut off and are remembered, the newest truncations first.
const CUT_OFF_MAX: usize = 1_024;
/// Bytes of a truncation that are looked at for that.
const CUT_OFF_BYTES: u64 = 16 << 20;
/// Proofs of one log that are kept as files; further forks are counted and logged.
const FILES_MAX: usize = 256;
/// Forks of one log that are told apart; of further ones, each finding counts.
const KNOWN_MAX: usize = 65_536;

/// Signed entries that were cut off, with the key of each, the newest last.
#[derive(Debug, Default)]
pub(super) struct CutOff(VecDeque<(EntryMark, PublicKey)>);

impl CutOff {
    fn add(&mut self, mark: EntryMark, key: PublicKey) {
        if self.0.len() == CUT_OFF_MAX {
            self.0.pop_front();
        }
        self.0.push_back((mark, key));
    }
}

impl Core {
    /// Remembers what is about to be cut off; that it does not read is no failure.
    pub(super) fn remember_cut_off(&mut self, from: Index) {
        let end = self.end.state.next_index.0.min(from.0.saturating_add(CUT_OFF_MAX as u64));
        match read::marks(&self.end.segments, from, Position(end), CUT_OFF_BYTES) {
            Ok(marks) => {
                for mark in marks.into_iter().filter(|mark| mark.signature.is_some()) {
                    if let Some(key) = self.end.state.key_of(mark.incarnation) {
                        self.cut_off.add(mark, key);
                    }
                }
            }
            Err(reason) => {
                tracing::warn!(%reason, "entries that are cut off are not compared with later ones")
            }
        }
    }

    /// Returns the proofs that what is given forks from what is, or was, here.
    fn forks_from(&self, entries: &[ReplicaEntry]) -> Vec<ForkProof> {
        let next = self.end.state.next_index;
        if self.cut_off.0.is_empty() && entries.first().is_none_or(|entry| entry.slot.index >= next) {
            return Vec::new();
        }
        let hasher = &self.end.segments.hasher;
        let known =
            |index: Index| index < next || self.cut_off.0.iter().any(|(cut, _)| cut.slot.index == index);
        let compared = entries.iter().filter(|entry| known(entry.slot.index));
        let given = compared.filter_map(|entry| mark_of(entry, hasher));
        given
            .filter_map(|mark| self.fork_from_held(&mark).or_else(|| self.fork_from_cut_off(&mark)))
            .collect()
    }

    fn fork_from_held(&self, given: &EntryMark) -> Option<ForkProof> {
        let index = given.slot.index;
        if index >= self.end.state.next_index || index < self.first() {
            return None;
        }
        let held = read::marks(&self.end.segments, index, index.position_after(), u64::MAX).ok()?;
        let held = held.first().filter(|held| held.conflicts_with(given))?;
        self.proof(held, given)
    }

    fn fork_from_cut_off(&self, given: &EntryMark) -> Option<ForkProof> {
        let (mark, key) = self.cut_off.0.iter().rev().find(|(mark, _)| mark.conflicts_with(given))?;
        ForkProof::of(self.end.segments.log, *key, mark, given)
    }

    fn proof(&self, held: &EntryMark, other: &EntryMark) -> Option<ForkProof> {
        let key = self.end.state.key_of(held.incarnation)?;
        ForkProof::of(self.end.segments.log, key, held, other)
    }
}

/// Returns the mark of an entry that was given; `None` for one of consensus, and for bytes that are no entry.
fn mark_of(entry: &ReplicaEntry, hasher: &LogHasher) -> Option<EntryMark> {
    let EntryContent::Sealed(sealed) = &entry.content else { return None };
    let parts = entry::decode_front(sealed.bytes()).ok()?;
    let hash = hasher.entry(parts.head_bytes);
    let (slot, incarnation) = (parts.head.slot, parts.head.incarnation);
    Some(EntryMark { slot, incarnation, hash, signature: parts.signature })
}

impl ReplicaLog {
    /// Returns what another node is to compare of an entry; `None` where the entry is not here.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] and [`ReadError::Io`].
    pub fn mark(&self, index: Index) -> Result<Option<EntryMark>, ReadError> {
        let (segments, here) = {
            let core = self.shared.core();
            let here = index >= core.first() && index < core.end.state.next_index;
            (Arc::clone(&core.end.segments), here)
        };
        match here {
            true => Ok(read::marks(&segments, index, index.position_after(), u64::MAX)?.first().copied()),
            false => Ok(None),
        }
    }

    /// Compares entries that somebody sent with those that are here, and those that were until they were cut off. A fork is
    /// kept as a proof, and logged.
    pub fn compare_given(&self, entries: &[ReplicaEntry]) {
        let proofs = self.shared.core().forks_from(entries);
        proofs.iter().for_each(|proof| self.shared.forks.note(proof));
    }

    /// Compares an entry of this replica with what another node says of one. A fork is kept as a proof, logged, and
    /// returned.
    pub fn compare(&self, held: &EntryMark, other: &EntryMark) -> Option<ForkProof> {
        let proof = self.shared.core().proof(held, other)?;
        self.shared.forks.note(&proof);
        Some(proof)
    }

    /// Returns how many forks of the log this node has found, by the proofs in its directory `forks` and since it was opened.
    pub fn forks(&self) -> u64 {
        self.shared.forks.count()
    }
}

/// The proofs that a node keeps of one log.
#[derive(Debug)]
pub(super) struct ForkBook {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: LogId,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    known: BTreeSet<(IncarnationId, Index)>,
    files: usize,
    /// Findings beyond those that are told apart.
    more: u64,
    /// What could not be written yet.
    unwritten: Vec<ForkProof>,
}

impl ForkBook {
    /// Opens the proofs of a log in a node's directory.
    pub(super) fn open(disk: &Arc<dyn Disk>, dir: &std::path::Path, log: LogId) -> Result<Self, OpenError> {
        let dir = forks_dir(dir);
        let mut pages = Pages::default();
        if disk.exists(&dir).map_err(OpenError::io(&dir))? {
            let names = disk.list(&dir).map_err(OpenError::io(&dir))?;
            pages.known = names.iter().filter_map(|name| parse_name(name, log)).collect();
            pages.files = pages.known.len();
        }
        Ok(Self { disk: Arc::clone(disk), dir, log, pages: Mutex::new(pages) })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a proof, durably, unless there is one for the place already.
    fn note(&self, proof: &ForkProof) {
        let mut pages = self.pages();
        let place = (proof.incarnation(), proof.index());
        if pages.known.contains(&place) {
            return self.write_late(&mut pages);
        }
        match pages.known.len() < KNOWN_MAX {
            true => drop(pages.known.insert(place)),
            false => pages.more += 1,
        }
        let file = self.dir.join(proof.file_name());
        tracing::error!(
            log = %self.log, incarnation = %proof.incarnation(), index = %proof.index(), key = %proof.key(), file = %file.display(),
            "a key signed two different entries for one place: find out which node has that key and whether its directory or machine \
             was copied or restored, stop it, and remove it from the cluster"
        );
        if pages.files + pages.unwritten.len() < FILES_MAX {
            pages.unwritten.push(proof.clone());
        }
        self.write_late(&mut pages);
    }

    /// Writes what was not written yet; what fails is tried again at the next finding.
    fn write_late(&self, pages: &mut Pages) {
        while let Some(proof) = pages.unwritten.first() {
            let path = self.dir.join(proof.file_name());
            let written = self.disk.create_directories(&self.dir).and_then(|()| {
                base::create_atomically(&*self.disk, &path, OpenMode::Create, &proof.encode())
            });
            match written {
                Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => {
                    tracing::error!(file = %path.display(), %cause, "the proof of a fork was not written: make room, or repair the disk");
                    return;
                }
                _ => {
                    pages.unwritten.remove(0);
                    pages.files += 1;
                }
            }
        }
    }

    fn count(&self) -> u64 {
        let pages = self.pages();
        pages.known.len() as u64 + pages.more
    }
}

/// Returns the place that a file's name tells of, if it is the proof of a fork of the log.
fn parse_name(name: &str, log: LogId) -> Option<(IncarnationId, Index)> {
    let (name, ending) = name.rsplit_once('.')?;
    let mut parts = name.split('-');
    let is_of_log = parts.next()?.parse() == Ok(log) && ending == PROOF_ENDING;
    let (incarnation, index) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (is_of_log && parts.next().is_none()).then_some((incarnation, Index(index)))
}

#[cfg(test)]
mod tests {
    use base::{Hash, Identity, MemoryDisk, NodeId, SimulatedDisk, Slot, Term};

    use super::*;
    use crate::hashing::signed_message;

    fn proof(log: LogId, index: u64) -> ForkProof {
        let (key, incarnation) = (Identity::from_seed(&[7; 32]), IncarnationId::from_bytes([2; 16]));
        let mark = |what: &[u8]| {
            let (hash, index) = (Hash::of(what), Index(index));
            let signature = Some(key.sign(&signed_message(log, incarnation, index, &hash)));
            EntryMark { slot: Slot { term: Term(1), node: NodeId(1), index }, incarnation, hash, signature }
        };
        ForkProof::of(log, key.public_key(), &mark(b"one"), &mark(b"other")).unwrap()
    }

    fn files(disk: &dyn Disk) -> usize {
        disk.list(&forks_dir("node".as_ref())).unwrap().len()
    }

    #[test]
    fn a_fork_is_kept_once_and_known_after_reopening() {
        let (disk, log) = (SimulatedDisk::new(), LogId::from_bytes([1; 16]));
        let door: Arc<dyn Disk> = Arc::new(disk.clone());
        let open = |log| ForkBook::open(&door, "node".as_ref(), log).unwrap();
        let book = open(log);
        assert_eq!(book.count(), 0);
        for index in [5, 6, 5, 5] {
            book.note(&proof(log, index));
        }
        assert_eq!((book.count(), files(&disk)), (2, 2));
        disk.power_off();
        disk.restart(&base::CrashImage::None);
        let book = open(log);
        book.note(&proof(log, 6));
        assert_eq!((book.count(), files(&disk)), (2, 2), "durable, and known");
        assert_eq!(open(LogId::from_bytes([9; 16])).count(), 0, "those of another log are another's");
    }

    #[test]
    fn files_are_bounded_and_forks_are_counted_beyond() {
        let (disk, log) = (Arc::new(MemoryDisk::new()) as Arc<dyn Disk>, LogId::from_bytes([1; 16]));
        let book = ForkBook::open(&disk, "node".as_ref(), log).unwrap();
        for index in 0..FILES_MAX as u64 + 10 {
            book.note(&proof(log, index));
        }
        assert_eq!((book.count(), files(&*disk)), (FILES_MAX as u64 + 10, FILES_MAX));
    }

    #[test]
    fn a_proof_that_found_no_room_is_written_with_the_next_finding() {
        let (disk, log) = (SimulatedDisk::new(), LogId::from_bytes([1; 16]));
        let door: Arc<dyn Disk> = Arc::new(disk.clone());
        let book = ForkBook::open(&door, "node".as_ref(), log).unwrap();
        disk.fill_up(Some(0));
        book.note(&proof(log, 5));
        assert_eq!(book.count(), 1);
        disk.fill_up(None);
        book.note(&proof(log, 5));
        let found = crate::fork_proofs("node".as_ref(), &disk).unwrap();
        assert_eq!(found.iter().filter(|found| found.proof.is_ok()).count(), 1);
    }
}
