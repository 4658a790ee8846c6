//! Ours beside others: what each side measured, who was skipped, and the ratios.

use crate::Result;
use crate::harness::Sample;
use crate::report::{Spread, Table, Unit, cells, figure};

/// Why a side was not run, and what to do about it; the other sides of the contest run, and the table says so.
#[derive(Debug, Clone)]
pub struct Skipped(pub String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SKIPPED: {}", self.0)
    }
}

impl std::error::Error for Skipped {}

/// What a side measured, or why it was not run.
#[derive(Debug, Clone)]
pub struct Measured {
    who: String,
    samples: Vec<Sample>,
    skipped: Option<Skipped>,
}

impl Measured {
    /// Makes a side that has not been run yet.
    pub fn of(who: &str) -> Self {
        Self { who: who.to_owned(), samples: Vec::new(), skipped: None }
    }

    /// Runs the side once more, unless it was skipped; a failure that is [`Skipped`] makes it so.
    ///
    /// # Errors
    ///
    /// What the run said.
    pub fn run_once(&mut self, run: impl FnOnce() -> Result<Sample>) -> Result<()> {
        if self.skipped.is_some() {
            return Ok(());
        }
        let who = &self.who;
        match run() {
            Ok(sample) => {
                eprintln!("    {who}: {}", figure(sample.value));
                self.samples.push(sample);
            }
            Err(failure) => match failure.downcast::<Skipped>() {
                Ok(skipped) => {
                    eprintln!("    {skipped}: {who}");
                    self.samples.clear();
                    self.skipped = Some(*skipped);
                }
                Err(failure) => return Err(format!("{who}: {failure}").into()),
            },
        }
        Ok(())
    }
}

/// Runs all sides in turn, so often; every other round begins with the last, so that whatever the machine does
/// meanwhile meets all of them.
///
/// # Errors
///
/// What a run said, unless the side is skipped.
pub fn rounds(runs: u32, sides: &mut [Measured], mut run: impl FnMut(usize) -> Result<Sample>) -> Result<()> {
    for round in 0..runs {
        let mut order: Vec<usize> = (0..sides.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for side in order {
            sides[side].run_once(|| run(side))?;
        }
    }
    Ok(())
}

/// Makes a table for [`add_rows`].
pub fn table() -> Table {
    Table::new(&[
        "contest",
        "who",
        "median",
        "min .. max",
        "unit",
        "p50 us",
        "p99 us",
        "ours / peer (min .. max)",
    ])
}

/// Adds a row for each side, ours first; the ratios are taken run by run.
pub fn add_rows(table: &mut Table, name: &str, unit: Unit, sides: &[Measured]) {
    let Some(ours) = sides.first() else { return };
    for (side, Measured { who, samples, skipped }) in sides.iter().enumerate() {
        let [median, ends, p50, p99] = cells(samples);
        let median = skipped.as_ref().map_or(median, |skipped| format!("**{skipped}**"));
        let pairs =
            ours.samples.iter().zip(samples).map(|(ours, theirs)| unit.better(ours.value, theirs.value));
        let ratio = match Spread::of(pairs).filter(|_| side > 0) {
            None => String::new(),
            Some(ratio) if ratio.median < 0.995 => format!("{:.2} ({}) **loss**", ratio.median, ratio.ends()),
            Some(ratio) => format!("{:.2} ({})", ratio.median, ratio.ends()),
        };
        let name = if side == 0 { name.to_owned() } else { String::new() };
        table.push(vec![name, who.clone(), median, ends, unit.as_str().to_owned(), p50, p99, ratio]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(who: &str, value: f64) -> Measured {
        Measured { samples: vec![Sample::of(value)], ..Measured::of(who) }
    }

    fn rows(sides: &[Measured]) -> String {
        let mut table = table();
        add_rows(&mut table, "contest", Unit::EventsPerSecond, sides);
        table.to_string()
    }

    #[test]
    fn a_ratio_below_one_is_called_a_loss() {
        let rows = rows(&[measured("ours", 1.0), measured("peer", 2.0)]);
        assert!(rows.contains("0.50 (0.50 .. 0.50) **loss**"), "{rows}");
    }

    #[test]
    fn a_side_that_is_skipped_says_so_and_is_not_run_again() {
        let mut peer = measured("peer", 1.0);
        peer.run_once(|| Err(Skipped("nothing is installed".to_owned()).into())).unwrap();
        peer.run_once(|| panic!("it was skipped")).unwrap();
        let rows = rows(&[measured("ours", 1.0), peer]);
        assert!(rows.contains("| peer | **SKIPPED: nothing is installed** |  |"), "{rows}");
        assert!(rows.contains("| contest | ours | 1.00 |"), "{rows}");
    }

    #[test]
    fn every_other_round_begins_with_the_last() {
        let mut order = Vec::new();
        let mut sides = [Measured::of("ours"), Measured::of("peer")];
        rounds(2, &mut sides, |side| {
            order.push(side);
            Ok(Sample::of(side as f64))
        })
        .unwrap();
        assert_eq!(order, [0, 1, 1, 0]);
        assert_eq!(sides[1].samples, [Sample::of(1.0); 2]);
    }

    #[test]
    fn another_failure_ends_the_contest() {
        let failure = Measured::of("peer").run_once(|| Err("broken".into())).unwrap_err();
        assert_eq!(failure.to_string(), "peer: broken");
    }
}
