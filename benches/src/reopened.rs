//! Tasks folded again by a process that has just begun: how long that takes, and what stays in memory.
//!
//! The memory of a process that wrote the tasks tells nothing, so the program runs itself once more, in a role.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::harness::Sample;
use crate::scratch::Scratch;
use crate::session::Setting;
use crate::{Failure, Result, fold};

const ROLE: &str = "NETDB_BENCH_ROLE";
const DIR: &str = "NETDB_BENCH_DIR";

/// Something that a process of its own does with a directory; gives how many tasks it found.
pub type Role = (&'static str, fn(&Path) -> Result<u64>);

/// The role of our own side.
pub const TASKS: Role = ("tasks", fold::reopen);

/// What a process found out about itself.
#[derive(Debug, Clone, Copy)]
pub struct Reopened {
    milliseconds: f64,
    megabytes: f64,
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
    let before = resident_bytes()?;
    let begun = Instant::now();
    // The role keeps what it opened until the process ends.
    let tasks = reopen(dir.as_ref())?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
    let megabytes = resident_bytes()?.saturating_sub(before) as f64 / 1e6;
    println!("{tasks} {milliseconds} {megabytes}");
    Ok(true)
}

/// Starts this program in a role and waits for what it says.
///
/// # Errors
///
/// When it fails, or finds another number of tasks.
pub fn in_a_process_of_its_own(role: &Role, dir: &Path, tasks: u64) -> Result<Reopened> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).env(ROLE, role.0).env(DIR, dir).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [found, milliseconds, megabytes] = numbers[..] else {
        return Err(Failure::from(format!("{}{said}", String::from_utf8_lossy(&output.stderr))));
    };
    if found as u64 != tasks {
        return Err(Failure::from(format!("{found} of {tasks} tasks are there")));
    }
    Ok(Reopened { milliseconds, megabytes })
}

/// Writes tasks to disk and folds them in a process of its own.
///
/// # Errors
///
/// What log, fold or process said.
pub fn tasks(setting: &Setting) -> Result<Reopened> {
    let scratch = Scratch::new(&setting.dir)?;
    fold::write(scratch.path(), setting.events)?;
    in_a_process_of_its_own(&TASKS, scratch.path(), setting.events)
}

fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no figure of memory")?;
    let kib: u64 = line.trim().split(' ').next().unwrap_or_default().parse()?;
    Ok(kib * 1024)
}
