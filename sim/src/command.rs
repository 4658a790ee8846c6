//! The command line: which seeds, what may go wrong, and what is printed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use crate::node::Keeps;
use crate::run::{Report, Wanted, nemeses};
use crate::wires::Transport;

/// How to ask.
pub const USAGE: &str = "usage: sim/run --seeds A..B | --seed N, with
  --nemeses NAME,NAME   what may go wrong (default: everything)
  --transport quic|memory   what messages travel over (default: quic for even seeds, memory for odd ones)
  --twice               run each seed twice; the traces must be the same
  --trace               print what happens
  --history FILE        write the history of the last seed, as lines of JSON
  --until-found         stop at the first violation, and say how many seeds it took
  --jobs N              seeds at the same time (default: 1)
  --record              append a line with the sums to docs/reliability/sim.jsonl
or: sim/run --check FILE   check a history that was written before";

/// What was asked.
#[derive(Debug, Clone, Default)]
pub struct Command {
    /// The seeds; the end is not included.
    pub seeds: Range<u64>,
    /// What may go wrong, and over what.
    pub wanted: Wanted,
    /// Whether each seed runs twice.
    pub twice: bool,
    /// Whether the first violation ends it.
    pub until_found: bool,
    /// Seeds at the same time.
    pub jobs: u64,
    /// Where the history of the last seed goes.
    pub history: Option<String>,
    /// The history that is checked instead.
    pub check: Option<String>,
}

impl Command {
    /// Reads arguments.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut command = Self { jobs: 1, ..Self::default() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--seeds" => command.seeds = range(&value()?)?,
                "--seed" => {
                    let seed = number(&value()?)?;
                    command.seeds = seed..seed.saturating_add(1);
                }
                "--nemeses" => command.wanted.nemeses = value()?.split(',').map(str::to_owned).collect(),
                "--transport" => command.wanted.transport = Some(transport(&value()?)?),
                "--twice" => command.twice = true,
                "--trace" => command.wanted.keeps_lines = true,
                "--until-found" => command.until_found = true,
                "--jobs" => command.jobs = number(&value()?)?.clamp(1, 64),
                "--history" => command.history = Some(value()?),
                "--check" => command.check = Some(value()?),
                other => return Err(format!("unknown option `{other}`")),
            }
        }
        nemeses(&command.wanted.nemeses)?;
        match command.seeds.is_empty() && command.check.is_none() {
            true => Err("no seeds".to_owned()),
            false => Ok(command),
        }
    }

    /// Returns the command that runs one seed again.
    pub fn replay(&self, seed: u64, transport: Transport) -> String {
        let mut replay = format!("sim/run --seed {seed} --transport {} --trace", transport.as_str());
        if !self.wanted.nemeses.is_empty() {
            let _ = write!(replay, " --nemeses {}", self.wanted.nemeses.join(","));
        }
        replay
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or_else(|| format!("`{text}` is no range: give A..B"))?;
    Ok(number(from)?..number(to)?)
}

fn transport(name: &str) -> Result<Transport, String> {
    match name {
        "memory" => Ok(Transport::Memory),
        "quic" => Ok(Transport::Quic),
        other => Err(format!("`{other}` is no transport: give quic or memory")),
    }
}

/// Sums over seeds.
#[derive(Debug, Default)]
pub struct Sums {
    seeds: u64,
    quic: u64,
    operations: u64,
    committed: u64,
    simulated_ms: u128,
    healed_ms: u128,
    looks: u64,
    faults: BTreeMap<String, u64>,
    violations: u64,
}

impl Sums {
    /// Adds a run.
    pub fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.quic += u64::from(report.transport == Transport::Quic);
        self.operations += report.history.operations.len() as u64;
        self.committed += report.committed;
        self.simulated_ms += report.simulated.as_millis();
        self.healed_ms = self.healed_ms.max(report.healed_within.as_millis());
        self.looks += report.looks;
        self.violations += u64::from(!report.violations.is_empty());
        for (fault, count) in &report.faults {
            *self.faults.entry(fault.clone()).or_default() += count;
        }
    }

    /// Returns how many seeds broke something.
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Returns fields of a line of JSON.
    pub fn to_json(&self) -> String {
        let faults: Vec<_> = self.faults.iter().map(|(name, count)| format!("\"{name}\":{count}")).collect();
        let Self { seeds, quic, operations, committed, simulated_ms, healed_ms, looks, violations, .. } =
            self;
        format!(
            "\"runs\":{seeds},\"quic\":{quic},\"operations\":{operations},\"committed\":{committed},\
             \"simulated_s\":{},\"healed_ms_max\":{healed_ms},\"looks\":{looks},\"violations\":{violations},\
             \"faults\":{{{}}}",
            simulated_ms / 1_000,
            faults.join(",")
        )
    }
}

/// Returns the line of one run.
pub fn line(report: &Report) -> String {
    let faults: Vec<_> = report.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
    let Report { seed, transport, nodes, keeps, committed, term, simulated, healed_within, trace, .. } =
        report;
    let kib = |keeps: &Keeps| {
        format!(" keep {} KiB in segments of {}", keeps.bytes >> 10, keeps.segment_bytes >> 10)
    };
    let keeps = keeps.as_ref().map_or_else(String::new, kib);
    format!(
        "seed {seed} {} {nodes} nodes{keeps}: {} operations, {committed} committed, term {term}, {:.1} s, healed in {} ms, \
         trace {}; {}",
        transport.as_str(),
        report.history.operations.len(),
        simulated.as_secs_f64(),
        healed_within.as_millis(),
        &trace.to_string()[..16],
        faults.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn seeds_and_names_are_read_and_what_is_none_is_refused() {
        let command = parse("--seeds 3..9 --nemeses crash,pause --transport quic --twice").unwrap();
        assert_eq!((command.seeds.clone(), command.twice), (3..9, true));
        let replay = "sim/run --seed 4 --transport quic --trace --nemeses crash,pause";
        assert_eq!(command.replay(4, Transport::Quic), replay);
        for wrong in
            ["", "--seeds 3", "--seeds 9..3", "--seed x", "--nemeses rain --seed 1", "--what", "--seed"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
