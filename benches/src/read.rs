//! Reading: a whole channel in order, and single events by their numbers.

use std::hint::black_box;

use base::{Doors, Seq};
use redex::{Bounds, LogOptions, Selection, StoreReader};

use crate::append::channel;
use crate::harness::{Sample, Until, repeat};
use crate::payload::{Payloads, Runs};
use crate::prepared::Entries;
use crate::session::Setting;
use crate::{Failure, Result};

/// Room for all events, where they are to be read from memory as a peer that keeps everything there does.
const CACHE_BYTES: u64 = 4 << 30;
/// Bytes at the beginning of a payload that differ from those of every other payload.
const TELLING_BYTES: usize = 16;
/// Events that are looked up between two looks at the clock.
const LOOKUPS_STEP: u64 = 256;

/// Reads all events of a log on disk in order, again and again; each frame's checksum is verified, and each
/// payload's first byte is looked at.
///
/// # Errors
///
/// What the log said, and when events are missing or out of order.
pub fn scan(setting: &Setting, entries: Entries) -> Result<Sample> {
    let log = setting.prepared.log(setting, entries)?;
    let reader = StoreReader::open(&log.dir, &Doors::system(), &LogOptions::default())?;
    let selection = Selection::channel(&channel()?);
    let view = reader.main().view();
    let pass = || {
        let mut scan = view.scan(&selection)?;
        let mut next = 0;
        let mut sum = 0u64;
        while let Some(chunk) = scan.next_chunk()? {
            for event in chunk.events() {
                if event.seq.0 != next {
                    return Err(Failure::from(format!("event {next} was expected, found {}", event.seq)));
                }
                next += 1;
                sum += u64::from(event.payload.first().copied().unwrap_or_default());
            }
        }
        black_box(sum);
        if next == log.events { Ok(next) } else { Err(Failure::from(format!("the scan ended at {next}"))) }
    };
    repeat(Until::over(setting.duration), pass, || Ok(()))
}

/// What of a payload that was read is compared with what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Its length and its first bytes, which tell which one it is.
    Beginning,
    /// All of it.
    Whole,
}

/// Looks single events up by random sequence numbers, from one thread, with a cache that has room for all of them
/// and was filled before the clock starts, when all payloads are compared.
///
/// # Errors
///
/// What the log said, and when an event is missing or has another payload.
pub fn lookups(setting: &Setting, entries: Entries, compared: Compared) -> Result<Sample> {
    let log = setting.prepared.log(setting, entries)?;
    let mut options = LogOptions::default();
    options.cache_bytes = CACHE_BYTES;
    let reader = StoreReader::open(&log.dir, &Doors::system(), &options)?;
    let mut lookup = reader.main().view().lookup(&channel()?);
    let payloads = Payloads::default();
    let mut look = |seq: u64, compared| match lookup.event(Seq(seq))? {
        Some(event) => check_payload(&payloads, seq, event.payload, compared),
        None => Err(Failure::from(format!("event {seq} was not found"))),
    };
    (0..log.events).try_for_each(|seq| look(seq, Compared::Whole))?;
    by_random_number(setting, log.events, |seq| look(seq, compared))
}

/// Looks up by random numbers below `events`, again and again.
///
/// # Errors
///
/// The first error of `look`.
pub fn by_random_number(
    setting: &Setting,
    events: u64,
    mut look: impl FnMut(u64) -> Result<()>,
) -> Result<Sample> {
    let mut nth = 0;
    let step = || {
        for _ in 0..LOOKUPS_STEP {
            look(scattered(nth) % events)?;
            nth += 1;
        }
        Ok(LOOKUPS_STEP)
    };
    repeat(Until::over(setting.duration), step, || Ok(()))
}

/// Fails when a payload is not that of the event with a number.
///
/// # Errors
///
/// When it is not.
pub fn check_payload(payloads: &Payloads, number: u64, payload: &[u8], compared: Compared) -> Result<()> {
    let expected = Runs::nth(1, payloads.all(), number)[0].as_slice();
    let is_right = match compared {
        Compared::Whole => payload == expected,
        Compared::Beginning => {
            payload.len() == expected.len()
                && payload.first_chunk::<TELLING_BYTES>() == expected.first_chunk::<TELLING_BYTES>()
        }
    };
    if is_right { Ok(()) } else { Err(Failure::from(format!("event {number} is another one"))) }
}

/// Reads single events by random sequence numbers, by a scan each, as owned values, from one thread, with the cache
/// that a log has if nothing is said.
///
/// # Errors
///
/// What the log said, and when an event is missing or has another payload.
pub fn points(setting: &Setting, entries: Entries) -> Result<Sample> {
    let log = setting.prepared.log(setting, entries)?;
    let reader = StoreReader::open(&log.dir, &Doors::system(), &LogOptions::default())?;
    let channel = channel()?;
    let view = reader.main().view();
    let payloads = Payloads::default();
    by_random_number(setting, log.events, |seq| {
        let seqs = Bounds::between(seq, seq + 1);
        match view.read(&Selection { seqs, ..Selection::channel(&channel) })?.next().transpose()? {
            Some(event) => check_payload(&payloads, seq, &event.payload, Compared::Whole),
            None => Err(Failure::from(format!("event {seq} was not found"))),
        }
    })
}

/// Returns a well-mixed number for each number (the finaliser of splitmix64).
pub fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
