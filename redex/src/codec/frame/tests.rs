use super::*;

fn place(offset: u64) -> Place {
    Place { log: LogId::from_bytes([7; 16]), segment: 3, offset }
}

fn frame(offset: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, place(offset), FrameKind::Entry, Index(9), Position(8), body);
    out
}

fn decode(bytes: &[u8], offset: u64) -> Result<Vec<u8>, Malformed> {
    let header = decode_header(bytes, place(offset))?;
    let stored = check_body(bytes, &header)?;
    Ok(unpacked(stored, &header)?.into_owned())
}

fn bodies() -> Vec<Vec<u8>> {
    let mut half = vec![0; 3000];
    half[..600].fill(9);
    vec![vec![], vec![1], vec![0; 5000], vec![3; 5000], half]
}

#[test]
fn frames_round_trip_at_every_alignment() {
    for body in bodies() {
        for offset in (1024..1024 + 512).step_by(8) {
            let bytes = frame(offset, &body);
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(decode(&bytes, offset).unwrap(), body);
        }
    }
}

#[test]
fn any_flipped_bit_is_found() {
    for body in [vec![], vec![5; 40], vec![0; 600]] {
        let bytes = frame(1072, &body);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped, 1072).is_err(), "bit {bit} of a body of {}", body.len());
        }
    }
}

#[test]
fn no_flipped_bit_makes_a_frame_look_incomplete() {
    for body in bodies() {
        for offset in [1024, 1472, 1480, 1528] {
            let bytes = frame(offset, &body);
            assert!(!is_incomplete(&bytes, place(offset)));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_incomplete(&flipped, place(offset)), "bit {bit} at {offset}");
            }
        }
    }
}

#[test]
fn a_frame_without_one_of_its_sectors_is_incomplete() {
    for body in bodies() {
        for offset in (1024..1024 + 512).step_by(56) {
            let bytes = frame(offset, &body);
            let mut from = 0;
            while from < bytes.len() {
                let to = (from + 512 - (offset as usize + from) % 512).min(bytes.len());
                let mut torn = bytes.clone();
                torn[from..to].fill(0);
                assert!(is_incomplete(&torn, place(offset)), "{from}..{to} at {offset}");
                assert!(is_incomplete(&bytes[..from], place(offset)), "cut at {from}");
                from = to;
            }
        }
    }
}

#[test]
fn a_frame_that_is_not_where_it_says_is_refused() {
    let bytes = frame(1072, b"body");
    assert_eq!(decode(&bytes, 1080), Err(Malformed::new("frame place")));
    let elsewhere = Place { segment: 4, ..place(1072) };
    assert_eq!(decode_header(&bytes, elsewhere), Err(Malformed::new("frame place")));
    let other = Place { log: LogId::from_bytes([8; 16]), ..place(1072) };
    assert_eq!(decode_header(&bytes, other), Err(Malformed::new("frame place")));
}

#[test]
fn truncated_frames_are_refused() {
    let bytes = frame(1024, b"some body");
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length], 1024).is_err(), "{length}");
    }
}
