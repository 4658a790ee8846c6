//! Cutting off the end of a replica, and giving up its beginning.
//!
//! A truncation begins with a new segment, which says where the one before ends from now on: once that is durable, what was cut
//! off testifies to nothing, whatever a crash leaves of it. Only then does it go, the newest first.

use std::sync::Arc;

use base::{Index, OpenMode, Position, Slot};

use super::core::Core;
use super::{EntryContent, ReplicaEntry, ReplicaError, read};
use crate::appender::Stopped;
use crate::chain::Chain;
use crate::codec::control::HoleRecord;
use crate::codec::segment_header::Truncation;
use crate::cut_off;
use crate::segments::{Sealed, Segment};
use crate::state::LogState;

impl Core {
    /// Truncations off every entry from `from` on that was not purged.
    pub(super) fn truncate_from(&mut self, from: Index) -> Result<(), Stopped> {
        let from = from.max(self.kept().next_index());
        if from >= self.end.state.next_index {
            return Ok(());
        }
        let segments = Arc::clone(&self.end.segments);
        let mut cuts = segments.cuts();
        *cuts += 1;
        // What stays is testified to be synced by the segment that is made now.
        self.end.sync()?;
        let replay = self.replayed(from)?;
        if replay.state.next_index != from {
            let found = replay.state.next_index;
            return Err(Stopped::Broken(format!("a log that reads up to entry {found} of {from} only")));
        }
        self.remember_cut_off(from);
        self.keep_cut_off(from);
        let Some(cut_off) = self.end.segments.at(from) else {
            return Err(Stopped::Broken(format!("no segment with entry {from}")));
        };
        let stays = cut_off.first_index < from;
        let truncation = match (stays, self.end.segments.before(&cut_off)) {
            (true, _) => Truncation { segment: cut_off.number, offset: replay.offset, index: from },
            // An earlier truncation may be all that says where that one ends, and goes now.
            (false, Some(before)) => {
                Truncation { segment: before.number, offset: self.bytes_of(&before)?, index: from }
            }
            (false, None) => Truncation { segment: cut_off.number, offset: 0, index: from },
        };
        self.end.local = self.local;
        let (segment, writer) = self.end.create_next(&replay.state, &replay.chain, Some(truncation))?;
        let gone = self.end.segments.forget_from(from);
        if stays {
            let ended = Arc::new(Segment::new(&self.end.segments.dir, cut_off.number, cut_off.first_index));
            ended.sealed.get_or_init(|| Sealed { next_index: from });
            ended.set_index(Arc::new(std::sync::RwLock::new(replay.index)));
            self.end.segments.insert(Arc::clone(&ended));
            self.remove(&gone, Some((&ended, truncation.offset)))?;
        } else {
            self.remove(&gone, None)?;
        }
        self.end.state = replay.state;
        self.end.chain = replay.chain;
        self.end.go_on_in(segment, writer);
        self.end.synced = self.end.state.position();
        self.unseen.retain(|unseen| unseen.slot.index < from);
        self.local_due = None;
        tracing::info!(%from, "the end of the replica was cut off");
        Ok(())
    }

    /// Keeps what is about to be cut off for people to look at. That it cannot be kept is no failure.
    fn keep_cut_off(&self, from: Index) {
        let segments = &self.end.segments;
        let sealed = |entry: ReplicaEntry| match entry.content {
            EntryContent::Sealed(sealed) => Some((entry.slot, sealed.bytes().clone())),
            EntryContent::Consensus(_) => None,
        };
        let read = read::entries(segments, from, self.end.state.position(), cut_off::ENTRY_BYTES_KEPT);
        let kept = read.map_err(|error| error.to_string()).and_then(|entries| {
            let entries: Vec<_> = entries.into_iter().filter_map(sealed).collect();
            let indexes = from..self.end.state.next_index;
            let kept = cut_off::keep(&*segments.disk, &segments.dir, segments.log, indexes, &entries);
            kept.map_err(|error| error.to_string())
        });
        match kept {
            Ok(Some(file)) => tracing::warn!(
                %from, file = %file.display(),
                "entries that never were committed are cut off, and kept: `net-db log cut-off FILE` shows what they held"
            ),
            Ok(None) => {}
            Err(cause) => {
                tracing::warn!(%from, cause, "entries that never were committed are cut off, and not kept")
            }
        }
    }

    fn bytes_of(&self, segment: &Segment) -> Result<u64, Stopped> {
        let bytes = self.end.segments.bytes(segment);
        bytes.map_err(|error| Stopped::Broken(format!("a segment of unknown length ({error})")))
    }

    /// Removes segments, the newest first, and shortens the one before them.
    fn remove(&self, gone: &[Arc<Segment>], shortened: Option<(&Segment, u64)>) -> Result<(), Stopped> {
        let segments = &self.end.segments;
        let removed = gone.iter().try_for_each(|segment| segments.remove_files(segment)).and_then(|()| {
            if let Some((segment, offset)) = shortened {
                let file = segments.disk.open(&segment.path, OpenMode::Write)?;
                file.set_length(offset)?;
                file.sync_data()?;
                // It is derived, and describes what was longer.
                segments.disk.remove(&segment.index_path()).or_else(|cause| match cause.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(cause),
                })?;
            }
            segments.disk.sync_directory(&segments.dir)
        });
        removed.map_err(|cause| Stopped::Broken(format!("a truncation that was not finished ({cause})")))
    }

    /// Refuses to cut off what is committed.
    pub(super) fn check_uncommitted(&self, from: Index) -> Result<(), ReplicaError> {
        match from.0 < self.committed.0 && from < self.end.state.next_index {
            true => Err(ReplicaError::Committed { from, committed: self.committed }),
            false => Ok(()),
        }
    }

    /// Notes that everything up to a slot is given up; goes on behind it where that is beyond the end.
    pub(super) fn purge(&mut self, upto: Slot) -> Result<(), Stopped> {
        if upto.index.position_after() <= self.kept() {
            return Ok(());
        }
        self.local.purged = Some(upto);
        if upto.index >= self.end.state.next_index {
            self.end.sync()?;
            return self.leap(upto.index.next());
        }
        self.write_local()
    }

    /// Goes on at an entry behind the end, in a segment of its own. What is missing is on record as a hole.
    pub(super) fn leap(&mut self, next: Index) -> Result<(), Stopped> {
        let mut state = self.end.state.clone();
        let mut chain = self.end.chain.clone();
        let lost_before = state.next_index;
        let channels = Vec::new();
        state.apply_hole(&HoleRecord {
            first: lost_before,
            next,
            bytes: 0,
            floor: state.seq_floor(),
            channels,
        });
        chain.root.skip_to(&self.end.segments.hasher, next);
        self.go_on_with(state, chain)
    }

    /// Goes on in a segment of its own, which begins with another state than this log ends with.
    pub(super) fn go_on_with(&mut self, state: LogState, chain: Chain) -> Result<(), Stopped> {
        let next = state.next_index;
        self.end.local = self.local;
        let (number, tail) = (self.end.writer.number, self.end.writer.tail());
        let truncation = Truncation { segment: number, offset: tail, index: next };
        let (segment, writer) = self.end.create_next(&state, &chain, Some(truncation))?;
        // What readers have not seen of the beginning is behind them now.
        self.unseen.clear();
        self.end.segments.begin_at(Position(next.0));
        self.visible = state.clone();
        self.committed = self.committed.max(Position(next.0));
        (self.end.state, self.end.chain) = (state, chain);
        // One that begins at the same entry has none, and no name of its own among the segments: it would stay for ever.
        let replaced = self.end.segments.last().filter(|last| last.first_index == next);
        self.end.go_on_in(segment, writer);
        self.end.synced = self.end.state.position();
        self.local_due = None;
        self.leapt = true;
        self.remove(replaced.as_slice(), None)
    }

    /// Removes the segments that hold nothing but purged entries, the oldest first, each durably before the next: whatever a
    /// crash or a failure leaves of them has no gap. What could not be removed is at the next purge or opening.
    pub(super) fn remove_purged(&mut self) {
        let kept = self.kept();
        let segments = &self.end.segments;
        while let [first, next, ..] = &segments.all()[..]
            && next.first_index.0 <= kept.0
        {
            segments.forget_below(Position(next.first_index.0));
            let removed = segments.remove_files(first);
            let removed = removed.and_then(|()| segments.disk.sync_directory(&segments.dir));
            if let Err(cause) = removed {
                tracing::warn!(path = %first.path.display(), %cause, "purged entries were not removed");
                segments.insert(Arc::clone(first));
                return;
            }
            tracing::info!(segment = first.number, below = %kept, "purged entries were removed");
        }
    }
}
