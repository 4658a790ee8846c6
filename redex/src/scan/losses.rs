//! What a scan must fail at: wanted events that were lost.

use std::ops::Range;
use std::sync::Arc;

use base::{ChannelName, Index, Position, Seq, Timestamp};

use super::plan::Plan;
use crate::codec::control::HoleRecord;
use crate::error::ReadError;
use crate::index::Point;
use crate::{Channels, Selection};

/// What an entry tells about losses before and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub index: u64,
    pub recorded_at: Timestamp,
    /// The numbers that it gives to the one wanted channel; empty in other scans.
    pub seqs: Range<u64>,
}

impl Seen {
    /// Returns what a point tells of the entry it stands for.
    pub(super) fn point(point: &Point) -> Self {
        let recorded_at = Timestamp::from_nanos(point.recorded_at);
        Self { index: point.index, recorded_at, seqs: point.seq..point.seq }
    }
}

/// A loss that a scan meets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// A hole that is on record: its first and last entry.
    Hole(Index, Index),
    /// The numbers of a channel leap though no hole is on record.
    Gap { expected: u64, found: u64 },
}

/// The holes of a log, as a scan regards them.
#[derive(Debug)]
pub(super) struct Losses {
    holes: Arc<[HoleRecord]>,
    skip: bool,
}

impl Losses {
    pub(super) fn new(holes: Arc<[HoleRecord]>, skip: bool) -> Self {
        Self { holes, skip }
    }

    /// Tells whether there is nothing to regard.
    pub(super) fn is_empty(&self) -> bool {
        self.skip || self.holes.is_empty()
    }

    /// Tells whether a hole begins at an entry.
    pub(super) fn begins_at(&self, index: u64) -> bool {
        self.holes.iter().any(|hole| hole.first.0 == index)
    }

    /// Looks for wanted events that were lost between two entries that were read one after the other; `None`
    /// is the end of what is read, and `edges` are the numbers there of the one wanted channel, if they are
    /// known. `next_seq` gives the number that the channel stood at where the reading begins.
    pub(super) fn between(
        &self,
        selection: &Selection,
        plan: &Plan,
        before: Option<&Seen>,
        after: Option<&Seen>,
        edges: (Option<u64>, Option<u64>),
        next_seq: impl FnOnce() -> Result<u64, ReadError>,
    ) -> Result<Option<Loss>, ReadError> {
        let recorded = &selection.recorded;
        let too_late = before.is_some_and(|seen| recorded.to.is_some_and(|to| seen.recorded_at >= to));
        let too_early = after.is_some_and(|seen| recorded.from.is_some_and(|from| seen.recorded_at < from));
        let from = before.map_or(plan.checked_from, |seen| (seen.index + 1).max(plan.checked_from));
        let to = after.map_or(plan.checked_to, |seen| seen.index.min(plan.checked_to));
        if self.skip || too_late || too_early || from > to {
            return Ok(None);
        }
        let mut holes = self.holes.iter().filter(|hole| hole.next.0 > from && hole.first.0 < to).peekable();
        let Some(channel) = selection.only_channel() else {
            return Ok(holes.find(|hole| concerns(hole, &selection.channels)).map(loss));
        };
        if holes.peek().is_none() {
            return Ok(gap(selection, before, after, edges));
        }
        let holes: Vec<_> = holes.filter(|hole| next_of(hole, channel).is_some()).collect();
        let Some(culprit) = holes.last() else { return Ok(gap(selection, before, after, edges)) };
        let lost_to = match after {
            Some(seen) => seen.seqs.start,
            None => holes.iter().filter_map(|hole| next_of(hole, channel)).max().map_or(0, |next| next.0),
        };
        if wanted_part(selection, 0, lost_to).is_empty() {
            return Ok(None);
        }
        let lost_from = match before {
            Some(seen) => seen.seqs.end,
            None => next_seq()?,
        };
        let lost = wanted_part(selection, lost_from, lost_to);
        Ok((!lost.is_empty()).then(|| loss(culprit)))
    }
}

/// Returns the wanted ones of some numbers.
fn wanted_part(selection: &Selection, from: u64, to: u64) -> Range<u64> {
    from.max(selection.seqs.from.unwrap_or(0))..to.min(selection.seqs.to.unwrap_or(u64::MAX))
}

/// Numbers of a channel are dense but for holes: a leap without one comes from damage that nobody recorded.
fn gap(
    selection: &Selection,
    before: Option<&Seen>,
    after: Option<&Seen>,
    (begin, end): (Option<u64>, Option<u64>),
) -> Option<Loss> {
    let expected = before.map_or(begin, |seen| Some(seen.seqs.end))?;
    let found = after.map_or(end, |seen| Some(seen.seqs.start))?;
    let lost = wanted_part(selection, expected, found);
    (!lost.is_empty()).then_some(Loss::Gap { expected, found })
}

fn loss(hole: &HoleRecord) -> Loss {
    Loss::Hole(hole.first, Index(hole.next.0.saturating_sub(1)))
}

fn next_of(hole: &HoleRecord, channel: &ChannelName) -> Option<Seq> {
    hole.channels.iter().find(|(name, _)| name == channel).map(|(_, next)| *next)
}

/// Tells whether wanted events may have been lost in a hole: it names every known channel that it may have
/// taken events of.
fn concerns(hole: &HoleRecord, channels: &Channels) -> bool {
    match channels {
        Channels::All => true,
        Channels::Names(names) => names.iter().any(|name| next_of(hole, name).is_some()),
    }
}

/// Returns the highest number that holes before a position leave a channel at.
pub(super) fn next_behind_holes(
    holes: &[HoleRecord],
    channel: &ChannelName,
    position: Position,
) -> Option<Seq> {
    holes.iter().filter(|hole| position.includes(hole.first)).filter_map(|hole| next_of(hole, channel)).max()
}

/// Returns `index`, or where the holes that end there begin.
pub(super) fn lost_below(holes: &[HoleRecord], index: u64) -> u64 {
    holes.iter().rev().fold(index, |index, hole| if hole.next.0 == index { hole.first.0 } else { index })
}

/// Returns `index`, or where the holes that begin there end.
pub(super) fn lost_above(holes: &[HoleRecord], index: u64) -> u64 {
    holes.iter().fold(index, |index, hole| if hole.first.0 == index { hole.next.0 } else { index })
}
