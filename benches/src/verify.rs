//! Verifying: every checksum, hash and link, and the last signature of each incarnation.

use base::Doors;
use redex::VerifyOptions;

use crate::harness::{Sample, Until, repeat};
use crate::prepared::Entries;
use crate::session::Setting;
use crate::{Failure, Result};

/// Verifies a whole log on disk, again and again; gives megabytes of segment files per second.
///
/// # Errors
///
/// What the log said, and when it does not verify.
pub fn verify(setting: &Setting, entries: Entries) -> Result<Sample> {
    let log = setting.prepared.log(setting, entries)?;
    let mut events_each = 0.0;
    let pass = || {
        let report = redex::verify(&log.dir, &Doors::system(), &VerifyOptions::default())?;
        events_each = report.events as f64 / report.entries as f64;
        match report.faults.first() {
            None if report.events == log.events => Ok(report.bytes),
            None => Err(Failure::from(format!("{} events were verified", report.events))),
            Some(fault) => Err(Failure::from(format!("the log does not verify: {fault:?}"))),
        }
    };
    let bytes_per_second = repeat(Until::over(setting.duration), pass, || Ok(()))?.value;
    eprintln!("    entries hold {events_each:.1} events each");
    Ok(Sample::of(bytes_per_second / 1e6))
}
