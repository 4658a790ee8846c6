//! Collecting what nobody needs: everything that no pin, name, lease, reference or recent put reaches.
//!
//! A collection goes step by step beside those who put, pin and read. It marks what is reached from what is to stay, then removes
//! what is neither marked nor young, lists before what they list, and then gives back the room in packs. What comes to be put or
//! held while it runs is left alone with everything below it.

use std::time::Duration;

use base::{Clock, Hash, Timestamp};
use rustc_hash::FxHashSet;

use crate::object::ObjectKind;
use crate::store::{Candidate, Sweep};
use crate::{BlobError, BlobStore, Pins, Roots};

/// How a collection goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CollectOptions {
    /// How long ago something must have been put at least, to be removed. Default 24 h. Less frees more, and takes what somebody
    /// put that long ago and has not referred to yet.
    pub floor: Duration,
    /// Whether nothing is removed, only counted.
    pub dry_run: bool,
    /// The share of a pack that must be garbage for its room to be given back, which writes the rest once more. Default 0.25.
    pub garbage_share: f64,
    /// Objects that one step removes, or lists that it reads. Default 256. More is quicker, and lets others wait longer.
    pub step: usize,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self { floor: Duration::from_secs(24 * 3_600), dry_run: false, garbage_share: 0.25, step: 256 }
    }
}

/// What a collection found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects that are reached from what is to stay.
    pub reached: u64,
    /// Objects that nothing reaches, and that are too young to go.
    pub young: u64,
    /// Their bytes.
    pub young_bytes: u64,
    /// Objects that were removed; that would be, in a dry run.
    pub removed: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Bytes that the disk got back; 0 in a dry run.
    pub freed_bytes: u64,
    /// Packs that were written anew to get room back.
    pub compacted: u64,
    /// Bytes of them that were written once more.
    pub moved_bytes: u64,
    /// Packs that stay as they are since something needed in them is damaged.
    pub damaged_packs: u64,
    /// Objects that something refers to, and that are not here: the first 1,000.
    pub missing: Vec<Hash>,
}

/// Names in [`Collected::missing`] at most.
const MISSING_MAX: usize = 1_000;

/// Levels of a directory that has none below it: more than any list of chunks has.
const DIRECTORY: u32 = 1_000;

/// A collection under way. Dropping it ends it; what it has not removed by then stays.
#[derive(Debug)]
pub struct Collection {
    store: BlobStore,
    sweep: Sweep,
    options: CollectOptions,
    /// What was put later than that is young.
    young_from: Timestamp,
    /// What is reached, with everything below it.
    marked: FxHashSet<Hash>,
    /// What is kept without what is below it.
    kept: FxHashSet<Hash>,
    /// What is reached and was not looked at yet.
    open: Vec<Hash>,
    phase: Phase,
    collected: Collected,
}

#[derive(Debug)]
enum Phase {
    Marking,
    /// Finding lists, and objects with files of their own, that are not reached.
    Finding,
    /// Removing these, the next one last.
    Found(Vec<Candidate>),
    /// Removing packed chunks, by parts of the index; of the part before, these are left.
    Packed(usize, Vec<Candidate>),
    Compacting(Option<Vec<u32>>),
    Ended,
}

impl Collection {
    /// Begins a collection. What refers to blobs from outside is read before this returns.
    ///
    /// # Errors
    ///
    /// [`BlobError::Collecting`] while another one goes on; [`BlobError::Wiring`] where references cannot be read: nothing is
    /// collected then.
    pub fn begin(
        pins: &Pins,
        roots: &dyn Roots,
        clock: &dyn Clock,
        options: CollectOptions,
    ) -> Result<Self, BlobError> {
        let store = pins.store().clone();
        // From here on what is put and held is told; what was before is read after.
        let (sweep, held) = store.objects().begin_sweep().ok_or(BlobError::Collecting)?;
        let now = clock.now();
        let mut collection = Self {
            sweep,
            options,
            young_from: before(now, options.floor),
            marked: FxHashSet::default(),
            kept: FxHashSet::default(),
            open: Vec::new(),
            phase: Phase::Marking,
            collected: Collected::default(),
            store,
        };
        if !options.dry_run {
            pins.release_expired(now)?;
        }
        collection.marked.reserve(collection.store.objects().packed());
        let kept = pins.kept(now);
        held.into_iter().chain(kept.recursive).for_each(|hash| collection.mark(hash));
        collection.kept.extend(kept.direct);
        for (hash, put_at) in collection.store.objects().blobs_put() {
            if put_at > collection.young_from {
                collection.mark(hash);
            }
        }
        let (marked, open) = (&mut collection.marked, &mut collection.open);
        roots.visit(&mut |hash| {
            if marked.insert(hash) {
                open.push(hash);
            }
        })?;
        Ok(collection)
    }

    /// Collects all of it.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn run(mut self) -> Result<Collected, BlobError> {
        while self.step()? {}
        Ok(self.collected)
    }

    /// Returns what was found and done so far.
    pub fn collected(&self) -> &Collected {
        &self.collected
    }

    /// Goes on for a moment; tells whether there is more to do.
    ///
    /// *Durability*: a crash at any moment leaves everything that is to stay, and what it brings back goes with the next
    /// collection.
    ///
    /// # Errors
    ///
    /// [`BlobError::HashMismatch`] and [`BlobError::Decode`] for a damaged list that something refers to: nobody knows what it
    /// lists, so nothing is removed: put the blob again, or take away what refers to it. [`BlobError::Io`], [`BlobError::Poisoned`].
    pub fn step(&mut self) -> Result<bool, BlobError> {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Marking => match self.mark_step(true)? {
                true => Phase::Marking,
                false => {
                    self.collected.reached = (self.marked.len() - self.collected.missing.len()) as u64;
                    Phase::Finding
                }
            },
            Phase::Finding => Phase::Found(self.find()?),
            Phase::Found(candidates) => match self.remove_step(candidates)? {
                left if left.is_empty() => Phase::Packed(0, Vec::new()),
                left => Phase::Found(left),
            },
            Phase::Packed(part, left) if left.is_empty() => match part < Sweep::parts() {
                true => Phase::Packed(part + 1, self.packed(part, |kind| kind == ObjectKind::Chunk)),
                false if self.options.dry_run => Phase::Ended,
                false => Phase::Compacting(None),
            },
            Phase::Packed(part, candidates) => Phase::Packed(part, self.remove_step(candidates)?),
            Phase::Compacting(None) => {
                let mut packs = self.sweep.wasteful_packs(self.options.garbage_share)?;
                packs.reverse();
                Phase::Compacting(Some(packs))
            }
            Phase::Compacting(Some(packs)) => self.compact_step(packs)?,
            Phase::Ended => Phase::Ended,
        };
        let is_ended = matches!(self.phase, Phase::Ended);
        if is_ended {
            self.store.objects().counters().note_pending(self.collected.young);
        }
        Ok(!is_ended)
    }

    fn mark(&mut self, hash: Hash) {
        if self.marked.insert(hash) {
            self.open.push(hash);
        }
    }

    /// Looks at some of what is reached; tells whether there is more. What is not here is told of where it should be.
    fn mark_step(&mut self, should_be_here: bool) -> Result<bool, BlobError> {
        let mut lists = 0;
        while lists < self.options.step {
            let Some(hash) = self.open.pop() else {
                return Ok(false);
            };
            match self.store.objects().kind_of(&hash)? {
                Some(ObjectKind::Chunk) => {}
                Some(kind) => {
                    lists += 1;
                    self.mark_below(&hash, kind)?;
                }
                None if should_be_here && self.collected.missing.len() < MISSING_MAX => {
                    self.collected.missing.push(hash);
                }
                None => {}
            }
        }
        Ok(true)
    }

    fn mark_below(&mut self, list: &Hash, kind: ObjectKind) -> Result<(), BlobError> {
        let all = match self.store.below(list, kind) {
            // It went since it was looked for.
            Err(BlobError::NotFound { .. }) => return Ok(()),
            all => all?,
        };
        for below in all {
            match below.is_chunk {
                true => drop(self.marked.insert(below.hash)),
                false => self.mark(below.hash),
            }
        }
        Ok(())
    }

    fn is_needed(&self, name: &Hash) -> bool {
        self.marked.contains(name) || self.kept.contains(name)
    }

    /// Returns the packed objects of one part that nobody needs and that are old enough, of the kinds that are wanted.
    fn packed(&mut self, part: usize, wanted: impl Fn(ObjectKind) -> bool) -> Vec<Candidate> {
        let unneeded = self.sweep.packed(part, |name| self.is_needed(name));
        let unneeded = unneeded.into_iter().filter(|candidate| wanted(candidate.kind));
        let (old, young): (Vec<_>, Vec<_>) = unneeded.partition(|object| object.put_at <= self.young_from);
        self.count_young(&young);
        old
    }

    fn count_young(&mut self, young: &[Candidate]) {
        self.collected.young += young.len() as u64;
        self.collected.young_bytes += young.iter().map(|object| object.bytes).sum::<u64>();
    }

    /// Returns what nobody needs of lists and of objects in files of their own, in the order in which they go from behind: what
    /// lists others before these, so that a crash leaves nothing that lists what is gone.
    fn find(&mut self) -> Result<Vec<Candidate>, BlobError> {
        let mut found = Vec::new();
        for part in 0..Sweep::parts() {
            found.extend(self.packed(part, |kind| kind != ObjectKind::Chunk));
        }
        let mut young = Vec::new();
        for name in self.sweep.loose()? {
            if self.is_needed(&name) {
                continue;
            }
            match self.sweep.loose_candidate(name) {
                Ok(Some(candidate)) if candidate.put_at > self.young_from => young.push(candidate),
                Ok(candidate) => found.extend(candidate),
                // Nobody needs it, and nothing can be known of it.
                Err(BlobError::Decode { .. }) => found.push(Candidate::damaged(name)),
                Err(error) => return Err(error),
            }
        }
        for candidate in self.sweep.away(|name| self.is_needed(name))? {
            match candidate.put_at > self.young_from {
                true => young.push(candidate),
                false => found.push(candidate),
            }
        }
        self.count_young(&young);
        for (name, _) in self.store.objects().blobs_put() {
            if !self.is_needed(&name) && !self.store.objects().exists(&name)? {
                // Nothing is left of it but the note.
                found.push(Candidate::damaged(name));
            }
        }
        for candidate in &mut found {
            // Of a damaged one nobody finds what it lists.
            candidate.levels = match candidate.kind {
                ObjectKind::Chunk => candidate.levels,
                ObjectKind::Node => {
                    self.store.node(&candidate.name).map_or(u32::MAX, |node| u32::from(node.levels) + 1)
                }
                ObjectKind::Directory => {
                    let directory = self.store.directory(&candidate.name);
                    directory.map_or(u32::MAX, |directory| DIRECTORY + u32::from(directory.levels))
                }
            };
        }
        found.sort_unstable_by_key(|candidate| (candidate.levels, candidate.name));
        Ok(found)
    }

    /// Removes some candidates from the end of a list, and returns the others.
    fn remove_step(&mut self, mut candidates: Vec<Candidate>) -> Result<Vec<Candidate>, BlobError> {
        for hash in self.sweep.take_held() {
            // What is kept by itself alone is looked into all the same.
            self.mark(hash);
        }
        // Who holds what is gone by then is told so.
        while self.mark_step(false)? {}
        // What lists others goes durably before these do.
        let levels = candidates.last().map(|last| last.levels);
        let batch = candidates.iter().rev().take_while(|candidate| Some(candidate.levels) == levels);
        let count = batch.take(self.options.step.max(1)).count();
        let mut batch = candidates.split_off(candidates.len() - count);
        batch.retain(|candidate| !self.is_needed(&candidate.name));
        if self.options.dry_run {
            self.collected.removed += batch.len() as u64;
            self.collected.removed_bytes += batch.iter().map(|object| object.bytes).sum::<u64>();
            return Ok(candidates);
        }
        match self.sweep.remove(&batch, |name| self.marked.contains(name))? {
            Some(removed) => {
                self.store.objects().counters().count_swept(removed.objects);
                self.collected.removed += removed.objects;
                self.collected.removed_bytes += removed.bytes;
                self.collected.freed_bytes += removed.freed;
            }
            None => candidates.extend(batch),
        }
        Ok(candidates)
    }

    fn compact_step(&mut self, mut packs: Vec<u32>) -> Result<Phase, BlobError> {
        let Some(pack) = packs.pop() else {
            self.sweep.finish()?;
            return Ok(Phase::Ended);
        };
        let compacted = match self.sweep.compact(pack) {
            Err(error) if error.is_full_disk() => {
                tracing::warn!(pack, "no room to write the rest of a pack once more: its garbage stays");
                return Ok(Phase::Compacting(Some(packs)));
            }
            compacted => compacted?,
        };
        match compacted {
            Some(compacted) => {
                self.collected.compacted += 1;
                self.collected.moved_bytes += compacted.moved;
                self.collected.freed_bytes += compacted.freed.saturating_sub(compacted.moved);
            }
            None => self.collected.damaged_packs += 1,
        }
        Ok(Phase::Compacting(Some(packs)))
    }
}

/// Returns the time so long before another one, or the earliest.
fn before(time: Timestamp, duration: Duration) -> Timestamp {
    let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(time.as_nanos().saturating_sub(nanos))
}
