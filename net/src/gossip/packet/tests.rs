use super::*;

fn member(node: u8) -> Member {
    Member {
        key: PublicKey::from_bytes([node; 32]),
        node: NodeId(node.into()),
        epoch: 3,
        address: SocketAddr::from(([10, 0, 0, node], 7701)),
    }
}

fn update(node: u8, liveness: Liveness) -> Update {
    Update { member: member(node), incarnation: 258, liveness }
}

fn facts(node: u8, bytes: usize) -> FactsRecord {
    FactsRecord { key: member(node).key, epoch: 3, version: 9, bytes: vec![node; bytes].into() }
}

fn packet(kind: Kind) -> Packet {
    Packet {
        kind,
        probe: 7,
        incarnation: 2,
        source: member(1),
        destination: Member { address: "[::1]:7701".parse().unwrap(), ..member(2) },
        another: kind.names_another().then(|| member(5)),
        updates: vec![update(3, Liveness::Alive), update(4, Liveness::Suspect), update(5, Liveness::Down)],
        facts: vec![facts(1, 5), facts(3, 0)],
    }
}

#[test]
fn packets_round_trip() {
    for kind in Kind::ALL {
        let packet = packet(kind);
        let bytes = packet.encode();
        assert_eq!(bytes.len(), packet.encoded_bytes());
        assert_eq!(Packet::decode(&bytes), Some(packet), "{kind:?}");
    }
}

/// The bytes that `PROTOCOL.md` shows.
#[test]
fn the_bytes_are_those_of_the_protocol() {
    let packet = Packet {
        updates: vec![update(3, Liveness::Suspect)],
        facts: vec![facts(1, 2)],
        ..packet(Kind::Ping)
    };
    let bytes = packet.encode();
    let mut expected = Vec::new();
    expected.extend_from_slice(b"NdGp\x01\x01\x07\0\x02\0\x01\x01\0\0\0\0");
    let place = |node: u8, address: &[u8], family: u8| {
        let head = [&[node; 32][..], &[node, 0, 0, 0, 0, 0, 0, 0], &[3, 0, 0, 0, 0, 0, 0, 0], address];
        [&head.concat()[..], &[0x15, 0x1e, family, 0, 0, 0, 0, 0]].concat()
    };
    let ip = |node: u8| [10, 0, 0, node, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    expected.extend(place(1, &ip(1), 4));
    expected.extend(place(2, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 6));
    expected.extend(place(3, &ip(3), 4));
    expected.extend([2, 1, 2, 0]);
    expected
        .extend([[1; 32].as_slice(), &[3, 0, 0, 0, 0, 0, 0, 0], &[9, 0, 0, 0, 2, 0, 0, 0], &[1, 1]].concat());
    assert_eq!(bytes, expected);
}

#[test]
fn no_part_of_a_packet_is_a_packet() {
    let bytes = packet(Kind::PingRequest).encode();
    for length in 0..bytes.len() {
        assert_eq!(Packet::decode(&bytes[..length]), None, "{length}");
    }
    assert_eq!(Packet::decode(&[&bytes[..], &[0]].concat()), None);
}

#[test]
fn whatever_bit_changes_a_packet_is_refused_or_another_packet() {
    let original = packet(Kind::IndirectAck);
    let bytes = original.encode();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Some(read) = Packet::decode(&changed) {
            assert_ne!(read, original, "bit {bit} means nothing");
            assert_eq!(read.encode(), changed, "bit {bit}");
        }
    }
}

#[test]
fn a_packet_with_too_much_in_it_is_refused() {
    let most = Packet {
        updates: vec![update(3, Liveness::Alive); UPDATES_MAX],
        facts: vec![facts(1, FACTS_BYTES_MAX)],
        ..packet(Kind::PingRequest)
    };
    let bytes = most.encode();
    assert!(bytes.len() <= PACKET_BYTES_MAX);
    assert_eq!(Packet::decode(&bytes), Some(most.clone()));
    let more = Packet { updates: vec![update(3, Liveness::Alive); UPDATES_MAX + 1], ..packet(Kind::Ping) };
    assert_eq!(Packet::decode(&more.encode()), None);
    let longer = Packet { facts: vec![facts(1, FACTS_BYTES_MAX + 1)], ..packet(Kind::Ping) };
    assert_eq!(Packet::decode(&longer.encode()), None);
    let many = Packet { facts: vec![facts(1, FACTS_BYTES_MAX); 4], ..packet(Kind::Ping) };
    assert_eq!(Packet::decode(&many.encode()), None);
}

#[test]
fn a_forged_count_allocates_nothing_and_is_refused() {
    let mut bytes = Packet { updates: vec![], facts: vec![], ..packet(Kind::Ping) }.encode();
    (bytes[10], bytes[11]) = (8, 255);
    assert_eq!(Packet::decode(&bytes), None);
}
