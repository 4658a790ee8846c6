//! What was enumerated, counted by workload, operation and policy.

use std::collections::BTreeMap;
use std::fmt;

/// The policies, and crashes within recoveries, in the order of the columns.
const POLICIES: [&str; 12] = [
    "none", "all", "prefix", "sectors", "reorder", "size", "data", "rename", "unlink", "lying", "recover",
    "twice",
];

/// Where an image was taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub workload: String,
    /// The operation that the crash came before.
    pub operation: &'static str,
    pub policy: &'static str,
}

/// What was enumerated in one cell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub images: usize,
    pub distinct: usize,
}

#[derive(Debug, Default)]
pub struct Results {
    pub counts: BTreeMap<Cell, Count>,
    pub failures: Vec<String>,
}

impl Results {
    pub fn add(&mut self, other: Self) {
        for (cell, count) in other.counts {
            let sum = self.counts.entry(cell).or_default();
            sum.images += count.images;
            sum.distinct += count.distinct;
        }
        self.failures.extend(other.failures);
    }

    pub fn count(&mut self, cell: Cell, distinct: bool) {
        let count = self.counts.entry(cell).or_default();
        count.images += 1;
        count.distinct += usize::from(distinct);
    }

    pub fn images(&self) -> usize {
        self.counts.values().map(|count| count.images).sum()
    }

    pub fn distinct(&self) -> usize {
        self.counts.values().map(|count| count.distinct).sum()
    }

    /// Writes distinct images by policy, in rows of another part of the cell, with a row of sums.
    fn table(&self, f: &mut fmt::Formatter<'_>, title: &str, row: impl Fn(&Cell) -> &str) -> fmt::Result {
        let mut rows: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
        for (cell, count) in &self.counts {
            *rows.entry(row(cell)).or_default().entry(cell.policy).or_default() += count.distinct;
            *sums.entry(cell.policy).or_default() += count.distinct;
        }
        write!(f, "{title:<28}")?;
        for policy in POLICIES {
            write!(f, "{policy:>8}")?;
        }
        writeln!(f, "{:>9}", "distinct")?;
        for (name, row) in rows.into_iter().chain([("distinct", sums)]) {
            write!(f, "{name:<28}")?;
            for policy in POLICIES {
                write!(f, "{:>8}", row.get(policy).unwrap_or(&0))?;
            }
            writeln!(f, "{:>9}", row.values().sum::<usize>())?;
        }
        write!(f, "{:<28}", "images")?;
        for policy in POLICIES {
            let of_policy = self.counts.iter().filter(|(cell, _)| cell.policy == policy);
            write!(f, "{:>8}", of_policy.map(|(_, count)| count.images).sum::<usize>())?;
        }
        writeln!(f, "{:>9}", self.images())
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(f, "workload", |cell| match cell.workload.starts_with("generated-") {
            true => "generated",
            false => &cell.workload,
        })?;
        writeln!(f)?;
        self.table(f, "before the operation", |cell| cell.operation)
    }
}
