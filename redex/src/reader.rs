//! The reading side of a log: what is visible, and views pinned at one position.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base::{
    ChannelName, Clock, IncarnationId, Index, LogId, OriginId, Position, PublicKey, Seq, Signal, Term,
    Timestamp,
};

use crate::channels::VisibleChannels;
use crate::codec::control::HoleRecord;
use crate::codec::superblock::Superblock;
use crate::error::ReadError;
use crate::follower::Follower;
use crate::keyed::{Keyed, KeyedMap};
use crate::scan::Scope;
use crate::segments::Segments;
use crate::state::{ArrivedState, ChannelState, IncarnationState};
use crate::{ChannelConfig, Event, LogName, Lookup, Scan, Selection, Tail};

/// What readers see of a log; cheap to clone, never changed once given out.
#[derive(Debug, Clone)]
pub(crate) struct VisibleState {
    pub position: Position,
    pub channels: VisibleChannels,
    pub incarnations: Arc<[IncarnationState]>,
    pub holes: Arc<[HoleRecord]>,
    pub last_recorded_at: Timestamp,
    /// Everything below was given up.
    pub trimmed: Position,
    /// In a keyed log, the newest event of each key.
    pub keyed: Option<Arc<KeyedMap>>,
    /// The channels that came from other logs.
    pub arrivals: Arc<[ChannelName]>,
}

impl VisibleState {
    /// Returns the state of an empty log.
    pub(crate) fn empty() -> Self {
        crate::follower::visible_state(&crate::state::LogState::default())
    }
}

/// The newest visible state, and who waits for a newer one.
#[derive(Debug)]
pub(crate) struct Published {
    state: Mutex<Watched>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Watched {
    visible: VisibleState,
    closed: bool,
    /// Whether its files may be gone.
    gone: bool,
    wakers: BTreeMap<u64, Waker>,
    next_waker: u64,
}

impl Watched {
    /// Tells whether waiting for something beyond `position` is over.
    fn is_over(&self, position: Position) -> bool {
        self.visible.position > position || self.closed
    }

    /// Notes whom to wake, in place of what `id` noted before; returns the new note's id.
    fn note(&mut self, id: Option<u64>, waker: &Waker) -> u64 {
        let id = id.unwrap_or_else(|| {
            self.next_waker += 1;
            self.next_waker
        });
        self.wakers.insert(id, waker.clone());
        id
    }
}

impl Published {
    pub(crate) fn new(visible: VisibleState, clock: Arc<dyn Clock>) -> Self {
        let watched = Watched { visible, closed: false, gone: false, wakers: BTreeMap::new(), next_waker: 0 };
        Self { state: Mutex::new(watched), changed: Condvar::new(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> VisibleState {
        self.lock().visible.clone()
    }

    pub(crate) fn position(&self) -> Position {
        self.lock().visible.position
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut VisibleState)) {
        change(&mut self.lock().visible);
    }

    /// Wakes everybody who waits for a change.
    pub(crate) fn wake(&self) {
        let wakers = std::mem::take(&mut self.lock().wakers);
        self.changed.notify_all();
        wakers.into_values().for_each(Waker::wake);
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes what was taken off the node's logs: who follows it is at its end, wherever that is.
    pub(crate) fn leave(&self) {
        {
            let mut watched = self.lock();
            (watched.closed, watched.gone) = (true, true);
        }
        self.wake();
    }

    fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// Blocks until the position has passed `position`, the log is closed, or `limit` is over. Returns whether
    /// the position has passed.
    pub(crate) fn wait_beyond(&self, position: Position, limit: Option<Duration>) -> bool {
        match limit {
            None => {
                let waits = |watched: &mut Watched| !watched.is_over(position);
                drop(self.changed.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner));
            }
            Some(limit) => self.wait_at_most(position, self.clock.monotonic().saturating_add(limit)),
        }
        self.position() > position
    }

    fn wait_at_most(&self, position: Position, deadline: Duration) {
        let alarm = Arc::new(Signal::new());
        let waker = Waker::from(Arc::clone(&alarm));
        let mut noted = None;
        loop {
            let mut watched = self.lock();
            if watched.is_over(position) || self.clock.monotonic() >= deadline {
                noted.map(|id| watched.wakers.remove(&id));
                return;
            }
            noted = Some(watched.note(noted, &waker));
            drop(watched);
            self.clock.wait(&alarm, Some(deadline));
        }
    }
}

/// The reading side of a log. Cloning shares it.
#[derive(Debug, Clone)]
pub struct LogReader {
    pub(crate) shared: Arc<ReaderShared>,
}

#[derive(Debug)]
pub(crate) struct ReaderShared {
    pub superblock: Superblock,
    pub segments: Arc<Segments>,
    pub published: Arc<Published>,
    /// Reads what another process writes; absent beside a writer of this process.
    pub follower: Option<Mutex<Follower>>,
}

impl LogReader {
    pub(crate) fn new(
        superblock: Superblock,
        segments: Arc<Segments>,
        published: Arc<Published>,
        follower: Option<Follower>,
    ) -> Self {
        let follower = follower.map(Mutex::new);
        Self { shared: Arc::new(ReaderShared { superblock, segments, published, follower }) }
    }

    /// Returns the log's id.
    pub fn id(&self) -> LogId {
        self.shared.superblock.log
    }

    /// Returns the log's name, such as `main`.
    pub fn name(&self) -> &str {
        &self.shared.superblock.name
    }

    /// Returns who began the log.
    pub fn origin(&self) -> OriginId {
        self.shared.superblock.origin
    }

    /// Returns when the log was created.
    pub fn created_at(&self) -> Timestamp {
        self.shared.superblock.created_at
    }

    /// Returns how far the log may be read: up to what is durable.
    pub fn visible(&self) -> Position {
        self.shared.published.position()
    }

    /// Looks how far another process has written, and returns the visible position. Beside a writer of this
    /// process there is nothing to look for.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the directory cannot be read; what was visible stays so.
    pub fn refresh(&self) -> Result<Position, ReadError> {
        if let Some(follower) = &self.shared.follower {
            let mut follower = follower.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(visible) = follower.refresh()? {
                self.shared.published.update(|published| *published = visible);
                self.shared.published.wake();
            }
        }
        Ok(self.visible())
    }

    /// Returns a view pinned at the visible position.
    pub fn view(&self) -> LogView {
        let visible = self.shared.published.get();
        LogView { shared: Arc::clone(&self.shared), position: visible.position, visible }
    }

    /// Returns a view pinned at an earlier position; a later one gives the visible one.
    pub fn view_at(&self, position: Position) -> LogView {
        let visible = self.shared.published.get();
        LogView { shared: Arc::clone(&self.shared), position: visible.position.min(position), visible }
    }

    /// Follows the selected events: first those that are there, then new ones as they become visible, without
    /// gap or repetition however many there are. A slow follower holds nobody up. `reverse`, `last` and
    /// `limit` of the selection do not apply.
    pub fn tail(&self, selection: Selection) -> Tail {
        Tail::new(self.clone(), selection)
    }

    /// Tells whether the writer of this process has closed the log.
    pub fn is_closed(&self) -> bool {
        self.shared.published.is_closed()
    }

    /// Tells whether the log was taken off the node's logs, so that there is nothing to read any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.shared.published.is_gone()
    }

    /// Returns a future that is ready once the visible position has passed `position`, or the log is closed.
    /// Needs no runtime; beside a writer of another process it needs somebody who calls
    /// [`refresh`](Self::refresh).
    pub fn beyond(&self, position: Position) -> Beyond {
        Beyond::of(&self.shared.published, position)
    }

    /// Blocks until the visible position has passed `position`, the log is closed, or `limit` is over. Returns
    /// whether the position has passed.
    pub fn wait_beyond(&self, position: Position, limit: Option<Duration>) -> bool {
        self.shared.published.wait_beyond(position, limit)
    }
}

/// See [`LogReader::beyond`].
///
/// *Cancel safety*: dropping it leaves nothing behind.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Beyond {
    published: Arc<Published>,
    position: Position,
    waker: Option<u64>,
}

impl Beyond {
    pub(crate) fn of(published: &Arc<Published>, position: Position) -> Self {
        Self { published: Arc::clone(published), position, waker: None }
    }
}

impl Future for Beyond {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let published = Arc::clone(&self.published);
        let mut watched = published.lock();
        if watched.is_over(self.position) {
            return Poll::Ready(());
        }
        self.waker = Some(watched.note(self.waker, context.waker()));
        Poll::Pending
    }
}

impl Drop for Beyond {
    fn drop(&mut self) {
        if let Some(waker) = self.waker {
            self.published.lock().wakers.remove(&waker);
        }
    }
}

/// A log as of one position. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct LogView {
    shared: Arc<ReaderShared>,
    position: Position,
    visible: VisibleState,
}

/// A channel as of a view's position.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// The number of its first event.
    pub first_seq: Seq,
    /// The number that its next event gets.
    pub next_seq: Seq,
    /// When it was created.
    pub created_at: Timestamp,
    /// The index of the entry that created it.
    pub created_index: Index,
    /// What it was created with.
    pub config: ChannelConfig,
    /// Where it goes on, if it left this log.
    pub moved_to: Option<MovedTo>,
    /// Where it was before, if it came from another log.
    pub arrived_from: Option<ArrivedFrom>,
}

/// Where a channel goes on that left a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovedTo {
    /// The other log's id.
    pub id: LogId,
    /// The other log's name.
    pub log: LogName,
    /// The entry that says so.
    pub index: Index,
}

/// Where a channel was that came from another log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArrivedFrom {
    /// The other log's id.
    pub id: LogId,
    /// The other log's name.
    pub log: LogName,
    /// The position there that holds all of the channel's events.
    pub position: Position,
    /// The number that it went on with here.
    pub first: Seq,
}

/// An incarnation of a log: a stretch that one sequencer put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncarnationInfo {
    /// Its id.
    pub id: IncarnationId,
    /// The key that signs it.
    pub public_key: PublicKey,
    /// The index of its first entry.
    pub first_index: Index,
    /// Its term; in a local log the count of its openings for writing.
    pub term: Term,
    /// When it began.
    pub began_at: Timestamp,
    /// The incarnation before it; all zeros for the first.
    pub parent: IncarnationId,
    /// The hash of the last entry before it.
    pub parent_hash: base::Hash,
    /// The position behind the last signed entry that it found; what lies between there and its first index
    /// it adopted unsigned.
    pub last_signed: Position,
}

/// Entries of a log that were lost to corruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoleInfo {
    /// The first lost entry.
    pub first: Index,
    /// The entry that the log goes on with.
    pub next: Index,
    /// The bytes that were damaged; a copy of them is in `quarantine/`.
    pub bytes: u64,
}

/// One segment file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// The index of its first entry.
    pub first_index: Index,
    /// The index behind its last entry; `None` while it takes entries.
    pub next_index: Option<Index>,
    /// The length of its file, bytes filled ahead included.
    pub bytes: u64,
}

impl ChannelInfo {
    /// Orders the parts of a channel in several logs: the oldest first, last the one that takes events.
    pub fn part_order(&self) -> impl Ord + use<> {
        (self.moved_to.is_none(), self.first_seq, self.next_seq)
    }
}

impl LogView {
    /// Returns the position that the view is pinned at.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns the log's name.
    pub fn name(&self) -> &str {
        &self.shared.superblock.name
    }

    /// Returns the log's id.
    pub fn id(&self) -> LogId {
        self.shared.superblock.log
    }

    /// Returns who began the log.
    pub fn origin(&self) -> OriginId {
        self.shared.superblock.origin
    }

    /// Returns when the log was created.
    pub fn created_at(&self) -> Timestamp {
        self.shared.superblock.created_at
    }

    /// Returns when the newest entry was put in order; the epoch for an empty log.
    ///
    /// # Errors
    ///
    /// [`ReadError`], only from a view of an earlier position, which has to look the entry up.
    pub fn last_recorded_at(&self) -> Result<Timestamp, ReadError> {
        match self.position == self.visible.position {
            true => Ok(self.visible.last_recorded_at),
            false => Scan::last_recorded_at(&self.shared.segments, &self.visible, self.position),
        }
    }

    /// Returns all channels, sorted by name.
    ///
    /// # Errors
    ///
    /// [`ReadError`], only from a view of an earlier position, which has to look channels up.
    pub fn channels(&self) -> Result<Vec<ChannelInfo>, ReadError> {
        let known = self.visible.channels.by_name().into_iter();
        known.filter(|channel| self.position.includes(channel.created_index)).map(|c| self.info(&c)).collect()
    }

    /// Returns one channel; `None` when there is none of the name.
    ///
    /// # Errors
    ///
    /// As [`channels`](Self::channels).
    pub fn channel(&self, name: &ChannelName) -> Result<Option<ChannelInfo>, ReadError> {
        let known = self.visible.channels.get(name);
        known
            .filter(|channel| self.position.includes(channel.created_index))
            .map(|channel| self.info(&channel))
            .transpose()
    }

    /// Returns the position behind which everything is kept: 0, until the log gives up its beginning.
    pub fn begins(&self) -> Position {
        self.visible.trimmed
    }

    /// Returns what a keyed log holds, as of the view's position; `None` in another log, and for a view of an earlier
    /// position, since only the newest record of each key is kept.
    pub fn keyed(&self) -> Option<Keyed> {
        let keyed = self.visible.keyed.as_ref().filter(|_| self.position == self.visible.position);
        keyed.map(|map| Keyed::new(self.position, Arc::clone(map)))
    }

    /// Returns a reader of single events of a channel by number; for a channel that is not there it finds none.
    pub fn lookup(&self, channel: &ChannelName) -> Lookup {
        Lookup::new(self.clone(), channel.clone())
    }

    /// Returns the view at the position that was visible when it was made, which is its own or a later one.
    pub(crate) fn at_visible(&self) -> Self {
        Self { position: self.visible.position, ..self.clone() }
    }

    /// Returns the segments of the log.
    pub(crate) fn all_segments(&self) -> &Arc<Segments> {
        &self.shared.segments
    }

    /// Returns where redactions of the log are told.
    pub(crate) fn masks(&self) -> Arc<crate::redaction::Masks> {
        Arc::clone(&self.shared.segments.masks)
    }

    /// Fails when something from `position` on was given up.
    pub(crate) fn check_kept(&self, position: Position) -> Result<(), ReadError> {
        let first = self.begins();
        if position < first { Err(ReadError::Trimmed { first }) } else { Ok(()) }
    }

    fn info(&self, channel: &ChannelState) -> Result<ChannelInfo, ReadError> {
        self.check_kept(self.position)?;
        let next_seq = match self.position == self.visible.position {
            true => channel.next,
            false => {
                let scope = Scope::channel(channel, &self.visible);
                Scan::next_seq(&self.shared.segments, &scope, self.position)?
            }
        };
        Ok(ChannelInfo {
            name: channel.name.clone(),
            first_seq: channel.base,
            next_seq,
            created_at: channel.created_at,
            created_index: channel.created_index,
            config: channel.config.clone(),
            moved_to: self.moved_to(channel),
            arrived_from: channel.arrived.as_ref().map(|arrived| ArrivedFrom {
                id: arrived.from.id,
                log: arrived.from.name.clone(),
                position: arrived.position,
                first: arrived.first,
            }),
        })
    }

    fn moved_to(&self, channel: &ChannelState) -> Option<MovedTo> {
        let moved = channel.moved.as_ref().filter(|moved| self.position.includes(moved.index))?;
        Some(MovedTo { id: moved.to.id, log: moved.to.name.clone(), index: moved.index })
    }

    /// Returns the channels that came from other logs before the position: where from, how far that log is needed,
    /// and the entry here that says so.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = (ChannelName, ArrivedState, Index)> {
        let known = self.visible.arrivals.iter().filter_map(|name| self.visible.channels.get(name));
        known
            .filter(|channel| self.position.includes(channel.created_index))
            .filter_map(|channel| Some((channel.name, *channel.arrived?, channel.created_index)))
    }

    /// Tells whether the log has a channel, or had it.
    pub(crate) fn has(&self, name: &ChannelName) -> bool {
        self.visible.channels.created_index(name).is_some_and(|index| self.position.includes(index))
    }

    /// Returns the view at an earlier position.
    pub(crate) fn at(&self, position: Position) -> Self {
        Self { position: self.position.min(position), ..self.clone() }
    }

    /// Returns all incarnations that began before the position, in order.
    pub fn incarnations(&self) -> Vec<IncarnationInfo> {
        let known = self.visible.incarnations.iter();
        known
            .filter(|incarnation| self.position.includes(incarnation.first_index))
            .map(|incarnation| IncarnationInfo {
                id: incarnation.record.id,
                public_key: incarnation.record.public_key,
                first_index: incarnation.first_index,
                term: incarnation.term,
                began_at: incarnation.began_at,
                parent: incarnation.record.parent,
                parent_hash: incarnation.parent_hash,
                last_signed: incarnation.record.last_signed,
            })
            .collect()
    }

    /// Returns what was lost to corruption before the position, in order.
    pub fn holes(&self) -> Vec<HoleInfo> {
        let known = self.visible.holes.iter().filter(|hole| self.position.includes(hole.first));
        known.map(|hole| HoleInfo { first: hole.first, next: hole.next, bytes: hole.bytes }).collect()
    }

    /// Returns the segment files.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let segments = &self.shared.segments;
        let length = |segment: &crate::segments::Segment| {
            segments.file(segment).ok().and_then(|file| file.length().ok()).unwrap_or(0)
        };
        let all = segments.all();
        all.iter()
            .map(|segment| SegmentInfo {
                number: segment.number,
                first_index: segment.first_index,
                next_index: segment.sealed.get().map(|sealed| sealed.next_index),
                bytes: length(segment),
            })
            .collect()
    }

    /// Starts reading selected events.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when an index cannot be read.
    pub fn scan(&self, selection: &Selection) -> Result<Scan, ReadError> {
        let scope = Scope::new(selection, &self.visible);
        Scan::new(Arc::clone(&self.shared.segments), selection.clone(), self.position, scope)
    }

    /// Reads selected events as owned values.
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan); the items as [`Scan::next_chunk`].
    pub fn read(
        &self,
        selection: &Selection,
    ) -> Result<impl Iterator<Item = Result<Event, ReadError>> + use<>, ReadError> {
        let mut scan = self.scan(selection)?;
        let masks = Arc::clone(&self.shared.segments.masks);
        let mut ready: std::collections::VecDeque<Event> = std::collections::VecDeque::new();
        let mut failed = false;
        Ok(std::iter::from_fn(move || {
            while ready.is_empty() && !failed {
                match scan.next_chunk() {
                    Ok(Some(chunk)) => ready.extend(chunk.events().map(|event| event.to_event())),
                    Ok(None) => return None,
                    Err(error) => {
                        failed = true;
                        return Some(Err(error));
                    }
                }
            }
            let event = ready.pop_front()?;
            // It may have been redacted since its chunk was read.
            let redacted = masks.has(&event.channel, event.seq);
            Some(Ok(if redacted { event.into_redacted() } else { event }))
        }))
    }
}
