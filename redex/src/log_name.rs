//! The names of logs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::LOG_NAME_BYTES_MAX;

/// The name of a log of a node, which is also that of its directory: 1 to 64 of `a` to `z`, `0` to `9`, `-`, `_` and
/// `.`, of which the first is a letter or a digit. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogName(Arc<str>);

/// Why a text is no name of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogNameError {
    /// There is nothing in it, or too much.
    #[error("a log's name has {bytes} bytes: 1 to {LOG_NAME_BYTES_MAX} are allowed")]
    Length {
        /// How long it is.
        bytes: usize,
    },
    /// A character that could mean something else in the name of a directory.
    #[error(
        "`{name}` is no name of a log: `a` to `z`, `0` to `9`, `-`, `_` and `.` are allowed, a letter or a digit first"
    )]
    Character {
        /// The text.
        name: String,
    },
}

impl LogName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`LogNameError`] names the rule that does not hold.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(redex::LogName::new("audit-2026")?.as_str(), "audit-2026");
    /// assert!(redex::LogName::new("../main").is_err());
    /// # Ok::<(), redex::LogNameError>(())
    /// ```
    pub fn new(name: &str) -> Result<Self, LogNameError> {
        if name.is_empty() || name.len() > LOG_NAME_BYTES_MAX {
            return Err(LogNameError::Length { bytes: name.len() });
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = name.bytes().next().is_some_and(plain);
        if !first || !name.bytes().all(|byte| plain(byte) || b"-_.".contains(&byte)) {
            return Err(LogNameError::Character { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }

    /// Returns the name of the log that every node has.
    pub fn main() -> Self {
        Self(crate::store::MAIN.into())
    }

    /// Tells whether it is the log that every node has.
    pub fn is_main(&self) -> bool {
        &*self.0 == crate::store::MAIN
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogName {
    type Err = LogNameError;

    fn from_str(name: &str) -> Result<Self, LogNameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for LogName {
    type Error = LogNameError;

    fn try_from(name: String) -> Result<Self, LogNameError> {
        Self::new(&name)
    }
}

impl From<LogName> for String {
    fn from(name: LogName) -> Self {
        name.as_str().to_owned()
    }
}

impl base::Classify for LogNameError {
    fn kind(&self) -> base::ErrorKind {
        base::ErrorKind::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_a_directory_and_leads_nowhere_else() {
        for name in ["main", "a", "0.seg", "own-orders_1.2"] {
            assert_eq!(LogName::new(name).unwrap().to_string(), name);
        }
        let long = "a".repeat(LOG_NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", ".hidden", "-x", "a/b", "A", "a b", "\u{e9}", long.as_str()] {
            assert!(LogName::new(name).is_err(), "{name}");
        }
    }
}
