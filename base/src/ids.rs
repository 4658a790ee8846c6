//! Identifiers and numbers, each a type of its own so that they cannot be mixed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Hash, PublicKey, Random};

pub(crate) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads an identifier of `N` bytes.
pub(crate) fn parse_id<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], ParseIdError> {
    parse_hex(text).ok_or_else(|| ParseIdError { what, digits: 2 * N, text: text.to_owned() })
}

/// Reads `2 * N` hexadecimal digits, of either case.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

/// An identifier that does not have the right form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: expected {digits} hexadecimal digits")]
pub struct ParseIdError {
    what: &'static str,
    digits: usize,
    text: String,
}

impl crate::Classify for ParseIdError {
    fn kind(&self) -> crate::ErrorKind {
        crate::ErrorKind::Invalid
    }
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Bytes of the identifier.
            pub const BYTES: usize = $bytes;

            /// Wraps the identifier's bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Returns the identifier's bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        crate::text::serialized_as_text!($name);

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_id($what, text).map(Self)
            }
        }
    };
}

byte_id! {
    /// Names one log, on every node that holds it: 16 random bytes.
    LogId, 16, "a log id"
}
byte_id! {
    /// Names one stretch of a log that one sequencer put in order: 16 random bytes.
    IncarnationId, 16, "an incarnation id"
}
byte_id! {
    /// Names one cluster: 16 random bytes.
    ClusterId, 16, "a cluster id"
}
byte_id! {
    /// Names who signs a log: the BLAKE3 hash of the first public key.
    OriginId, 32, "an origin id"
}

impl ClusterId {
    /// Draws a new id.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; Self::BYTES];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl LogId {
    /// Draws a new id.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; Self::BYTES];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl IncarnationId {
    /// The id of entries that belong to no incarnation.
    pub const NONE: Self = Self([0; 16]);

    /// Draws a new id.
    pub fn random(random: &dyn Random) -> Self {
        let mut bytes = [0; Self::BYTES];
        random.fill(&mut bytes);
        Self(bytes)
    }
}

impl OriginId {
    /// Derives the origin from its first public key.
    pub fn of_key(key: &PublicKey) -> Self {
        Self(*Hash::of(key.as_bytes()).as_bytes())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The first of its kind.
            pub const ZERO: Self = Self(0);

            /// Returns the number that follows by `count`, or the largest one.
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// Returns the number that follows, or the largest one.
            pub const fn next(self) -> Self {
                self.plus(1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    };
}

number! {
    /// An event's number in its channel, counted from 0.
    Seq
}
number! {
    /// An entry's place in its log, counted from 0 across incarnations.
    Index
}
number! {
    /// A bound in a log: every entry whose [`Index`] is below it. Position 0 is the empty log.
    Position
}
number! {
    /// A leader's term; in a local log, the count of its openings for writing.
    Term
}
number! {
    /// A voter's number in a replicated log; 0 in a local one.
    NodeId
}

impl Index {
    /// Returns the position that includes this entry and nothing behind it.
    pub const fn position_after(self) -> Position {
        Position(self.0.saturating_add(1))
    }
}

impl Position {
    /// Tells whether the entry at `index` lies below this bound.
    pub const fn includes(self, index: Index) -> bool {
        index.0 < self.0
    }

    /// Returns the index of the first entry that this bound leaves out.
    pub const fn next_index(self) -> Index {
        Index(self.0)
    }
}

/// Who put an entry where: term, node and index. Two entries with one slot and different hashes are a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The term of the sequencer.
    pub term: Term,
    /// The sequencer's node; 0 in a local log.
    pub node: NodeId,
    /// The entry's place.
    pub index: Index,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.term, self.node, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Classify, ErrorKind, SeededRandom};

    #[test]
    fn ids_round_trip_through_their_text() {
        let id = LogId::random(&SeededRandom::new(1));
        let text = id.to_string();
        assert_eq!(text.len(), 2 * LogId::BYTES);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), format!("LogId({text})"));
        assert_eq!(LogId::from_bytes([0xab; 16]).to_string(), "ab".repeat(16));
        assert_eq!("0f".repeat(32).parse(), Ok(OriginId::from_bytes([0x0f; 32])));
    }

    #[test]
    fn a_text_that_is_not_an_id_is_refused_with_what_was_expected() {
        for text in ["", "ab", &"ab".repeat(17), &"+b".repeat(16), &"ag".repeat(16), &"\u{e4}".repeat(16)] {
            let error = text.parse::<LogId>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{text}` is not a log id: expected 32 hexadecimal digits")
            );
            assert_eq!(error.kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn ids_are_drawn_from_the_given_randomness() {
        let (log, incarnation) = (LogId::random, IncarnationId::random);
        assert_eq!(log(&SeededRandom::new(1)), log(&SeededRandom::new(1)));
        assert_ne!(log(&SeededRandom::new(1)), log(&SeededRandom::new(2)));
        assert_ne!(incarnation(&SeededRandom::new(1)), IncarnationId::NONE);
    }

    #[test]
    fn an_origin_is_the_hash_of_its_key() {
        let key = PublicKey::from_bytes([7; 32]);
        assert_eq!(OriginId::of_key(&key).as_bytes(), Hash::of(&[7; 32]).as_bytes());
    }

    #[test]
    fn numbers_stop_at_the_largest() {
        assert_eq!(Seq(7).next(), Seq(8));
        assert_eq!(Seq(u64::MAX).next(), Seq(u64::MAX));
        assert_eq!(Index(u64::MAX - 1).plus(5), Index(u64::MAX));
        assert_eq!(Index(u64::MAX).position_after(), Position(u64::MAX));
    }

    #[test]
    fn a_position_includes_what_lies_below_it() {
        assert!(!Position::ZERO.includes(Index::ZERO));
        assert!(Position(5).includes(Index(4)));
        assert!(!Position(5).includes(Index(5)));
        assert_eq!(Position(5).next_index(), Index(5));
        assert!(Index(5).position_after().includes(Index(5)));
    }

    #[test]
    fn a_slot_is_shown_as_term_node_and_index() {
        assert_eq!(Slot { term: Term(1), node: NodeId(2), index: Index(3) }.to_string(), "1.2.3");
    }
}
