//! The record of one append inside an entry: what it may be repeated by, and where its events are.
//!
//! ```text
//!   u8   flags: 1 idempotency key, 2 producer (4 is reserved: the author's own signature)
//!   u32  events
//! with a key or producer:
//!   u16  bytes of the key or producer id, key or id
//!   u64  number of the producer, 0 with a key
//!   [32] digest
//!   u16  ranges, each (u32 block, u64 first sequence number, u32 events)
//! ```

use base::{Hash, Seq};

use super::{Cursor, Malformed, Put};

const FLAG_KEY: u8 = 1;
const FLAG_PRODUCER: u8 = 2;

/// What a repeated append is recognised by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repeat {
    Key(Box<str>),
    Producer { id: Box<str>, number: u64 },
}

/// Where some of an append's events are: `block` is a place in the entry's block list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RangeInBlock {
    pub block: u32,
    pub first: Seq,
    pub events: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repeatable {
    pub repeat: Repeat,
    pub digest: Hash,
    pub ranges: Vec<RangeInBlock>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppendRecord {
    pub events: u32,
    pub repeatable: Option<Repeatable>,
}

pub(crate) fn encode(out: &mut Vec<u8>, events: u32, repeatable: Option<&Repeatable>) {
    let Some(repeatable) = repeatable else {
        out.put_u8(0);
        out.put_u32(events);
        return;
    };
    let (flag, name, number) = match &repeatable.repeat {
        Repeat::Key(key) => (FLAG_KEY, key, 0),
        Repeat::Producer { id, number } => (FLAG_PRODUCER, id, *number),
    };
    out.put_u8(flag);
    out.put_u32(events);
    out.put_text16(name);
    out.put_u64(number);
    out.put(repeatable.digest.as_bytes());
    out.put_u16(u16::try_from(repeatable.ranges.len()).expect("an entry has far fewer blocks"));
    for range in &repeatable.ranges {
        out.put_u32(range.block);
        out.put_u64(range.first.0);
        out.put_u32(range.events);
    }
}

pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<AppendRecord, Malformed> {
    let flags = cursor.u8("append flags")?;
    let events = cursor.u32("append events")?;
    if flags == 0 {
        return Ok(AppendRecord { events, repeatable: None });
    }
    let name = Box::from(cursor.text16("append name")?);
    let number = cursor.u64("producer number")?;
    let digest = Hash::from_bytes(cursor.array("append digest")?);
    let repeat = match flags {
        FLAG_KEY if number == 0 => Repeat::Key(name),
        FLAG_PRODUCER => Repeat::Producer { id: name, number },
        _ => return Err(Malformed::new("append flags")),
    };
    let ranges = (0..cursor.u16("append ranges")?)
        .map(|_| {
            let block = cursor.u32("range block")?;
            let first = Seq(cursor.u64("range start")?);
            Ok(RangeInBlock { block, first, events: cursor.u32("range events")? })
        })
        .collect::<Result<_, _>>()?;
    Ok(AppendRecord { events, repeatable: Some(Repeatable { repeat, digest, ranges }) })
}

/// Passes over a record, as strictly as [`decode`]; returns its events.
#[inline]
pub(crate) fn skip(cursor: &mut Cursor<'_>) -> Result<u32, Malformed> {
    let mut ahead = cursor.clone();
    let flags = ahead.u8("append flags")?;
    let events = ahead.u32("append events")?;
    if flags == 0 {
        *cursor = ahead;
        return Ok(events);
    }
    Ok(decode(cursor)?.events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<AppendRecord> {
        let ranges = vec![RangeInBlock { block: 2, first: Seq(40), events: 3 }];
        let digest = Hash::of(b"digest");
        let repeats = [Repeat::Key("key".into()), Repeat::Producer { id: "p".into(), number: 9 }];
        let repeatable = repeats
            .map(|repeat| Some(Repeatable { repeat, digest, ranges: ranges.clone() }))
            .map(|repeatable| AppendRecord { events: 3, repeatable });
        [AppendRecord { events: 1, repeatable: None }].into_iter().chain(repeatable).collect()
    }

    #[test]
    fn records_round_trip_and_truncated_ones_are_refused() {
        for record in samples() {
            let mut out = Vec::new();
            encode(&mut out, record.events, record.repeatable.as_ref());
            let mut cursor = Cursor::new(&out);
            let mut skipped = cursor.clone();
            assert_eq!(decode(&mut cursor).unwrap(), record);
            cursor.finish("rest").unwrap();
            assert_eq!(skip(&mut skipped), Ok(record.events));
            skipped.finish("rest").unwrap();
            for length in 0..out.len() {
                assert!(decode(&mut Cursor::new(&out[..length])).is_err(), "{length}");
                assert!(skip(&mut Cursor::new(&out[..length])).is_err(), "{length}");
            }
        }
    }
}
