//! The record of appends inside an entry: how many events belong together, what an append may be repeated by, and
//! where its events are.
//!
//! ```text
//!   u8   flags: 1 idempotency key, 2 producer, 8 run (4 is reserved: the author's own signature)
//!   u32  events of each append
//! with a run:
//!   u32  appends, at least 2; else there is one
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
const FLAG_RUN: u8 = 8;

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
    /// How many appends it stands for; 1 for one that may be repeated.
    pub appends: u32,
    /// Events of each.
    pub events: u32,
    pub repeatable: Option<Repeatable>,
}

impl AppendRecord {
    /// Returns the events of all its appends.
    pub(crate) fn all_events(&self) -> u64 {
        u64::from(self.appends) * u64::from(self.events)
    }
}

/// The records of an entry under construction.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub bytes: Vec<u8>,
    pub count: u32,
    /// The record written last, if further appends may join it.
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    at: usize,
    appends: u32,
    events: u32,
}

impl Records {
    /// Adds an append of so many events.
    #[inline]
    pub(crate) fn add(&mut self, events: u32, repeatable: Option<&Repeatable>) {
        if repeatable.is_none()
            && let Some(run) = self.run.as_mut().filter(|run| run.events == events)
        {
            run.appends += 1;
            self.bytes.truncate(run.at);
            encode_plain(&mut self.bytes, run.appends, events);
            return;
        }
        let at = self.bytes.len();
        self.run = match repeatable {
            None => {
                encode_plain(&mut self.bytes, 1, events);
                Some(Run { at, appends: 1, events })
            }
            Some(repeatable) => {
                encode_repeatable(&mut self.bytes, events, repeatable);
                None
            }
        };
        self.count += 1;
    }
}

#[inline]
fn encode_plain(out: &mut Vec<u8>, appends: u32, events: u32) {
    out.put_u8(if appends == 1 { 0 } else { FLAG_RUN });
    out.put_u32(events);
    if appends != 1 {
        out.put_u32(appends);
    }
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn encode(out: &mut Vec<u8>, record: &AppendRecord) {
    match &record.repeatable {
        None => encode_plain(out, record.appends, record.events),
        Some(repeatable) => encode_repeatable(out, record.events, repeatable),
    }
}

fn encode_repeatable(out: &mut Vec<u8>, events: u32, repeatable: &Repeatable) {
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
    if let 0 | FLAG_RUN = flags {
        let appends = if flags == 0 { 1 } else { cursor.u32("append run")? };
        if flags == FLAG_RUN && appends < 2 {
            return Err(Malformed::new("append run"));
        }
        return Ok(AppendRecord { appends, events, repeatable: None });
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
    Ok(AppendRecord { appends: 1, events, repeatable: Some(Repeatable { repeat, digest, ranges }) })
}

/// Passes over a record, as strictly as [`decode`]; returns its events.
#[inline]
pub(crate) fn skip(cursor: &mut Cursor<'_>) -> Result<u64, Malformed> {
    let mut ahead = cursor.clone();
    let flags = ahead.u8("append flags")?;
    let events = ahead.u32("append events")?;
    if flags == 0 {
        *cursor = ahead;
        return Ok(events.into());
    }
    Ok(decode(cursor)?.all_events())
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
            .map(|repeatable| AppendRecord { appends: 1, events: 3, repeatable });
        let plain = [1, 2, u32::MAX].map(|appends| AppendRecord { appends, events: 5, repeatable: None });
        plain.into_iter().chain(repeatable).collect()
    }

    #[test]
    fn records_round_trip_and_truncated_ones_are_refused() {
        for record in samples() {
            let mut out = Vec::new();
            encode(&mut out, &record);
            let mut cursor = Cursor::new(&out);
            let mut skipped = cursor.clone();
            assert_eq!(decode(&mut cursor).unwrap(), record);
            cursor.finish("rest").unwrap();
            assert_eq!(skip(&mut skipped), Ok(record.all_events()));
            skipped.finish("rest").unwrap();
            for length in 0..out.len() {
                assert!(decode(&mut Cursor::new(&out[..length])).is_err(), "{length}");
                assert!(skip(&mut Cursor::new(&out[..length])).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn plain_appends_of_as_many_events_stand_in_one_record() {
        let repeatable = samples().into_iter().find_map(|record| record.repeatable);
        let mut records = Records::default();
        for (events, repeatable) in [
            (1, None),
            (1, None),
            (1, None),
            (2, None),
            (1, None),
            (1, repeatable.as_ref()),
            (1, None),
            (1, None),
        ] {
            records.add(events, repeatable);
        }
        let mut cursor = Cursor::new(&records.bytes);
        let read: Vec<_> = (0..records.count).map(|_| decode(&mut cursor).unwrap()).collect();
        cursor.finish("rest").unwrap();
        let plain = |appends, events| AppendRecord { appends, events, repeatable: None };
        let kept = AppendRecord { repeatable, ..plain(1, 1) };
        assert_eq!(read, [plain(3, 1), plain(1, 2), plain(1, 1), kept, plain(2, 1)]);
    }

    #[test]
    fn a_run_of_less_than_two_is_refused() {
        for appends in [0_u8, 1] {
            let bytes = [FLAG_RUN, 1, 0, 0, 0, appends, 0, 0, 0];
            assert!(decode(&mut Cursor::new(&bytes)).is_err());
            assert!(skip(&mut Cursor::new(&bytes)).is_err());
        }
    }
}
