//! Points in time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{Classify, ErrorKind};

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a time in RFC 3339 between the years 1678 and 2262: write it like `2026-01-31T08:15:00Z`"
)]
pub struct TimestampError {
    text: String,
}

impl Classify for TimestampError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Timestamp {
    /// The earliest time that can be expressed.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest time that can be expressed.
    pub const MAX: Self = Self(i64::MAX);

    /// Wraps nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Returns nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Returns the time `duration` later, or the latest time.
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// Returns how much later this is than `earlier`; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = i128::from(self.0) - i128::from(earlier.0);
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC with as many digits of the second as are needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::<Utc>::from_timestamp_nanos(self.0);
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| time.timestamp_nanos_opt())
            .map(Self)
            .ok_or_else(|| TimestampError { text: text.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip_to_the_nanosecond() {
        for text in ["2013-01-01T10:15:00Z", "1969-12-31T23:59:59.999999999Z", "2026-11-21T00:00:00.250Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let offset: Timestamp = "2013-01-01T05:15:00-05:00".parse().unwrap();
        assert_eq!(offset.to_string(), "2013-01-01T10:15:00Z");
    }

    #[test]
    fn the_extremes_are_printable() {
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "yesterday", "2013-01-01", "2013-13-01T00:00:00Z", "9999-01-01T00:00:00Z"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.plus(Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
        assert_eq!(Timestamp::from_nanos(5).since(Timestamp::from_nanos(2)), Duration::from_nanos(3));
    }
}
