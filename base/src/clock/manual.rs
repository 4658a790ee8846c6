//! A clock that moves only when told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Clock, Signal};
use crate::Timestamp;

/// A clock for tests and simulation: both readings stand still until they are moved.
///
/// A wait whose signal is not raised moves the monotonic reading, and the wall time with it, to its deadline,
/// so that a single simulated thread never blocks; a wait without deadline returns at once.
#[derive(Debug)]
pub struct ManualClock(Mutex<Readings>);

#[derive(Debug)]
struct Readings {
    now: Timestamp,
    monotonic: Duration,
}

impl ManualClock {
    /// Makes a clock that shows `now` and a monotonic reading of zero.
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Readings { now, monotonic: Duration::ZERO }))
    }

    /// Moves both readings forward.
    pub fn advance(&self, by: Duration) {
        let mut readings = self.readings();
        readings.now = readings.now.plus(by);
        readings.monotonic += by;
    }

    /// Sets the wall time alone, as an operator or a time server does.
    pub fn set_wall(&self, now: Timestamp) {
        self.readings().now = now;
    }

    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.readings().now
    }

    fn monotonic(&self) -> Duration {
        self.readings().monotonic
    }

    fn wait(&self, signal: &Signal, deadline: Option<Duration>) -> bool {
        if signal.take() {
            return true;
        }
        if let Some(deadline) = deadline {
            self.advance(deadline.saturating_sub(self.monotonic()));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_moves_to_its_deadline() {
        let clock = ManualClock::new(Timestamp::from_nanos(100));
        assert!(!clock.wait(&Signal::new(), Some(Duration::from_nanos(50))));
        assert_eq!(clock.monotonic(), Duration::from_nanos(50));
        assert_eq!(clock.now(), Timestamp::from_nanos(150));
    }

    #[test]
    fn a_raised_signal_leaves_time_alone() {
        let clock = ManualClock::new(Timestamp::from_nanos(100));
        let signal = Signal::new();
        signal.raise();
        assert!(clock.wait(&signal, Some(Duration::from_secs(1))));
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }

    #[test]
    fn the_wall_leaps_alone() {
        let clock = ManualClock::new(Timestamp::from_nanos(100));
        clock.set_wall(Timestamp::from_nanos(5));
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp::from_nanos(5), Duration::ZERO));
    }
}
