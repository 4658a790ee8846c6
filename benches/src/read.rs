//! Reading: a whole channel in order, and single events by their numbers.

use std::hint::black_box;

use base::Doors;
use redex::{Bounds, LogOptions, Selection, StoreReader};

use crate::append::channel;
use crate::harness::{Sample, Until, contend, repeat};
use crate::payload::{Payloads, Runs};
use crate::prepared::Entries;
use crate::session::Setting;
use crate::{Failure, Result};

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

/// Reads single events by random sequence numbers, as owned values, from one thread.
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
    contend(1, setting.duration, |_, nth| {
        let seq = scattered(nth) % log.events;
        let seqs = Bounds::between(seq, seq + 1);
        let event = view.read(&Selection { seqs, ..Selection::channel(&channel) })?.next().transpose()?;
        match black_box(event) {
            Some(event) if event.seq.0 == seq && event.payload == Runs::nth(1, payloads.all(), seq)[0] => {
                Ok(1)
            }
            _ => Err(Failure::from(format!("event {seq} was not found"))),
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
