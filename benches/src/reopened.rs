//! What a process that has just begun opens or folds again: how long that takes, and what stays in memory.
//!
//! The memory of a process that wrote it tells nothing, so the program runs itself once more, in a role.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::harness::Sample;
use crate::prepared::Left;
use crate::scratch::{Scratch, link_log};
use crate::session::Setting;
use crate::{Failure, Result, big, fold};

const ROLE: &str = "NETDB_BENCH_ROLE";
const DIR: &str = "NETDB_BENCH_DIR";

/// Something that a process of its own does with a directory; gives how many tasks or events it found.
pub type Role = (&'static str, fn(&Path) -> Result<u64>);

/// The role of our own side.
pub const TASKS: Role = ("tasks", fold::reopen);

/// What a process found out about itself.
#[derive(Debug, Clone, Copy)]
pub struct Reopened {
    /// How many tasks or events it found.
    pub found: u64,
    /// The time until everything was there.
    pub milliseconds: f64,
    /// By how much the process has grown, in megabytes of resident memory.
    pub megabytes: f64,
    /// By how much it had grown meanwhile.
    pub peak_megabytes: f64,
}

impl Reopened {
    /// The time until everything was in the state, in milliseconds.
    pub fn time(self) -> Sample {
        Sample::of(self.milliseconds)
    }

    /// By how much the process grew meanwhile, in megabytes of resident memory.
    pub fn memory(self) -> Sample {
        Sample::of(self.megabytes)
    }

    /// By how much the process had grown at most, in megabytes of resident memory.
    pub fn peak(self) -> Sample {
        Sample::of(self.peak_megabytes)
    }
}

/// Plays a role, if this process was started for one; to be called first in `main`. Tells whether it was.
///
/// # Errors
///
/// What the role said.
pub fn play(roles: &[Role]) -> Result<bool> {
    let Ok(wanted) = std::env::var(ROLE) else { return Ok(false) };
    let (_, reopen) = roles.iter().find(|(name, _)| *name == wanted).ok_or("a role that is not known")?;
    let dir = std::env::var(DIR)?;
    let before = resident_bytes("VmRSS:")?;
    let begun = Instant::now();
    // The role keeps what it opened until the process ends.
    let found = reopen(dir.as_ref())?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let megabytes = resident_bytes("VmRSS:")?.saturating_sub(before) as f64 / 1e6;
    let peak_megabytes = resident_bytes("VmHWM:")?.saturating_sub(before) as f64 / 1e6;
    println!("{found} {milliseconds} {megabytes} {peak_megabytes}");
    Ok(true)
}

/// Returns the command that starts this program in a role.
///
/// # Errors
///
/// What the operating system said.
pub fn command(role: &Role, dir: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, role.0).env(DIR, dir);
    Ok(command)
}

/// Starts this program in a role and waits for what it says.
///
/// # Errors
///
/// When it fails.
pub fn in_a_process_of_its_own(role: &Role, dir: &Path) -> Result<Reopened> {
    let output = command(role, dir)?.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [found, milliseconds, megabytes, peak_megabytes] = numbers[..] else {
        return Err(Failure::from(format!("{}{said}", String::from_utf8_lossy(&output.stderr))));
    };
    Ok(Reopened { found: found as u64, milliseconds, megabytes, peak_megabytes })
}

/// Folds tasks in a process of its own.
///
/// # Errors
///
/// When that fails, or finds another number of tasks.
pub fn all_tasks(role: &Role, dir: &Path, tasks: u64) -> Result<Reopened> {
    all(role, dir, tasks, "tasks")
}

/// Plays a role in a process of its own and checks how many `things` it found.
///
/// # Errors
///
/// When that fails, or finds another number.
pub fn all(role: &Role, dir: &Path, count: u64, things: &str) -> Result<Reopened> {
    let reopened = in_a_process_of_its_own(role, dir)?;
    if reopened.found != count {
        return Err(Failure::from(format!("{} of {count} {things} are there", reopened.found)));
    }
    Ok(reopened)
}

/// Writes tasks to disk and folds them in a process of its own.
///
/// # Errors
///
/// What log, fold or process said.
pub fn tasks(setting: &Setting) -> Result<Reopened> {
    let scratch = Scratch::new(&setting.dir)?;
    fold::write(scratch.path(), setting.events)?;
    all_tasks(&TASKS, scratch.path(), setting.events)
}

/// Opens a log of [many events](crate::prepared::MANY_TIMES) for writing in a process of its own.
///
/// # Errors
///
/// What log or process said, and when another number of events is there.
pub fn events(setting: &Setting, left: Left) -> Result<Reopened> {
    let log = setting.prepared.many(setting, left)?;
    let scratch = Scratch::new(&setting.dir)?;
    link_log(&log.dir, scratch.path())?;
    all(&big::OPEN, scratch.path(), log.events, "events")
}

fn resident_bytes(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no figure of memory")?;
    let kib: u64 = line.trim().split(' ').next().unwrap_or_default().parse()?;
    Ok(kib * 1024)
}
