//! Bodies that must not look like sectors that were never written.
//!
//! A sector that a crash left unwritten reads as zeros. So that a written one never does, a frame whose body
//! has (nearly) all-zero stretches is stored escaped: a byte `0xFF` before every 255 bytes of the body.

use super::Malformed;
use crate::limits::SECTOR_BYTES;

const STUFFING: u8 = 0xFF;
const RUN: usize = 255;

/// Tells whether a frame body that starts at `offset` in its file needs escaping: whether its part of some
/// sector has fewer than two bytes that are not zero (so that no single flipped bit can make it all zero).
pub(crate) fn is_needed(body: &[u8], offset: u64) -> bool {
    let into_sector = usize::try_from(offset % SECTOR_BYTES as u64).expect("a remainder of 512 fits");
    let first = (SECTOR_BYTES - into_sector).min(body.len());
    let (head, rest) = body.split_at(first);
    (into_sector == 0 && is_blank(head)) || rest.chunks(SECTOR_BYTES).any(is_blank)
}

fn is_blank(part: &[u8]) -> bool {
    !part.is_empty() && part.iter().filter(|byte| **byte != 0).take(2).count() < 2
}

/// Returns the bytes that [`escape`] makes of a body of `body_bytes` bytes.
pub(crate) const fn escaped_bytes(body_bytes: usize) -> usize {
    body_bytes + body_bytes.div_ceil(RUN)
}

/// Returns the escaped form of a body.
pub(crate) fn escape(body: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(escaped_bytes(body.len()));
    for run in body.chunks(RUN) {
        stored.push(STUFFING);
        stored.extend_from_slice(run);
    }
    stored
}

/// Returns the body whose escaped form is `stored`.
pub(crate) fn unescape(stored: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut body = Vec::with_capacity(stored.len());
    for run in stored.chunks(RUN + 1) {
        match run.split_first() {
            Some((&STUFFING, bytes)) if !bytes.is_empty() => body.extend_from_slice(bytes),
            _ => return Err(Malformed::new("escaped body")),
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_body_survives_and_then_needs_no_escaping_again() {
        for length in [0, 1, 254, 255, 256, 511, 512, 513, 5000] {
            for offset in [1088, 1096, 1528, 1536] {
                let body = vec![0; length];
                let stored = escape(&body);
                assert_eq!(stored.len(), escaped_bytes(length));
                assert_eq!(unescape(&stored).unwrap(), body);
                // A part of some sector shorter than one run lies beside the frame's header or end mark.
                let whole_sectors = is_needed(&stored[..stored.len() / 512 * 512], offset / 512 * 512);
                assert!(!whole_sectors, "{length} at {offset}");
            }
        }
    }

    #[test]
    fn only_blank_parts_of_sectors_call_for_escaping() {
        assert!(!is_needed(&[1; 2000], 1088));
        let mut body = vec![1; 2000];
        body[448..960].fill(0);
        assert!(is_needed(&body, 1088));
        body[500] = 7;
        assert!(is_needed(&body, 1088), "one set byte could be lost by one flipped bit");
        body[501] = 7;
        assert!(!is_needed(&body, 1088));
    }

    #[test]
    fn damaged_stuffing_is_malformed() {
        assert!(unescape(&[0xFE, 1]).is_err());
        assert!(unescape(&[0xFF]).is_err());
    }
}
