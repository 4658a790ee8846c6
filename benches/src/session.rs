//! One session of measuring: its options, the check that the machine is quiet, and the record of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::machine::{Machine, commit, date};
use crate::prepared::Prepared;
use crate::quiet::{BUSY_PERCENT_MAX, Ticks, busy_percent};
use crate::report::append_to;
use crate::{Failure, Result};

/// What every command that measures can be told.
#[derive(Debug, Clone, Args)]
pub struct SessionOptions {
    /// How often each benchmark runs; the table has the median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Seconds of steady load in each run
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Events in the logs that are read, verified and opened again
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// Where runs write; it must lie on the disk that is to be measured [default: beside the program]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Measure on a busy machine or in a debug build, too; the table says so
    #[arg(long)]
    pub force: bool,
    /// Add the table to the file of results
    #[arg(long)]
    pub append: bool,
    /// The file of results
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md"), hide_default_value = true)]
    pub results: PathBuf,
}

/// What a run is given.
#[derive(Debug)]
pub struct Setting {
    /// Where runs write.
    pub dir: PathBuf,
    /// How long a load lasts.
    pub duration: Duration,
    /// Events in the logs that are read.
    pub events: u64,
    /// The logs that are read.
    pub prepared: Prepared,
}

/// A session that has begun.
#[derive(Debug)]
pub struct Session {
    /// What each run is given.
    pub setting: Setting,
    options: SessionOptions,
    machine: Machine,
    /// The share of the processors that was in use before, if it was too much.
    busy_percent: Option<f64>,
    begun: Ticks,
}

impl Session {
    /// Checks that the machine is quiet and the build optimised, and notes what there is to be noted.
    ///
    /// # Errors
    ///
    /// When the check fails and nobody insists; when the directory cannot be made.
    pub fn begin(options: &SessionOptions) -> Result<Self> {
        if cfg!(debug_assertions) && !options.force {
            return Err("this is a debug build: build with --release, or give --force".into());
        }
        let duration = Duration::try_from_secs_f64(options.seconds)?;
        let dir = options.dir.clone().map_or_else(beside_program, Ok)?;
        std::fs::create_dir_all(&dir)?;
        let busy = busy_percent()?;
        let is_busy = busy > BUSY_PERCENT_MAX;
        if is_busy && !options.force {
            return Err(format!(
                "the machine is not quiet: {busy:.0} % of its processors are in use, at most \
                 {BUSY_PERCENT_MAX:.0} % are allowed; wait until other work has ended, or give --force"
            )
            .into());
        }
        let machine = Machine::look(&dir);
        let setting = Setting { dir, duration, events: options.events, prepared: Prepared::default() };
        let busy_percent = is_busy.then_some(busy);
        Ok(Self { setting, options: options.clone(), machine, busy_percent, begun: Ticks::now()? })
    }

    /// Returns how often each benchmark runs.
    pub fn runs(&self) -> u32 {
        self.options.runs
    }

    /// Ends the session: prints its section and adds it to the file of results if that is wanted.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn end(self, title: &str, notes: &str, tables: &str) -> Result<()> {
        let others = Ticks::now()?.others_percent(self.begun);
        let section = self.section(title, notes, tables, others);
        println!("\n{section}");
        if self.options.append {
            append_to(&self.options.results, &section)?;
            eprintln!("added to {}", self.options.results.display());
        }
        Ok(())
    }

    fn section(&self, title: &str, notes: &str, tables: &str, others_percent: f64) -> String {
        let build = if cfg!(debug_assertions) { ", debug build (FORCED)" } else { "" };
        let quiet = match self.busy_percent {
            None => "quiet before".to_owned(),
            Some(busy) => format!("**not quiet** (FORCED): {busy:.0} % in use before"),
        };
        format!(
            "## {date}: {title}\n\n\
             - commit {commit}{build}; `{command}`\n\
             - {machine}\n\
             - {quiet}; others and the kernel used {others_percent:.0} % meanwhile\n\
             - {runs} runs; median, then smallest and largest; {notes}\n\n{tables}",
            date = date(),
            commit = commit(),
            command = command(),
            machine = self.machine,
            runs = self.options.runs,
        )
    }
}

/// The directory of the program: below the build directory, which lies on a disk and is no place of work.
fn beside_program() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let parent = program.parent().ok_or_else(|| Failure::from("the program has no directory"))?;
    Ok(parent.join("bench-data"))
}

/// Returns the command line, its program and the values of its options without their directories.
fn command() -> String {
    let short = |argument: String| match argument.rsplit_once('/') {
        Some((_, name)) if !name.is_empty() => name.to_owned(),
        _ => argument,
    };
    std::env::args().map(short).collect::<Vec<_>>().join(" ")
}
