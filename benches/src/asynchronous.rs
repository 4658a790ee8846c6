//! Appending from asynchronous tasks on one runtime, as a server does that has a task for each of its clients.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Doors;
use redex::{Ack, Acknowledged, EventInput, Log, LogOptions, Store};

use crate::append::channel;
use crate::harness::{Latency, Sample, nanoseconds};
use crate::payload::{KIND, Payloads};
use crate::scratch::Scratch;
use crate::session::Setting;
use crate::{Failure, Result};

/// Threads of the runtime.
const WORKERS: usize = 2;

/// Appends to a disk from so many tasks, each of which keeps a window of appends outstanding, of one event each:
/// it waits for its oldest to be durable and appends one more. The latency is that of one append, from before the
/// call until its task has the outcome.
///
/// # Errors
///
/// What the log said, and when it does not hold what was appended.
///
/// # Panics
///
/// When a task panics.
pub fn durable(setting: &Setting, producers: usize, window: usize) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let payloads = Arc::new(Payloads::default());
    let begun = Instant::now();
    let mut nanos = runtime.block_on(async {
        let tasks: Vec<_> = (0..producers)
            .map(|_| {
                let (log, payloads) = (store.main().clone(), Arc::clone(&payloads));
                tokio::spawn(produce(log, payloads, window, begun, setting.duration))
            })
            .collect();
        let mut nanos = Vec::new();
        for task in tasks {
            nanos.extend(task.await.expect("a producer panicked")?);
        }
        Ok::<_, Failure>(nanos)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let held = store.main().reader().view().channel(&channel()?)?.map_or(0, |channel| channel.next_seq.0);
    store.close()?;
    if held != nanos.len() as u64 {
        return Err(format!("the log holds {held} of {} events", nanos.len()).into());
    }
    Ok(Sample { value: nanos.len() as f64 / seconds, latency: Latency::of(&mut nanos) })
}

/// Appends until the time is over, and waits for what is outstanding; gives how long each append took.
async fn produce(
    log: Log,
    payloads: Arc<Payloads>,
    window: usize,
    begun: Instant,
    duration: Duration,
) -> Result<Vec<u64>> {
    let channel = channel()?;
    let mut payloads = payloads.all().iter().cycle();
    let mut nanos = Vec::with_capacity(1 << 16);
    let mut outstanding: VecDeque<(Duration, Acknowledged)> = VecDeque::with_capacity(window);
    loop {
        while outstanding.len() < window && begun.elapsed() < duration {
            let payload = payloads.next().ok_or("no payloads")?;
            let before = begun.elapsed();
            let ticket = log.append(&channel, &[EventInput::new(KIND, payload)])?;
            outstanding.push_back((before, ticket.acknowledged(Ack::Durable)));
        }
        let Some((before, oldest)) = outstanding.pop_front() else { return Ok(nanos) };
        oldest.await.into_result()?;
        nanos.push(nanoseconds(begun.elapsed() - before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepared::Prepared;

    #[test]
    fn windows_of_any_size_end_with_the_time() {
        let duration = Duration::from_millis(20);
        let setting =
            Setting { dir: std::env::temp_dir(), duration, events: 1, prepared: Prepared::default() };
        for window in [1, 3] {
            let sample = durable(&setting, 4, window).unwrap();
            assert!(sample.value > 0.0 && sample.latency.is_some(), "{sample:?}");
        }
    }
}
