//! What nodes tell each other about who is there: one datagram a packet.
//!
//! ```text
//! packet, 160 bytes and what follows, at most 1,150:
//!   0  [4] "NdGp"     4  u8 version, 1      5  u8 kind            6  u8 probe number   7  u8 0
//!   8  u16 incarnation of the sender       10  u8 updates        11  u8 facts         12  u32 0
//!  16  member: the sender                  88  member: who is meant
//! 160  member: who else; with kinds 3 to 6 only
//!      updates, 76 bytes each: 0 member  72 u16 incarnation  74 u8 1 alive, 2 suspect, 3 down  75 u8 0
//!      facts: 0 [32] key  32 u64 epoch  40 u32 version  44 u16 bytes  46 u16 0  48 bytes, at most 256
//! member, 72 bytes:
//!   0  [32] key  32 u64 node  40 u64 epoch  48 [16] address, IPv4 in its first 4  64 u16 port  66 u8 4 or 6  67 zeros
//! ```

use std::net::SocketAddr;

use base::{NodeId, PublicKey};
use bytes::Bytes;

use super::Liveness;
use crate::wire::{decode_address, encode_address, take};

/// Bytes of a packet at most, so that it fits into a datagram on any path.
pub(crate) const PACKET_BYTES_MAX: usize = 1_150;
/// Bytes of the facts of one node at most.
pub(crate) const FACTS_BYTES_MAX: usize = 256;
/// Bytes of a packet without what follows.
pub(super) const HEAD_BYTES: usize = 160;
pub(super) const MEMBER_BYTES: usize = 72;
pub(super) const UPDATE_BYTES: usize = MEMBER_BYTES + 4;
pub(super) const FACTS_HEAD_BYTES: usize = 48;
/// Updates of a packet at most; beside them, and whoever else is named, the facts of one node always fit.
pub(super) const UPDATES_MAX: usize =
    (PACKET_BYTES_MAX - HEAD_BYTES - MEMBER_BYTES - FACTS_HEAD_BYTES - FACTS_BYTES_MAX) / UPDATE_BYTES;

const MAGIC: [u8; 4] = *b"NdGp";
const VERSION: u8 = 1;

/// A node as gossip knows it. The one of a higher epoch replaces the other of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub key: PublicKey,
    pub node: NodeId,
    pub epoch: u64,
    pub address: SocketAddr,
}

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Are you there?
    Ping,
    /// Yes.
    Ack,
    /// Ask somebody else for me.
    PingRequest,
    /// Are you there, asks somebody else.
    IndirectPing,
    /// Yes, to somebody else.
    IndirectAck,
    /// Somebody else is there.
    ForwardedAck,
    /// Here I am.
    Announce,
    /// These are there; the answer.
    Feed,
    /// News.
    Gossip,
    /// You are taken for down.
    TakenForDown,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Ping,
        Self::Ack,
        Self::PingRequest,
        Self::IndirectPing,
        Self::IndirectAck,
        Self::ForwardedAck,
        Self::Announce,
        Self::Feed,
        Self::Gossip,
        Self::TakenForDown,
    ];

    pub fn number(self) -> u8 {
        Self::ALL.iter().zip(1..).find_map(|(kind, number)| (*kind == self).then_some(number)).unwrap_or(0)
    }

    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }

    /// Tells whether it is about somebody else, too.
    pub fn names_another(self) -> bool {
        matches!(self, Self::PingRequest | Self::IndirectPing | Self::IndirectAck | Self::ForwardedAck)
    }
}

/// What is said of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub member: Member,
    pub incarnation: u16,
    pub liveness: Liveness,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FactsRecord {
    pub key: PublicKey,
    pub epoch: u64,
    pub version: u32,
    pub bytes: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub kind: Kind,
    pub probe: u8,
    pub incarnation: u16,
    pub source: Member,
    pub destination: Member,
    /// There for kinds that name another.
    pub another: Option<Member>,
    pub updates: Vec<Update>,
    pub facts: Vec<FactsRecord>,
}

impl Member {
    pub fn put(&self, bytes: &mut impl bytes::BufMut) {
        bytes.put_slice(self.key.as_bytes());
        bytes.put_u64_le(self.node.0);
        bytes.put_u64_le(self.epoch);
        bytes.put_slice(&encode_address(self.address));
        bytes.put_slice(&[0; 5]);
    }

    pub fn take(from: &mut &[u8]) -> Option<Self> {
        let member = Self {
            key: PublicKey::from_bytes(take(from)?),
            node: NodeId(u64::from_le_bytes(take(from)?)),
            epoch: u64::from_le_bytes(take(from)?),
            address: decode_address(&take(from)?)?,
        };
        (take(from)? == [0; 5]).then_some(member)
    }
}

impl Update {
    pub fn put(&self, bytes: &mut impl bytes::BufMut) {
        self.member.put(bytes);
        bytes.put_u16_le(self.incarnation);
        bytes.put_u8(match self.liveness {
            Liveness::Alive => 1,
            Liveness::Suspect => 2,
            Liveness::Down => 3,
        });
        bytes.put_u8(0);
    }

    pub fn take(from: &mut &[u8]) -> Option<Self> {
        let member = Member::take(from)?;
        let incarnation = u16::from_le_bytes(take(from)?);
        let liveness = match take(from)? {
            [1, 0] => Liveness::Alive,
            [2, 0] => Liveness::Suspect,
            [3, 0] => Liveness::Down,
            _ => return None,
        };
        Some(Self { member, incarnation, liveness })
    }
}

impl FactsRecord {
    pub fn encoded_bytes(&self) -> usize {
        FACTS_HEAD_BYTES + self.bytes.len()
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(self.bytes.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&self.bytes);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let key = PublicKey::from_bytes(take(from)?);
        let epoch = u64::from_le_bytes(take(from)?);
        let version = u32::from_le_bytes(take(from)?);
        let length = usize::from(u16::from_le_bytes(take(from)?));
        if take(from)? != [0; 2] || length > FACTS_BYTES_MAX {
            return None;
        }
        let (bytes, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(Self { key, epoch, version, bytes: Bytes::copy_from_slice(bytes) })
    }
}

impl Packet {
    pub fn encoded_bytes(&self) -> usize {
        let another = if self.another.is_some() { MEMBER_BYTES } else { 0 };
        let facts: usize = self.facts.iter().map(FactsRecord::encoded_bytes).sum();
        HEAD_BYTES + another + UPDATE_BYTES * self.updates.len() + facts
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, self.kind.number(), self.probe, 0]);
        bytes.extend_from_slice(&self.incarnation.to_le_bytes());
        bytes
            .extend_from_slice(&[self.updates.len(), self.facts.len()].map(|n| u8::try_from(n).unwrap_or(0)));
        bytes.extend_from_slice(&[0; 4]);
        self.source.put(&mut bytes);
        self.destination.put(&mut bytes);
        self.another.iter().for_each(|member| member.put(&mut bytes));
        self.updates.iter().for_each(|update| update.put(&mut bytes));
        self.facts.iter().for_each(|facts| facts.put(&mut bytes));
        bytes
    }

    /// Decodes a packet; `None` when it does not read, in which every byte has a part.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > PACKET_BYTES_MAX {
            return None;
        }
        let from = &mut &*bytes;
        if take(from)? != MAGIC || take(from)? != [VERSION] {
            return None;
        }
        let [kind, probe, zero] = take(from)?;
        let kind = Kind::of_number(kind).filter(|_| zero == 0)?;
        let incarnation = u16::from_le_bytes(take(from)?);
        let [updates, facts] = take(from)?;
        if take(from)? != [0; 4] || usize::from(updates) > UPDATES_MAX {
            return None;
        }
        let (source, destination) = (Member::take(from)?, Member::take(from)?);
        let another = if kind.names_another() { Some(Member::take(from)?) } else { None };
        let updates = (0..updates).map(|_| Update::take(from)).collect::<Option<_>>()?;
        let facts = (0..facts).map(|_| FactsRecord::take(from)).collect::<Option<_>>()?;
        let packet = Self { kind, probe, incarnation, source, destination, another, updates, facts };
        from.is_empty().then_some(packet)
    }
}

#[cfg(test)]
mod tests;
