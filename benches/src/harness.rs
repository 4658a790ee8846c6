//! Steady load for a given time, and what one run of it gives.

use std::time::{Duration, Instant};

use crate::Result;

/// What one run measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The figure, in the benchmark's unit.
    pub value: f64,
    /// How long single operations took, where they were timed.
    pub latency: Option<Latency>,
}

/// How long the operations of one run took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_us: f64,
    /// All but one in a hundred took no longer.
    pub p99_us: f64,
}

impl Sample {
    /// Makes a sample of a figure alone.
    pub fn of(value: f64) -> Self {
        Self { value, latency: None }
    }
}

impl Latency {
    /// Takes the percentiles of durations in nanoseconds; `None` when there are none.
    pub fn of(nanos: &mut [u64]) -> Option<Self> {
        nanos.sort_unstable();
        let last = nanos.len().checked_sub(1)?;
        let at = |percent: usize| nanos[last * percent / 100] as f64 / 1e3;
        Some(Self { p50_us: at(50), p99_us: at(99) })
    }
}

/// When a load ends: at the first of both.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// Time since it began.
    pub duration: Duration,
    /// Events done.
    pub events: u64,
}

impl Until {
    /// Makes an end by time alone.
    pub fn over(duration: Duration) -> Self {
        Self { duration, events: u64::MAX }
    }
}

/// Repeats `step`, which tells how many events it did, and then runs `finish`, whose time counts too; gives
/// events per second. The clock is read between steps only, so that short operations are not distorted.
///
/// # Errors
///
/// The first error of a step or of the end.
pub fn repeat(
    until: Until,
    mut step: impl FnMut() -> Result<u64>,
    finish: impl FnOnce() -> Result<()>,
) -> Result<Sample> {
    let begun = Instant::now();
    let mut events = 0;
    while events < until.events && begun.elapsed() < until.duration {
        events += step()?;
    }
    finish()?;
    Ok(Sample::of(events as f64 / begun.elapsed().as_secs_f64()))
}

/// Runs `operation` over and over on so many threads, timing each call; gives events per second of all of them
/// together. An operation gets the number of its thread and its own number there, and tells how many events it
/// did.
///
/// # Errors
///
/// The first error of an operation.
///
/// # Panics
///
/// When an operation panics.
pub fn contend(
    threads: usize,
    duration: Duration,
    operation: impl Fn(usize, u64) -> Result<u64> + Sync,
) -> Result<Sample> {
    let operation = &operation;
    let begun = Instant::now();
    let worker = |thread: usize| -> Result<(u64, Vec<u64>)> {
        let mut nanos = Vec::with_capacity(1 << 16);
        let mut events = 0;
        let mut before = begun.elapsed();
        while before < duration {
            events += operation(thread, nanos.len() as u64)?;
            let after = begun.elapsed();
            nanos.push(nanoseconds(after - before));
            before = after;
        }
        Ok((events, nanos))
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || worker(thread))).collect();
        handles.into_iter().map(|handle| handle.join().expect("an operation panicked")).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    let mut events = 0;
    let mut nanos = Vec::new();
    for result in results {
        let (more, timed) = result?;
        events += more;
        nanos.extend(timed);
    }
    Ok(Sample { value: events as f64 / seconds, latency: Latency::of(&mut nanos) })
}

/// Returns a duration in nanoseconds.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_of_the_sorted_durations() {
        let mut nanos: Vec<u64> = (0..=100).rev().map(|nth| nth * 1000).collect();
        assert_eq!(Latency::of(&mut nanos), Some(Latency { p50_us: 50.0, p99_us: 99.0 }));
        assert_eq!(Latency::of(&mut []), None);
    }

    #[test]
    fn a_load_ends_at_its_events_and_its_end_counts() {
        let mut done = 0;
        let until = Until { duration: Duration::from_secs(60), events: 10 };
        let step = || {
            done += 4;
            Ok(4)
        };
        let pause = || {
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        };
        let sample = repeat(until, step, pause).unwrap();
        assert_eq!(done, 12);
        assert!(sample.value <= 12.0 / 0.02, "{sample:?}");
    }

    #[test]
    fn the_first_error_is_the_loads_error() {
        let fails = |_, nth| if nth == 3 { Err("third".into()) } else { Ok(1) };
        assert_eq!(contend(1, Duration::from_secs(60), fails).unwrap_err().to_string(), "third");
    }
}
