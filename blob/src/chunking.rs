//! Where a blob is cut into chunks.

use std::io::{self, Read};

use fastcdc::v2020::{Normalization, StreamCDC};

use crate::BlobError;
use crate::limits::{CHUNK_BYTES_MAX, FIXED_CHUNK_BYTES};

/// How a blob is cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chunking {
    /// Each 4 MiB.
    #[default]
    Fixed,
    /// Where the content says: what is put in or taken out changes the chunks around it only.
    Content(ContentSizes),
}

/// The sizes of chunks that are cut where the content says (FastCDC of 2020, normalization level 2). Blobs have chunks in common
/// only if they were cut with equal sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentSizes {
    min: u32,
    average: u32,
    max: u32,
}

impl Default for ContentSizes {
    /// 1, 4 and 16 MiB.
    fn default() -> Self {
        Self { min: 1 << 20, average: 4 << 20, max: 16 << 20 }
    }
}

impl ContentSizes {
    /// Checks sizes in bytes.
    ///
    /// # Errors
    ///
    /// [`BlobError::Chunking`].
    pub fn new(min: u32, average: u32, max: u32) -> Result<Self, BlobError> {
        let why = match (min, average, max) {
            (min, _, _) if !(64..=1 << 20).contains(&min) => "the smallest is to be from 64 to 1048576",
            (_, average, _) if !(256..=4 << 20).contains(&average) => {
                "the average is to be from 256 to 4194304"
            }
            (_, _, max) if !(1_024..=CHUNK_BYTES_MAX as u32).contains(&max) => {
                "the largest is to be from 1024 to 16777216"
            }
            _ if min >= average || average >= max => "each is to be larger than the one before",
            _ if !(min | average | max).is_multiple_of(2) => "all are to be even",
            _ => return Ok(Self { min, average, max }),
        };
        Err(BlobError::Chunking { min, average, max, why })
    }

    /// Returns the smallest, the average and the largest, in bytes.
    pub fn all(self) -> [u32; 3] {
        [self.min, self.average, self.max]
    }
}

/// The chunks of what is read, in memory for one of the largest.
pub(crate) enum Chunks<R: Read> {
    Fixed(R),
    Content(Box<StreamCDC<R>>),
}

impl<R: Read> Chunks<R> {
    pub(crate) fn new(source: R, chunking: Chunking) -> Self {
        match chunking {
            Chunking::Fixed => Self::Fixed(source),
            Chunking::Content(ContentSizes { min, average, max }) => {
                let (min, average, max) = (min as usize, average as usize, max as usize);
                Self::Content(Box::new(StreamCDC::with_level(
                    source,
                    min,
                    average,
                    max,
                    Normalization::Level2,
                )))
            }
        }
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        match self {
            Self::Fixed(source) => {
                let mut chunk = Vec::new();
                match source.by_ref().take(FIXED_CHUNK_BYTES as u64).read_to_end(&mut chunk) {
                    Ok(0) => None,
                    Ok(_) => Some(Ok(chunk)),
                    Err(error) => Some(Err(error)),
                }
            }
            Self::Content(chunks) => Some(match chunks.next()? {
                Ok(chunk) => Ok(chunk.data),
                Err(error) => Err(error.into()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut noise);
        noise
    }

    fn cut(bytes: &[u8], chunking: Chunking) -> Vec<Vec<u8>> {
        Chunks::new(bytes, chunking).map(Result::unwrap).collect()
    }

    #[test]
    fn chunks_are_the_content_and_keep_to_their_sizes() {
        let small = Chunking::Content(ContentSizes::new(1 << 10, 4 << 10, 16 << 10).unwrap());
        for bytes in [0, 1, 1 << 10, 100_000, FIXED_CHUNK_BYTES, FIXED_CHUNK_BYTES + 1, 9_000_000] {
            let content = noise(bytes);
            for (chunking, min, max) in
                [(Chunking::Fixed, FIXED_CHUNK_BYTES, FIXED_CHUNK_BYTES), (small, 1 << 10, 16 << 10)]
            {
                let chunks = cut(&content, chunking);
                assert_eq!(chunks.concat(), content);
                let (last, others) =
                    chunks.split_last().map_or((0, &[][..]), |(last, rest)| (last.len(), rest));
                assert!(others.iter().all(|chunk| (min..=max).contains(&chunk.len())) && last <= max);
            }
        }
    }

    #[test]
    fn what_is_put_in_changes_few_chunks_where_the_content_says_where_they_end() {
        let content = noise(1_000_000);
        let mut changed = content.clone();
        changed.splice(500_000..500_000, [7; 100]);
        let sizes = ContentSizes::new(1 << 10, 4 << 10, 16 << 10).unwrap();
        let [before, after] = [&content, &changed].map(|content| cut(content, Chunking::Content(sizes)));
        let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
        assert!(before.len() > 100 && new <= 4, "{new} of {}", after.len());
    }

    #[test]
    fn sizes_have_ranges_and_an_order() {
        assert!(ContentSizes::new(64, 256, 1_024).is_ok());
        for (min, average, max) in [
            (62, 256, 1_024),
            (64, 254, 1_024),
            (64, 256, 1_022),
            (256, 256, 1_024),
            (64, 1_024, 1_024),
            (65, 256, 1_024),
            (64, 256, (16 << 20) + 2),
        ] {
            assert!(matches!(ContentSizes::new(min, average, max), Err(BlobError::Chunking { .. })), "{min}");
        }
    }
}
