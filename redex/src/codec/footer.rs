//! Bodies of the frames that end things: a segment's footer, and the record of a clean close.
//!
//! ```text
//! both:    u16 format version, u16 reserved 0, u32 reserved 0,
//!          u64 next index, [32] hash of the last entry, [32] log root below the next index
//! footer:  u64 first index, u64 entries, u64 events, i64 first and i64 last recorded at,
//!          u32 channels, each (u16 + name, u64 first and u64 next sequence number, u64 events),
//!          u32 blob references, each [32] hash (none yet)
//! ```

use base::{ChannelName, Hash, Index, Seq, Timestamp};

use super::control::decode_name;
use super::{Cursor, FORMAT_VERSION, Malformed, Put};

/// Where a log stood when a frame was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub next_index: Index,
    pub last_hash: Hash,
    pub root: Hash,
}

/// What a sealed segment holds of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FooterChannel {
    pub name: ChannelName,
    pub first: Seq,
    pub next: Seq,
    pub events: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Footer {
    pub standing: Standing,
    pub first_index: Index,
    pub entries: u64,
    pub events: u64,
    pub first_recorded_at: Timestamp,
    pub last_recorded_at: Timestamp,
    pub channels: Vec<FooterChannel>,
}

pub(crate) fn encode_close(standing: &Standing) -> Vec<u8> {
    let mut out = Vec::new();
    put_standing(&mut out, standing);
    out
}

pub(crate) fn decode_close(bytes: &[u8]) -> Result<Standing, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let standing = take_standing(&mut cursor)?;
    cursor.finish("close length")?;
    Ok(standing)
}

pub(crate) fn encode_footer(footer: &Footer) -> Vec<u8> {
    let mut out = Vec::new();
    put_standing(&mut out, &footer.standing);
    out.put_u64(footer.first_index.0);
    out.put_u64(footer.entries);
    out.put_u64(footer.events);
    out.put_i64(footer.first_recorded_at.as_nanos());
    out.put_i64(footer.last_recorded_at.as_nanos());
    out.put_length(footer.channels.len());
    for channel in &footer.channels {
        out.put_text16(channel.name.as_str());
        out.put_u64(channel.first.0);
        out.put_u64(channel.next.0);
        out.put_u64(channel.events);
    }
    out.put_u32(0);
    out
}

pub(crate) fn decode_footer(bytes: &[u8]) -> Result<Footer, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let standing = take_standing(&mut cursor)?;
    let first_index = Index(cursor.u64("first index")?);
    let entries = cursor.u64("entries")?;
    let events = cursor.u64("events")?;
    let first_recorded_at = Timestamp::from_nanos(cursor.i64("first recorded at")?);
    let last_recorded_at = Timestamp::from_nanos(cursor.i64("last recorded at")?);
    let channels = (0..cursor.u32("footer channels")?)
        .map(|_| {
            Ok(FooterChannel {
                name: decode_name(&mut cursor)?,
                first: Seq(cursor.u64("first sequence number")?),
                next: Seq(cursor.u64("next sequence number")?),
                events: cursor.u64("channel events")?,
            })
        })
        .collect::<Result<_, _>>()?;
    if cursor.u32("blob references")? != 0 {
        return Err(Malformed::new("blob references"));
    }
    cursor.finish("footer length")?;
    Ok(Footer { standing, first_index, entries, events, first_recorded_at, last_recorded_at, channels })
}

fn put_standing(out: &mut Vec<u8>, standing: &Standing) {
    out.put_u16(FORMAT_VERSION);
    out.put_u16(0);
    out.put_u32(0);
    out.put_u64(standing.next_index.0);
    out.put(standing.last_hash.as_bytes());
    out.put(standing.root.as_bytes());
}

fn take_standing(cursor: &mut Cursor<'_>) -> Result<Standing, Malformed> {
    if cursor.u16("format version")? != FORMAT_VERSION {
        return Err(Malformed::new("format version"));
    }
    if cursor.u16("reserved bits")? != 0 || cursor.u32("reserved bits")? != 0 {
        return Err(Malformed::new("reserved bits"));
    }
    Ok(Standing {
        next_index: Index(cursor.u64("next index")?),
        last_hash: Hash::from_bytes(cursor.array("last hash")?),
        root: Hash::from_bytes(cursor.array("log root")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Standing {
        Standing { next_index: Index(9), last_hash: Hash::of(b"last"), root: Hash::of(b"root") }
    }

    #[test]
    fn both_round_trip_and_truncated_ones_are_refused() {
        let channel =
            FooterChannel { name: ChannelName::new("a").unwrap(), first: Seq(3), next: Seq(9), events: 6 };
        let footer = Footer {
            standing: standing(),
            first_index: Index(2),
            entries: 7,
            events: 6,
            first_recorded_at: Timestamp::from_nanos(1),
            last_recorded_at: Timestamp::from_nanos(2),
            channels: vec![channel],
        };
        let bytes = encode_footer(&footer);
        assert_eq!(decode_footer(&bytes), Ok(footer));
        assert!((0..bytes.len()).all(|length| decode_footer(&bytes[..length]).is_err()));
        let bytes = encode_close(&standing());
        assert_eq!(decode_close(&bytes), Ok(standing()));
        assert!((0..bytes.len()).all(|length| decode_close(&bytes[..length]).is_err()));
    }
}
