//! The command line of the simulation.

use std::process::ExitCode;
use std::sync::mpsc;

use sim::command::{Command, Sums, USAGE, line};
use sim::history::{History, check};
use sim::run::{Report, catch_panics, run};

/// Violations of one seed that are printed.
const VIOLATIONS_SHOWN: usize = 5;

fn main() -> ExitCode {
    catch_panics();
    let command = match Command::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(fault) => {
            eprintln!("{fault}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = match &command.check {
        Some(file) => check_file(file),
        None => run_all(&command),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::from(1)
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a file of the person who asks, not of the simulated world")]
fn check_file(file: &str) -> Result<bool, String> {
    let lines = std::fs::read(file).map_err(|cause| format!("{file}: {cause}"))?;
    let history = History::from_lines(&String::from_utf8_lossy(&lines))?;
    match check(&history) {
        Ok(checked) => {
            println!("{file}: {checked:?}");
            Ok(true)
        }
        Err(faults) => {
            faults.iter().for_each(|fault| println!("{file}: {fault}"));
            Ok(false)
        }
    }
}

/// Runs all seeds, in order of the seeds as far as is printed.
fn run_all(command: &Command) -> Result<bool, String> {
    let mut sums = Sums::default();
    let mut next = command.seeds.start;
    while next < command.seeds.end {
        let last = next.saturating_add(command.jobs).min(command.seeds.end);
        for (seed, ran) in at_once(command, next..last) {
            let report = ran?;
            show(command, seed, &report);
            sums.add(&report);
            if command.until_found && !report.violations.is_empty() {
                println!("FOUND {}", seed - command.seeds.start + 1);
                return Ok(false);
            }
            if seed + 1 == command.seeds.end {
                write_history(command, &report)?;
            }
        }
        next = last;
    }
    println!("SUMMARY {}", sums.to_json());
    Ok(sums.violations() == 0)
}

type Ran = (u64, Result<Report, String>);

fn at_once(command: &Command, seeds: std::ops::Range<u64>) -> Vec<Ran> {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for seed in seeds {
            let sender = sender.clone();
            scope.spawn(move || {
                // The receiver outlives the scope.
                let _ = sender.send((seed, run_one(command, seed)));
            });
        }
    });
    drop(sender);
    let mut all: Vec<_> = receiver.into_iter().collect();
    all.sort_by_key(|(seed, _)| *seed);
    all
}

fn run_one(command: &Command, seed: u64) -> Result<Report, String> {
    let mut report = run(seed, &command.wanted)?;
    if command.twice {
        let again = run(seed, &command.wanted)?;
        if again.trace != report.trace {
            let different = report.lines.iter().zip(&again.lines).find(|(one, other)| one != other);
            report.violations.push(format!("the second run differs: {different:?}"));
        }
    }
    Ok(report)
}

fn show(command: &Command, seed: u64, report: &Report) {
    for line in &report.lines {
        println!("{line}");
    }
    println!("{}", line(report));
    for violation in report.violations.iter().take(VIOLATIONS_SHOWN) {
        println!("VIOLATION seed {seed}: {violation}");
    }
    if !report.violations.is_empty() {
        println!("REPLAY {}", command.replay(seed, report.transport));
    }
}

#[allow(clippy::disallowed_methods, reason = "a file of the person who asks, not of the simulated world")]
fn write_history(command: &Command, report: &Report) -> Result<(), String> {
    let Some(file) = &command.history else { return Ok(()) };
    std::fs::write(file, report.history.to_lines()).map_err(|cause| format!("{file}: {cause}"))
}
