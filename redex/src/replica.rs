//! A replica of a log that consensus puts in order: entries come with their slots.
//!
//! Where a [`Log`](crate::Log) decides what stands where, a replica is told, may be told to cut its end off again, and
//! lets readers see what is durable and committed. The leader's part, deciding on requests and sealing entries, is the
//! [`Proposer`]'s.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{
    Classify, DiskLock, Doors, ErrorKind, Hash, Identity, Index, LogId, NodeId, OriginId, Position, Slot,
    Term,
};
use bytes::Bytes;

use crate::appender::Stopped;
use crate::chunk::Chunk;
use crate::codec::Malformed;
pub use crate::codec::local::Vote;
use crate::error::{OpenError, ReadError};
use crate::held_blobs::Holder;
use crate::log::{Flush, Flusher};
use crate::reader::{LogReader, Published};
use crate::{HeldBlobs, LogOptions, ProducerState, RecoveryReport, Selection};

mod completion;
mod core;
mod doubt;
mod fork;
pub(crate) mod open;
mod proposer;
mod read;
mod retention;
mod snapshot;
mod truncate;

pub use completion::Completion;
pub use proposer::Proposer;
pub use retention::{DueTrim, Trim};
pub use snapshot::ReplicaSnapshot;

use self::core::Core;
use self::fork::ForkBook;

/// How long a committed position that only this replica knows of may stay unwritten: it is a hint, which consensus finds
/// again.
const COMMITTED_WITHIN: Duration = Duration::from_secs(1);

/// What a replicated log is; the same on all its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaIdentity {
    /// Its id, part of every hash.
    pub log: LogId,
    /// Who began it.
    pub origin: OriginId,
    /// Its name, which is the name of its directory, too; at most 64 bytes.
    pub name: String,
}

/// An entry as consensus moves it about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaEntry {
    /// Its place.
    pub slot: Slot,
    /// What it is.
    pub content: EntryContent,
}

/// What an entry of a replicated log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryContent {
    /// What a leader sealed: events and what else its sequencer writes.
    Sealed(SealedEntry),
    /// What consensus itself writes, in its own encoding; nothing for a blank entry.
    Consensus(Bytes),
}

/// The exact bytes of an entry that a leader hashed, linked and signed.
#[derive(Debug, Clone)]
pub struct SealedEntry {
    bytes: Bytes,
    /// Whether it was sealed by this process, or read from its log: then it need not be checked once more.
    known: bool,
}

impl PartialEq for SealedEntry {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SealedEntry {}

impl SealedEntry {
    /// Takes up an entry that came from elsewhere; appending it checks its hashes and its signature.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes, known: false }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the events in it, whatever the log has given up of them since.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes, of an entry that came from elsewhere.
    pub fn events(&self) -> Result<Chunk, Malformed> {
        Chunk::pick(self.bytes.clone(), &Selection::default())
    }
}

/// Where a replica stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaState {
    /// The last slot that was purged.
    pub purged: Option<Slot>,
    /// The last slot: of the newest entry, or the purged one.
    pub last: Option<Slot>,
    /// Up to here entries survive a power failure.
    pub durable: Position,
    /// Up to here readers see the log.
    pub visible: Position,
}

/// Why a replica refused, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// An entry is not the next one.
    #[error(
        "entry {slot} was to be appended where entry {expected} is next: append without gaps, or truncate before"
    )]
    Misplaced {
        /// The entry's slot.
        slot: Slot,
        /// The next index.
        expected: Index,
    },
    /// An entry does not follow from the log before it, or is not what its leader sealed.
    #[error("entry {slot} has a wrong {what}: it was not taken; look at the log of the leader that sent it")]
    Misfit {
        /// The entry's slot.
        slot: Slot,
        /// What is wrong.
        what: String,
    },
    /// Committed entries were to be cut off.
    #[error("entries from {from} on were to be cut off, but the log is committed up to {committed}")]
    Committed {
        /// The first entry that was to go.
        from: Index,
        /// The committed position.
        committed: Position,
    },
    /// The disk is full.
    #[error(
        "no space left on the disk, {taken} entries were taken: free some, and call again with the others"
    )]
    DiskFull {
        /// How many entries of the call are in the log, the first ones.
        taken: usize,
    },
    /// A write failed; nothing of the call is in the log.
    #[error("write failed ({cause}); nothing of it is in the log")]
    WriteFailed {
        /// What the operating system said.
        cause: String,
    },
    /// An earlier failure made it unknown what the disk holds.
    #[error("the replica takes nothing since {cause}; reopen it, which verifies its end")]
    Poisoned {
        /// The failure.
        cause: String,
    },
    /// The replica was closed.
    #[error("the replica is closed: open it again")]
    Closed,
    /// The log could not be read.
    #[error("{0}")]
    Read(String),
    /// A completion was dropped by its owner before its entries were durable.
    #[error("nobody waited for these entries any more")]
    Abandoned,
}

impl Classify for ReplicaError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Misplaced { .. } | Self::Committed { .. } => ErrorKind::Conflict,
            Self::Misfit { .. } => ErrorKind::Corrupt,
            Self::DiskFull { .. } | Self::WriteFailed { .. } | Self::Poisoned { .. } | Self::Read(_) => {
                ErrorKind::Unavailable
            }
            Self::Closed | Self::Abandoned => ErrorKind::Closed,
        }
    }
}

/// A replica, open for writing. Cloning shares it; it stays open until closed, or until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct ReplicaLog {
    shared: Arc<Shared>,
    reader: LogReader,
    _closer: Arc<Closer>,
}

#[derive(Debug)]
struct Closer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    doors: Doors,
    core: Mutex<Core>,
    /// Held by whoever syncs, and by whoever must not be overtaken by a sync; taken before `core`.
    turn: Mutex<()>,
    /// Grows with every truncation, purge and failed write, which move entries that readers may be at.
    epoch: AtomicU64,
    published: Arc<Published>,
    flusher: Flusher,
    recovery: RecoveryReport,
    log_dir: PathBuf,
    /// Why the replica does not know what it told others.
    doubt: Mutex<Option<String>>,
    lock: Mutex<Option<Arc<dyn DiskLock>>>,
    forks: ForkBook,
    /// Who is asked whether blobs are held; the store's, where the replica was opened by one.
    holder: Arc<Holder>,
}

impl ReplicaLog {
    /// Opens the replica of a log below a node's directory for writing; creates what is missing. What a crash left is
    /// put in order. Where something is damaged or gone, it opens with what is good up to there, sets the rest aside in
    /// `quarantine/`, and is [in doubt](Self::doubt).
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`], [`OpenError::Corrupt`] for the replica of another log under the name, [`OpenError::Io`].
    pub fn open(
        dir: &Path,
        identity: &ReplicaIdentity,
        doors: &Doors,
        options: &LogOptions,
    ) -> Result<Self, OpenError> {
        open::open(dir, identity, doors, options)
    }

    /// Appends entries behind the newest, without gaps. When this returns, every reader of the replica's entries finds
    /// them; they are durable once `flushed` is told so. A failure tells `flushed`, too, and leaves nothing of the call
    /// in the log, but for a full disk: that leaves the first entries, as the error says.
    ///
    /// What a [`Proposer`] of this process sealed for another place, or behind another entry, becomes a blank entry:
    /// consensus has given the place away by then, and gives it to nothing else.
    ///
    /// # Errors
    ///
    /// Any [`ReplicaError`].
    pub fn append(&self, entries: &[ReplicaEntry], flushed: Completion) -> Result<(), ReplicaError> {
        self.compare_given(entries);
        let appended = {
            let mut core = self.shared.core();
            let appended = core.append(entries);
            match &appended {
                Ok(()) => core.wait(flushed),
                Err(error) => {
                    self.shared.moved();
                    drop(core);
                    flushed.complete(Err(error.clone()));
                }
            }
            appended
        };
        self.shared.flusher.wake();
        appended
    }

    /// Notes a vote, durably, behind everything that was appended before.
    ///
    /// # Errors
    ///
    /// Any [`ReplicaError`] but those about entries.
    pub fn save_vote(&self, vote: Vote) -> Result<(), ReplicaError> {
        self.shared.barrier(|core| core.write_vote(vote))
    }

    /// Notes a vote, and returns at once; `flushed` is told once the vote is durable, and everything that was appended
    /// before.
    ///
    /// # Errors
    ///
    /// As [`save_vote`](Self::save_vote); `flushed` is told, too.
    pub fn save_vote_then(&self, vote: Vote, flushed: Completion) -> Result<(), ReplicaError> {
        let mut core = self.shared.core();
        let written = core.check_open().and_then(|()| core.write_vote(vote));
        match &written {
            Ok(()) => core.wait(flushed),
            Err(error) => {
                drop(core);
                flushed.complete(Err(error.clone()));
                return written;
            }
        }
        drop(core);
        self.shared.flusher.wake();
        written
    }

    /// Returns why the replica is in doubt: it told others something, a vote or that it has entries, which it does not
    /// hold any more. Until the others were asked, it must not vote, nor say what it has.
    pub fn doubt(&self) -> Option<String> {
        self.shared.doubt().clone()
    }

    /// Tells whether the replica is in doubt since it was given up here before and comes back: nothing was lost.
    pub fn came_back(&self) -> bool {
        self.doubt().is_some_and(|cause| cause.starts_with(crate::store::CAME_BACK))
    }

    /// Notes, durably, that the replica holds again whatever it may have told others.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::WriteFailed`]; any but those about entries.
    pub fn settle_doubt(&self) -> Result<(), ReplicaError> {
        self.shared.barrier(|_| Ok(()))?;
        let mut doubt = self.shared.doubt();
        if doubt.is_some() {
            doubt::settle(&*self.shared.doors.disk, &self.shared.log_dir)
                .map_err(|cause| ReplicaError::WriteFailed { cause: cause.to_string() })?;
            *doubt = None;
        }
        Ok(())
    }

    /// Returns the newest vote.
    pub fn vote(&self) -> Option<Vote> {
        self.shared.core().local.vote
    }

    /// Notes up to where the log is committed, and lets readers see what of it is durable. The note itself becomes
    /// durable with something else, or within a second.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::Closed`] and [`ReplicaError::Poisoned`].
    pub fn save_committed(&self, committed: Option<Slot>) -> Result<(), ReplicaError> {
        {
            let mut core = self.shared.core();
            core.check_open()?;
            core.note_committed(committed);
            core.publish(&self.shared.published);
        }
        self.shared.published.wake();
        self.shared.flusher.act_by(nanos(self.shared.doors.clock.monotonic() + COMMITTED_WITHIN));
        Ok(())
    }

    /// Returns up to where the log is known to be committed; never more than it holds.
    pub fn committed(&self) -> Option<Slot> {
        self.shared.core().committed()
    }

    /// Cuts off every entry behind `last`, durably; without one, all that were not purged. Log state is what it was
    /// there; local state stays.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::Committed`]; any but those about entries.
    pub fn truncate_after(&self, last: Option<Index>) -> Result<(), ReplicaError> {
        let from = last.map_or(Index::ZERO, Index::next);
        self.shared.barrier(|core| {
            self.shared.moved();
            core.check_uncommitted(from)?;
            core.give_up(from)?;
            core.truncate_from(from).map_err(|stopped| core.stopped(stopped))
        })
    }

    /// Gives up every entry up to a slot, that one included, durably; when the slot is beyond the end, the log goes on
    /// behind it.
    ///
    /// # Errors
    ///
    /// Any [`ReplicaError`] but those about entries.
    pub fn purge(&self, upto: Slot) -> Result<(), ReplicaError> {
        self.shared.barrier(|core| {
            self.shared.moved();
            core.purge(upto).map_err(|stopped| core.stopped(stopped))
        })?;
        self.shared.core().remove_purged();
        Ok(())
    }

    /// Returns a producer's last append that readers see; `None` for an unknown producer.
    pub fn producer(&self, id: &str) -> Option<ProducerState> {
        let core = self.shared.core();
        core.visible.producer(id).map(ProducerState::of)
    }

    /// Returns the two newest entries in which consensus wrote something, such as a membership, the older one first;
    /// among them may be one that is not committed. They are known however much of the log was purged.
    pub fn consensus(&self) -> Vec<(Slot, Bytes)> {
        let core = self.shared.core();
        let written = core.end.state.consensus.iter();
        written.map(|entry| (entry.slot, Bytes::copy_from_slice(&entry.bytes))).collect()
    }

    /// Returns the root of the log up to its end, durable or not. Where two replicas have the same, they have the same
    /// entries from the first to the last.
    pub fn root(&self) -> (Position, Hash) {
        let core = self.shared.core();
        let root = core.end.chain.root.hash(&core.end.segments.hasher);
        (core.end.state.position(), root)
    }

    /// Returns a number that grows whenever a segment begins.
    pub fn newest_segment(&self) -> u64 {
        self.shared.core().end.writer.number
    }

    /// Returns where the replica stands.
    pub fn state(&self) -> ReplicaState {
        self.shared.core().replica_state()
    }

    /// Returns the last entry that others can be given, now or later: the last one, and of a replica that takes nothing more
    /// until it is opened again the last durable one. What is not durable then never will be, may not read, and was told to
    /// nobody.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::Read`] where it cannot be read.
    pub fn last_to_give(&self) -> Result<Option<Slot>, ReplicaError> {
        let core = self.shared.core();
        if core.poison.is_none() {
            return Ok(core.replica_state().last);
        }
        let durable = core.end.synced.0.checked_sub(1).map(Index);
        let found = durable.map(|index| core.slot_at(index)).transpose()?.flatten();
        Ok(found.or(core.local.purged))
    }

    /// Reads the entries of a range that are there, in order and without gaps, durable or not; stops behind the first
    /// that brings them to `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] and [`ReadError::Io`].
    pub fn entries(&self, range: Range<Index>, bytes_max: u64) -> Result<Vec<ReplicaEntry>, ReadError> {
        loop {
            let epoch = self.shared.epoch.load(Ordering::SeqCst);
            let (segments, from, to) = {
                let core = self.shared.core();
                let to = range.end.0.min(core.end.state.next_index.0);
                (Arc::clone(&core.end.segments), range.start.max(core.first()), Position(to))
            };
            let read = read::entries(&segments, from, to, bytes_max);
            if self.shared.epoch.load(Ordering::SeqCst) == epoch {
                return read;
            }
        }
    }

    /// Begins to sequence for a leadership: requests are decided on behind the newest entry.
    pub fn proposer(&self, term: Term, node: NodeId, identity: Arc<Identity>) -> Proposer {
        let core = self.shared.core();
        Proposer::new(&core.end, term, node, identity, Arc::clone(&self.shared.holder))
    }

    /// Has every append with blob references that is decided on here ask first whether their bytes are held. A replica that
    /// a store opened shares that with the store; see [`Store::set_held_blobs`](crate::Store::set_held_blobs).
    pub fn set_held_blobs(&self, held: Arc<dyn HeldBlobs>) {
        self.shared.holder.set(held);
    }

    /// Returns the reading side, which sees what is durable and committed.
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Returns what opening found and did.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared.recovery
    }

    /// Lets the flusher act once, and returns when it wants to act again, by the monotonic clock; for replicas opened
    /// with [`FlusherMode::Manual`](crate::FlusherMode::Manual).
    pub fn flush_step(&self) -> Option<Duration> {
        self.shared.flush_step()
    }

    /// Makes everything durable, writes the record of a clean close, and takes nothing more. Repeating it does nothing.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::Poisoned`], [`ReplicaError::WriteFailed`], [`ReplicaError::DiskFull`].
    pub fn close(&self) -> Result<(), ReplicaError> {
        let closed = self.shared.close();
        self.shared.flusher.join();
        closed
    }
}

impl Shared {
    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doubt(&self) -> MutexGuard<'_, Option<String>> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells readers of entries that what they read may have moved.
    fn moved(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Does something behind everything that was appended before, and returns once all of that is durable.
    fn barrier(&self, act: impl FnOnce(&mut Core) -> Result<(), ReplicaError>) -> Result<(), ReplicaError> {
        let _turn = self.turn();
        let mut core = self.core();
        core.check_open()?;
        let acted = act(&mut core).and_then(|()| core.sync());
        self.moved();
        self.settle(core);
        acted
    }

    /// Syncs what was appended, while further entries can be; tells who waits for it.
    fn flush(&self) {
        let _turn = self.turn();
        let (file, position, writes) = {
            let core = self.core();
            if core.check_open().is_err() || !core.has_unsynced() {
                return self.settle(core);
            }
            (Arc::clone(core.end.writer.file()), core.end.state.position(), core.writes)
        };
        let synced = file.sync_data();
        let mut core = self.core();
        match synced {
            // A segment that was sealed meanwhile was synced with that.
            Ok(()) => {
                core.end.synced = core.end.synced.max(position);
                core.durable_writes = core.durable_writes.max(writes);
            }
            Err(cause) => {
                core.stopped(Stopped::Broken(format!("a failed sync ({cause})")));
            }
        }
        self.settle(core);
    }

    /// Lets readers see, and tells who waited, what is durable by now.
    fn settle(&self, mut core: MutexGuard<'_, Core>) {
        core.publish(&self.published);
        core.promise();
        let told = core.take_completed();
        drop(core);
        self.published.wake();
        told.into_iter().for_each(|(completion, outcome)| completion.complete(outcome));
    }

    fn close(&self) -> Result<(), ReplicaError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.turn();
        let mut core = self.core();
        let closed = match core.check_open() {
            Err(ReplicaError::Closed) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => core.close(),
        };
        self.settle(core);
        self.published.close();
        lock.take();
        closed
    }
}

impl Flush for Shared {
    fn flush_step(&self) -> Option<Duration> {
        let now = self.doors.clock.monotonic();
        let note = self.core().note_due(now);
        if note {
            let mut core = self.core();
            match core.write_local() {
                Ok(()) => {}
                // A hint that could not be written is written later.
                Err(Stopped::Write(_)) => core.local_due = Some(now + COMMITTED_WITHIN),
                Err(broken) => drop(core.stopped(broken)),
            }
        }
        self.flush();
        self.core().acts_at(self.doors.clock.monotonic())
    }

    fn is_shut(&self) -> bool {
        self.core().check_open().is_err()
    }

    fn acts_before(&self, nanos: u64) -> bool {
        let now = self.doors.clock.monotonic();
        self.core().acts_at(now).is_some_and(|at| at < Duration::from_nanos(nanos))
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        if let Err(error) = self.0.close() {
            tracing::error!(%error, "replica not closed cleanly");
        }
        self.0.flusher.join();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn log_dir(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(name)
}
