//! Giving up the beginning of a replicated log: the leader decides by a record in the log, and each replica lets go of its own
//! segments once that record is committed.

use std::sync::Arc;
use std::time::Duration;

use base::Slot;

use super::ReplicaLog;
use crate::Retention;
use crate::codec::control::TrimRecord;
use crate::error::ReadError;
use crate::retention::{self, Wanted};

/// That a log gives up its beginning, as a [`Proposer`](super::Proposer) seals it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trim(pub(super) TrimRecord);

/// What a retention asks for now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueTrim {
    /// What is to be given up, if anything.
    pub trim: Option<Trim>,
    /// After what time there may be more, where that depends on time.
    pub again_in: Option<Duration>,
}

impl ReplicaLog {
    /// Finds what a retention gives up of what is committed: whole segments, as they lie on this replica.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] and [`ReadError::Io`].
    pub fn due_trim(&self, retention: &Retention) -> Result<DueTrim, ReadError> {
        let (segments, visible) = {
            let core = self.shared.core();
            (Arc::clone(&core.end.segments), core.visible.position())
        };
        let wanted = Wanted::By(retention.clone());
        let now = self.shared.doors.clock.now();
        let look = retention::look(&segments, &wanted, now, |next| next.0 <= visible.0)?;
        let trim = match look.first {
            Some(first) => {
                let (begins, _) = segments.state_at(&first)?;
                retention::trim_to(&begins, &self.shared.core().visible).map(Trim)
            }
            None => None,
        };
        Ok(DueTrim { trim, again_in: look.again_in })
    }

    /// Returns the last entry before the segments that this replica is to keep, if there are segments before that readers
    /// have no use for: [`purge`](Self::purge) up to there gives their space back.
    ///
    /// # Errors
    ///
    /// [`ReadError::Corrupt`] and [`ReadError::Io`].
    pub fn given_up(&self) -> Result<Option<Slot>, ReadError> {
        let kept = self.shared.core().kept();
        Ok(self.beginning()?.filter(|slot| slot.index.position_after() > kept))
    }
}
