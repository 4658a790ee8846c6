//! The door through which the harnesses in `fuzz/` reach the decoders; only with the feature `fuzzing`.
//!
//! Each [`Structure`] can be read from any bytes, be made of chosen fields, and have its checksums put right after it was altered.
//! What does not hold panics here, where both sides are known.

use std::time::Duration;

use base::wire::Malformed;
use base::{Hash, Timestamp};

use crate::chunking::{Chunking, ContentSizes};
use crate::directory::{Content, Directory, Entry};
use crate::limits::{CHUNK_BYTES_MAX, FAN_OUT, TREE_DEPTH_MAX};
use crate::node::{Node, Part};
use crate::pins::{decode_lease, encode_lease};
use crate::store::fuzzing as store;
use crate::{
    BlobEncoding, BlobError, BlobRef, Named, OverflowConfig, OverflowSettings, Pin, PinMode, ReferenceForm,
};

/// What a decoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    PackHeader,
    Record,
    Pack,
    PackIndex,
    List,
    Directory,
    Reference,
    ReferenceText,
    Settings,
    Pin,
    Name,
    Lease,
}

/// What came of bytes that were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The bytes that were read; what follows belongs to another structure.
    pub used: usize,
    /// What was read, encoded again.
    pub again: Vec<u8>,
    /// Whether `again` must be the bytes that were read.
    pub canonical: bool,
}

/// Fields chosen by a fuzzer: bytes taken one after the other, zeros when there are no more.
#[derive(Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl Structure {
    pub const ALL: [Self; 12] = [
        Self::PackHeader,
        Self::Record,
        Self::Pack,
        Self::PackIndex,
        Self::List,
        Self::Directory,
        Self::Reference,
        Self::ReferenceText,
        Self::Settings,
        Self::Pin,
        Self::Name,
        Self::Lease,
    ];

    /// Reads the structure from any bytes; `None` when they are refused.
    pub fn read(self, bytes: &[u8]) -> Option<Accepted> {
        match self {
            Self::PackHeader => store::read_header(bytes),
            Self::Record => store::read_record(bytes),
            Self::Pack => store::read_pack(bytes),
            Self::PackIndex => store::read_index(bytes),
            Self::List => read_whole(bytes, Node::decode, Node::encode),
            Self::Directory => read_whole(bytes, Directory::decode, |directory| {
                directory.clone().encode().expect("it was read from as many bytes")
            }),
            Self::Reference => read_whole(bytes, BlobRef::decode, BlobRef::encode),
            Self::ReferenceText => {
                let parse = |bytes: &[u8]| std::str::from_utf8(bytes).map_err(drop)?.parse().map_err(drop);
                read_whole(bytes, parse, |reference: &BlobRef| reference.to_string().into_bytes())
            }
            Self::Settings => read_whole(bytes, OverflowSettings::decode, OverflowSettings::encode),
            Self::Pin => read_value(bytes, Pin::decode, Pin::encode),
            Self::Name => read_value(bytes, Named::decode, Named::encode),
            Self::Lease => read_value(bytes, decode_lease, |until| encode_lease(*until)),
        }
    }

    /// Makes a valid structure of chosen fields, and checks that reading it gives these fields.
    pub fn make(self, choices: &mut Choices<'_>) -> Vec<u8> {
        match self {
            Self::PackHeader => store::make_header(),
            Self::Record => store::make_record(choices),
            Self::Pack => store::make_pack(choices),
            Self::PackIndex => store::make_index(choices),
            Self::List => made(&choices.node(), Node::encode, Node::decode),
            Self::Directory => {
                let mut directory = choices.directory();
                let bytes = directory.encode().expect("it is small");
                made(&directory, |_| bytes.clone(), Directory::decode)
            }
            Self::Reference => made(&choices.reference(), BlobRef::encode, BlobRef::decode),
            Self::ReferenceText => made(
                &choices.reference(),
                |reference| reference.to_string().into_bytes(),
                |bytes| std::str::from_utf8(bytes).expect("it is ASCII").parse(),
            ),
            Self::Settings => made(&choices.settings(), OverflowSettings::encode, OverflowSettings::decode),
            Self::Pin => {
                let label = Some(choices.text(255)).filter(|label| !label.is_empty());
                let mode = if choices.flag() { PinMode::Direct } else { PinMode::Recursive };
                let pin = Pin { mode, label: label.map(Into::into), pinned_at: choices.time() };
                made(&pin, Pin::encode, Pin::decode)
            }
            Self::Name => {
                let named = Named { hash: choices.hash(), named_at: choices.time() };
                made(&named, Named::encode, Named::decode)
            }
            Self::Lease => made(&choices.time(), |until| encode_lease(*until), decode_lease),
        }
    }

    /// Puts the checksums of altered bytes right, so that what lies behind them is reached.
    pub fn repair(self, bytes: &mut [u8]) {
        match self {
            Self::PackHeader => checksum(bytes, 0, 28),
            Self::Record => checksum(bytes, 0, 60),
            Self::Pack => store::repair_pack(bytes),
            Self::PackIndex => store::repair_index(bytes),
            Self::Reference | Self::Settings => {
                if let Some(end) = bytes.len().checked_sub(4) {
                    checksum(bytes, 0, end);
                }
            }
            _ => {}
        }
    }
}

/// Puts the checksum of the record right that stands behind the content of a large object.
pub fn repair_large_object(bytes: &mut [u8]) {
    if let Some(at) = bytes.len().checked_sub(64) {
        checksum(bytes, at, at + 60);
    }
}

/// Writes the checksum of `from..to` behind it, if there is room.
pub(crate) fn checksum(bytes: &mut [u8], from: usize, to: usize) {
    if let Some(content) = bytes.get(from..to) {
        let crc = crc32fast::hash(content).to_le_bytes();
        if let Some(place) = bytes.get_mut(to..to + 4) {
            place.copy_from_slice(&crc);
        }
    }
}

/// A structure that fills its bytes.
fn read_whole<T, E>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, E>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<Accepted> {
    let again = encode(&decode(bytes).ok()?);
    Some(Accepted { used: bytes.len(), again, canonical: true })
}

/// A value of the journal, whose version was looked at before.
fn read_value<T>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, Malformed>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> Option<Accepted> {
    if bytes.first().is_some_and(|version| *version != 1) {
        return None;
    }
    read_whole(bytes, decode, encode)
}

/// Encodes a value, and checks that it comes back.
fn made<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, E>,
) -> Vec<u8> {
    let bytes = encode(value);
    let read = decode(&bytes).expect("what was made is read");
    assert!(read == *value, "{value:?} came back as {read:?}");
    bytes
}

impl Choices<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.split_off_first().copied().unwrap_or(0))
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array())) % bound.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.array::<1>()[0] & 1 == 1
    }

    pub(crate) fn hash(&mut self) -> Hash {
        Hash::from_bytes(self.array())
    }

    pub(crate) fn time(&mut self) -> Timestamp {
        Timestamp::from_nanos(i64::from_le_bytes(self.array()))
    }

    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.array::<1>()[0]).collect()
    }

    fn text(&mut self, max: usize) -> String {
        self.bytes(max).into_iter().map(|byte| char::from(byte & 0x7F)).collect()
    }

    fn node(&mut self) -> Node {
        let levels = self.below(TREE_DEPTH_MAX.into()) as u8;
        let min = 64 + 2 * self.below(500) as u32;
        let average = (min + 1 + self.below(1_000) as u32).max(256).next_power_of_two();
        let sizes = ContentSizes::new(min, average, (4 * average).max(1_024)).ok().filter(|_| self.flag());
        let chunking = sizes.map_or(Chunking::Fixed, Chunking::Content);
        let max = if levels == 0 { CHUNK_BYTES_MAX as u64 } else { 1 << 50 };
        let count = 1 + self.below(FAN_OUT);
        let part = |_| Part { name: self.hash(), bytes: 1 + self.number() % max };
        Node { levels, chunking, parts: (0..count).map(part).collect() }
    }

    fn directory(&mut self) -> Directory {
        let levels = self.below(1_001) as u16;
        let mut directory = Directory { levels, entries: Vec::new() };
        for nth in 0..self.below(40) {
            // Names differ by their ends.
            let mut name: Vec<u8> = self.bytes(200);
            name.iter_mut().filter(|byte| matches!(**byte, b'/' | 0)).for_each(|byte| *byte = b'x');
            name.extend(format!("-{nth}").bytes());
            let mode = self.below(0o1000) as u16;
            let (mode, what) = match self.below(3) {
                0 if levels > 0 => {
                    (mode, Content::Directory { object: self.hash(), bytes: self.number() >> 8 })
                }
                1 => {
                    let mut target = self.bytes(300);
                    target.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'/');
                    target.push(b'x');
                    (0, Content::Link { target: target.into() })
                }
                _ => (mode, Content::File { blob: self.hash(), bytes: self.number() >> 8 }),
            };
            directory.entries.push(Entry { name: name.into(), mode, what });
        }
        directory
    }

    fn reference(&mut self) -> BlobRef {
        let form = match self.below(3) {
            0 => ReferenceForm::Small,
            1 => ReferenceForm::Manifest { chunks: 1 + self.below(8_192) as u32 },
            _ => ReferenceForm::Tree { depth: 1 + self.below(TREE_DEPTH_MAX.into()) as u8 },
        };
        let least = match form {
            ReferenceForm::Manifest { chunks } => chunks.into(),
            _ => 1,
        };
        let bytes = least + self.number() % (form.bytes_max() - least + 1);
        let made = |made: Result<BlobRef, BlobError>| made.expect("it is within the limits");
        let mut reference = made(BlobRef::new(form, self.hash(), bytes));
        if self.flag() {
            let (k, m) = (1 + self.below(100) as u8, 1 + self.below(100) as u8);
            reference = made(reference.with_encoding(BlobEncoding::ReedSolomon { k, m }));
        }
        if self.flag() {
            let rest: String =
                self.bytes(500).into_iter().map(|byte| char::from(b'!' + byte % (b'~' - b'!' + 1))).collect();
            reference = made(reference.with_uri(&format!("s3:{rest}x")));
        }
        reference
    }

    fn settings(&mut self) -> OverflowSettings {
        let high = (2 + self.below(999)) as f64 / 1_000.0;
        let config = OverflowConfig {
            enabled: self.flag(),
            high,
            low: high / (2 + self.below(9)) as f64,
            pushes_per_tick: 1 + self.below(60_000),
            tick: Duration::from_millis(1_000 + self.number() % (1 << 40)),
        };
        let quota = Some(self.number()).filter(|_| self.flag());
        OverflowSettings { place: self.text(4_096), config, quota }
    }
}
