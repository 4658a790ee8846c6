use base::{Identity, Timestamp};

use super::*;
use crate::JoinRefusalCode;

fn cluster_identity() -> Identity {
    Identity::from_seed(&[77; 32])
}

fn terms() -> GrantTerms {
    GrantTerms {
        cluster: ClusterId::from_bytes([7; 16]),
        id: GrantId([8; 16]),
        not_after: Timestamp::from_nanos(1_800_000_000_000_000_000),
        roles: 5,
        uses: Uses::Once,
    }
}

fn ticket() -> Ticket {
    let inviter = |node: u8, address: &str| Inviter {
        key: Identity::from_seed(&[node; 32]).public_key(),
        address: address.parse().unwrap(),
    };
    let inviters = vec![inviter(1, "10.0.0.1:7701"), inviter(2, "[2001:db8::2]:7701")];
    Ticket::new(Grant::issue(&cluster_identity(), terms()), inviters).unwrap()
}

/// The text that `PROTOCOL.md` shows; ed25519 gives one signature for a key and a message.
const TEXT: &str = "netdb1:TmV0RGJHcnQBAAEABQAAAAcHBwcHBwcHBwcHBwcHBwcICAgICAgICAgICAgICAgIAAC0k3bi-hgAAAAAAAAAA\
    C3zfwnpOlFsVrcZLPfwmbbp0dtlPur5rk-NvmHpFv5cksaaAWvMYQnBeXgkS7IDNCDc4ZOVdXsu1yesa1N_VgcCiojj3\
    XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1wKAAABAAAAAAAAAAAAAAAAFR4EgTl3Dqh9F19Wo1Rmw0x-zMuNipG07\
    jeiXfYPW4_Js5QgAQ24AAAAAAAAAAAAAAACFR4GPJlz0g";

#[test]
fn the_text_is_that_of_the_protocol() {
    assert_eq!(ticket().to_string(), TEXT);
    assert_eq!(TEXT.parse(), Ok(ticket()));
}

#[test]
fn the_bytes_of_a_grant_are_those_of_the_protocol() {
    let bytes = Grant::issue(&cluster_identity(), terms()).encode();
    let mut expected = b"NetDbGrt\x01\0\x01\0\x05\0\0\0".to_vec();
    expected.extend([[7; 16], [8; 16]].concat());
    expected.extend(1_800_000_000_000_000_000_i64.to_le_bytes());
    expected.extend([0; 8]);
    assert_eq!(bytes[..64], expected);
    let signature = cluster_identity().sign(&[b"netdb join grant v1", &expected[..]].concat());
    assert_eq!(bytes[64..], *signature.as_bytes());
}

#[test]
fn tickets_round_trip_with_white_space_around_them() {
    for uses in [Uses::Once, Uses::Many] {
        let grant = Grant::issue(&cluster_identity(), GrantTerms { uses, ..terms() });
        let most = vec![ticket().inviters()[1]; INVITERS_MAX];
        let ticket = Ticket::new(grant, most).unwrap();
        assert_eq!(format!(" \n{ticket}\r\n").parse(), Ok(ticket));
    }
}

#[test]
fn a_ticket_names_somebody_and_not_too_many() {
    let grant = *ticket().grant();
    for count in [0, INVITERS_MAX + 1] {
        let error = Ticket::new(grant, vec![ticket().inviters()[0]; count]).unwrap_err();
        assert_eq!(error, TicketError::Inviters { count, max: INVITERS_MAX });
    }
}

#[test]
fn no_beginning_of_a_ticket_is_a_ticket() {
    let text = ticket().to_string();
    for length in 0..text.len() {
        let error = text[..length].parse::<Ticket>().unwrap_err();
        let expected = if length < 7 { TicketError::NoTicket } else { TicketError::Truncated };
        assert_eq!(error, expected, "{length}");
    }
}

#[test]
fn whatever_bit_of_its_text_changes_a_ticket_is_refused() {
    let text = ticket().to_string();
    for bit in 0..8 * text.len() {
        let mut changed = text.clone().into_bytes();
        changed[bit / 8] ^= 1 << (bit % 8);
        // What is no text at all cannot be asked about.
        if let Ok(changed) = String::from_utf8(changed) {
            changed.parse::<Ticket>().unwrap_err();
        }
    }
}

#[test]
fn whatever_bit_of_its_bytes_changes_a_ticket_is_refused() {
    let bytes = ticket().encode();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        Ticket::decode(&changed).unwrap_err();
    }
}

#[test]
fn whatever_bit_of_a_grant_changes_it_is_refused() {
    let (key, now) = (cluster_identity().public_key(), Timestamp::from_nanos(0));
    let grant = Grant::issue(&cluster_identity(), terms());
    grant.check(&key, terms().cluster, now).unwrap();
    let bytes = grant.encode();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes;
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(grant) = Grant::decode(&changed) {
            grant.check(&key, terms().cluster, now).unwrap_err();
        }
    }
}

#[test]
fn a_grant_holds_for_its_cluster_its_time_and_its_key() {
    let grant = Grant::issue(&cluster_identity(), terms());
    let (key, cluster, end) = (cluster_identity().public_key(), terms().cluster, terms().not_after);
    let code = |key: &PublicKey, cluster, now| grant.check(key, cluster, now).map_err(|refusal| refusal.code);
    assert_eq!(code(&key, cluster, end), Ok(()));
    let late = Timestamp::from_nanos(end.as_nanos() + 1);
    assert_eq!(code(&key, cluster, late), Err(JoinRefusalCode::Expired));
    let other = ClusterId::from_bytes([6; 16]);
    assert_eq!(code(&key, other, end), Err(JoinRefusalCode::Cluster));
    let stranger = Identity::from_seed(&[1; 32]).public_key();
    assert_eq!(code(&stranger, cluster, end), Err(JoinRefusalCode::Unknown));
    // What the key has signed for something else is no grant.
    let signature = cluster_identity().sign(&grant.encode()[..64]);
    let mut bytes = grant.encode();
    bytes[64..].copy_from_slice(signature.as_bytes());
    let refused = Grant::decode(&bytes).unwrap().check(&key, cluster, end).unwrap_err();
    assert_eq!(refused.code, JoinRefusalCode::Unknown);
}

#[test]
fn each_way_in_which_a_text_is_no_ticket_has_its_name() {
    let text = ticket().to_string();
    let parse = |text: &str| text.parse::<Ticket>().unwrap_err();
    for no_ticket in ["", "hello", "netdb", "netdb:", "netdb1", "netdbx:", "netdb12345:", "\u{e4}netdb1:"] {
        assert_eq!(parse(no_ticket), TicketError::NoTicket, "{no_ticket}");
    }
    assert_eq!(parse("netdb2:abc"), TicketError::Version { found: "2".to_owned() });
    assert_eq!(parse(&format!(" {}", text.replacen(':', ":!", 1))), TicketError::Character { place: 8 });
    assert_eq!(parse(&format!("{text}AAAA")), TicketError::TooLong);
    assert_eq!(parse(&format!("netdb1:{}", "A".repeat(10_000))), TicketError::TooLong);
    let mut altered = text.clone().into_bytes();
    altered[100] = if altered[100] == b'A' { b'B' } else { b'A' };
    assert_eq!(parse(&String::from_utf8(altered).unwrap()), TicketError::Checksum);
    // With its checksum put right.
    let with = |place: usize, byte: u8| {
        let mut bytes = ticket().encode();
        bytes[place] = byte;
        let end = bytes.len() - CHECKSUM_BYTES;
        let sum = checksum(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum);
        Ticket::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, b'X'), TicketError::Fields);
    assert!(matches!(with(8, 2), TicketError::Version { .. }));
    assert_eq!(with(10, 3), TicketError::Fields);
    assert_eq!(with(60, 1), TicketError::Fields);
    assert_eq!(with(129 + 50, 5), TicketError::Fields);
}

#[test]
fn what_makes_a_ticket_valid_is_not_shown_by_debug() {
    let ticket = ticket();
    let signature = format!("{:?}", cluster_identity().sign(b"")).len();
    let shown = format!("{ticket:?} {ticket:#?} {:?}", ticket.grant());
    assert!(signature > 100 && !shown.contains("ignature"), "{shown}");
}
