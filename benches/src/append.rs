//! Appending: in memory and on disk, waited for at each level, alone and in company.
//!
//! In all of them every event is hashed, linked and covered by a signature.

use std::sync::atomic::{AtomicU64, Ordering};

use base::{ChannelName, Doors};
use redex::{Ack, ChannelConfig, EventInput, Log, LogOptions, Store};

use crate::Result;
use crate::harness::{Sample, Until, contend, repeat};
use crate::payload::{Payloads, Runs};
use crate::read::scattered;
use crate::scratch::Scratch;
use crate::session::Setting;

/// Events that are staged before the newest ticket is waited for, in the workloads that do not wait for each.
pub const STAGED_EVENTS: u64 = 1024;

/// Most events of a run in memory: what is appended stays there.
pub const MEMORY_EVENTS_MAX: u64 = 8_000_000;

/// Appends in memory from one thread, `batch` events a call; waits for [`Ack::Written`] each
/// [`STAGED_EVENTS`] events, and for durability in the end.
///
/// # Errors
///
/// What the log said.
pub fn memory(setting: &Setting, batch: usize) -> Result<Sample> {
    memory_to(setting, batch, &ChannelConfig::default())
}

/// The same to a channel whose events can be redacted: each is salted and hashed by itself.
///
/// # Errors
///
/// What the log said.
pub fn memory_erasable(setting: &Setting, batch: usize) -> Result<Sample> {
    memory_to(setting, batch, &ChannelConfig::of_erasable())
}

fn memory_to(setting: &Setting, batch: usize, config: &ChannelConfig) -> Result<Sample> {
    let store = Store::open("bench".as_ref(), &Doors::memory(), &LogOptions::default())?;
    store.main().create_channel(&channel()?, config)?.wait(Ack::Durable).into_result()?;
    let until = Until { duration: setting.duration, events: MEMORY_EVENTS_MAX };
    staged_load(&store, until, batch)
}

/// Appends in memory from one thread, one event a call, and waits for each until it is visible to readers.
///
/// # Errors
///
/// What the log said.
pub fn memory_each(setting: &Setting) -> Result<Sample> {
    let store = Store::open("bench".as_ref(), &Doors::memory(), &LogOptions::default())?;
    waited_load(&store, setting, 1, 1, Ack::Durable)
}

/// Appends to a disk from one thread, `batch` events a call; waits for [`Ack::Written`] each
/// [`STAGED_EVENTS`] events, and for durability in the end.
///
/// # Errors
///
/// What the log said.
pub fn staged(setting: &Setting, batch: usize) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
    staged_load(&store, Until::over(setting.duration), batch)
}

/// Appends to a disk, `batch` events a call, from so many threads, each of which waits for each call to be as
/// safe as `ack` says.
///
/// # Errors
///
/// What the log said.
pub fn waited(setting: &Setting, producers: usize, batch: usize, ack: Ack) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
    waited_load(&store, setting, producers, batch, ack)
}

/// Appends to a disk from so many threads, each waiting for each event to be durable, to channels that were made
/// before, in no order.
///
/// # Errors
///
/// What the log said, and when it does not hold what was appended.
pub fn channels(setting: &Setting, producers: usize, channels: usize) -> Result<Sample> {
    let scratch = Scratch::new(&setting.dir)?;
    let store = Store::open(scratch.path(), &Doors::system(), &LogOptions::default())?;
    let log = store.main();
    let names = (0..channels)
        .map(|number| Ok(ChannelName::new(&format!("orders/{number}"))?))
        .collect::<Result<Vec<_>>>()?;
    for name in &names {
        let _ = log.create_channel(name, &ChannelConfig::default())?;
    }
    log.sync()?;
    let payloads = Payloads::default();
    let events = payloads.events();
    let appended = AtomicU64::new(0);
    let sample = contend(producers, setting.duration, |thread, nth| {
        let number = scattered(nth * producers as u64 + thread as u64) % channels as u64;
        let ticket = log.append(&names[number as usize], Runs::nth(1, &events, nth))?;
        ticket.wait(Ack::Durable).into_result()?;
        appended.fetch_add(1, Ordering::Relaxed);
        Ok(1)
    })?;
    let known = log.reader().view().channels()?;
    let held: u64 = known.iter().map(|channel| channel.next_seq.0).sum();
    store.close()?;
    let appended = appended.into_inner();
    if known.len() < channels || held != appended {
        let found = known.len();
        return Err(format!("{found} channels hold {held} of {appended} events").into());
    }
    Ok(sample)
}

fn staged_load(store: &Store, until: Until, batch: usize) -> Result<Sample> {
    let payloads = Payloads::default();
    let events = payloads.events();
    let channel = channel()?;
    let mut runs = Runs::of(batch);
    let sample = repeat(
        until,
        || stage(store.main(), &channel, &events, &mut runs),
        || Ok(store.main().sync().map(drop)?),
    )?;
    store.close()?;
    Ok(sample)
}

/// Stages [`STAGED_EVENTS`] events and waits until they are written.
pub(crate) fn stage(
    log: &Log,
    channel: &ChannelName,
    events: &[EventInput<'_>],
    runs: &mut Runs,
) -> Result<u64> {
    let mut staged = 0;
    loop {
        let run = runs.next(events);
        let ticket = log.append(channel, run)?;
        staged += run.len() as u64;
        if staged >= STAGED_EVENTS {
            ticket.wait(Ack::Written).into_result()?;
            return Ok(staged);
        }
    }
}

fn waited_load(store: &Store, setting: &Setting, producers: usize, batch: usize, ack: Ack) -> Result<Sample> {
    let payloads = Payloads::default();
    let events = payloads.events();
    let channel = channel()?;
    let log = store.main();
    let sample = contend(producers, setting.duration, |_, nth| {
        let ticket = log.append(&channel, Runs::nth(batch, &events, nth))?;
        ticket.wait(ack).into_result()?;
        Ok(batch as u64)
    })?;
    store.close()?;
    Ok(sample)
}

pub(crate) fn channel() -> Result<ChannelName> {
    Ok(ChannelName::new("orders")?)
}
