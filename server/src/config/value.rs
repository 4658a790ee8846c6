//! Values as texts: sizes, durations, counts.

use std::time::Duration;

/// Reads a number of bytes: a number, with a unit if it has one.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    let (number, unit) = split(text);
    let factor = if unit.is_empty() { Some(1) } else { factor(&units, unit) };
    product(number, factor).ok_or_else(|| format!("`{text}` is no size: write it like 64MiB"))
}

/// Reads a duration above zero: a number and its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let (number, unit) = split(text);
    let milliseconds = product(number, factor(&units, unit)).filter(|milliseconds| *milliseconds > 0);
    milliseconds
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is no duration: write it like 250ms, 10s or 5m, and more than none"))
}

/// Reads a count of at least 1.
pub(super) fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("`{text}` is no count: write a whole number above 0"))
}

/// Writes a duration as [`duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds.is_multiple_of(1_000) {
        format!("{}s", milliseconds / 1_000)
    } else {
        format!("{milliseconds}ms")
    }
}

/// Writes a number of bytes as [`size`] reads it.
pub(super) fn show_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

fn product(number: &str, factor: Option<u64>) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(factor?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_written_alike() {
        for text in ["10s", "250ms", "90s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["64MiB", "1GiB", "3KiB", "1000B", "0B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        assert_eq!(duration("5m").unwrap(), Duration::from_secs(300));
        assert_eq!(size("17").unwrap(), 17);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for wrong in ["", "s", "10", "0s", "-1s", "1.5s", "10 s", "10S", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "MiB", "64MB", "-1", "1 MiB", "99999999999TiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "0", "-1", "x", "1.0"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
