//! Whether the machine is quiet: measurements beside other work say more about the work than about the log.

use std::time::Duration;

use crate::Result;

/// How long the machine is watched before a session.
const WATCHED: Duration = Duration::from_secs(1);

/// The share of all processors, in percent, that others may use on a quiet machine.
pub const BUSY_PERCENT_MAX: f64 = 5.0;

/// Processor time since the machine started, in ticks, over all processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    /// All of it.
    pub total: u64,
    /// What nobody used, and nobody waited for a disk in.
    pub idle: u64,
    /// What this process and the children that it has waited for used.
    pub own: u64,
}

impl Ticks {
    /// Reads how the ticks stand.
    ///
    /// # Errors
    ///
    /// When `/proc` is not there or not as expected.
    pub fn now() -> Result<Self> {
        let stat = std::fs::read_to_string("/proc/stat")?;
        let (total, idle) = machine_ticks(&stat).ok_or("/proc/stat is not understood")?;
        let own = own_ticks(&std::fs::read_to_string("/proc/self/stat")?)
            .ok_or("/proc/self/stat is not understood")?;
        Ok(Self { total, idle, own })
    }

    /// Returns the share of all processors, in percent, that others used since.
    pub fn others_percent(self, since: Self) -> f64 {
        let total = self.total.saturating_sub(since.total);
        let unused = self.idle.saturating_sub(since.idle) + self.own.saturating_sub(since.own);
        total.saturating_sub(unused) as f64 * 100.0 / total.max(1) as f64
    }
}

/// Watches the machine for a second; returns the share of all processors, in percent, that is in use.
///
/// # Errors
///
/// As [`Ticks::now`].
pub fn busy_percent() -> Result<f64> {
    let before = Ticks::now()?;
    std::thread::sleep(WATCHED);
    Ok(Ticks::now()?.others_percent(before))
}

/// Takes all ticks and the idle ones of a machine: the line `cpu user nice system idle iowait irq softirq steal`.
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    // What guests used (behind `steal`) is contained in `user` and `nice`.
    let ticks = numbers(line.split_whitespace().skip(1).take(8))?;
    Some((ticks.iter().sum(), *ticks.get(3)?))
}

/// Takes what a process and its children used: fields 14 to 17, counted from 1. The name in field 2 may hold
/// blanks.
fn own_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks = numbers(behind_name.split_whitespace().skip(11).take(4))?;
    (ticks.len() == 4).then(|| ticks.iter().sum())
}

fn numbers<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Vec<u64>> {
    fields.map(|field| field.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_in_the_kernels_texts() {
        let stat = "cpu  10 1 5 100 7 0 2 3 4 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(machine_ticks(stat), Some((128, 100)));
        assert_eq!(machine_ticks("cpu  x"), None);
        let own = "42 (a b) c) R 1 1 1 0 -1 0 0 0 0 0 7 3 2 1 20 0";
        assert_eq!(own_ticks(own), Some(13));
    }

    #[test]
    fn what_others_used_is_neither_idle_nor_own() {
        let before = Ticks { total: 1000, idle: 500, own: 10 };
        let after = Ticks { total: 1200, idle: 600, own: 90 };
        assert_eq!(after.others_percent(before), 10.0);
        assert_eq!(before.others_percent(before), 0.0);
    }
}
