//! The configuration of a log: what it keeps and how it is stored; two equal copies of 512 bytes.
//!
//! ```text
//!   0  [8]  "NetDbCfg"
//!   8  u16  format version   10  u16 features, 0   12  u32 copy, 0 or 1
//!  16  u8   flags: 1 keeps so many events, 2 so many bytes, 4 for so long, 8 for one channel
//!  17  u8   compression: 0 none, 2 lz4, 4 zstd
//!  18  u48  reserved, 0
//!  24  u64  events   32  u64 bytes   40  u64 nanoseconds; each 0 without its flag
//!  48  zeros (replication and durability are reserved)
//! 508  u32  CRC of bytes 0..508
//! ```

use std::time::Duration;

use super::superblock::{checked_copy, decode_either, finish_copy, finish_zeros, foreign};
use super::{FORMAT_VERSION, Foreign, Malformed, Put};
use crate::{Compression, LogConfig, Retention};

/// Bytes of one copy.
const COPY_BYTES: usize = 512;
/// Bytes of the file.
pub(crate) const LOG_CONFIG_BYTES: usize = 2 * COPY_BYTES;
const MAGIC: [u8; 8] = *b"NetDbCfg";
const FLAG_EVENTS: u8 = 1;
const FLAG_BYTES: u8 = 2;
const FLAG_AGE: u8 = 4;
const FLAG_ONE_CHANNEL: u8 = 8;
const LZ4: u8 = 2;
const ZSTD: u8 = 4;

pub(crate) fn encode(config: &LogConfig) -> Vec<u8> {
    let retention = &config.retention;
    let age = retention.age.map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
    let flags = [
        (retention.events.is_some(), FLAG_EVENTS),
        (retention.bytes.is_some(), FLAG_BYTES),
        (age.is_some(), FLAG_AGE),
        (config.one_channel, FLAG_ONE_CHANNEL),
    ];
    let mut out = Vec::with_capacity(LOG_CONFIG_BYTES);
    for copy in 0..2 {
        let begin = out.len();
        out.put(&MAGIC);
        out.put_u16(FORMAT_VERSION);
        out.put_u16(0);
        out.put_u32(copy);
        out.put_u8(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
        out.put_u8(match config.compression {
            Compression::None => 0,
            Compression::Lz4 => LZ4,
            Compression::Zstd => ZSTD,
        });
        out.put(&[0; 6]);
        [retention.events, retention.bytes, age]
            .into_iter()
            .for_each(|value| out.put_u64(value.unwrap_or(0)));
        finish_copy(&mut out, begin, COPY_BYTES);
    }
    out
}

fn decode_copy(bytes: &[u8], copy: u32) -> Result<LogConfig, Malformed> {
    let mut cursor = checked_copy(bytes, COPY_BYTES, &MAGIC, "configuration magic")?;
    if cursor.u32("copy number")? != copy {
        return Err(Malformed::new("copy number"));
    }
    let flags = cursor.u8("flags")?;
    if flags & !(FLAG_EVENTS | FLAG_BYTES | FLAG_AGE | FLAG_ONE_CHANNEL) != 0 {
        return Err(Malformed::new("flags"));
    }
    let compression = match cursor.u8("compression")? {
        0 => Compression::None,
        LZ4 => Compression::Lz4,
        ZSTD => Compression::Zstd,
        _ => return Err(Malformed::new("compression")),
    };
    if cursor.array::<6>("reserved bytes")? != [0; 6] {
        return Err(Malformed::new("reserved bytes"));
    }
    let mut limit = |flag: u8, what| match (flags & flag != 0, cursor.u64(what)?) {
        (true, value) => Ok(Some(value)),
        (false, 0) => Ok(None),
        (false, _) => Err(Malformed::new(what)),
    };
    let retention = Retention {
        events: limit(FLAG_EVENTS, "events kept")?,
        bytes: limit(FLAG_BYTES, "bytes kept")?,
        age: limit(FLAG_AGE, "age kept")?.map(Duration::from_nanos),
    };
    finish_zeros(cursor)?;
    Ok(LogConfig { retention, compression, one_channel: flags & FLAG_ONE_CHANNEL != 0 })
}

/// Returns what a configuration that is whole says of its format, if we do not know it.
pub(crate) fn foreign_format(bytes: &[u8]) -> Option<Foreign> {
    foreign(bytes, COPY_BYTES, &MAGIC)
}

/// Decodes the first good copy and tells how many are good.
pub(crate) fn decode(bytes: &[u8]) -> Result<(LogConfig, usize), Malformed> {
    decode_either(bytes, COPY_BYTES, decode_copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<LogConfig> {
        let all = Retention { events: Some(7), bytes: Some(0), age: Some(Duration::from_nanos(u64::MAX)) };
        vec![
            LogConfig::default(),
            LogConfig { retention: all, compression: Compression::Zstd, one_channel: true },
            LogConfig { compression: Compression::Lz4, ..LogConfig::keeping(Retention::of_bytes(9)) },
        ]
    }

    #[test]
    fn configurations_round_trip_and_one_good_copy_suffices() {
        for config in samples() {
            let bytes = encode(&config);
            assert_eq!(bytes.len(), LOG_CONFIG_BYTES);
            assert_eq!(decode(&bytes), Ok((config.clone(), 2)));
            for copy in 0..2 {
                let mut damaged = bytes.clone();
                damaged[copy * COPY_BYTES + 30] ^= 1;
                assert_eq!(decode(&damaged), Ok((config.clone(), 1)));
            }
        }
    }

    #[test]
    fn any_flipped_bit_makes_a_copy_bad() {
        let bytes = encode(&samples()[1]);
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), Ok((samples()[1].clone(), 1)), "bit {bit}");
        }
    }

    #[test]
    fn what_no_version_wrote_is_refused() {
        let sealed = |place: usize, value: u8| {
            let mut copy = encode(&LogConfig::default())[..COPY_BYTES - 4].to_vec();
            copy[place] = value;
            finish_copy(&mut copy, 0, COPY_BYTES);
            copy
        };
        assert!(decode_copy(&sealed(16, 0), 0).is_ok());
        for (place, value) in [(10, 1), (16, 16), (17, 1), (20, 1), (24, 1), (47, 1), (48, 1), (507, 1)] {
            assert!(decode_copy(&sealed(place, value), 0).is_err(), "{place}");
        }
        assert_eq!(foreign_format(&sealed(8, 9)), Some(Foreign::Version(9)));
        assert_eq!(foreign_format(&sealed(10, 3)), Some(Foreign::Features(3)));
        assert_eq!(foreign_format(&sealed(16, 0)), None);
        for length in 0..COPY_BYTES {
            assert!(decode_copy(&sealed(16, 0)[..length], 0).is_err(), "{length}");
        }
    }
}
