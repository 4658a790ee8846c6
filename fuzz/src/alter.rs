//! Altering valid bytes in the ways in which they come to be wrong.

/// Values that lengths, counts and numbers are set to.
const EDGES: [u64; 10] = [0, 1, 8, 255, 65_535, u32::MAX as u64, 1 << 31, 1 << 32, i64::MAX as u64, u64::MAX];

/// One alteration, chosen by the fuzzer: its kind, where, and a value.
pub type Edit = (u8, u32, u64);

/// A choice of a sample, whether checksums are put right, and what is altered.
pub type Plan = (u8, bool, [Edit; 3], u8);

/// Applies one to three edits.
pub fn alter(bytes: &mut Vec<u8>, edits: &[Edit; 3], count: u8) {
    for edit in &edits[..1 + usize::from(count) % 3] {
        apply(bytes, *edit);
    }
}

fn apply(bytes: &mut Vec<u8>, (kind, at, value): Edit) {
    let length = bytes.len();
    if length == 0 {
        return bytes.extend(value.to_le_bytes());
    }
    // Mostly near the beginning, where the fields are.
    let at = at as usize % if kind & 8 == 0 { length } else { length.min(256) };
    let end = (at + 1 + value as usize % 64).min(length);
    match kind % 8 {
        0 => bytes[at] ^= 1 << (value % 8),
        1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][(value % 5) as usize],
        2 | 3 => {
            let edge = EDGES[(value % 10) as usize].to_le_bytes();
            let count = [2, 4, 8][(value / 10 % 3) as usize].min(length - at);
            bytes[at..at + count].copy_from_slice(&edge[..count]);
        }
        4 => bytes.truncate(at),
        5 => {
            let part = bytes[at..end].to_vec();
            let to = (value >> 32) as usize % length;
            bytes.splice(to..to, part);
        }
        6 => drop(bytes.drain(at..end)),
        _ => {
            let count = (length - at).min(8);
            bytes[at..at + count].copy_from_slice(&value.to_le_bytes()[..count]);
        }
    }
}
