//! The door through which the harnesses in `fuzz/` reach what reads bytes of others; only with the feature `fuzzing`.
//!
//! What does not hold panics here, where both sides are known.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{ClusterId, Identity, NodeId, PublicKey, SeededRandom, Timestamp};

use crate::gossip::fuzzing as gossip;
use crate::greeting::{Answer, GREETING_BYTES, Hello};
use crate::join::message::{Body, decode_answer, encode_answer};
use crate::{
    Grant, GrantId, GrantTerms, Inviter, JoinRefusal, JoinRefusalCode, Refusal, RefusalCode, Ticket, Uses,
};

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    Hello,
    Greeted,
    Packet,
    Ticket,
    JoinRequest,
    JoinAnswer,
}

/// Fields chosen by a fuzzer: bytes taken one after the other, zeros when there are no more.
#[derive(Debug)]
pub struct Picks<'a>(pub &'a [u8]);

impl Message {
    pub const ALL: [Self; 6] =
        [Self::Hello, Self::Greeted, Self::Packet, Self::Ticket, Self::JoinRequest, Self::JoinAnswer];

    /// Reads the message from any bytes; `None` when they are refused. What is accepted has one encoding.
    pub fn read(self, bytes: &[u8]) -> Option<()> {
        let again = match self {
            Self::Hello => {
                let bytes: &[u8; GREETING_BYTES] = bytes.try_into().ok()?;
                Hello::decode(bytes).ok()?.encode().to_vec()
            }
            Self::Greeted => Answer::decode(bytes)?.encode(),
            Self::Packet => gossip::read(bytes)?,
            Self::Ticket => {
                let text = std::str::from_utf8(bytes).ok()?;
                let ticket: Ticket = text.parse().ok()?;
                check_grant(ticket.grant());
                assert_eq!(ticket.to_string(), text.trim(), "a ticket has two texts");
                return Some(());
            }
            Self::JoinRequest => {
                let body = Body::decode(bytes).ok()?;
                check_grant(&body.grant);
                body.encode()
            }
            Self::JoinAnswer => encode_answer(&decode_answer(bytes)?),
        };
        assert!(again == bytes, "{self:?} has two encodings");
        Some(())
    }

    /// Makes a valid message of chosen fields.
    pub fn make(self, picks: &mut Picks<'_>) -> Vec<u8> {
        match self {
            Self::Hello => Hello { cluster: picks.cluster(), node: picks.node() }.encode().to_vec(),
            Self::Greeted => {
                let codes = [RefusalCode::Malformed, RefusalCode::Busy, RefusalCode::Other(300)];
                let refusal = Refusal::new(codes[picks.below(3)], picks.text(300));
                let refusal = Some(refusal).filter(|_| picks.flag());
                Answer { cluster: picks.cluster(), node: picks.node(), refusal }.encode()
            }
            Self::Packet => gossip::make(picks),
            Self::Ticket => {
                let inviters = 1 + picks.below(8);
                let inviter = |picks: &mut Picks<'_>| Inviter { key: picks.key(), address: picks.address() };
                let inviters = (0..inviters).map(|_| inviter(picks)).collect();
                let ticket = Ticket::new(picks.grant(), inviters).expect("one to eight may be named");
                ticket.to_string().into_bytes()
            }
            Self::JoinRequest => {
                Body { grant: picks.grant(), address: picks.address(), name: picks.text(64) }.encode()
            }
            Self::JoinAnswer => {
                let welcome = Ok(picks.text(500).into_bytes());
                let refused = Err(JoinRefusal::new(JoinRefusalCode::Used, picks.text(300)));
                encode_answer(if picks.flag() { &welcome } else { &refused })
            }
        }
    }
}

/// Runs the protocol of membership through steps that a fuzzer chooses: packets of members that say anything, alarms,
/// members that are removed. What it sends always reads.
pub fn membership(picks: &mut Picks<'_>, seed: u64) {
    gossip::run(picks, Arc::new(SeededRandom::new(seed)));
}

/// Nobody but the cluster can have signed it.
fn check_grant(grant: &Grant) {
    let foreign = Identity::from_seed(&[1; 32]).public_key();
    let cluster = grant.terms().cluster;
    assert!(grant.check(&foreign, cluster, Timestamp::MIN).is_err());
}

impl Picks<'_> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.split_off_first().copied().unwrap_or(0))
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array())) % bound.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.array::<1>()[0] & 1 == 1
    }

    pub(crate) fn key(&mut self) -> PublicKey {
        PublicKey::from_bytes(self.array())
    }

    pub(crate) fn node(&mut self) -> NodeId {
        NodeId(self.number())
    }

    pub(crate) fn address(&mut self) -> SocketAddr {
        let port = u16::from_le_bytes(self.array());
        match self.flag() {
            true => SocketAddr::from((self.array::<4>(), port)),
            false => SocketAddr::from((self.array::<16>(), port)),
        }
    }

    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.array::<1>()[0]).collect()
    }

    fn text(&mut self, max: usize) -> String {
        self.bytes(max).into_iter().map(|byte| char::from(byte & 0x7F)).collect()
    }

    fn cluster(&mut self) -> ClusterId {
        ClusterId::from_bytes(self.array())
    }

    fn grant(&mut self) -> Grant {
        let terms = GrantTerms {
            cluster: self.cluster(),
            id: GrantId(self.array()),
            not_after: Timestamp::from_nanos(i64::from_le_bytes(self.array())),
            roles: u32::from_le_bytes(self.array()),
            uses: if self.flag() { Uses::Once } else { Uses::Many },
        };
        Grant::issue(&Identity::from_seed(&[77; 32]), terms)
    }
}
