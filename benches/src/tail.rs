//! Following a log from another thread: how many events a second, and how soon.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base::Doors;
use redex::{Ack, EventInput, LogOptions, Selection, Store};

use crate::append::{MEMORY_EVENTS_MAX, STAGED_EVENTS, channel};
use crate::harness::{Latency, Sample, nanoseconds};
use crate::payload::{KIND, Payloads, Runs};
use crate::scratch::Scratch;
use crate::session::Setting;
use crate::{Failure, Result};

/// The pause between two events whose latency is measured, long enough for the follower to fall asleep.
pub const PAUSE: Duration = Duration::from_micros(60);

/// Appends in memory on one thread, durable each [`STAGED_EVENTS`] events, while a tail follows on another;
/// gives events per second until the tail has given out the last.
///
/// # Errors
///
/// What the log said, and when the tail misses an event.
///
/// # Panics
///
/// When a thread panics.
pub fn throughput(setting: &Setting) -> Result<Sample> {
    let store = Store::open("bench".as_ref(), &Doors::memory(), &LogOptions::default())?;
    let payloads = Payloads::default();
    let (events, channel) = (payloads.events(), channel()?);
    let mut tail = store.main().reader().tail(Selection::channel(&channel));
    let ended = AtomicBool::new(false);
    let begun = Instant::now();
    let followed = std::thread::scope(|scope| {
        let follower = scope.spawn(|| -> Result<u64> {
            let mut next = 0;
            loop {
                let batch = tail.next_batch()?;
                for event in &batch {
                    if event.seq.0 != next {
                        return Err(Failure::from(format!("event {next} was expected, found {}", event.seq)));
                    }
                    next += 1;
                }
                let at_end = batch.is_empty() && !tail.wait(Some(Duration::from_millis(1)));
                if at_end && ended.load(Ordering::Acquire) && !tail.wait(Some(Duration::ZERO)) {
                    return Ok(next);
                }
            }
        });
        let appended = (|| -> Result<u64> {
            let mut runs = Runs::of(1);
            let mut appended = 0;
            while begun.elapsed() < setting.duration && appended < MEMORY_EVENTS_MAX {
                for nth in 1..=STAGED_EVENTS {
                    let ticket = store.main().append(&channel, runs.next(&events))?;
                    if nth == STAGED_EVENTS {
                        ticket.wait(Ack::Durable).into_result()?;
                    }
                }
                appended += STAGED_EVENTS;
            }
            Ok(appended)
        })();
        ended.store(true, Ordering::Release);
        let followed = follower.join().expect("the follower panicked")?;
        let appended = appended?;
        if followed == appended { Ok(followed) } else { Err(missed(followed, appended)) }
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    store.close()?;
    Ok(Sample::of(followed as f64 / seconds))
}

/// Appends in memory, durable one by one with pauses, while a tail sleeps on another thread; gives the
/// microseconds from before the append until the tail has given the event out.
///
/// # Errors
///
/// What the log said, and when the tail misses an event.
///
/// # Panics
///
/// When a thread panics.
pub fn latency(setting: &Setting) -> Result<Sample> {
    let store = Store::open("bench".as_ref(), &Doors::memory(), &LogOptions::default())?;
    latency_of(&store, setting)
}

/// The same on a disk.
///
/// # Errors
///
/// As [`latency`].
///
/// # Panics
///
/// When a thread panics.
pub fn durable_latency(setting: &Setting) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
    latency_of(&store, setting)
}

fn latency_of(store: &Store, setting: &Setting) -> Result<Sample> {
    let channel = channel()?;
    let mut tail = store.main().reader().tail(Selection::channel(&channel));
    let begun = Instant::now();
    let mut nanos = std::thread::scope(|scope| {
        let follower = scope.spawn(|| -> Result<Vec<u64>> {
            let mut nanos = Vec::new();
            while !tail.is_ended() {
                for event in tail.next_batch()? {
                    let now = nanoseconds(begun.elapsed());
                    let appended = event.payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                    nanos.push(now - appended.ok_or("an event without its time")?);
                }
                tail.wait(None);
            }
            Ok(nanos)
        });
        let mut payload = Payloads::default().all()[0].clone();
        let mut appended = 0;
        while begun.elapsed() < setting.duration {
            payload[..8].copy_from_slice(&nanoseconds(begun.elapsed()).to_le_bytes());
            let ticket = store.main().append(&channel, &[EventInput::new(KIND, &payload)])?;
            ticket.wait(Ack::Durable).into_result()?;
            appended += 1;
            std::thread::sleep(PAUSE);
        }
        store.close()?;
        let nanos = follower.join().expect("the follower panicked")?;
        if nanos.len() == appended { Ok(nanos) } else { Err(missed(nanos.len() as u64, appended as u64)) }
    })?;
    let latency = Latency::of(&mut nanos).ok_or("no event was followed")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}

fn missed(followed: u64, appended: u64) -> Failure {
    format!("the tail gave out {followed} of {appended} events").into()
}
