//! Rows of the results.

use crate::load::{Run, Shape};

/// One row: the median over the runs, with the least and the most.
pub fn row(name: &str, bytes: usize, shape: Shape, runs: &[Run]) -> String {
    let at = |part: f64| {
        spread(
            runs.iter()
                .map(|run| run.latencies.get((run.latencies.len() as f64 * part) as usize))
                .map(|us| us.map_or(0.0, |us| f64::from(*us) / 1e3)),
        )
    };
    let failed: u64 = runs.iter().map(|run| run.failed).sum();
    let per_second = spread(runs.iter().map(|run| run.per_second));
    format!(
        "| {name} | {bytes} B | {shape} | {} | {} ms | {} ms | {failed} |",
        per_second.shown(0),
        at(0.5).shown(2),
        at(0.99).shown(2)
    )
}

/// A median with what lies around it.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    pub fn shown(&self, digits: usize) -> String {
        format!("**{:.digits$}** ({:.digits$} .. {:.digits$})", self.median, self.least, self.most)
    }
}

pub fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |part: f64| {
        values.get(((values.len() - 1) as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
    };
    if values.is_empty() {
        return Spread { least: f64::NAN, median: f64::NAN, most: f64::NAN };
    }
    Spread { least: at(0.0), median: at(0.5), most: at(1.0) }
}

/// The value below which a part of them is.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}
