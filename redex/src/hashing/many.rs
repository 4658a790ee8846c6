//! Hashing many short messages at once.
//!
//! A processor has room for up to 16 messages side by side, where one alone makes it wait for itself. The library
//! offers that for its own use only, as an interface that may change with any release: so its version is fixed
//! in `Cargo.toml`, everything that needs it is here, and a test compares it with the documented function. What it
//! gives is the ordinary keyed hash, for messages of whole blocks of 64 bytes.

use base::Hash;
use blake3::IncrementCounter;
use blake3::platform::Platform;

/// Bytes of a block of BLAKE3.
pub(crate) const BLOCK_BYTES: usize = 64;
/// Longer messages have several chunks, which the documented function hashes side by side.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Messages that are hashed at once.
const LANES: usize = 16;

// From the specification of BLAKE3.
const CHUNK_START: u8 = 1 << 0;
const CHUNK_END: u8 = 1 << 1;
const ROOT: u8 = 1 << 3;
const KEYED_HASH: u8 = 1 << 4;

/// Hashes messages with a key, each followed by zeros to a whole number of blocks; `Many::add` in order, then
/// [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct Many<'a> {
    key: &'a [u8; 32],
    words: [u32; 8],
    platform: Platform,
    hashes: Vec<Hash>,
    /// For each number of blocks, the messages that wait for others of their length.
    waiting: Vec<Waiting>,
}

#[derive(Debug, Clone, Default)]
struct Waiting {
    /// Where the hashes go.
    places: Vec<usize>,
    bytes: Vec<u8>,
}

type HashAll = fn(&Platform, &[u8], &[u32; 8], &mut [u8]);

/// Hashes messages of one to 16 blocks.
const OF_BLOCKS: [HashAll; MESSAGE_BYTES_MAX / BLOCK_BYTES] = [
    hash_all::<64>,
    hash_all::<128>,
    hash_all::<192>,
    hash_all::<256>,
    hash_all::<320>,
    hash_all::<384>,
    hash_all::<448>,
    hash_all::<512>,
    hash_all::<576>,
    hash_all::<640>,
    hash_all::<704>,
    hash_all::<768>,
    hash_all::<832>,
    hash_all::<896>,
    hash_all::<960>,
    hash_all::<1024>,
];

impl<'a> Many<'a> {
    pub(crate) fn new(key: &'a [u8; 32], messages: usize) -> Self {
        let (words, _) = key.as_chunks::<4>();
        let words = std::array::from_fn(|nth| u32::from_le_bytes(words[nth]));
        let waiting = vec![Waiting::default(); OF_BLOCKS.len()];
        Self { key, words, platform: Platform::detect(), hashes: Vec::with_capacity(messages), waiting }
    }

    /// Adds a message.
    pub(crate) fn add(&mut self, message: &[u8]) {
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX {
            self.hashes.push(padded_hash(self.key, message));
            return;
        }
        let blocks = message.len().div_ceil(BLOCK_BYTES);
        let waiting = &mut self.waiting[blocks - 1];
        waiting.places.push(self.hashes.len());
        waiting.bytes.extend_from_slice(message);
        waiting.bytes.resize(waiting.places.len() * blocks * BLOCK_BYTES, 0);
        self.hashes.push(Hash::ZERO);
        if waiting.places.len() == LANES {
            self.hash_waiting(blocks - 1);
        }
    }

    fn hash_waiting(&mut self, class: usize) {
        let waiting = &mut self.waiting[class];
        let mut out = [0; LANES * Hash::BYTES];
        let out = &mut out[..waiting.places.len() * Hash::BYTES];
        OF_BLOCKS[class](&self.platform, &waiting.bytes, &self.words, out);
        let (hashes, _) = out.as_chunks::<{ Hash::BYTES }>();
        for (place, hash) in waiting.places.drain(..).zip(hashes) {
            self.hashes[place] = Hash::from_bytes(*hash);
        }
        waiting.bytes.clear();
    }

    /// Returns the hashes, in the order of the messages.
    pub(crate) fn finish(mut self) -> Vec<Hash> {
        (0..self.waiting.len()).for_each(|class| self.hash_waiting(class));
        self.hashes
    }
}

fn hash_all<const BYTES: usize>(platform: &Platform, messages: &[u8], key: &[u32; 8], out: &mut [u8]) {
    let (messages, _) = messages.as_chunks::<BYTES>();
    let mut inputs = [&[0; BYTES]; LANES];
    inputs.iter_mut().zip(messages).for_each(|(input, message)| *input = message);
    let inputs = &inputs[..messages.len().min(LANES)];
    let (counter, same) = (0, IncrementCounter::No);
    platform.hash_many(inputs, key, counter, same, KEYED_HASH, CHUNK_START, CHUNK_END | ROOT, out);
}

/// Hashes one message with a key, followed by zeros to a whole number of blocks.
pub(crate) fn padded_hash(key: &[u8; 32], message: &[u8]) -> Hash {
    let padded = message.len().next_multiple_of(BLOCK_BYTES);
    if padded == message.len() {
        return blake3::keyed_hash(key, message).into();
    }
    if padded <= MESSAGE_BYTES_MAX {
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        bytes[..message.len()].copy_from_slice(message);
        return blake3::keyed_hash(key, &bytes[..padded]).into();
    }
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(message).update(&[0; BLOCK_BYTES][..padded - message.len()]).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        (0..length).map(|nth| (nth * 7 + length) as u8 | 1).collect()
    }

    #[test]
    fn many_at_once_are_hashed_as_one_by_one_is_documented() {
        let key = [7; 32];
        for step in [1, 3, 64, 100] {
            let messages: Vec<Vec<u8>> = (0..2100).step_by(step).chain(1..40).map(message).collect();
            let mut many = Many::new(&key, messages.len());
            messages.iter().for_each(|message| many.add(message));
            let hashes = many.finish();
            assert_eq!(hashes.len(), messages.len());
            for (message, hash) in messages.iter().zip(hashes) {
                let mut padded = message.clone();
                padded.resize(message.len().next_multiple_of(BLOCK_BYTES), 0);
                assert_eq!(hash, Hash::from(blake3::keyed_hash(&key, &padded)), "{} bytes", message.len());
                assert_eq!(hash, padded_hash(&key, message));
            }
        }
    }
}
