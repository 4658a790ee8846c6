//! Bounds on the times that records of both models have.

use base::Timestamp;

use super::{CREATED, UPDATED};

/// A least and a greatest time, both of which are wanted.
type Between = (Option<Timestamp>, Option<Timestamp>);

/// When the wanted records were created and changed last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Times {
    pub created: Between,
    pub updated: Between,
}

impl Times {
    /// Tells whether a record with these times is wanted.
    pub(super) fn include(&self, created: Timestamp, updated: Timestamp) -> bool {
        is_within(self.created, created) && is_within(self.updated, updated)
    }

    /// Returns the least and the greatest rank in an order by one of the times.
    pub(super) fn ranks(&self, order: usize) -> (Option<i64>, Option<i64>) {
        let (from, to) = match order {
            CREATED => self.created,
            UPDATED => self.updated,
            _ => (None, None),
        };
        (from.map(Timestamp::as_nanos), to.map(Timestamp::as_nanos))
    }

    /// Tells whether nothing is demanded.
    pub(super) fn are_any(&self) -> bool {
        *self == Self::default()
    }
}

fn is_within((from, to): Between, time: Timestamp) -> bool {
    from.is_none_or(|from| time >= from) && to.is_none_or(|to| time <= to)
}
