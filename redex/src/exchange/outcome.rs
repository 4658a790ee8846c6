//! Outcomes.
//!
//! ```text
//! u8 what: 0 appended, 1 appended already, 2 rejected, 3 unknown
//! appended: place as in state frames; unknown: u16+cause
//! rejected: u64 position, u8 reason, by reason:
//!   0 condition failed: u16+channel, expectation, u8 whether it exists, if so u64 next number
//!   1 configuration mismatch: u16+channel      2 key reused: u16+key, place
//!   3 stale producer: u16+id, u64 number, u64 last        4 moved, 5 elsewhere, 6 unplaced: u16+channel, u16+log
//!   7 clock leap: i64 now, i64 expected        8 keys full: u64 bytes, u64 max        9 disk full
//!   10 write failed, 11 unavailable: u16+cause        12 blob missing: [32] hash, u64 bytes
//! ```

use base::wire::{Cursor, Malformed, Put};
use base::{ChannelName, Hash, Position, Seq, Timestamp};

use super::ExchangeError;
use super::request::{decode_expect, encode_expect};
use crate::codec::control::decode_name;
use crate::codec::state::{decode_place, encode_place};
use crate::{LogName, Outcome, Rejection};

/// Bytes of a cause that are kept.
const CAUSE_BYTES_MAX: usize = 1_024;

/// Encodes an outcome.
pub fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    let mut out = Vec::new();
    match outcome {
        Outcome::Appended { at } => {
            out.put_u8(0);
            encode_place(&mut out, at);
        }
        Outcome::AlreadyAppended { at } => {
            out.put_u8(1);
            encode_place(&mut out, at);
        }
        Outcome::Rejected { reason, position } => {
            out.put_u8(2);
            out.put_u64(position.0);
            encode_rejection(&mut out, reason);
        }
        Outcome::Unknown { cause } => {
            out.put_u8(3);
            put_cause(&mut out, cause);
        }
    }
    out
}

fn put_cause(out: &mut Vec<u8>, cause: &str) {
    out.put_text16(&cause[..cause.floor_char_boundary(CAUSE_BYTES_MAX)]);
}

fn encode_rejection(out: &mut Vec<u8>, reason: &Rejection) {
    let named = |out: &mut Vec<u8>, tag: u8, channel: &ChannelName| {
        out.put_u8(tag);
        out.put_text16(channel.as_str());
    };
    match reason {
        Rejection::ConditionFailed { channel, expected, actual } => {
            named(out, 0, channel);
            encode_expect(out, *expected);
            out.put_u8(u8::from(actual.is_some()));
            if let Some(actual) = actual {
                out.put_u64(actual.0);
            }
        }
        Rejection::ConfigMismatch { channel } => named(out, 1, channel),
        Rejection::KeyReused { key, at } => {
            out.put_u8(2);
            out.put_text16(key);
            encode_place(out, at);
        }
        Rejection::StaleProducer { id, number, last } => {
            out.put_u8(3);
            out.put_text16(id);
            out.put_u64(*number);
            out.put_u64(*last);
        }
        Rejection::Moved { channel, to: log } => {
            named(out, 4, channel);
            out.put_text16(log.as_str());
        }
        Rejection::Elsewhere { channel, log } => {
            named(out, 5, channel);
            out.put_text16(log.as_str());
        }
        Rejection::Unplaced { log, channel } => {
            named(out, 6, channel);
            out.put_text16(log.as_str());
        }
        Rejection::ClockLeap { now, expected } => {
            out.put_u8(7);
            out.put_i64(now.as_nanos());
            out.put_i64(expected.as_nanos());
        }
        Rejection::KeysFull { bytes, max } => {
            out.put_u8(8);
            out.put_u64(*bytes);
            out.put_u64(*max);
        }
        Rejection::DiskFull => out.put_u8(9),
        Rejection::WriteFailed { cause } => {
            out.put_u8(10);
            put_cause(out, cause);
        }
        Rejection::Unavailable { cause } => {
            out.put_u8(11);
            put_cause(out, cause);
        }
        Rejection::BlobMissing { hash, bytes } => {
            out.put_u8(12);
            out.put(hash.as_bytes());
            out.put_u64(*bytes);
        }
    }
}

/// Decodes an outcome.
///
/// # Errors
///
/// [`ExchangeError`] for anything but what [`encode_outcome`] gives.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, ExchangeError> {
    let mut cursor = Cursor::new(bytes);
    let outcome = decode(&mut cursor).map_err(ExchangeError)?;
    cursor.finish("length").map_err(ExchangeError)?;
    Ok(outcome)
}

fn decode(cursor: &mut Cursor<'_>) -> Result<Outcome, Malformed> {
    Ok(match cursor.u8("outcome")? {
        0 => Outcome::Appended { at: decode_place(cursor)? },
        1 => Outcome::AlreadyAppended { at: decode_place(cursor)? },
        2 => {
            let position = Position(cursor.u64("position")?);
            Outcome::Rejected { position, reason: decode_rejection(cursor)? }
        }
        3 => Outcome::Unknown { cause: cursor.text16("cause")?.to_owned() },
        _ => return Err(Malformed::new("outcome")),
    })
}

fn decode_rejection(cursor: &mut Cursor<'_>) -> Result<Rejection, Malformed> {
    Ok(match cursor.u8("reason")? {
        0 => {
            let channel = decode_name(cursor)?;
            let expected = decode_expect(cursor)?;
            let actual = match cursor.u8("whether it exists")? {
                0 => None,
                1 => Some(Seq(cursor.u64("next number")?)),
                _ => return Err(Malformed::new("whether it exists")),
            };
            Rejection::ConditionFailed { channel, expected, actual }
        }
        1 => Rejection::ConfigMismatch { channel: decode_name(cursor)? },
        2 => {
            let key = cursor.text16("key")?.to_owned();
            Rejection::KeyReused { key, at: Box::new(decode_place(cursor)?) }
        }
        3 => {
            let id = cursor.text16("producer")?.to_owned();
            Rejection::StaleProducer { id, number: cursor.u64("number")?, last: cursor.u64("last number")? }
        }
        4 => Rejection::Moved { channel: decode_name(cursor)?, to: log_name(cursor)? },
        5 => Rejection::Elsewhere { channel: decode_name(cursor)?, log: log_name(cursor)? },
        6 => Rejection::Unplaced { channel: decode_name(cursor)?, log: log_name(cursor)? },
        7 => {
            let now = Timestamp::from_nanos(cursor.i64("time")?);
            Rejection::ClockLeap { now, expected: Timestamp::from_nanos(cursor.i64("expected time")?) }
        }
        8 => Rejection::KeysFull { bytes: cursor.u64("bytes")?, max: cursor.u64("limit")? },
        9 => Rejection::DiskFull,
        10 => Rejection::WriteFailed { cause: cursor.text16("cause")?.to_owned() },
        11 => Rejection::Unavailable { cause: cursor.text16("cause")?.to_owned() },
        12 => {
            let hash = Hash::from_bytes(cursor.array("blob hash")?);
            Rejection::BlobMissing { hash, bytes: cursor.u64("blob length")? }
        }
        _ => return Err(Malformed::new("reason")),
    })
}

fn log_name(cursor: &mut Cursor<'_>) -> Result<LogName, Malformed> {
    LogName::new(cursor.text16("log")?).map_err(|_| Malformed::new("log"))
}
