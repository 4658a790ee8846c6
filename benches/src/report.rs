//! Medians with their spread, as tables.

use std::path::Path;

use crate::Result;
use crate::harness::Sample;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// More is better.
    EventsPerSecond,
    /// More is better.
    BlobsPerSecond,
    /// Millions of bytes per second; more is better.
    MegabytesPerSecond,
    /// Less is better.
    Milliseconds,
    /// Less is better.
    Microseconds,
    /// Millions of bytes; less is better.
    Megabytes,
    /// A share in hundredths; less is better.
    Percent,
}

impl Unit {
    /// Returns the unit as it stands in a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventsPerSecond => "events/s",
            Self::BlobsPerSecond => "blobs/s",
            Self::MegabytesPerSecond => "MB/s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Megabytes => "MB",
            Self::Percent => "%",
        }
    }

    /// Returns by how much ours is better: above 1 it is.
    pub fn better(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Self::EventsPerSecond | Self::BlobsPerSecond | Self::MegabytesPerSecond => ours / theirs,
            Self::Milliseconds | Self::Microseconds | Self::Megabytes | Self::Percent => theirs / ours,
        }
    }
}

/// The middle of some figures, and their ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle one; of an even number, the upper of the two in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Sorts figures out; `None` when there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { median: sorted[sorted.len() / 2], min, max })
    }

    /// Returns the ends, as they stand in a table.
    pub fn ends(&self) -> String {
        format!("{} .. {}", figure(self.min), figure(self.max))
    }
}

/// Rows of text under headings.
#[derive(Debug, Clone)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Makes a table without rows.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "| {} |", self.headings.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.headings.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// Returns the cells that tell what runs measured: median, ends, and the medians of the percentiles.
pub fn cells(samples: &[Sample]) -> [String; 4] {
    let spread = Spread::of(samples.iter().map(|sample| sample.value));
    let latencies = || samples.iter().filter_map(|sample| sample.latency);
    let p50 = Spread::of(latencies().map(|latency| latency.p50_us));
    let p99 = Spread::of(latencies().map(|latency| latency.p99_us));
    let median = |spread: Option<Spread>| spread.map_or_else(String::new, |spread| figure(spread.median));
    [median(spread), spread.map_or_else(String::new, |spread| spread.ends()), median(p50), median(p99)]
}

/// Writes a figure with three digits that mean something.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 999_500.0 => format!("{:.2}M", value / 1e6),
        size if size >= 9_995.0 => format!("{:.1}k", value / 1e3),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Adds a section to the end of a file of results.
///
/// # Errors
///
/// What the operating system said.
pub fn append_to(path: &Path, section: &str) -> Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.len() == 0 {
        file.write_all(b"# Results\n")?;
    }
    file.write_all(format!("\n{section}").as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::Latency;

    #[test]
    fn less_time_and_more_events_are_better() {
        assert_eq!(Unit::EventsPerSecond.better(4.0, 2.0), 2.0);
        assert_eq!(Unit::Microseconds.better(4.0, 2.0), 0.5);
    }

    #[test]
    fn figures_have_three_digits() {
        let values = [0.123, 9.99, 12.34, 123.4, 9_990.0, 12_345.0, 999_499.0, 1_234_567.0];
        let texts = values.map(figure);
        assert_eq!(texts, ["0.12", "9.99", "12.3", "123", "9990", "12.3k", "999.5k", "1.23M"]);
    }

    #[test]
    fn cells_hold_medians_and_ends() {
        let sample = |value: f64, p50_us: f64| {
            let latency = Some(Latency { p50_us, p99_us: 2.0 * p50_us });
            Sample { value, latency }
        };
        let samples = [sample(3.0, 10.0), sample(1.0, 30.0), sample(2.0, 20.0)];
        assert_eq!(cells(&samples), ["2.00", "1.00 .. 3.00", "20.0", "40.0"]);
        assert_eq!(cells(&[]), ["", "", "", ""]);
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["a", "b"]);
        table.push(vec!["1".to_owned(), "2".to_owned()]);
        assert_eq!(table.to_string(), "| a | b |\n|---|---|\n| 1 | 2 |\n");
    }
}
