//! How fast messages went while any were on their way.

use std::time::Duration;

use tokio::time::Instant;

/// How much time with messages on their way makes a sample: shorter ones say more of a moment than of the network.
const SAMPLE: Duration = Duration::from_secs(1);

/// Measures throughput, over time in which there was something to carry.
#[derive(Debug, Default)]
pub(super) struct Meter {
    on_the_way: usize,
    /// Up to when the time with messages on their way was added up.
    since: Option<Instant>,
    busy: Duration,
    bytes: u128,
    best: Option<u64>,
}

impl Meter {
    /// Notes that a message goes.
    pub(super) fn begin(&mut self, now: Instant) {
        self.add_up(now);
        self.on_the_way += 1;
        self.since = Some(now);
    }

    /// Notes that so much of a message has come.
    pub(super) fn end(&mut self, now: Instant, bytes: usize) {
        self.add_up(now);
        self.on_the_way = self.on_the_way.saturating_sub(1);
        self.bytes += bytes as u128;
        if self.busy >= SAMPLE {
            let a_second = self.bytes * SAMPLE.as_nanos() / self.busy.as_nanos();
            let a_second = u64::try_from(a_second).unwrap_or(u64::MAX);
            // A second in which nothing came says nothing of what the network carries.
            self.best = self.best.max((a_second > 0).then_some(a_second));
            (self.busy, self.bytes) = (Duration::ZERO, 0);
        }
    }

    fn add_up(&mut self, now: Instant) {
        if let Some(since) = self.since.replace(now).filter(|_| self.on_the_way > 0) {
            self.busy += now.saturating_duration_since(since);
        }
    }

    /// Returns the best of all samples, in bytes a second.
    pub(super) fn best(&self) -> Option<u64> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_best_second_with_messages_on_their_way_counts_and_pauses_do_not() {
        let mut meter = Meter::default();
        let mut now = Instant::now();
        let mut sends = |meter: &mut Meter, bytes, millis, pause| {
            meter.begin(now);
            now += Duration::from_millis(millis);
            meter.end(now, bytes);
            now += Duration::from_millis(pause);
        };
        sends(&mut meter, 400, 500, 10_000);
        assert_eq!(meter.best(), None, "half a second is no sample");
        sends(&mut meter, 600, 500, 10_000);
        assert_eq!(meter.best(), Some(1_000));
        sends(&mut meter, 500, 1_000, 0);
        assert_eq!(meter.best(), Some(1_000), "the best stays");
        sends(&mut meter, 8_000, 2_000, 0);
        assert_eq!(meter.best(), Some(4_000));
        // Two at a time share the second.
        let mut meter = Meter::default();
        meter.begin(now);
        meter.begin(now);
        now += Duration::from_secs(1);
        meter.end(now, 300);
        assert_eq!(meter.best(), Some(300), "what is on its way has not come");
        now += Duration::from_secs(1);
        meter.end(now, 300);
        assert_eq!(meter.best(), Some(300));
        // What never comes is no measure.
        let mut meter = Meter::default();
        meter.begin(now);
        meter.end(now + Duration::from_secs(5), 0);
        assert_eq!(meter.best(), None);
    }
}
