//! The 32-byte BLAKE3 hash.

use std::fmt;

/// A BLAKE3 hash: 32 bytes, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Bytes of a hash.
    pub const BYTES: usize = 32;
    /// The all-zero value; names "nothing before this" in hash links.
    pub const ZERO: Self = Self([0; 32]);

    /// Wraps the 32 bytes of a hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes `bytes` without a key.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Reads 64 hexadecimal digits, of either case; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(Self::from)
    }
}

impl From<blake3::Hash> for Hash {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::ids::write_hex(&self.0, f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_blake3_without_a_key() {
        let expected = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Hash::of(b"").to_string(), expected);
        assert_eq!(format!("{:?}", Hash::of(b"")), format!("Hash({expected})"));
        assert_ne!(Hash::of(b"a"), Hash::of(b"b"));
    }

    #[test]
    fn hashes_round_trip_through_their_bytes() {
        let hash = Hash::of(b"event");
        assert_eq!(Hash::from_bytes(*hash.as_bytes()), hash);
        assert_eq!(Hash::from(blake3::hash(b"event")), hash);
        assert_eq!(Hash::ZERO.to_string(), "0".repeat(64));
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(Hash::from_hex(&hash.to_string().to_uppercase()), Some(hash));
        let text = hash.to_string();
        for other in
            ["", &text[1..], &format!("{text}0"), &format!("{}g", &text[1..]), &format!(" {}", &text[1..])]
        {
            assert_eq!(Hash::from_hex(other), None, "{other}");
        }
    }
}
