//! Retention: the log gives up its beginning, by whole segments.
//!
//! What is given up is decided under the locks of committer and holds, becomes part of log state by a control
//! record, and is removed from the disk once that record is durable and readers know of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::Position;

use super::committer::Committer;
use super::{Log, Shared};
use crate::Retention;
use crate::error::ReadError;
use crate::retention::{self, Wanted};
use crate::segments::{Segment, Segments};

/// Something that still needs a log from a position on: retention never passes it. It ends when it is dropped.
#[derive(Debug)]
pub struct Hold {
    shared: Weak<Shared>,
    holds: Arc<Holds>,
    id: u64,
}

/// Who holds a log, and from where on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HoldInfo {
    /// What it was called.
    pub name: String,
    /// The lowest position that is needed.
    pub position: Position,
}

/// The holds of a log.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HoldMap>);

#[derive(Debug, Default)]
struct HoldMap {
    holds: BTreeMap<u64, HoldInfo>,
    next: u64,
}

impl Holds {
    fn lock(&self) -> MutexGuard<'_, HoldMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HoldMap {
    fn lowest(&self) -> Option<&HoldInfo> {
        self.holds.values().min_by_key(|hold| hold.position)
    }
}

impl Hold {
    /// Lets go of everything below `position`; a lower one than before changes nothing.
    pub fn advance(&self, position: Position) {
        if let Some(hold) = self.holds.lock().holds.get_mut(&self.id) {
            hold.position = hold.position.max(position);
        }
        self.nudge();
    }

    fn nudge(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.look_at_retention();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.lock().holds.remove(&self.id);
        self.nudge();
    }
}

impl Log {
    /// Holds the log from a position on: retention does not pass it until the hold is dropped or advanced.
    ///
    /// # Errors
    ///
    /// [`ReadError::Trimmed`] when what is below `position` is needed and gone already.
    pub fn hold(&self, name: &str, position: Position) -> Result<Hold, ReadError> {
        let shared = &self.shared;
        let mut map = shared.holds.lock();
        let first = shared.stage().state.trimmed;
        if position < first {
            return Err(ReadError::Trimmed { first });
        }
        let id = map.next;
        map.next += 1;
        map.holds.insert(id, HoldInfo { name: name.to_owned(), position });
        drop(map);
        Ok(Hold { shared: Arc::downgrade(shared), holds: Arc::clone(&shared.holds), id })
    }

    /// Sets how much of its past the log keeps from now on, in place of [`LogOptions`](crate::LogOptions). Who opens a
    /// log to hold it sets this behind the holds.
    pub fn set_retention(&self, retention: Retention) {
        *self.shared.retention() = retention;
        self.shared.look_at_retention();
    }

    /// Returns who holds the log.
    pub fn holds(&self) -> Vec<HoldInfo> {
        self.shared.holds.lock().holds.values().cloned().collect()
    }
}

/// When retention is looked at next: nanoseconds of the monotonic clock, 0 for never.
#[derive(Debug, Default)]
pub(super) struct RetentionDue(AtomicU64);

impl RetentionDue {
    pub(super) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|nanos| *nanos > 0)
    }

    fn set(&self, nanos: u64) {
        self.0.store(nanos, Ordering::SeqCst);
    }
}

impl Shared {
    fn retention(&self) -> MutexGuard<'_, Retention> {
        self.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether there is anything that the log does not keep.
    fn gives_up(&self) -> bool {
        self.keyed || !self.retention().is_unlimited()
    }

    /// Has retention looked at soon, if there is any.
    pub(super) fn look_at_retention(&self) {
        if self.gives_up() {
            self.retention_due.set(1);
            self.flusher.act_by(1);
        }
    }

    /// Tells whether retention is to be looked at.
    pub(super) fn is_retention_due(&self) -> bool {
        let now = u64::try_from(self.doors.clock.monotonic().as_nanos()).unwrap_or(u64::MAX);
        self.retention_due.get().is_some_and(|due| due <= now)
    }

    /// Removes what was given up and can be removed by now, and gives up more when it is time to.
    pub(super) fn retain(&self, committer: &mut Committer) {
        committer.remove_trimmed();
        if std::mem::take(&mut committer.end.began) && self.gives_up() {
            self.retention_due.set(1);
        }
        if !self.is_retention_due() || self.stage().shut.is_some() {
            return;
        }
        self.retention_due.set(0);
        match self.give_up_beginning(committer) {
            Ok(Some(wait)) => {
                let at = self.doors.clock.monotonic().saturating_add(wait);
                let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
                self.retention_due.set(nanos);
                self.flusher.act_by(nanos);
            }
            Ok(None) => {}
            // The next segment brings the next try.
            Err(cause) => tracing::warn!(%cause, "retention could not look at the log"),
        }
    }

    /// Stages a trim, if there is something to give up; returns after what time there may be more, if that
    /// depends on time.
    fn give_up_beginning(&self, committer: &Committer) -> Result<Option<Duration>, ReadError> {
        let holds = self.holds.lock();
        let segments = &committer.end.segments;
        // In a keyed log the newest state frame has all that is kept of the segments before.
        let wanted = if self.keyed { Wanted::Newest } else { Wanted::By(self.retention().clone()) };
        let look = retention::look(segments, &wanted, self.doors.clock.now(), |next| {
            let hold = holds.lowest().filter(|hold| hold.position.0 < next.0);
            if let Some(hold) = hold {
                tracing::info!(hold = hold.name, position = %hold.position, "retention waits for a hold");
            }
            hold.is_none()
        })?;
        if let Some(first) = look.first {
            self.stage_trim(segments, &first)?;
        }
        Ok(look.again_in)
    }

    /// Stages the record that everything before a segment is given up.
    fn stage_trim(&self, segments: &Segments, first: &Segment) -> Result<(), ReadError> {
        let (begins, _) = segments.state_at(first)?;
        let mut stage = self.stage();
        let Some(record) = retention::trim_to(&begins, &stage.state) else { return Ok(()) };
        if let Err(reason) = stage.trim(record, || self.now()) {
            tracing::warn!(%reason, "nothing was given up");
            return Ok(());
        }
        drop(stage);
        self.arm();
        Ok(())
    }
}

impl Committer {
    /// Removes the segments that were given up, once that is durable and readers know of it.
    pub(super) fn remove_trimmed(&mut self) {
        let below = self.end.state.trimmed;
        if below <= self.removed || self.published != self.end.state.position() {
            return;
        }
        self.removed = below;
        let removed = self.end.segments.remove_below(below);
        if removed > 0 {
            tracing::info!(segments = removed, %below, "the beginning of the log was given up");
        }
    }
}
