//! Control records: what an entry says about its log rather than in a channel.
//!
//! ```text
//!   u16 type: 1 incarnation, 2 channel created, 3 hole, 4 moved, 5 trim, 6 redaction, 9 consensus, 10 arrived
//!       (reserved: 7 anchor, 8 successor key)
//!   u16 reserved, 0
//!   u32 bytes of what follows
//! incarnation:      [16] id, [32] public key, [16] parent id, u64 last signed position, [32] hash there
//! channel created:  u16 + name, u64 base sequence number, configuration
//! configuration:    u8 flags: 1 content type, 2 erasable; with 1, u8 + content type
//! hole:             u64 first index, u64 next index, u64 bytes lost,
//!                   u64 first sequence number of channels created later, u32 channels that may have lost events,
//!                   each (u16 + name, u64 next sequence number)
//! trim:             u64 index of the first entry that is kept, u32 channels whose beginning goes,
//!                   each (u16 + name, u64 first sequence number that is kept)
//! redaction:        u16 + name, u16 + reason, u32 ranges in rising order that do not touch, each (u64 first sequence
//!                   number, u64 the number behind the last)
//! moved:            u16 + name, place of the log that the channel goes on in, u64 next sequence number
//! consensus:        bytes that consensus understands
//! arrived:          u16 + name, u64 base sequence number, configuration, place of the log that it was in before,
//!                   u64 position there, behind the entry that says so
//! place of a log:   [16] id, u16 + name
//! ```

use std::ops::Range;

use base::{ChannelName, Hash, IncarnationId, Index, LogId, Position, PublicKey, Seq};

use super::{Cursor, Malformed, Put};
use crate::{ChannelConfig, LogName};

const INCARNATION: u16 = 1;
const CHANNEL_CREATED: u16 = 2;
const HOLE: u16 = 3;
const MOVED: u16 = 4;
const TRIM: u16 = 5;
const REDACTION: u16 = 6;
const CONSENSUS: u16 = 9;
const ARRIVED: u16 = 10;
const FLAG_CONTENT_TYPE: u8 = 1;
const FLAG_ERASABLE: u8 = 2;

/// The beginning of an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IncarnationRecord {
    pub id: IncarnationId,
    pub public_key: PublicKey,
    pub parent: IncarnationId,
    /// The position behind the last signed entry that was found, and that entry's hash.
    pub last_signed: Position,
    pub last_signed_hash: Hash,
}

/// Entries that were lost to corruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HoleRecord {
    pub first: Index,
    pub next: Index,
    pub bytes: u64,
    /// The first number of channels that are created later: they may have been there before, and may have had
    /// events. 0 when it is known what was lost.
    pub floor: Seq,
    /// The channels that may have lost events, and where their sequence numbers go on.
    pub channels: Vec<(ChannelName, Seq)>,
}

impl HoleRecord {
    pub(crate) fn is_same_range(&self, other: &Self) -> bool {
        (self.first, self.next) == (other.first, other.next)
    }
}

/// The beginning of a log that is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrimRecord {
    /// The first entry that is kept.
    pub first: Index,
    /// The channels whose beginning goes, and the first number of each that is kept.
    pub channels: Vec<(ChannelName, Seq)>,
}

/// Events that are taken out of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedactionRecord {
    pub channel: ChannelName,
    /// Why, as the caller says; may be empty.
    pub reason: Box<str>,
    /// Their numbers, in rising order; no range is empty, and none touches the next.
    pub ranges: Vec<Range<u64>>,
}

/// Another log of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogPlace {
    pub id: LogId,
    pub name: LogName,
}

/// A channel that goes on in another log: this one takes no more events of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MovedRecord {
    pub channel: ChannelName,
    pub to: LogPlace,
    /// The number that its next event gets there.
    pub next: Seq,
}

/// A channel that comes from another log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArrivedRecord {
    pub channel: ChannelName,
    /// The number that its next event gets.
    pub base: Seq,
    pub config: ChannelConfig,
    pub from: LogPlace,
    /// The position in that log behind the entry that says that it goes on here.
    pub position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    Incarnation(IncarnationRecord),
    ChannelCreated {
        name: ChannelName,
        base: Seq,
        config: ChannelConfig,
    },
    Hole(HoleRecord),
    Trim(TrimRecord),
    Redaction(RedactionRecord),
    Moved(MovedRecord),
    Arrived(ArrivedRecord),
    /// What consensus itself put into the log, such as its membership; alone in an entry without incarnation.
    Consensus(Box<[u8]>),
}

impl Control {
    /// Returns the channel that begins here, by creation or from another log, and its first number.
    pub(crate) fn begins(&self) -> Option<(&ChannelName, Seq)> {
        match self {
            Self::ChannelCreated { name, base, .. } => Some((name, *base)),
            Self::Arrived(record) => Some((&record.channel, record.base)),
            _ => None,
        }
    }

    /// Returns the channel that readers must hear of: one that begins here or leaves.
    pub(crate) fn concerns(&self) -> Option<&ChannelName> {
        match self {
            Self::Moved(record) => Some(&record.channel),
            _ => self.begins().map(|(name, _)| name),
        }
    }
}

pub(crate) fn encode(out: &mut Vec<u8>, control: &Control) {
    let code = match control {
        Control::Incarnation(_) => INCARNATION,
        Control::ChannelCreated { .. } => CHANNEL_CREATED,
        Control::Hole(_) => HOLE,
        Control::Trim(_) => TRIM,
        Control::Redaction(_) => REDACTION,
        Control::Moved(_) => MOVED,
        Control::Arrived(_) => ARRIVED,
        Control::Consensus(_) => CONSENSUS,
    };
    out.put_u16(code);
    out.put_u16(0);
    let length_at = out.len();
    out.put_u32(0);
    match control {
        Control::Incarnation(record) => encode_incarnation(out, record),
        Control::ChannelCreated { name, base, config } => {
            out.put_text16(name.as_str());
            out.put_u64(base.0);
            encode_config(out, config);
        }
        Control::Hole(hole) => encode_hole(out, hole),
        Control::Trim(trim) => {
            out.put_u64(trim.first.0);
            encode_numbers(out, &trim.channels);
        }
        Control::Redaction(redaction) => encode_redaction(out, redaction),
        Control::Moved(record) => {
            out.put_text16(record.channel.as_str());
            encode_place(out, &record.to);
            out.put_u64(record.next.0);
        }
        Control::Arrived(record) => {
            out.put_text16(record.channel.as_str());
            out.put_u64(record.base.0);
            encode_config(out, &record.config);
            encode_place(out, &record.from);
            out.put_u64(record.position.0);
        }
        Control::Consensus(bytes) => out.put(bytes),
    }
    let length = u32::try_from(out.len() - length_at - 4).expect("control records are far below 4 GiB");
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

fn encode_incarnation(out: &mut Vec<u8>, record: &IncarnationRecord) {
    out.put(record.id.as_bytes());
    out.put(record.public_key.as_bytes());
    out.put(record.parent.as_bytes());
    out.put_u64(record.last_signed.0);
    out.put(record.last_signed_hash.as_bytes());
}

pub(crate) fn encode_hole(out: &mut Vec<u8>, hole: &HoleRecord) {
    out.put_u64(hole.first.0);
    out.put_u64(hole.next.0);
    out.put_u64(hole.bytes);
    out.put_u64(hole.floor.0);
    encode_numbers(out, &hole.channels);
}

fn encode_numbers(out: &mut Vec<u8>, channels: &[(ChannelName, Seq)]) {
    out.put_length(channels.len());
    for (name, seq) in channels {
        out.put_text16(name.as_str());
        out.put_u64(seq.0);
    }
}

pub(crate) fn encode_redaction(out: &mut Vec<u8>, redaction: &RedactionRecord) {
    out.put_text16(redaction.channel.as_str());
    out.put_text16(&redaction.reason);
    out.put_length(redaction.ranges.len());
    for range in &redaction.ranges {
        out.put_u64(range.start);
        out.put_u64(range.end);
    }
}

pub(crate) fn encode_place(out: &mut Vec<u8>, place: &LogPlace) {
    out.put(place.id.as_bytes());
    out.put_text16(place.name.as_str());
}

pub(crate) fn encode_config(out: &mut Vec<u8>, config: &ChannelConfig) {
    let content_type = if config.content_type.is_some() { FLAG_CONTENT_TYPE } else { 0 };
    out.put_u8(content_type | if config.erasable { FLAG_ERASABLE } else { 0 });
    if let Some(content_type) = &config.content_type {
        out.put_u8(u8::try_from(content_type.len()).expect("content types are limited to 255 bytes"));
        out.put(content_type.as_bytes());
    }
}

pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Control, Malformed> {
    let code = cursor.u16("control type")?;
    if cursor.u16("reserved bits")? != 0 {
        return Err(Malformed::new("reserved bits"));
    }
    let length = cursor.length("control length")?;
    let mut body = Cursor::new(cursor.take(length, "control length")?);
    let control = match code {
        INCARNATION => Control::Incarnation(decode_incarnation(&mut body)?),
        CHANNEL_CREATED => {
            let name = decode_name(&mut body)?;
            let base = Seq(body.u64("base sequence number")?);
            Control::ChannelCreated { name, base, config: decode_config(&mut body)? }
        }
        HOLE => Control::Hole(decode_hole(&mut body)?),
        TRIM => {
            let first = Index(body.u64("first kept entry")?);
            Control::Trim(TrimRecord { first, channels: decode_numbers(&mut body)? })
        }
        REDACTION => Control::Redaction(decode_redaction(&mut body)?),
        MOVED => {
            let channel = decode_name(&mut body)?;
            let to = decode_place(&mut body)?;
            Control::Moved(MovedRecord { channel, to, next: Seq(body.u64("next sequence number")?) })
        }
        ARRIVED => {
            let channel = decode_name(&mut body)?;
            let base = Seq(body.u64("base sequence number")?);
            let config = decode_config(&mut body)?;
            let from = decode_place(&mut body)?;
            let position = Position(body.u64("position of the move")?);
            Control::Arrived(ArrivedRecord { channel, base, config, from, position })
        }
        CONSENSUS => Control::Consensus(body.take(length, "control length")?.into()),
        _ => return Err(Malformed::new("control type")),
    };
    body.finish("control length")?;
    Ok(control)
}

pub(crate) fn decode_name(cursor: &mut Cursor<'_>) -> Result<ChannelName, Malformed> {
    ChannelName::new(cursor.text16("channel name")?).map_err(|_| Malformed::new("channel name"))
}

pub(crate) fn decode_place(cursor: &mut Cursor<'_>) -> Result<LogPlace, Malformed> {
    let id = LogId::from_bytes(cursor.array("log id")?);
    let name = LogName::new(cursor.text16("log name")?).map_err(|_| Malformed::new("log name"))?;
    Ok(LogPlace { id, name })
}

fn decode_incarnation(body: &mut Cursor<'_>) -> Result<IncarnationRecord, Malformed> {
    Ok(IncarnationRecord {
        id: IncarnationId::from_bytes(body.array("incarnation id")?),
        public_key: PublicKey::from_bytes(body.array("public key")?),
        parent: IncarnationId::from_bytes(body.array("parent incarnation")?),
        last_signed: Position(body.u64("last signed position")?),
        last_signed_hash: Hash::from_bytes(body.array("last signed hash")?),
    })
}

pub(crate) fn decode_hole(body: &mut Cursor<'_>) -> Result<HoleRecord, Malformed> {
    let first = Index(body.u64("hole start")?);
    let next = Index(body.u64("hole end")?);
    let bytes = body.u64("hole length")?;
    let floor = Seq(body.u64("hole floor")?);
    let channels = decode_numbers(body)?;
    if next < first {
        return Err(Malformed::new("hole end"));
    }
    Ok(HoleRecord { first, next, bytes, floor, channels })
}

fn decode_numbers(body: &mut Cursor<'_>) -> Result<Vec<(ChannelName, Seq)>, Malformed> {
    let count = body.u32("channels")?;
    (0..count).map(|_| Ok((decode_name(body)?, Seq(body.u64("sequence number")?)))).collect()
}

pub(crate) fn decode_redaction(body: &mut Cursor<'_>) -> Result<RedactionRecord, Malformed> {
    let channel = decode_name(body)?;
    let reason = Box::from(body.text16("reason")?);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for _ in 0..body.u32("redacted ranges")? {
        let range = body.u64("sequence number")?..body.u64("sequence number")?;
        if range.is_empty() || ranges.last().is_some_and(|last| last.end >= range.start) {
            return Err(Malformed::new("sequence number"));
        }
        ranges.push(range);
    }
    Ok(RedactionRecord { channel, reason, ranges })
}

pub(crate) fn decode_config(cursor: &mut Cursor<'_>) -> Result<ChannelConfig, Malformed> {
    let flags = cursor.u8("configuration flags")?;
    if flags & !(FLAG_CONTENT_TYPE | FLAG_ERASABLE) != 0 {
        return Err(Malformed::new("configuration flags"));
    }
    let content_type = match flags & FLAG_CONTENT_TYPE {
        0 => None,
        _ => {
            let length = usize::from(cursor.u8("content type")?);
            Some(cursor.text(length, "content type")?.to_owned())
        }
    };
    Ok(ChannelConfig { content_type, erasable: flags & FLAG_ERASABLE != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Control> {
        let name = ChannelName::new("a/b").unwrap();
        let incarnation = IncarnationRecord {
            id: IncarnationId::from_bytes([1; 16]),
            public_key: PublicKey::from_bytes([2; 32]),
            parent: IncarnationId::from_bytes([3; 16]),
            last_signed: Position(4),
            last_signed_hash: Hash::of(b"5"),
        };
        let config = ChannelConfig { content_type: Some("application/json".to_owned()), erasable: true };
        let redaction =
            RedactionRecord { channel: name.clone(), reason: "asked".into(), ranges: vec![3..5, 9..10] };
        let hole = HoleRecord {
            first: Index(3),
            next: Index(5),
            bytes: 99,
            floor: Seq(6),
            channels: vec![(name.clone(), Seq(7))],
        };
        let place = LogPlace { id: LogId::from_bytes([8; 16]), name: LogName::new("other").unwrap() };
        let moved = MovedRecord { channel: name.clone(), to: place.clone(), next: Seq(9) };
        let arrived = ArrivedRecord {
            channel: name.clone(),
            base: Seq(9),
            config: config.clone(),
            from: place,
            position: Position(10),
        };
        vec![
            Control::Moved(moved),
            Control::Arrived(arrived),
            Control::Incarnation(incarnation),
            Control::ChannelCreated { name: name.clone(), base: Seq(0), config },
            Control::Redaction(redaction),
            Control::ChannelCreated { name, base: Seq(5), config: ChannelConfig::default() },
            Control::Trim(TrimRecord { first: Index(9), channels: hole.channels.clone() }),
            Control::Hole(hole),
            Control::Consensus(Box::from(&b"membership"[..])),
        ]
    }

    #[test]
    fn records_round_trip_and_truncated_ones_are_refused() {
        for control in samples() {
            let mut out = Vec::new();
            encode(&mut out, &control);
            let mut cursor = Cursor::new(&out);
            assert_eq!(decode(&mut cursor).unwrap(), control);
            cursor.finish("rest").unwrap();
            for length in 0..out.len() {
                assert!(decode(&mut Cursor::new(&out[..length])).is_err(), "{length}");
            }
        }
    }
}
