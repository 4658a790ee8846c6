//! What the harnesses do with packets and with the protocol of membership.

use std::sync::Arc;

use base::{NodeId, PublicKey, Random};

use super::packet::{
    FACTS_BYTES_MAX, FactsRecord, Kind, Member, PACKET_BYTES_MAX, Packet, UPDATES_MAX, Update,
};
use super::swim::Swim;
use super::{GossipOptions, Liveness};
use crate::fuzzing::Picks;

/// Nodes of a run; few, so that what is said concerns somebody.
const NODES: usize = 5;

pub(crate) fn read(bytes: &[u8]) -> Option<Vec<u8>> {
    Packet::decode(bytes).map(|packet| packet.encode())
}

pub(crate) fn make(picks: &mut Picks<'_>) -> Vec<u8> {
    let member = |picks: &mut Picks<'_>| Member {
        key: picks.key(),
        node: picks.node(),
        epoch: picks.number(),
        address: picks.address(),
    };
    let packet = packet(picks, member);
    let bytes = packet.encode();
    assert_eq!(Packet::decode(&bytes), Some(packet), "what was made is read");
    bytes
}

/// Makes a packet of members that `member` chooses.
fn packet(picks: &mut Picks<'_>, member: impl Fn(&mut Picks<'_>) -> Member) -> Packet {
    let kinds = (1..=10).filter_map(Kind::of_number).collect::<Vec<_>>();
    let kind = kinds[picks.below(kinds.len())];
    let mut packet = Packet {
        kind,
        probe: picks.array::<1>()[0],
        incarnation: u16::from_le_bytes(picks.array()),
        source: member(picks),
        destination: member(picks),
        another: kind.names_another().then(|| member(picks)),
        updates: Vec::new(),
        facts: Vec::new(),
    };
    for _ in 0..picks.below(UPDATES_MAX + 1) {
        let liveness = [Liveness::Alive, Liveness::Suspect, Liveness::Down][picks.below(3)];
        let incarnation = u16::from_le_bytes(picks.array());
        packet.updates.push(Update { member: member(picks), incarnation, liveness });
    }
    for _ in 0..picks.below(3) {
        let facts = FactsRecord {
            key: picks.key(),
            epoch: picks.number(),
            version: u32::from_le_bytes(picks.array()),
            bytes: picks.bytes(FACTS_BYTES_MAX).into(),
        };
        if packet.encoded_bytes() + facts.encoded_bytes() <= PACKET_BYTES_MAX {
            packet.facts.push(facts);
        }
    }
    packet
}

/// One of few nodes, in one of few lives; those at the ends of the numbers among them.
fn known(picks: &mut Picks<'_>) -> Member {
    let node = u8::try_from(picks.below(NODES)).unwrap_or(0);
    let epoch = [1, 2, 3, u64::MAX - 1, u64::MAX][picks.below(5)];
    let address = ([10, 0, 0, u8::from(picks.flag())], 7000).into();
    Member { key: PublicKey::from_bytes([node; 32]), node: NodeId(node.into()), epoch, address }
}

pub(crate) fn run(picks: &mut Picks<'_>, random: Arc<dyn Random>) {
    let me = Member {
        key: PublicKey::from_bytes([0; 32]),
        node: NodeId(0),
        epoch: 1,
        address: ([10, 0, 0, 0], 7000).into(),
    };
    let mut swim = Swim::new(me, &GossipOptions::default(), random);
    let mut alarms = Vec::new();
    while !picks.is_empty() {
        match picks.below(8) {
            0 | 1 if !alarms.is_empty() => swim.alarm(alarms.swap_remove(picks.below(alarms.len()))),
            2 => swim.announce(known(picks)),
            3 => swim.outlive(known(picks).epoch),
            4 => {
                let members: Vec<_> = swim.members().map(|known| known.member).collect();
                if let Some(member) = members.get(picks.below(members.len())) {
                    swim.forget(*member);
                    assert!(swim.member(member.key).is_none());
                }
            }
            _ => {
                let mut packet = packet(picks, known);
                if picks.flag() {
                    packet.destination = swim.me();
                }
                // Whose packet it is was checked before.
                if packet.source.key != me.key {
                    swim.receive(packet);
                }
            }
        }
        let out = swim.take();
        for packet in out.packets {
            assert!(packet.updates.len() <= UPDATES_MAX && packet.encoded_bytes() <= PACKET_BYTES_MAX);
            assert_eq!(Packet::decode(&packet.encode()), Some(packet), "what is sent reads");
        }
        alarms.extend(out.alarms.into_iter().map(|(_, alarm)| alarm));
        alarms.truncate(64);
        assert!(swim.members().len() < NODES, "members are told apart by their keys");
        assert!(swim.members().all(|known| known.member.key != me.key), "this node is none of the others");
        assert_eq!(swim.me().key, me.key);
    }
}
