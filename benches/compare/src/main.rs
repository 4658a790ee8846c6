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
use netdb_benches::catalogue::chosen;
use netdb_benches::harness::Sample;
use netdb_benches::payload::PAYLOAD_BYTES;
use netdb_benches::report::{Spread, Table, Unit, cells, figure};
use netdb_benches::session::{Session, SessionOptions, Setting};
use netdb_benches::{Result, big, reopened};

mod contests;
mod mesh;
mod probe;
mod redis;
mod resp;
mod skipped;
#[cfg(feature = "stores")]
mod stores;
mod tasks;
mod wal;

use contests::{CONTESTS, Contest};
use skipped::Skipped;

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
    let headings =
        ["contest", "who", "median", "min .. max", "unit", "p50 us", "p99 us", "ours / peer (min .. max)"];
    let mut table = Table::new(&headings);
    for contest in contests {
        eprintln!("{} ...", contest.name);
        let measured = rounds(contest, &session).map_err(|failure| format!("{}: {failure}", contest.name))?;
        add_rows(&mut table, contest, &measured);
    }
    let (seconds, events) = (session.setting.duration.as_secs_f64(), session.setting.events);
    let notes = format!(
        "each of {seconds} s; payloads of {PAYLOAD_BYTES} B; logs to read of {events} events; sides take turns \
         within a round, ratios are taken within rounds; peers neither link nor sign; net-mesh 0.46.0, okaywal \
         0.3.1, Redis {}",
        redis::version().unwrap_or_else(|| "not installed".to_owned())
    );
    session.end("the log beside its peers", &notes, &table.to_string())
}

/// What a side measured, or why it was not run.
#[derive(Debug, Clone, Default)]
struct Measured {
    samples: Vec<Sample>,
    skipped: Option<Skipped>,
}

/// Runs all sides of a contest in turn; gives what each side measured, ours first.
fn rounds(contest: &Contest, session: &Session) -> Result<Vec<Measured>> {
    let sides = contest.sides();
    let mut measured = vec![Measured::default(); sides.len()];
    for round in 0..session.runs() {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for side in order {
            let (who, run) = sides[side];
            measured[side].run_once(who, || run(&session.setting))?;
        }
    }
    Ok(measured)
}

impl Measured {
    /// Runs a side, unless it was skipped.
    fn run_once(&mut self, who: &str, run: impl FnOnce() -> Result<Sample>) -> Result<()> {
        if self.skipped.is_some() {
            return Ok(());
        }
        match run() {
            Ok(sample) => {
                eprintln!("    {who}: {}", figure(sample.value));
                self.samples.push(sample);
            }
            Err(failure) => match failure.downcast::<Skipped>() {
                Ok(skipped) => {
                    eprintln!("{skipped}: {who}");
                    *self = Self { samples: Vec::new(), skipped: Some(*skipped) };
                }
                Err(failure) => return Err(format!("{who}: {failure}").into()),
            },
        }
        Ok(())
    }
}

fn add_rows(table: &mut Table, contest: &Contest, measured: &[Measured]) {
    let ours = &measured[0].samples;
    for (side, Measured { samples, skipped }) in measured.iter().enumerate() {
        let (who, _) = contest.sides()[side];
        let [median, ends, p50, p99] = cells(samples);
        let median = skipped.as_ref().map_or(median, |skipped| format!("**{skipped}**"));
        let pairs = ours.iter().zip(samples).map(|(ours, theirs)| contest.better(ours.value, theirs.value));
        let ratio = match Spread::of(pairs).filter(|_| side > 0) {
            None => String::new(),
            Some(ratio) if ratio.median < 0.995 => format!("{:.2} ({}) **loss**", ratio.median, ratio.ends()),
            Some(ratio) => format!("{:.2} ({})", ratio.median, ratio.ends()),
        };
        let name = if side == 0 { format!("{}: {}", contest.name, contest.what) } else { String::new() };
        let unit = contest.unit.as_str().to_owned();
        table.push(vec![name, who.to_owned(), median, ends, unit, p50, p99, ratio]);
    }
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

    /// Returns by how much ours is better: above 1 it is.
    fn better(&self, ours: f64, theirs: f64) -> f64 {
        match self.unit {
            Unit::EventsPerSecond | Unit::MegabytesPerSecond => ours / theirs,
            Unit::Milliseconds | Unit::Microseconds | Unit::Megabytes => theirs / ours,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_time_and_more_events_are_better() {
        let contest = |unit| Contest { unit, ..CONTESTS[0] };
        assert_eq!(contest(Unit::EventsPerSecond).better(4.0, 2.0), 2.0);
        assert_eq!(contest(Unit::Microseconds).better(4.0, 2.0), 0.5);
    }

    fn measured(value: f64) -> Measured {
        Measured { samples: vec![Sample::of(value)], skipped: None }
    }

    #[test]
    fn a_side_that_is_skipped_says_so_and_is_not_run_again() {
        let mut side = measured(1.0);
        side.run_once("peer", || Err(Skipped("nothing is installed".to_owned()).into())).unwrap();
        side.run_once("peer", || panic!("it was skipped")).unwrap();
        let mut table = Table::new(&["contest"]);
        add_rows(&mut table, &CONTESTS[0], &[measured(1.0), side]);
        let table = table.to_string();
        assert!(table.contains("| **SKIPPED: nothing is installed** |") && table.contains("1.00"), "{table}");
        assert!(Measured::default().run_once("peer", || Err("broken".into())).is_err());
    }

    #[test]
    fn contests_have_different_names() {
        let names: std::collections::BTreeSet<_> = CONTESTS.iter().map(|contest| contest.name).collect();
        assert_eq!(names.len(), CONTESTS.len());
    }

    #[test]
    fn a_ratio_below_one_is_called_a_loss() {
        let mut table = Table::new(&["contest"]);
        add_rows(&mut table, &CONTESTS[0], &[measured(1.0), measured(2.0)]);
        assert!(table.to_string().contains("0.50 (0.50 .. 0.50) **loss**"));
    }
}
