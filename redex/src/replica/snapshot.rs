//! Going on without a beginning: a replica that lacks what the others gave up takes log state over as it was there.

use std::sync::Arc;

use base::{Index, Position, Slot};
use bytes::Bytes;

use super::core::Core;
use super::{ReplicaError, ReplicaLog, read};
use crate::appender::Stopped;
use crate::chain::Chain;
use crate::codec::local::LocalState;
use crate::codec::state::{self, Beginning};
use crate::error::{Corruption, ReadError};
use crate::state::LogState;

/// Log state behind an entry: with it a replica can go on that has nothing of what comes before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSnapshot {
    /// The last entry that it stands for, which is committed.
    pub slot: Slot,
    /// What consensus wrote last up to there, and where.
    pub consensus: Option<(Slot, Bytes)>,
    /// The state, as `FORMAT.md` says; the same on every replica.
    pub state: Bytes,
}

impl ReplicaLog {
    /// Returns log state where this replica begins; `None` where it begins with the log.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] and [`ReadError::Io`].
    pub fn snapshot(&self) -> Result<Option<ReplicaSnapshot>, ReadError> {
        let Some(slot) = self.beginning()? else { return Ok(None) };
        let (state, chain) = self.state_behind(slot.index)?;
        let consensus = state.consensus.last().map(|last| (last.slot, Bytes::copy_from_slice(&last.bytes)));
        let state = state::encode(&state, &chain, &LocalState::default()).into();
        Ok(Some(ReplicaSnapshot { slot, consensus, state }))
    }

    /// Begins anew behind a committed entry, with the log state there: everything before is given up, durably and at once. A
    /// replica that has the entry keeps what it has behind it; one that begins there or later is left as it is.
    ///
    /// # Errors
    ///
    /// [`ReplicaError::Misfit`] for a state that is none, or that of another entry; any but those about entries.
    pub fn install(&self, slot: Slot, state: &[u8]) -> Result<(), ReplicaError> {
        let beginning = decode(slot, state)?;
        self.shared.barrier(|core| {
            self.shared.moved();
            if slot.index.position_after() <= core.kept() {
                return Ok(());
            }
            let own = core.slot_at(slot.index)?;
            if own == Some(slot) {
                return core.purge(slot).map_err(|stopped| core.stopped(stopped));
            }
            if own.is_some() {
                core.check_uncommitted(slot.index)?;
                core.give_up(slot.index)?;
                core.truncate_from(slot.index).map_err(|stopped| core.stopped(stopped))?;
            }
            core.begin_behind(slot, beginning).map_err(|stopped| core.stopped(stopped))
        })?;
        self.shared.core().remove_purged();
        Ok(())
    }

    /// Returns the last entry before this replica's beginning: of what was purged, or before the segment with the first entry
    /// that readers see.
    pub(super) fn beginning(&self) -> Result<Option<Slot>, ReadError> {
        let (segments, purged, trimmed) = {
            let core = self.shared.core();
            (Arc::clone(&core.end.segments), core.local.purged, core.visible.trimmed)
        };
        let kept = purged.map_or(Position::ZERO, |slot| slot.index.position_after());
        let Some(segment) =
            segments.at(trimmed.next_index()).filter(|segment| segment.first_index.0 > kept.0)
        else {
            return Ok(purged);
        };
        let (_, chain) = segments.state_at(&segment)?;
        let index = Index(segment.first_index.0.saturating_sub(1));
        Ok(Some(Slot { term: chain.term, node: chain.node, index }))
    }

    /// Returns log state and chain behind an entry.
    fn state_behind(&self, index: Index) -> Result<(LogState, Chain), ReadError> {
        let segments = Arc::clone(&self.shared.core().end.segments);
        let next = index.next();
        let missing = |what: &str| {
            ReadError::Corrupt(Corruption {
                file: segments.dir.clone(),
                offset: 0,
                expected: format!("log state behind entry {index}"),
                found: what.to_owned(),
            })
        };
        let segment = segments.at(next).ok_or_else(|| missing("no segment"))?;
        let (state, chain) = match segment.first_index == next {
            true => segments.state_at(&segment)?,
            false => {
                let replay = read::replay_to(&segments, &segment, Position(next.0))?;
                (replay.state, replay.chain)
            }
        };
        if state.next_index == next { Ok((state, chain)) } else { Err(missing("entries that are missing")) }
    }
}

/// Reads a state that came from elsewhere.
fn decode(slot: Slot, bytes: &[u8]) -> Result<Beginning, ReplicaError> {
    let misfit = |what: &str| ReplicaError::Misfit { slot, what: what.to_owned() };
    let beginning = state::decode(bytes).map_err(|malformed| misfit(&malformed.to_string()))?;
    let (state, chain) = (&beginning.state, &beginning.chain);
    if state.next_index != slot.index.next() || (chain.term, chain.node) != (slot.term, slot.node) {
        return Err(misfit("log state, which is that of another entry"));
    }
    if beginning.local != LocalState::default() {
        return Err(misfit("local state, which is another replica's"));
    }
    Ok(beginning)
}

impl Core {
    /// Returns what stands at an index; `None` where that is beyond the end, or was given up.
    pub(super) fn slot_at(&self, index: Index) -> Result<Option<Slot>, ReplicaError> {
        if index >= self.end.state.next_index || index < self.first() {
            return Ok(None);
        }
        let found = read::entries(&self.end.segments, index, index.position_after(), 1);
        let found = found.map_err(|error| ReplicaError::Read(error.to_string()))?;
        Ok(found.first().map(|entry| entry.slot))
    }

    /// Goes on behind an entry beyond the end, with log state that came from elsewhere.
    fn begin_behind(&mut self, slot: Slot, beginning: Beginning) -> Result<(), Stopped> {
        self.end.sync()?;
        let (local, written) = (self.local, self.end.local);
        self.local.purged = Some(slot);
        if self.local.committed.is_none_or(|committed| committed.index < slot.index) {
            self.local.committed = Some(slot);
        }
        if let Err(stopped) = self.go_on_with(beginning.state, beginning.chain) {
            (self.local, self.end.local) = (local, written);
            return Err(stopped);
        }
        tracing::info!(%slot, "the replica begins anew behind what the others gave up");
        Ok(())
    }
}
