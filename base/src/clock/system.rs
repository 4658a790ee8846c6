//! The machine's clocks.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Clock, Signal};
use crate::Timestamp;

/// The machine's wall clock and monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn now(&self) -> Timestamp {
        let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
        };
        Timestamp::from_nanos(nanos)
    }

    #[allow(clippy::disallowed_methods, reason = "this is the door")]
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn wait(&self, signal: &Signal, deadline: Option<Duration>) -> bool {
        signal.wait_at_most(deadline.map(|deadline| deadline.saturating_sub(self.monotonic())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_signal_ends_a_wait_without_limit_once() {
        let signal = Signal::new();
        signal.raise();
        assert!(SystemClock.wait(&signal, None));
        assert!(!SystemClock.wait(&signal, Some(Duration::ZERO)));
    }

    #[test]
    fn a_deadline_in_the_past_ends_at_once() {
        assert!(!SystemClock.wait(&Signal::new(), Some(Duration::ZERO)));
    }
}
