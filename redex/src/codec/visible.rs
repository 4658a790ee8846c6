//! The file `visible`: how far readers in other processes may read. Derived; overwritten after each sync and
//! itself never synced.
//!
//! ```text
//!   0  [8]  "NetDbVis"
//!   8  u16  format version  10 u16 reserved, 0   12 u32 1 while a writer is open, 0 behind a clean close
//!  16  [16] log id
//!  32  [16] incarnation
//!  48  u64  position
//!  56  u32  reserved, 0
//!  60  u32  CRC of bytes 0..60
//! ```

use base::{IncarnationId, LogId, Position};

use super::{FORMAT_VERSION, Malformed, Put, superblock};

pub(crate) const VISIBLE_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"NetDbVis";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Visible {
    pub log: LogId,
    pub incarnation: IncarnationId,
    pub position: Position,
    pub open: bool,
}

pub(crate) fn encode(visible: &Visible) -> Vec<u8> {
    let mut out = Vec::with_capacity(VISIBLE_BYTES);
    out.put(&MAGIC);
    out.put_u16(FORMAT_VERSION);
    out.put_u16(0);
    out.put_u32(visible.open.into());
    out.put(visible.log.as_bytes());
    out.put(visible.incarnation.as_bytes());
    out.put_u64(visible.position.0);
    superblock::finish_copy(&mut out, 0, VISIBLE_BYTES);
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Visible, Malformed> {
    let mut cursor = superblock::checked_copy(bytes, VISIBLE_BYTES, &MAGIC, "visible magic")?;
    let open = match cursor.u32("visible state")? {
        0 => false,
        1 => true,
        _ => return Err(Malformed::new("visible state")),
    };
    let visible = Visible {
        open,
        log: LogId::from_bytes(cursor.array("log id")?),
        incarnation: IncarnationId::from_bytes(cursor.array("incarnation")?),
        position: Position(cursor.u64("position")?),
    };
    superblock::finish_zeros(cursor)?;
    Ok(visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_found() {
        let sample = Visible {
            log: LogId::from_bytes([1; 16]),
            incarnation: IncarnationId::from_bytes([2; 16]),
            position: Position(77),
            open: true,
        };
        let bytes = encode(&sample);
        assert_eq!(decode(&bytes), Ok(sample));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
        }
    }
}
