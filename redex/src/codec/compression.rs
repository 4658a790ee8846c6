//! Bodies of frames stored in fewer bytes.
//!
//! ```text
//! lz4:  one block of the LZ4 block format, without its length in front
//! zstd: one zstd frame
//! ```

use super::Malformed;
use crate::Compression;

/// Bodies that are shorter are stored as they are.
const BODY_BYTES_MIN: usize = 256;
/// One in so many bytes at least must be saved.
const SAVED_PART: usize = 16;
/// The level of zstd: more than twice as fast as its default, for a few per cent more bytes.
const ZSTD_LEVEL: i32 = 1;

impl Compression {
    /// All of them, with their codes in a frame's flags.
    const ALL: [(u8, Self); 3] = [(0, Self::None), (1, Self::Lz4), (2, Self::Zstd)];

    pub(crate) fn code(self) -> u8 {
        Self::ALL.iter().find(|(_, known)| *known == self).map_or(0, |(code, _)| *code)
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == code).map(|(_, compression)| *compression)
    }
}

/// Compresses bodies in one way; keeps what it needs for that from one to the next.
pub(crate) struct Compressor {
    compression: Compression,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl Compressor {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { compression, zstd: None }
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Returns the stored form of a body; `None` where that is not shorter by enough.
    pub(crate) fn compress(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if body.len() < BODY_BYTES_MIN {
            return None;
        }
        let stored = match self.compression {
            Compression::None => return None,
            Compression::Lz4 => lz4_flex::block::compress(body),
            Compression::Zstd => self.zstd(body)?,
        };
        (stored.len() <= body.len() - body.len() / SAVED_PART).then_some(stored)
    }

    fn zstd(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        let compressed = self.zstd.as_mut()?.compress(body);
        compressed.inspect_err(|cause| tracing::warn!(%cause, "an entry is stored as it is")).ok()
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compressor({:?})", self.compression)
    }
}

/// Bytes that one byte of an LZ4 block can stand for, at most, and what its beginning and end can add.
const LZ4_MOST: (usize, usize) = (255, 64);

/// Tells whether a body of so many bytes can be stored so: memory is taken for no other.
fn can_be(compression: Compression, stored: &[u8], body_bytes: usize) -> bool {
    match compression {
        Compression::None => true,
        Compression::Lz4 => body_bytes <= LZ4_MOST.0 * stored.len() + LZ4_MOST.1,
        // A frame begins with the length of its content.
        Compression::Zstd => {
            let content_bytes = zstd::zstd_safe::get_frame_content_size(stored);
            matches!(content_bytes, Ok(Some(bytes)) if bytes == body_bytes as u64)
        }
    }
}

/// Returns the body of exactly `body_bytes` bytes that was stored so.
pub(crate) fn decompress(
    compression: Compression,
    stored: &[u8],
    body_bytes: usize,
) -> Result<Vec<u8>, Malformed> {
    let malformed = Malformed::new("compressed body");
    if !can_be(compression, stored, body_bytes) {
        return Err(Malformed::new("body length"));
    }
    let body = match compression {
        Compression::None => stored.to_vec(),
        Compression::Lz4 => lz4_flex::block::decompress(stored, body_bytes).map_err(|_| malformed)?,
        Compression::Zstd => zstd::bulk::decompress(stored, body_bytes).map_err(|_| malformed)?,
    };
    if body.len() == body_bytes { Ok(body) } else { Err(Malformed::new("body length")) }
}

#[cfg(test)]
mod tests {
    use base::{Random as _, SeededRandom};

    use super::*;

    const WAYS: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

    #[test]
    fn bodies_survive_and_get_shorter_where_that_is_possible() {
        let text = "what is written again and again ".repeat(100);
        let mut noise = vec![0; 10_000];
        SeededRandom::new(1).fill(&mut noise);
        for compression in WAYS {
            let mut compressor = Compressor::new(compression);
            for _ in 0..3 {
                let stored = compressor.compress(text.as_bytes()).expect("a text with repetitions");
                assert!(stored.len() < text.len() / 8, "{compression:?}: {}", stored.len());
                assert_eq!(decompress(compression, &stored, text.len()).unwrap(), text.as_bytes());
            }
            assert_eq!(compressor.compress(&noise), None, "noise is stored as it is");
            assert_eq!(compressor.compress(&text.as_bytes()[..100]), None, "so is what is short");
        }
        assert_eq!(Compressor::new(Compression::None).compress(text.as_bytes()), None);
    }

    #[test]
    fn another_length_and_damaged_bytes_are_malformed_and_take_no_memory() {
        let text = "abcdefgh".repeat(100);
        for compression in WAYS {
            let stored = Compressor::new(compression).compress(text.as_bytes()).unwrap();
            assert!(!can_be(compression, &stored, 16 << 20));
            assert!(decompress(compression, &stored, text.len() - 1).is_err());
            assert!(decompress(compression, &stored, text.len() + 1).is_err());
            for length in 0..stored.len() {
                assert!(decompress(compression, &stored[..length], text.len()).is_err(), "{length}");
            }
            for byte in 0..stored.len() {
                let mut damaged = stored.clone();
                damaged[byte] ^= 0x10;
                if let Ok(body) = decompress(compression, &damaged, text.len()) {
                    assert_eq!(body.len(), text.len());
                }
            }
        }
    }
}
