//! Letting others stage before a round: one signature and one sync then do for more of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Clock;

/// How often who commits gives its processor away before a round, at most.
const YIELDS_MAX: usize = 16;
/// A processor that is away for longer was taken by others than those who append.
const YIELD_TIME_MAX: Duration = Duration::from_millis(1);
/// For how long it is not given away then.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether who commits may give its processor away.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    /// Until when others keep the processors busy, as far as is known: nanoseconds of the monotonic clock.
    busy_until: AtomicU64,
}

impl Gathering {
    /// Gives the processor away by `give_way` as long as that makes what is staged grow. Where others keep the
    /// processor, which have nothing to do with the log, that is left alone for a while.
    pub(crate) fn gather(&self, clock: &dyn Clock, staged: impl Fn() -> u64, mut give_way: impl FnMut()) {
        let mut before = clock.monotonic();
        if before < Duration::from_nanos(self.busy_until.load(Ordering::Relaxed)) {
            return;
        }
        let mut gathered = staged();
        for _ in 0..YIELDS_MAX {
            give_way();
            let now = clock.monotonic();
            if now.saturating_sub(before) > YIELD_TIME_MAX {
                let until = now.saturating_add(PAUSE).as_nanos();
                self.busy_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
                return;
            }
            before = now;
            let more = staged();
            if more == gathered {
                return;
            }
            gathered = more;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use base::{ManualClock, Timestamp};

    use super::*;

    /// Gathers while each of `growing` ways that are given stages something; returns how many were given.
    fn gather(gathering: &Gathering, clock: &ManualClock, growing: usize, away: Duration) -> usize {
        let (given, staged) = (Cell::new(0), Cell::new(0));
        gathering.gather(
            clock,
            || staged.get(),
            || {
                given.set(given.get() + 1);
                staged.set(staged.get() + u64::from(given.get() <= growing));
                clock.advance(away);
            },
        );
        given.get()
    }

    #[test]
    fn the_processor_is_given_away_as_long_as_that_brings_something() {
        let clock = ManualClock::new(Timestamp::from_nanos(0));
        let gathering = Gathering::default();
        for growing in [0, 1, 5] {
            assert_eq!(gather(&gathering, &clock, growing, Duration::from_micros(3)), growing + 1);
        }
        assert_eq!(gather(&gathering, &clock, usize::MAX, Duration::from_micros(3)), YIELDS_MAX);
    }

    #[test]
    fn where_others_keep_the_processor_it_is_not_given_away_for_a_while() {
        let clock = ManualClock::new(Timestamp::from_nanos(0));
        let gathering = Gathering::default();
        assert_eq!(gather(&gathering, &clock, 9, Duration::from_millis(2)), 1);
        clock.advance(PAUSE - Duration::from_millis(1));
        assert_eq!(gather(&gathering, &clock, 9, Duration::ZERO), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(gather(&gathering, &clock, 9, Duration::ZERO), 10);
    }
}
