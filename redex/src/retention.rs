//! What of a log's beginning is to be given up: whole segments, decided from what they weigh and when they were recorded.

use std::sync::Arc;
use std::time::Duration;

use base::{Index, Timestamp};

use crate::Retention;
use crate::codec::control::TrimRecord;
use crate::error::ReadError;
use crate::limits::ENTRY_BYTES_MAX;
use crate::request::trim_bytes;
use crate::segments::{Segment, Segments};
use crate::state::LogState;

/// What a log is to keep.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// The newest segment.
    Newest,
    /// What limits leave.
    By(Retention),
}

/// What looking came to.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// The segment that the log is to begin with, if any before it is to go.
    pub first: Option<Arc<Segment>>,
    /// After what time more may be to go, where that depends on time.
    pub again_in: Option<Duration>,
}

/// Finds the segments that are to go. `may_go` tells whether everything before an entry may.
pub(crate) fn look(
    segments: &Segments,
    wanted: &Wanted,
    now: Timestamp,
    may_go: impl Fn(Index) -> bool,
) -> Result<Look, ReadError> {
    let all = segments.all();
    let Some((newest, sealed)) = all.split_last() else { return Ok(Look::default()) };
    let mut weights = match wanted {
        Wanted::Newest => Weights::default(),
        Wanted::By(retention) => Weights::of(retention, segments, &all)?,
    };
    let (mut kept, mut again_in) = (0, None);
    for (place, segment) in sealed.iter().enumerate() {
        let next = sealed.get(place + 1).unwrap_or(newest).first_index;
        let lost = match wanted {
            Wanted::Newest => Lost::Now,
            Wanted::By(retention) => weights.loses(retention, segments, segment, now)?,
        };
        if let Lost::InTime(left) = lost {
            again_in = Some(left);
        }
        if !matches!(lost, Lost::Now) || !may_go(next) {
            break;
        }
        kept = place + 1;
    }
    Ok(Look { first: all.get(kept).filter(|_| kept > 0).cloned(), again_in })
}

/// Makes the record that a log gives up everything before a segment, of log state where that begins and where the record is
/// to stand; `None` where it is given up already.
pub(crate) fn trim_to(begins: &LogState, state: &LogState) -> Option<TrimRecord> {
    let first = begins.next_index;
    if first.0 <= state.trimmed.0 {
        return None;
    }
    let channels = state.channels().iter().filter_map(|channel| {
        let begins = begins.next_seq(&channel.name).filter(|begins| *begins > channel.base)?;
        Some((channel.name.clone(), begins))
    });
    let record = TrimRecord { first, channels: channels.collect() };
    if trim_bytes(&record) > ENTRY_BYTES_MAX / 2 {
        tracing::warn!(channels = record.channels.len(), "too many channels to give up the beginning of");
        return None;
    }
    Some(record)
}

/// Whether a segment is to go.
enum Lost {
    Now,
    /// Not yet; after this time it may.
    InTime(Duration),
    No,
}

/// What the segments that are kept so far weigh together.
#[derive(Debug, Default)]
struct Weights {
    bytes: u64,
    events: u64,
}

impl Weights {
    fn of(retention: &Retention, segments: &Segments, all: &[Arc<Segment>]) -> Result<Self, ReadError> {
        let (mut bytes, mut events) = (0, 0);
        for segment in all {
            if retention.bytes.is_some() {
                bytes += segments.bytes(segment)?;
            }
            if retention.events.is_some() {
                events += segments.index(segment)?.events();
            }
        }
        Ok(Self { bytes, events })
    }

    /// Tells whether the oldest segment that is kept so far is to go, and takes its weight away if it is.
    fn loses(
        &mut self,
        retention: &Retention,
        segments: &Segments,
        segment: &Segment,
        now: Timestamp,
    ) -> Result<Lost, ReadError> {
        let bytes = if retention.bytes.is_some() { segments.bytes(segment)? } else { 0 };
        let events = if retention.events.is_some() { segments.index(segment)?.events() } else { 0 };
        let too_large = retention.bytes.is_some_and(|limit| self.bytes > limit);
        let too_many = retention.events.is_some_and(|limit| self.events - events >= limit);
        let left = match retention.age {
            None => None,
            Some(age) => {
                let last = segments.recorded(segment)?.map_or(Timestamp::default(), |(_, last)| last);
                Some(last.plus(age).since(now))
            }
        };
        if too_large || too_many || left == Some(Duration::ZERO) {
            self.bytes = self.bytes.saturating_sub(bytes);
            self.events = self.events.saturating_sub(events);
            return Ok(Lost::Now);
        }
        Ok(left.map_or(Lost::No, Lost::InTime))
    }
}
