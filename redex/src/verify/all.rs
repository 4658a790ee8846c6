//! Checking all logs of a node, and what they say about each other.

use std::collections::BTreeMap;
use std::path::Path;

use base::{ChannelName, Doors, Identity};

use super::{Fault, Verified, Verifier, VerifyOptions, VerifyReport, verify_log};
use crate::codec::control::LogPlace;
use crate::error::{Corruption, OpenError};
use crate::state::ChannelState;
use crate::store::{MAIN, config_path, log_dir, log_names, read_config};

/// Verifies all logs of a node's directory, `main` first, each as [`verify`](super::verify) does; and that they agree:
/// that a channel which left one log goes on in another with the numbers that follow, and lives in one log only. A move
/// that a crash cut short is no fault.
///
/// # Errors
///
/// As [`verify`](super::verify).
pub fn verify_all(
    dir: &Path,
    doors: &Doors,
    options: &VerifyOptions,
) -> Result<Vec<VerifyReport>, OpenError> {
    let disk = &*doors.disk;
    let mut all = vec![verify_log(dir, MAIN, doors, options)?];
    for name in log_names(dir, disk)? {
        all.push(verify_log(dir, name.as_str(), doors, options)?);
    }
    let faults: Vec<Vec<Fault>> = all.iter().map(|log| cross_faults(dir, doors, &all, log)).collect();
    let reports = all.into_iter().zip(faults).map(|(log, faults)| {
        let mut report = log.report;
        report.faults.extend(faults);
        report
    });
    Ok(reports.collect())
}

impl Verifier<'_> {
    /// Checks that a log is where its name says.
    pub(super) fn check_name(&mut self, name: &str) {
        if self.report.name != name {
            let superblock = self.log_dir.join("superblock");
            let found = std::mem::replace(&mut self.report.name, name.to_owned());
            self.fault(&superblock, 72, format!("the log `{name}`"), format!("the log `{found}`"));
        }
    }

    /// Checks that the key beside the log is the one that began it.
    pub(super) fn check_key(&mut self, path: &Path) {
        let Ok(identity) = Identity::open(self.disk, path) else { return };
        if identity.origin() != self.report.origin {
            let (expected, found) = (self.report.origin, identity.origin());
            let superblock = self.log_dir.join("superblock");
            self.fault(
                &superblock,
                32,
                format!("the origin of the key file, {found}"),
                format!("origin {expected}"),
            );
        }
    }
}

/// Checks the file that says what a log keeps.
pub(super) fn config_fault(dir: &Path, name: &str, doors: &Doors) -> Result<Option<Fault>, OpenError> {
    let log_dir = log_dir(dir, name);
    let (file, expected) = (config_path(&log_dir), "two equal copies of the configuration");
    let fault = |found: &str| {
        let (file, expected, found) = (file.clone(), expected.to_owned(), found.to_owned());
        Fault { file, offset: 0, expected, found }
    };
    match read_config(&*doors.disk, &log_dir) {
        Ok(None) if name == MAIN => Ok(None),
        Ok(None) => Ok(Some(fault("no file"))),
        Ok(Some((_, 2))) => Ok(None),
        Ok(Some(_)) => Ok(Some(fault("a damaged copy"))),
        Err(OpenError::Corrupt(Corruption { found, .. })) => Ok(Some(fault(&found))),
        Err(other) => Err(other),
    }
}

/// Returns what a log says that the others contradict.
fn cross_faults(dir: &Path, doors: &Doors, all: &[Verified], log: &Verified) -> Vec<Fault> {
    let living = living_elsewhere(all, log);
    let mut faults = Vec::new();
    for channel in log.state.channels() {
        let name = &channel.name;
        let contradicted = match (&channel.moved, &channel.arrived) {
            (Some(moved), _) => leaves(dir, doors, all, log, &moved.to, channel),
            (None, _) if living.contains_key(name) => {
                Some((format!("channel `{name}` in one log"), format!("it in log `{}`, too", living[name])))
            }
            (None, Some(arrived)) => {
                let from = all.iter().find(|other| other.report.log == arrived.from.id);
                let old = from.and_then(|from| from.state.slot(name).map(|slot| from.state.channel(slot)));
                match from {
                    None => missing(dir, doors, &arrived.from, channel),
                    // Beside a writer the other log may have been read before it said so.
                    Some(from) if from.state.position() < arrived.position => None,
                    Some(_) if old.is_some_and(|old| old.moved.is_some()) => None,
                    Some(_) => Some((
                        format!("channel `{name}` to have left log `{}`", arrived.from.name),
                        "nothing that says so".to_owned(),
                    )),
                }
            }
            (None, None) => None,
        };
        faults.extend(contradicted.map(|(expected, found)| Fault {
            file: log_dir(dir, &log.report.name),
            offset: 0,
            expected,
            found,
        }));
    }
    faults
}

/// Returns the channels that live in this log and in another one.
fn living_elsewhere<'a>(all: &'a [Verified], log: &Verified) -> BTreeMap<&'a ChannelName, &'a str> {
    let mut twice = BTreeMap::new();
    for other in all.iter().filter(|other| other.report.log != log.report.log) {
        for channel in other.state.channels().iter().filter(|channel| channel.moved.is_none()) {
            let slot = log.state.slot(&channel.name);
            if slot.is_some_and(|slot| log.state.channel(slot).moved.is_none()) {
                twice.insert(&channel.name, other.report.name.as_str());
            }
        }
    }
    twice
}

/// Checks where a channel goes on.
fn leaves(
    dir: &Path,
    doors: &Doors,
    all: &[Verified],
    from: &Verified,
    to: &LogPlace,
    channel: &ChannelState,
) -> Option<(String, String)> {
    let Some(target) = all.iter().find(|other| other.report.log == to.id) else {
        return missing(dir, doors, to, channel);
    };
    let there = target.state.slot(&channel.name).map(|slot| target.state.channel(slot))?;
    let first = there.arrived.as_ref().map_or(there.base, |arrived| arrived.first);
    // Behind a hole numbers are raised beyond what anybody can know to be there.
    (first < channel.next && from.state.holes.is_empty()).then(|| {
        let (name, log) = (&channel.name, &to.name);
        (format!("channel `{name}` to go on in log `{log}` with {}", channel.next), format!("{first}"))
    })
}

/// Returns what is said of a log that is not there; beside a writer it may just have been made.
fn missing(dir: &Path, doors: &Doors, place: &LogPlace, channel: &ChannelState) -> Option<(String, String)> {
    let superblock = log_dir(dir, place.name.as_str()).join("superblock");
    let there = doors.disk.exists(&superblock).unwrap_or(false)
        && crate::log::read_superblock(&*doors.disk, &log_dir(dir, place.name.as_str()))
            .is_ok_and(|(superblock, _)| superblock.log == place.id);
    (!there).then(|| {
        let (log, name) = (&place.name, &channel.name);
        (format!("log `{log}`, which has events of channel `{name}`"), "no such log".to_owned())
    })
}
