//! Bodies of the frames that end things: a segment's footer, and the record of a clean close.
//!
//! ```text
//! both:    u16 format version, u16 reserved 0, u32 reserved 0,
//!          u64 next index, [32] hash of the last entry, [32] log root below the next index
//! footer:  u64 first index, u64 entries, u64 events, i64 first and i64 last recorded at,
//!          u32 channels, each (u16 + name, u64 first and u64 next sequence number, u64 events),
//!          u32 blob references: 0 where they are not listed, else how many and bit 31, then each [32] hash,
//!          in rising order
//! ```

use base::{ChannelName, Hash, Index, Seq, Timestamp};

use super::control::decode_name;
use super::{Cursor, FORMAT_VERSION, Malformed, Put};
use crate::limits::LISTED_REFERENCES_MAX;

/// In the count of blob references: they are listed. Footers of before had no list, and 0 there.
const LISTED: u32 = 1 << 31;

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
    /// The distinct hashes that events of channels which are not erasable refer to, in rising order; `None` where they
    /// are not listed.
    pub references: Option<Vec<Hash>>,
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
    match &footer.references {
        None => out.put_u32(0),
        Some(references) => {
            let count = u32::try_from(references.len()).expect("so many are not listed");
            out.put_u32(LISTED | count);
            references.iter().for_each(|hash| out.put(hash.as_bytes()));
        }
    }
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
    let references = decode_references(&mut cursor)?;
    cursor.finish("footer length")?;
    Ok(Footer {
        standing,
        first_index,
        entries,
        events,
        first_recorded_at,
        last_recorded_at,
        channels,
        references,
    })
}

fn decode_references(cursor: &mut Cursor<'_>) -> Result<Option<Vec<Hash>>, Malformed> {
    let count = match cursor.u32("blob references")? {
        0 => return Ok(None),
        count if count & LISTED == 0 => return Err(Malformed::new("blob references")),
        count => (count & !LISTED) as usize,
    };
    if count > LISTED_REFERENCES_MAX {
        return Err(Malformed::new("number of blob references"));
    }
    let bytes = cursor.take(count * Hash::BYTES, "blob references")?;
    let (hashes, _) = bytes.as_chunks();
    let hashes: Vec<_> = hashes.iter().copied().map(Hash::from_bytes).collect();
    match hashes.is_sorted_by(|one, next| one < next) {
        true => Ok(Some(hashes)),
        false => Err(Malformed::new("order of blob references")),
    }
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

    fn hashes(count: u32) -> Vec<Hash> {
        let mut hashes: Vec<_> = (0..count).map(|number| Hash::of(&number.to_le_bytes())).collect();
        hashes.sort();
        hashes
    }

    fn empty() -> Footer {
        Footer {
            standing: standing(),
            first_index: Index(2),
            entries: 7,
            events: 6,
            first_recorded_at: Timestamp::from_nanos(1),
            last_recorded_at: Timestamp::from_nanos(2),
            channels: Vec::new(),
            references: None,
        }
    }

    #[test]
    fn a_footer_of_before_says_that_references_are_not_listed() {
        let bytes = encode_footer(&empty());
        assert_eq!(bytes[bytes.len() - 4..], [0; 4]);
        let listed = encode_footer(&Footer { references: Some(Vec::new()), ..empty() });
        assert_eq!(listed[listed.len() - 4..], [0, 0, 0, 0x80]);
        assert_eq!(listed[..listed.len() - 4], bytes[..bytes.len() - 4]);
    }

    #[test]
    fn references_that_nobody_would_list_are_refused() {
        let with = |count: u32, hashes: &[Hash]| {
            let mut bytes = encode_footer(&empty());
            bytes.truncate(bytes.len() - 4);
            bytes.put_u32(count);
            hashes.iter().for_each(|hash| bytes.put(hash.as_bytes()));
            decode_footer(&bytes).map(|footer| footer.references)
        };
        let two = hashes(2);
        assert_eq!(with(LISTED | 2, &two), Ok(Some(two.clone())));
        let refused = [
            with(2, &two),
            with(1, &[]),
            with(1 << 30, &[]),
            with(LISTED | 2, &[two[1], two[0]]),
            with(LISTED | 2, &[two[0], two[0]]),
            with(LISTED | 1, &two),
            with(LISTED | 3, &two),
            with(u32::MAX, &two),
        ];
        assert!(refused.iter().all(Result::is_err), "{refused:?}");
        let most = LISTED_REFERENCES_MAX as u32;
        assert!(with(LISTED | most, &hashes(most)).is_ok());
        assert!(with(LISTED | (most + 1), &hashes(most + 1)).is_err());
    }

    #[test]
    fn both_round_trip_and_truncated_ones_are_refused() {
        let channel =
            FooterChannel { name: ChannelName::new("a").unwrap(), first: Seq(3), next: Seq(9), events: 6 };
        for references in [None, Some(Vec::new()), Some(hashes(3))] {
            let footer = Footer { channels: vec![channel.clone()], references, ..empty() };
            let bytes = encode_footer(&footer);
            assert_eq!(decode_footer(&bytes), Ok(footer));
            assert!((0..bytes.len()).all(|length| decode_footer(&bytes[..length]).is_err()));
        }
        let bytes = encode_close(&standing());
        assert_eq!(decode_close(&bytes), Ok(standing()));
        assert!((0..bytes.len()).all(|length| decode_close(&bytes[..length]).is_err()));
    }
}
