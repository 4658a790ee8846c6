//! Which part of a log a scan has to read.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use base::{ChannelName, Position};

use super::Scope;
use super::losses::{lost_above, lost_below};
use crate::Selection;
use crate::codec::control::HoleRecord;
use crate::error::ReadError;
use crate::segments::{Segment, Segments};

/// The entries that a scan reads, by index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The first entry that can be wanted.
    pub from: u64,
    /// The first entry that is out of reach.
    pub to: u64,
    /// Losses before this one do not matter.
    pub checked_from: u64,
    /// Losses from this one on do not matter.
    pub checked_to: u64,
}

impl Plan {
    /// Finds the segments that can hold something wanted, in the order of the scan.
    pub(super) fn new(
        segments: &Segments,
        selection: &Selection,
        bound: Position,
        scope: &Scope,
    ) -> Result<(Self, VecDeque<Arc<Segment>>), ReadError> {
        let Some(born) = scope.born else { return Ok((Self::of(0, 0), VecDeque::new())) };
        let from = selection.indexes.from.unwrap_or(0).max(born).max(scope.trimmed.0);
        let to = selection.indexes.to.unwrap_or(u64::MAX).min(bound.0);
        let mut plan = Self::of(from, to);
        if selection.seqs.is_empty() || selection.recorded.is_empty() || plan.is_empty() {
            return Ok((Self::of(0, 0), VecDeque::new()));
        }
        let mut queue = segments.between(from, to);
        if let Some(channel) = selection.only_channel() {
            narrow_by_seq(segments, selection, channel, &mut queue)?;
        }
        plan.narrow_by_time(segments, selection, &scope.holes, &mut queue)?;
        if selection.reverse {
            queue.reverse();
        }
        Ok((plan, queue.into()))
    }

    fn of(from: u64, to: u64) -> Self {
        Self { from, to, checked_from: from, checked_to: to }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// Leaves out the segments that were recorded before or behind the wanted times.
    fn narrow_by_time(
        &mut self,
        segments: &Segments,
        selection: &Selection,
        holes: &[HoleRecord],
        queue: &mut Vec<Arc<Segment>>,
    ) -> Result<(), ReadError> {
        if let Some(from) = selection.recorded.from {
            let old = partition(queue, |segment| {
                Ok(segments.recorded(segment)?.is_some_and(|(_, last)| last < from))
            })?;
            if old > 0 {
                let kept = queue.get(old).map_or(self.to, |segment| segment.first_index.0);
                self.checked_from = lost_below(holes, kept).max(self.from);
                queue.drain(..old);
            }
        }
        if let Some(to) = selection.recorded.to {
            let kept = partition(queue, |segment| {
                Ok(segments.recorded(segment)?.is_none_or(|(first, _)| first < to))
            })?;
            if let Some(segment) = queue.get(kept) {
                self.checked_to = lost_above(holes, segment.first_index.0).min(self.to);
                queue.truncate(kept);
            }
        }
        Ok(())
    }
}

/// Leaves out the segments whose part of a channel lies outside the wanted numbers.
fn narrow_by_seq(
    segments: &Segments,
    selection: &Selection,
    channel: &ChannelName,
    queue: &mut Vec<Arc<Segment>>,
) -> Result<(), ReadError> {
    if let Some(from) = selection.seqs.from {
        let (mut low, mut high) = (0, queue.len());
        while low < high {
            let middle = low.midpoint(high);
            // A segment without the channel tells nothing; the nearest one before it that has it does.
            match nearest(segments, channel, queue, (low..=middle).rev())? {
                Some((place, seqs)) if seqs.end > from => high = place,
                _ => low = middle + 1,
            }
        }
        queue.drain(..low);
    }
    if let Some(to) = selection.seqs.to {
        let (mut low, mut high) = (0, queue.len());
        while low < high {
            let middle = low.midpoint(high);
            match nearest(segments, channel, queue, middle..high)? {
                Some((place, seqs)) if seqs.start < to => low = place + 1,
                _ => high = middle,
            }
        }
        queue.truncate(low);
    }
    Ok(())
}

/// Returns the first of some places whose segment has a channel, and the channel's numbers there.
fn nearest(
    segments: &Segments,
    channel: &ChannelName,
    queue: &[Arc<Segment>],
    places: impl Iterator<Item = usize>,
) -> Result<Option<(usize, Range<u64>)>, ReadError> {
    for place in places {
        if let Some(seqs) = segments.seqs(&queue[place], channel)? {
            return Ok(Some((place, seqs)));
        }
    }
    Ok(None)
}

/// Returns how many segments from the first on fulfil a condition that no later one does once one does not.
fn partition(
    queue: &[Arc<Segment>],
    mut fulfils: impl FnMut(&Segment) -> Result<bool, ReadError>,
) -> Result<usize, ReadError> {
    let (mut low, mut high) = (0, queue.len());
    while low < high {
        let middle = low.midpoint(high);
        if fulfils(&queue[middle])? { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}
