//! The sparse index of a segment: where to begin reading for a sequence number, an index or a time.
//!
//! A point is kept for an entry of a channel when at least [`INDEX_GRAIN_BYTES`] lie between it and the channel's
//! point before. So from a point on, entries of the channel stand within the grain behind it, or at the next
//! point; what lies between need not be read. The index of the newest segment is in memory; sealed segments
//! have a derived file beside them, which is rebuilt whenever in doubt.

use base::{ChannelName, Hash, Index, Seq, Timestamp};
use rustc_hash::FxHashMap;

use crate::codec::block::BlockItem;
use crate::codec::footer::{Footer, FooterChannel, Standing};
use crate::limits::INDEX_GRAIN_BYTES;

pub(crate) mod file;
pub(crate) mod points;

/// Where an entry stands. `seq` is the first number that the entry gives to the channel whose point this is;
/// 0 in the list of all entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Point {
    pub seq: u64,
    pub index: u64,
    pub offset: u64,
    pub recorded_at: i64,
}

/// The points of one channel in one segment, and what they stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChannelPoints {
    pub first: Seq,
    pub next: Seq,
    pub events: u64,
    pub points: Vec<Point>,
}

/// The index of one segment, in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub entries: u64,
    pub events: u64,
    pub first_recorded_at: Timestamp,
    pub last_recorded_at: Timestamp,
    /// Points of the list of all entries.
    pub points: Vec<Point>,
    pub channels: FxHashMap<ChannelName, ChannelPoints>,
    /// Whether it was rebuilt from a segment that has lost entries, whose channels are not known.
    pub damaged: bool,
}

impl SegmentIndex {
    /// Adds the entry at `offset`; entries come in order.
    pub(crate) fn add(&mut self, index: Index, offset: u64, recorded_at: Timestamp, blocks: &[BlockItem]) {
        if self.entries == 0 {
            self.first_recorded_at = recorded_at;
        }
        self.last_recorded_at = recorded_at;
        self.entries += 1;
        let point = Point { seq: 0, index: index.0, offset, recorded_at: recorded_at.as_nanos() };
        push_sparse(&mut self.points, point);
        for block in blocks {
            self.events += u64::from(block.events);
            let next = block.first_seq.plus(block.events.into());
            let point = Point { seq: block.first_seq.0, ..point };
            match self.channels.get_mut(&block.channel) {
                Some(channel) => {
                    channel.next = next;
                    channel.events += u64::from(block.events);
                    push_sparse(&mut channel.points, point);
                }
                None => {
                    let events = block.events.into();
                    let points = vec![point];
                    let channel = ChannelPoints { first: block.first_seq, next, events, points };
                    self.channels.insert(block.channel.clone(), channel);
                }
            }
        }
    }

    /// Returns the channels, sorted by name.
    pub(crate) fn by_name(&self) -> Vec<(&ChannelName, &ChannelPoints)> {
        let mut channels: Vec<_> = self.channels.iter().collect();
        channels.sort_unstable_by_key(|(name, _)| *name);
        channels
    }

    /// Returns the footer of a segment that holds what the index does.
    pub(crate) fn footer(
        &self,
        standing: Standing,
        first_index: Index,
        references: Option<Vec<Hash>>,
    ) -> Footer {
        let channels = self.by_name().into_iter().map(|(name, channel)| FooterChannel {
            name: name.clone(),
            first: channel.first,
            next: channel.next,
            events: channel.events,
        });
        Footer {
            standing,
            first_index,
            entries: self.entries,
            events: self.events,
            first_recorded_at: self.first_recorded_at,
            last_recorded_at: self.last_recorded_at,
            channels: channels.collect(),
            references,
        }
    }

    /// Notes that the entries from `index` on were lost at `offset`, so that whoever reads there meets it.
    pub(crate) fn add_damage(&mut self, index: u64, offset: u64) {
        self.damaged = true;
        let recorded_at = self.points.last().map_or(i64::MIN, |point| point.recorded_at);
        self.points.push(Point { seq: 0, index, offset, recorded_at });
    }

    /// Returns the points of a channel, or of all entries.
    pub(crate) fn list(&self, channel: Option<&ChannelName>) -> &[Point] {
        match channel {
            None => &self.points,
            Some(name) => self.channels.get(name).map_or(&[], |channel| &channel.points),
        }
    }
}

fn push_sparse(points: &mut Vec<Point>, point: Point) {
    if points.last().is_none_or(|last| point.offset >= last.offset + INDEX_GRAIN_BYTES) {
        points.push(point);
    }
}

/// What a list of points is searched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Seq(u64),
    Index(u64),
    /// The first entry recorded at or after this time.
    RecordedAt(i64),
}

impl Target {
    /// Tells whether reading may begin at `point` or behind it.
    fn is_reached_from(self, point: &Point) -> bool {
        match self {
            Self::Seq(seq) => point.seq <= seq,
            Self::Index(index) => point.index <= index,
            Self::RecordedAt(time) => point.recorded_at < time,
        }
    }
}

/// Returns the place of the last point from which `target` is reached, or of the first point.
pub(crate) fn search(points: &[Point], target: Target) -> usize {
    points.partition_point(|point| target.is_reached_from(point)).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, first: u64, events: u32) -> BlockItem {
        let channel = ChannelName::new(name).unwrap();
        BlockItem { channel, first_seq: Seq(first), events, bytes: 0, erasable: false, hash: Hash::ZERO }
    }

    #[test]
    fn points_are_a_grain_apart_and_a_rare_channel_has_one_for_each_entry() {
        let mut index = SegmentIndex::default();
        for entry in 0..100 {
            let mut blocks = vec![block("often", entry * 2, 2)];
            if entry % 25 == 0 {
                blocks.push(block("rare", entry / 25, 1));
            }
            index.add(Index(entry), 1024 + entry * 4096, Timestamp::from_nanos(entry as i64), &blocks);
        }
        assert_eq!(index.list(None).len(), 25);
        let often = ChannelName::new("often").unwrap();
        assert_eq!(index.list(Some(&often)).len(), 25);
        let rare = ChannelName::new("rare").unwrap();
        let seqs: Vec<_> = index.list(Some(&rare)).iter().map(|point| (point.seq, point.index)).collect();
        assert_eq!(seqs, [(0, 0), (1, 25), (2, 50), (3, 75)]);
        assert_eq!((index.events, index.channels[&often].next), (204, Seq(200)));
    }

    #[test]
    fn a_search_finds_the_last_point_before_its_target() {
        let point = |at: u64| Point { seq: at, index: at, offset: at, recorded_at: at as i64 };
        let points: Vec<_> = [10, 20, 20, 30].map(point).to_vec();
        assert_eq!(search(&points, Target::Seq(5)), 0);
        assert_eq!(search(&points, Target::Seq(29)), 2);
        assert_eq!(search(&points, Target::Index(99)), 3);
        assert_eq!(search(&points, Target::RecordedAt(20)), 0, "equal times may begin before the point");
        assert_eq!(search(&points, Target::RecordedAt(21)), 2);
    }
}
