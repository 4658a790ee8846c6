//! Channel names and their rules.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{CHANNEL_NAME_BYTES_MAX, Classify, ErrorKind};

/// The name of a channel, such as `orders/audit`. Cloning it is cheap.
///
/// *Shape*: 1 to 255 bytes of `A-Z a-z 0-9 - _ . /`; segments are separated by single `/` and none of them is
/// empty, `.` or `..`. Names that begin with `sys/` belong to the database itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is not a channel name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelNameError {
    /// The name has no characters.
    #[error("channel name is empty: give one such as `orders/audit`")]
    Empty,
    /// The name is too long.
    #[error("channel name has {bytes} bytes: at most {max} are allowed")]
    TooLong {
        /// Bytes of the refused name.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character that no name may contain.
    #[error("channel name `{name}` contains `{character}`: use letters, digits, `-`, `_`, `.` and `/`")]
    Character {
        /// The refused name.
        name: String,
        /// The first character that is not allowed, escaped.
        character: String,
    },
    /// An empty, `.` or `..` segment.
    #[error(
        "channel name `{name}` has the segment `{segment}`: segments between `/` must not be empty, `.` or `..`"
    )]
    Segment {
        /// The refused name.
        name: String,
        /// The refused segment.
        segment: String,
    },
}

impl Classify for ChannelNameError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl ChannelName {
    /// Checks `name` and wraps it.
    ///
    /// # Errors
    ///
    /// [`ChannelNameError`] names the broken rule.
    ///
    /// # Examples
    ///
    /// ```
    /// let name = base::ChannelName::new("orders/audit")?;
    /// assert_eq!(name.as_str(), "orders/audit");
    /// assert!(base::ChannelName::new("../secrets").is_err());
    /// # Ok::<(), base::ChannelNameError>(())
    /// ```
    pub fn new(name: &str) -> Result<Self, ChannelNameError> {
        check(name)?;
        Ok(Self(Arc::from(name)))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the channel belongs to the database itself (`sys/...`).
    pub fn is_system(&self) -> bool {
        self.0.starts_with("sys/") || &*self.0 == "sys"
    }
}

fn check(name: &str) -> Result<(), ChannelNameError> {
    if name.is_empty() {
        return Err(ChannelNameError::Empty);
    }
    if name.len() > CHANNEL_NAME_BYTES_MAX {
        return Err(ChannelNameError::TooLong { bytes: name.len(), max: CHANNEL_NAME_BYTES_MAX });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if let Some(character) = name.chars().find(|c| !allowed(*c)) {
        let character = character.escape_default().to_string();
        return Err(ChannelNameError::Character { name: printable(name), character });
    }
    if let Some(segment) = name.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
        return Err(ChannelNameError::Segment { name: name.to_owned(), segment: segment.to_owned() });
    }
    Ok(())
}

fn printable(name: &str) -> String {
    name.escape_debug().to_string()
}

crate::text::serialized_as_text!(ChannelName);

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelName({})", self.0)
    }
}

impl FromStr for ChannelName {
    type Err = ChannelNameError;

    fn from_str(name: &str) -> Result<Self, ChannelNameError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for ChannelName {
    type Error = ChannelNameError;

    fn try_from(name: &str) -> Result<Self, ChannelNameError> {
        Self::new(name)
    }
}

impl AsRef<str> for ChannelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["a", "orders/audit", "v1.2", "A-Z_0.9/x", &"x".repeat(255)] {
            assert_eq!(ChannelName::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn each_rule_is_named_when_broken() {
        use ChannelNameError as E;
        let error = |name: &str| ChannelName::new(name).unwrap_err();
        assert_eq!(error(""), E::Empty);
        assert_eq!(error(&"x".repeat(256)), E::TooLong { bytes: 256, max: 255 });
        for name in ["a b", "a\0", "a\\b", "stra\u{df}e", "a:b", "a\nb"] {
            assert!(matches!(error(name), E::Character { .. }), "{name:?}");
        }
        for name in ["/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.", "/"] {
            assert!(matches!(error(name), E::Segment { .. }), "{name:?}");
        }
    }

    #[test]
    fn system_names_are_recognised() {
        assert!(ChannelName::new("sys/names").unwrap().is_system());
        assert!(!ChannelName::new("system").unwrap().is_system());
    }
}
