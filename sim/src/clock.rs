//! The clock of a machine: simulated time, and a wall that may be wrong.

use std::time::Duration;

use base::{Clock, ManualClock, Signal, Timestamp};
use tokio::time::Instant;

/// The wall time when a run begins, in nanoseconds.
const WALL_NANOS: i64 = 1_700_000_000_000_000_000;

/// Shows the time of the runtime since the machine began, and a wall time that can leap. Waits never block.
#[derive(Debug)]
pub struct MachineClock {
    begun: Instant,
    shown: ManualClock,
}

impl MachineClock {
    /// Begins with a wall that is wrong by `wrong_nanos`; `since` is how long the run goes on.
    pub fn new(since: Duration, wrong_nanos: i64) -> Self {
        let wall = Timestamp::from_nanos(WALL_NANOS.saturating_add(wrong_nanos)).plus(since);
        Self { begun: Instant::now(), shown: ManualClock::new(wall) }
    }

    /// Has the wall leap, forward or back.
    pub fn leap(&self, by_nanos: i64) {
        let now = self.now().as_nanos();
        self.shown.set_wall(Timestamp::from_nanos(now.saturating_add(by_nanos)));
    }

    fn catch_up(&self) {
        let behind = self.begun.elapsed().saturating_sub(self.shown.monotonic());
        self.shown.advance(behind);
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.catch_up();
        self.shown.now()
    }

    fn monotonic(&self) -> Duration {
        self.catch_up();
        self.shown.monotonic()
    }

    fn wait(&self, signal: &Signal, deadline: Option<Duration>) -> bool {
        self.catch_up();
        self.shown.wait(signal, deadline)
    }
}
