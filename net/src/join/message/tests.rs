use base::{ClusterId, Identity, Timestamp};

use super::*;
use crate::{GrantId, GrantTerms, Uses};

fn body() -> Body {
    let terms = GrantTerms {
        cluster: ClusterId::from_bytes([7; 16]),
        id: GrantId([8; 16]),
        not_after: Timestamp::from_nanos(9),
        roles: 1,
        uses: Uses::Many,
    };
    let grant = Grant::issue(&Identity::from_seed(&[77; 32]), terms);
    Body { grant, address: "10.0.0.4:7701".parse().unwrap(), name: "four".to_owned() }
}

#[test]
fn the_bytes_of_a_request_are_those_of_the_protocol() {
    let mut expected = b"NetDbJoi\x01\0\x04\0\0\0\0\0".to_vec();
    expected.extend(body().grant.encode());
    expected.extend([10, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15, 0x1e, 4, 0]);
    expected.extend(b"four");
    assert_eq!(body().encode(), expected);
    assert_eq!(Body::decode(&expected), Ok(body()));
}

#[test]
fn the_bytes_of_an_answer_are_those_of_the_protocol() {
    assert_eq!(encode_answer(&Ok(b"hi".to_vec())), b"NetDbJoA\x01\0\0\0\x02\0\0\0hi");
    let refused = Err(JoinRefusal::new(JoinRefusalCode::Used, "no"));
    assert_eq!(encode_answer(&refused), b"NetDbJoA\x01\0\x06\0\x02\0\0\0no");
}

#[test]
fn no_part_of_a_request_and_no_changed_bit_is_the_request() {
    let bytes = body().encode();
    for length in 0..bytes.len() {
        assert_eq!(Body::decode(&bytes[..length]).unwrap_err().code, JoinRefusalCode::Malformed, "{length}");
    }
    assert!(Body::decode(&[&bytes[..], b"x"].concat()).is_err());
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match Body::decode(&changed) {
            Ok(read) => assert_eq!(read.encode(), changed, "bit {bit}"),
            Err(refusal) => {
                let is_version = matches!(bit / 8, 8 | 9 | 24 | 25);
                let expected = if is_version { JoinRefusalCode::Version } else { JoinRefusalCode::Malformed };
                assert_eq!(refusal.code, expected, "bit {bit}");
            }
        }
    }
    let long = Body { name: "n".repeat(NAME_BYTES_MAX + 1), ..body() };
    assert!(Body::decode(&long.encode()).is_err());
    let longest = Body { name: "n".repeat(NAME_BYTES_MAX), ..body() };
    assert_eq!(longest.encode().len(), REQUEST_BYTES_MAX);
    assert_eq!(Body::decode(&longest.encode()), Ok(longest));
}

#[test]
fn answers_round_trip_and_no_part_of_one_is_one() {
    let codes = JoinRefusalCode::KNOWN.into_iter().chain([JoinRefusalCode::Other(900)]);
    let refusals = codes.map(|code| Err(JoinRefusal::new(code, "why not")));
    for answer in refusals.chain([Ok(Vec::new()), Ok(vec![0xFF; 5_000])]) {
        let bytes = encode_answer(&answer);
        assert_eq!(decode_answer(&bytes), Some(answer));
        assert!((0..bytes.len()).all(|length| decode_answer(&bytes[..length]).is_none()));
        assert_eq!(decode_answer(&[&bytes[..], b"x"].concat()), None);
    }
    let most = encode_answer(&Ok(vec![1; WELCOME_BYTES_MAX]));
    assert_eq!(most.len(), ANSWER_BYTES_MAX);
    assert!(decode_answer(&most).is_some());
    let long = encode_answer(&Err(JoinRefusal::new(JoinRefusalCode::Full, "x".repeat(999))));
    assert_eq!(decode_answer(&long).unwrap().unwrap_err().reason.len(), REASON_BYTES_MAX);
}
