//! RedEX of net-mesh 0.46: checksums without links or signatures; all events are also kept in memory.
//!
//! Its fsync policies never make `append` wait, so that a durable append is `append` and then `sync`, which
//! syncs for the caller alone.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use net::adapter::net::channel::ChannelName;
use net::adapter::net::redex::{FsyncPolicy, Redex, RedexFile, RedexFileConfig};
use netdb_benches::append::MEMORY_EVENTS_MAX;
use netdb_benches::beside::Skipped;
use netdb_benches::harness::{Latency, Sample, Until, contend, nanoseconds, repeat};
use netdb_benches::payload::{PAYLOAD_BYTES, Payloads, Runs};
use netdb_benches::prepared::MANY_TIMES;
use netdb_benches::read::{Compared, by_random_number, check_payload};
use netdb_benches::reopened::{self, Reopened, Role};
use netdb_benches::scratch::Scratch;
use netdb_benches::session::Setting;
use netdb_benches::tail::PAUSE;
use netdb_benches::{Failure, Result};

/// Events between two looks at the clock where they are appended one by one.
const STEP_EVENTS: u64 = 1024;

/// The ring that tails read from, in events: large enough that a burst does not end them, which the default of
/// 1,024 does.
const TAIL_EVENTS: usize = 4 << 20;

/// Most bytes of payloads that a file of net-mesh holds.
const FILE_BYTES_MAX: u64 = 3 << 30;

/// A file with what it lives in.
struct Open {
    file: RedexFile,
    _redex: Redex,
}

impl Open {
    fn in_memory() -> Result<Self> {
        let redex = Redex::new();
        let config = RedexFileConfig::default().with_tail_buffer_size(TAIL_EVENTS);
        let file = redex.open_file(&name()?, config).map_err(failure)?;
        Ok(Self { file, _redex: redex })
    }

    fn on_disk(dir: &Path) -> Result<Self> {
        let redex = Redex::new().with_persistent_dir(dir);
        let config = RedexFileConfig::default().with_persistent(true).with_fsync_policy(FsyncPolicy::Never);
        let file = redex.open_file(&name()?, config).map_err(failure)?;
        Ok(Self { file, _redex: redex })
    }

    /// Appends events in one call: by `append` if it is one, else by `append_batch`.
    fn append(&self, events: &[Bytes]) -> Result<u64> {
        match events {
            [event] => self.file.append(event).map(drop).map_err(failure)?,
            _ => self.file.append_batch(events).map(drop).map_err(failure)?,
        }
        Ok(events.len() as u64)
    }

    fn fill(&self, events: u64) -> Result<()> {
        let ring = ring();
        let mut runs = Runs::of(ring.len());
        let mut filled = 0;
        while filled < events {
            filled += self.append(runs.next(&ring))?;
        }
        Ok(())
    }
}

/// The role of a process that opens a file of net-mesh.
pub(crate) const REOPENED: Role = ("net-mesh-events", reopen);

/// Opens a directory; gives the number of its events, and keeps it open until the process ends.
fn reopen(dir: &Path) -> Result<u64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let inside = runtime.enter();
    let open = Open::on_disk(dir)?;
    let events = open.file.len() as u64;
    std::mem::forget((open, inside));
    // Its threads would wait for what was forgotten.
    runtime.shutdown_background();
    Ok(events)
}

/// Opens a file of many events that was closed cleanly, in a process of its own.
pub(crate) fn reopened(setting: &Setting) -> Result<Reopened> {
    let events = (setting.events * MANY_TIMES).next_multiple_of(ring().len() as u64);
    if events * PAYLOAD_BYTES as u64 > FILE_BYTES_MAX {
        return Err(
            Skipped("net-mesh holds 3 GiB of payloads a file at most (fewer --events)".to_owned()).into()
        );
    }
    let dir = setting.prepared.other(setting, "net-mesh", |dir| {
        let open = Open::on_disk(dir)?;
        open.fill(events)?;
        open.file.close().map_err(failure)
    })?;
    reopened::all(&REOPENED, &dir, events, "events")
}

fn name() -> Result<ChannelName> {
    ChannelName::new("bench/orders").map_err(failure)
}

fn ring() -> Vec<Bytes> {
    Payloads::default().all().iter().cloned().map(Bytes::from).collect()
}

fn failure(error: impl std::fmt::Debug) -> Failure {
    format!("{error:?}").into()
}

/// Appends in memory, `batch` events a call.
pub(crate) fn memory(setting: &Setting, batch: usize) -> Result<Sample> {
    let open = Open::in_memory()?;
    let ring = ring();
    let mut runs = Runs::of(batch);
    let until = Until { duration: setting.duration, events: MEMORY_EVENTS_MAX };
    let step = || {
        let mut done = 0;
        while done < STEP_EVENTS {
            done += open.append(runs.next(&ring))?;
        }
        Ok(done)
    };
    repeat(until, step, || Ok(()))
}

/// Appends to a disk without syncing, `batch` events a call.
pub(crate) fn written(setting: &Setting, batch: usize) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let open = Open::on_disk(scratch.path())?;
    let ring = ring();
    contend(1, setting.duration, |_, nth| open.append(Runs::nth(batch, &ring, nth)))
}

/// Appends to a disk from so many threads, each of which syncs behind each call.
pub(crate) fn durable(setting: &Setting, producers: usize, batch: usize) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let open = Open::on_disk(scratch.path())?;
    let ring = ring();
    contend(producers, setting.duration, |_, nth| {
        let done = open.append(Runs::nth(batch, &ring, nth))?;
        open.file.sync().map_err(failure)?;
        Ok(done)
    })
}

/// Reads all events in order from memory, a thousand a call.
pub(crate) fn scan(setting: &Setting) -> Result<Sample> {
    let open = Open::in_memory()?;
    open.fill(setting.events)?;
    let pass = || {
        let mut next = 0;
        let mut sum = 0u64;
        while next < setting.events {
            let events = open.file.read_range(next, (next + 1_000).min(setting.events));
            next += events.len() as u64;
            sum += events.iter().map(|event| u64::from(event.payload[0])).sum::<u64>();
            if events.is_empty() {
                return Err(Failure::from(format!("the scan ended at {next}")));
            }
        }
        black_box(sum);
        Ok(next)
    };
    repeat(Until::over(setting.duration), pass, || Ok(()))
}

/// Reads single events by random sequence numbers from memory.
pub(crate) fn points(setting: &Setting, compared: Compared) -> Result<Sample> {
    let open = Open::in_memory()?;
    open.fill(setting.events)?;
    let payloads = Payloads::default();
    by_random_number(setting, setting.events, |seq| match open.file.read_one(seq) {
        Some(event) => check_payload(&payloads, seq, &event.payload, compared),
        None => Err(Failure::from(format!("event {seq} was not found"))),
    })
}

/// Appends in memory on one thread while a tail follows on a thread of its own.
pub(crate) fn tail(setting: &Setting) -> Result<Sample> {
    let open = Open::in_memory()?;
    let ring = ring();
    let mut runs = Runs::of(1);
    let mut tail = Box::pin(open.file.tail(0));
    let (tell, told) = std::sync::mpsc::channel::<u64>();
    let begun = Instant::now();
    let followed = std::thread::scope(|scope| {
        let follower = scope.spawn(move || -> Result<u64> {
            let mut followed = 0;
            let mut appended = u64::MAX;
            while followed < appended {
                // What was appended in all is known once the appender has ended; until then there is more.
                if let Ok(known) = told.try_recv() {
                    appended = known;
                    continue;
                }
                let event = futures::executor::block_on(tail.next()).ok_or("the tail ended")?;
                event.map_err(failure)?;
                followed += 1;
            }
            Ok(followed)
        });
        let mut appended = 0;
        while begun.elapsed() < setting.duration && appended < MEMORY_EVENTS_MAX {
            for _ in 0..STEP_EVENTS {
                appended += open.append(runs.next(&ring))?;
            }
        }
        // One more than the follower will count, so that it cannot wait for an event that never comes.
        tell.send(appended)?;
        open.append(runs.next(&ring))?;
        follower.join().map_err(|_| "the follower panicked")?
    })?;
    Ok(Sample::of(followed as f64 / begun.elapsed().as_secs_f64()))
}

/// Appends in memory one by one with pauses while a tail sleeps on a thread of its own.
pub(crate) fn tail_latency(setting: &Setting) -> Result<Sample> {
    let open = Open::in_memory()?;
    let mut tail = Box::pin(open.file.tail(0));
    let begun = Instant::now();
    let mut nanos = std::thread::scope(|scope| {
        let follower = scope.spawn(move || -> Result<Vec<u64>> {
            let mut nanos = Vec::new();
            while let Some(event) = futures::executor::block_on(tail.next()) {
                let Ok(event) = event else { break };
                let now = nanoseconds(begun.elapsed());
                let appended = event.payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                nanos.push(now - appended.ok_or("an event without its time")?);
            }
            Ok(nanos)
        });
        let mut payload = Payloads::default().all()[0].clone();
        while begun.elapsed() < setting.duration {
            payload[..8].copy_from_slice(&nanoseconds(begun.elapsed()).to_le_bytes());
            open.file.append(&payload).map_err(failure)?;
            std::thread::sleep(PAUSE);
        }
        open.file.close().map_err(failure)?;
        follower.join().map_err(|_| "the follower panicked")?
    })?;
    let latency = Latency::of(&mut nanos).ok_or("no event was followed")?;
    Ok(Sample { value: latency.p50_us, latency: Some(latency) })
}
