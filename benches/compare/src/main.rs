//! `netdb-compare`: runs the log and its peers side by side, run by run, and records the ratios.
//!
//! Each contest does one thing in the same words: the same payloads, the same number of threads, the same
//! promise when a call returns. Within a round ours and the peers take turns, and every other round begins with
//! the peers, so that whatever the machine does meanwhile meets all of them.

#![allow(
    clippy::disallowed_methods,
    reason = "measures the real machine, which no simulated door stands for"
)]

use std::process::ExitCode;

use clap::Parser;
use netdb_benches::beside::{self, Measured};
use netdb_benches::catalogue::chosen;
use netdb_benches::harness::Sample;
use netdb_benches::payload::PAYLOAD_BYTES;
use netdb_benches::session::{Session, SessionOptions, Setting};
use netdb_benches::{Result, big, reopened};

mod blobs;
mod contests;
mod mesh;
mod probe;
mod redis;
mod resp;
#[cfg(feature = "stores")]
mod stores;
mod tasks;
mod wal;

use contests::{CONTESTS, Contest};

/// Runs the log and its peers side by side on a quiet machine.
#[derive(Debug, Parser)]
#[command(name = "netdb-compare", after_help = "Example:\n  benches/compare/run --append")]
struct Arguments {
    /// Names or their beginnings; all contests without any
    names: Vec<String>,
    #[command(flatten)]
    session: SessionOptions,
}

fn main() -> ExitCode {
    let roles = [reopened::TASKS, big::OPEN, tasks::REOPENED, mesh::REOPENED];
    let ended =
        reopened::play(&roles).and_then(|played| if played { Ok(()) } else { run(&Arguments::parse()) });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("netdb-compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let contests = chosen(&arguments.names, &CONTESTS, |contest| contest.name)?;
    let session = Session::begin(&arguments.session)?;
    // net-mesh expects to be inside of a runtime, though nothing that is measured here runs on it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _inside = runtime.enter();
    let mut table = beside::table();
    for contest in contests {
        eprintln!("{} ...", contest.name);
        let measured = rounds(contest, &session).map_err(|failure| format!("{}: {failure}", contest.name))?;
        let name = format!("{}: {}", contest.name, contest.what);
        beside::add_rows(&mut table, &name, contest.unit, &measured);
    }
    let (seconds, events) = (session.setting.duration.as_secs_f64(), session.setting.events);
    let notes = format!(
        "each of {seconds} s; payloads of {PAYLOAD_BYTES} B; logs to read of {events} events; sides take turns \
         within a round, ratios are taken within rounds; peers neither link nor sign; {}",
        versions()
    );
    session.end("the log beside its peers", &notes, &table.to_string())
}

/// Names the peers with their versions, and what the build leaves out.
fn versions() -> String {
    let mut known: Vec<_> = ["net-mesh", "okaywal"].map(locked).into();
    known.push(format!("Redis {}", redis::version().unwrap_or_else(|| "not installed".to_owned())));
    #[cfg(feature = "stores")]
    known.extend(stores::CRATES.iter().map(|name| locked(name)));
    if !cfg!(feature = "stores") {
        known.push("**built without stores**".to_owned());
    } else if !cfg!(feature = "rocksdb") {
        known.push("**built without RocksDB**".to_owned());
    }
    match cfg!(feature = "iroh") {
        true => known.push(locked("iroh-blobs")),
        false => known.push("**built without iroh-blobs**".to_owned()),
    }
    known.join(", ")
}

/// Returns a crate's name and version, as it stands in the lock file.
fn locked(name: &str) -> String {
    let stands = include_str!("../Cargo.lock").split_once(&format!("name = \"{name}\"\nversion = \""));
    let version = stands.and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown");
    format!("{name} {version}")
}

/// Runs all sides of a contest in turn; gives what each side measured, ours first.
fn rounds(contest: &Contest, session: &Session) -> Result<Vec<Measured>> {
    let sides = contest.sides();
    let mut measured: Vec<_> = sides.iter().map(|(who, _)| Measured::of(who)).collect();
    beside::rounds(session.runs(), &mut measured, |side| (sides[side].1)(&session.setting))?;
    Ok(measured)
}

/// A side of a contest: its name and how it is run once.
type Side = (&'static str, fn(&Setting) -> Result<Sample>);

impl Contest {
    /// Returns ours and the peers.
    fn sides(&self) -> Vec<Side> {
        let ours = std::iter::once(("ours", self.ours));
        ours.chain(self.peers.iter().copied()).chain(self.stores().iter().copied()).collect()
    }

    #[cfg(feature = "stores")]
    fn stores(&self) -> &'static [Side] {
        stores::sides(self.name)
    }

    #[cfg(not(feature = "stores"))]
    fn stores(&self) -> &'static [Side] {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contests_have_different_names() {
        let names: std::collections::BTreeSet<_> = CONTESTS.iter().map(|contest| contest.name).collect();
        assert_eq!(names.len(), CONTESTS.len());
    }

    #[test]
    fn the_versions_of_all_peers_are_known() {
        let versions = versions();
        assert!(versions.starts_with("net-mesh 0.46.0, okaywal 0.3."), "{versions}");
        assert!(!versions.contains("unknown"), "{versions}");
    }

    #[test]
    #[cfg(feature = "stores")]
    fn the_stores_stand_in_contests_that_there_are() {
        let with_stores = CONTESTS.iter().filter(|contest| !contest.stores().is_empty());
        assert_eq!(with_stores.count(), stores::CONTESTS);
    }
}
