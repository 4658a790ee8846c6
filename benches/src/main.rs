//! `netdb-bench`: runs the benchmarks and records what they measured.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use netdb_benches::big::OpenBigOptions;
use netdb_benches::process::{self, ProcessOptions};
use netdb_benches::session::{Session, SessionOptions};
use netdb_benches::{Result, big, catalogue, reopened};

/// Measures the log, and the whole process, on a quiet machine.
#[derive(Debug, Parser)]
#[command(
    name = "netdb-bench",
    after_help = "Examples:\n  netdb-bench run --append\n  netdb-bench run append-durable scan --runs 9\n  \
                  netdb-bench process --net-db target/release/net-db --flights flights-2013.ndjson.zst"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run benchmarks of the log
    Run {
        /// Names or their beginnings; all benchmarks without any
        names: Vec<String>,
        #[command(flatten)]
        session: SessionOptions,
    },
    /// Measure `net-db` as a whole process: import, verification, SQL
    Process {
        #[command(flatten)]
        process: ProcessOptions,
        #[command(flatten)]
        session: SessionOptions,
    },
    /// Write a log of many gigabytes and open it: behind a clean close, a crash and a kill
    OpenBig {
        #[command(flatten)]
        options: OpenBigOptions,
    },
    /// List the benchmarks of the log
    List,
}

fn main() -> ExitCode {
    let roles = [reopened::TASKS, big::OPEN, big::CRASH, big::ENDLESS];
    let ended = reopened::play(&roles).and_then(|played| if played { Ok(()) } else { command() });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("netdb-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<()> {
    match Arguments::parse().command {
        Command::Run { names, session } => run(&names, &session),
        Command::Process { process, session } => process::run(&process, &session),
        Command::OpenBig { options } => big::run(&options),
        Command::List => {
            list();
            Ok(())
        }
    }
}

fn run(names: &[String], options: &SessionOptions) -> Result<()> {
    let benchmarks = catalogue::select(names)?;
    catalogue::run(Session::begin(options)?, &benchmarks)
}

fn list() {
    for benchmark in catalogue::ALL {
        println!("{:<26} {:<10} {}", benchmark.name, benchmark.unit.as_str(), benchmark.what);
    }
}
