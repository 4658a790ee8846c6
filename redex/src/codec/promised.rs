//! The file `promised` of a replica: what it told others that it holds. Overwritten before they are told, and not synced:
//! what a power failure takes of it is at most what nobody can blame a replica for that lost nothing else.
//!
//! ```text
//!   0  [8]  "NetDbPrm"
//!   8  u16  format version  10 u16 reserved, 0   12 u32 vote: 0 none, 1 cast, 2 cast for who was elected
//!  16  [16] log id
//!  32  u64  position below which entries are durable here
//!  40  u64  term, u64 node of the vote; 0 without one
//!  56  u32  reserved, 0
//!  60  u32  CRC of bytes 0..60
//! ```

use base::{LogId, NodeId, Position, Term};

use super::local::Vote;
use super::{FORMAT_VERSION, Malformed, Put, superblock};

pub(crate) const PROMISED_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"NetDbPrm";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promised {
    pub log: LogId,
    pub position: Position,
    pub vote: Option<Vote>,
}

pub(crate) fn encode(promised: &Promised) -> Vec<u8> {
    let mut out = Vec::with_capacity(PROMISED_BYTES);
    out.put(&MAGIC);
    out.put_u16(FORMAT_VERSION);
    out.put_u16(0);
    out.put_u32(promised.vote.map_or(0, |vote| if vote.committed { 2 } else { 1 }));
    out.put(promised.log.as_bytes());
    out.put_u64(promised.position.0);
    out.put_u64(promised.vote.map_or(0, |vote| vote.term.0));
    out.put_u64(promised.vote.map_or(0, |vote| vote.node.0));
    superblock::finish_copy(&mut out, 0, PROMISED_BYTES);
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Promised, Malformed> {
    let mut cursor = superblock::checked_copy(bytes, PROMISED_BYTES, &MAGIC, "promised magic")?;
    let cast = cursor.u32("vote")?;
    let log = LogId::from_bytes(cursor.array("log id")?);
    let position = Position(cursor.u64("position")?);
    let (term, node) = (Term(cursor.u64("term")?), NodeId(cursor.u64("node")?));
    let vote = match cast {
        0 if (term, node) == (Term(0), NodeId(0)) => None,
        1 | 2 => Some(Vote { term, node, committed: cast == 2 }),
        _ => return Err(Malformed::new("vote")),
    };
    superblock::finish_zeros(cursor)?;
    Ok(Promised { log, position, vote })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_written() {
        let vote = Some(Vote { term: Term(3), node: NodeId(2), committed: true });
        let sample = Promised { log: LogId::from_bytes([1; 16]), position: Position(77), vote };
        let written = encode(&sample);
        let fields = [
            &b"NetDbPrm"[..],
            &[1, 0, 0, 0, 2, 0, 0, 0],
            &[1; 16],
            &[77, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0],
        ];
        assert_eq!(written[..60], fields.concat());
        assert_eq!(written[60..], crc32fast::hash(&written[..60]).to_le_bytes());
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let votes = [None, Some(true), Some(false)];
        for committed in votes {
            let vote = committed.map(|committed| Vote { term: Term(3), node: NodeId(2), committed });
            let sample = Promised { log: LogId::from_bytes([1; 16]), position: Position(77), vote };
            let bytes = encode(&sample);
            assert_eq!(decode(&bytes), Ok(sample));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&flipped).is_err(), "bit {bit}");
            }
        }
    }
}
