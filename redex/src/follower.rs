//! Reading what another process writes.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use base::{Disk, OpenMode, Position};

use crate::chain::Chain;
use crate::codec::visible::{self, VISIBLE_BYTES, Visible};
use crate::error::{Corruption, ReadError};
use crate::index::SegmentIndex;
use crate::index::points::IndexSource;
use crate::reader::VisibleState;
use crate::replay::{End, Replay};
use crate::segments::{Segment, Segments};
use crate::state::LogState;

/// Bytes of the first read of what a writer added.
const READ_BYTES_MIN: u64 = 256 << 10;

/// A reader's place in a log that it does not write.
#[derive(Debug)]
pub(crate) struct Follower {
    segments: Arc<Segments>,
    disk: Arc<dyn Disk>,
    /// The node's lock file, which tells whether there is a writer.
    lock: PathBuf,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    state: LogState,
    chain: Chain,
    offset: u64,
    index: Arc<RwLock<SegmentIndex>>,
}

impl Follower {
    pub(crate) fn new(segments: Arc<Segments>, lock: PathBuf) -> Self {
        let disk = Arc::clone(&segments.disk);
        Self { segments, disk, lock, place: None }
    }

    /// Reads on; returns the new visible state if there is more than before.
    pub(crate) fn refresh(&mut self) -> Result<Option<VisibleState>, ReadError> {
        let bound = self.bound()?;
        if bound.is_some_and(|bound| self.place.as_ref().is_some_and(|p| p.state.position() >= bound)) {
            return Ok(None);
        }
        self.segments.discover().map_err(ReadError::io(&self.segments.dir))?;
        let before = self.place.as_ref().map(|place| place.state.position());
        if self.place.is_none() {
            self.begin(bound)?;
        }
        self.read_on(bound.unwrap_or(Position(u64::MAX)))?;
        let Some(place) = &self.place else { return Ok(None) };
        Ok((Some(place.state.position()) != before).then(|| visible_state(&place.state)))
    }

    /// Returns how far a live writer lets readers read; `None` when there is no writer, so that everything
    /// that opening would keep is visible.
    fn bound(&self) -> Result<Option<Position>, ReadError> {
        if !self.disk.is_locked(&self.lock).map_err(ReadError::io(&self.lock))? {
            return Ok(None);
        }
        let told = self.read_visible();
        let seen = self.place.as_ref().map_or(Position::ZERO, |place| place.state.position());
        Ok(Some(told.map_or(seen, |visible| visible.position.max(seen))))
    }

    fn read_visible(&self) -> Option<Visible> {
        let file = self.disk.open(&self.segments.dir.join("visible"), OpenMode::Read).ok()?;
        let mut bytes = vec![0; VISIBLE_BYTES];
        base::read_exact_at(&*file, &mut bytes, 0).ok()?;
        visible::decode(&bytes).ok().filter(|visible| visible.log == self.segments.log)
    }

    /// Starts at the newest segment whose state frame is not beyond the bound.
    fn begin(&mut self, bound: Option<Position>) -> Result<(), ReadError> {
        let bound = bound.unwrap_or(Position(u64::MAX));
        let all = self.segments.all();
        let candidates = all.iter().rev().filter(|segment| segment.first_index.0 <= bound.0);
        let mut fault = None;
        for segment in candidates {
            let loaded = self.segments.load_part(segment, 0, READ_BYTES_MIN)?;
            let begun = Replay::begin(loaded.view()).or_else(|_| {
                let whole = self.segments.load(segment)?;
                Replay::begin(whole.view())
                    .map_err(|malformed| corrupt(segment, 1024, &malformed.to_string()))
            });
            match begun {
                Ok(replay) => {
                    self.enter(Arc::clone(segment), replay.state, replay.chain, replay.offset);
                    return Ok(());
                }
                Err(error) => fault = Some(error),
            }
        }
        fault.map_or(Ok(()), Err)
    }

    fn enter(&mut self, segment: Arc<Segment>, state: LogState, chain: Chain, offset: u64) {
        let index = Arc::new(RwLock::new(SegmentIndex::default()));
        segment.set_index(IndexSource::Memory(Arc::clone(&index)));
        self.place = Some(Place { segment, state, chain, offset, index });
    }

    fn read_on(&mut self, bound: Position) -> Result<(), ReadError> {
        let mut count = READ_BYTES_MIN;
        loop {
            let Some(place) = self.place.take() else { return Ok(()) };
            let part = self.segments.load_part(&place.segment, place.offset, count)?;
            let whole = (part.bytes.len() as u64) < count;
            let index = place.index.read().unwrap_or_else(PoisonError::into_inner).clone();
            let mut replay = Replay::resume(place.state, place.chain, index, place.offset);
            replay.run(part.view(), &self.segments.hasher, bound);
            let progressed = replay.offset > place.offset;
            *place.index.write().unwrap_or_else(PoisonError::into_inner) = replay.index;
            self.place = Some(Place {
                segment: Arc::clone(&place.segment),
                state: replay.state,
                chain: replay.chain,
                offset: replay.offset,
                index: place.index,
            });
            match replay.end {
                End::Bound => return Ok(()),
                End::Sealed(_) => {
                    if !self.next_segment()? {
                        return Ok(());
                    }
                    count = READ_BYTES_MIN;
                }
                // The end of a part says nothing while the file goes on.
                _ if !whole => count = if progressed { count } else { count.saturating_mul(4) },
                _ => return Ok(()),
            }
        }
    }

    /// Goes to the segment behind the sealed one; tells whether there is one.
    fn next_segment(&mut self) -> Result<bool, ReadError> {
        let Some(place) = self.place.take() else { return Ok(false) };
        let next = place.state.next_index;
        let found = self.segments.between(next.0, next.0 + 1).into_iter().find(|s| s.first_index == next);
        let Some(segment) = found.filter(|segment| segment.number > place.segment.number) else {
            self.place = Some(place);
            return Ok(false);
        };
        let loaded = self.segments.load(&segment)?;
        let replay = Replay::begin(loaded.view())
            .map_err(|malformed| corrupt(&segment, 1024, &malformed.to_string()))?;
        self.enter(segment, place.state, place.chain, replay.offset);
        Ok(true)
    }
}

fn corrupt(segment: &Segment, offset: u64, found: &str) -> ReadError {
    ReadError::Corrupt(Corruption {
        file: segment.path.clone(),
        offset,
        expected: "a state frame".to_owned(),
        found: format!("a wrong {found}"),
    })
}

/// Returns what readers may see of a state.
pub(crate) fn visible_state(state: &LogState) -> VisibleState {
    let channels = state.channels().iter().map(|channel| (channel.name.clone(), channel.clone()));
    VisibleState {
        position: state.position(),
        channels: Arc::new(channels.collect()),
        incarnations: state.incarnations.clone().into(),
        holes: state.holes.clone().into(),
        last_recorded_at: state.last_recorded_at,
    }
}
