//! A part of something, as a decimal number that compares exactly.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// Digits behind the point.
const DIGITS: usize = 6;
const ONE: u32 = 1_000_000;

/// A part of something, such as 0.5: a decimal number of at least 0 with at most six digits behind the point. What it is a
/// part of says which values make sense.
///
/// # Examples
///
/// ```
/// let half: replication::Fraction = "0.5".parse()?;
/// assert_eq!((half.millionths(), half.to_string().as_str()), (500_000, "0.5"));
/// # Ok::<_, replication::FractionError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fraction(u32);

/// A text or number that is no [`Fraction`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no fraction: write a decimal number such as 0.5, with at most {DIGITS} digits behind the point"
)]
pub struct FractionError {
    /// What was given.
    pub text: String,
}

impl Fraction {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The whole.
    pub const WHOLE: Self = Self(ONE);

    /// Makes a fraction of so many millionths.
    pub const fn from_millionths(millionths: u32) -> Self {
        Self(millionths)
    }

    /// Returns how many millionths it is.
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Self, FractionError> {
        let parse = || {
            let (whole, behind) = text.split_once('.').unwrap_or((text, "0"));
            let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if !is_number(whole) || !is_number(behind) || behind.len() > DIGITS {
                return None;
            }
            let behind: u32 = format!("{behind:0<DIGITS$}").parse().ok()?;
            whole.parse::<u32>().ok()?.checked_mul(ONE)?.checked_add(behind)
        };
        parse().map(Self).ok_or_else(|| FractionError { text: text.to_owned() })
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let behind = format!("{:0DIGITS$}", self.0 % ONE);
        match behind.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / ONE),
            behind => write!(f, "{}.{behind}", self.0 / ONE),
        }
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The nearest number there is, which is written with the digits that it was read with.
        serializer.serialize_f64(f64::from(self.0) / f64::from(ONE))
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

/// Reads any kind of number by its digits.
struct Number;

impl Visitor<'_> for Number {
    type Value = Fraction;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a decimal number such as 0.5, with at most {DIGITS} digits behind the point")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Fraction, E> {
        value.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Fraction, E> {
        value.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Fraction, E> {
        value.to_string().parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_read_and_written_by_their_digits() {
        for (text, millionths, shown) in [
            ("0", 0, "0"),
            ("0.5", 500_000, "0.5"),
            ("0.30", 300_000, "0.3"),
            ("0.000001", 1, "0.000001"),
            ("1", ONE, "1"),
            ("1.0", ONE, "1"),
            ("4294.967295", u32::MAX, "4294.967295"),
        ] {
            let fraction: Fraction = text.parse().unwrap();
            assert_eq!((fraction.millionths(), fraction.to_string().as_str()), (millionths, shown), "{text}");
        }
        for wrong in
            ["", ".", ".5", "5.", "-0.5", "+1", "0.0000001", "1e-3", "half", "NaN", "4294.967296", " 1"]
        {
            assert!(wrong.parse::<Fraction>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_fraction_comes_back_from_json_as_it_was() {
        for millionths in (0..=ONE).step_by(997).chain([1, 300_000, 333_333, 500_000, 999_999, ONE, u32::MAX])
        {
            let fraction = Fraction::from_millionths(millionths);
            let text = serde_json::to_string(&fraction).unwrap();
            assert_eq!(serde_json::from_str::<Fraction>(&text).unwrap(), fraction, "{text}");
            let value = serde_json::to_value(fraction).unwrap();
            assert_eq!(serde_json::from_value::<Fraction>(value).unwrap(), fraction);
        }
        assert_eq!(serde_json::from_str::<Fraction>("1").unwrap(), Fraction::WHOLE);
        for wrong in ["-1", "-0.5", "0.12345678", "\"0.5\"", "null", "1e300"] {
            assert!(serde_json::from_str::<Fraction>(wrong).is_err(), "{wrong}");
        }
    }
}
