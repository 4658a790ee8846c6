//! What openraft itself writes into a log, in bytes of our own: a blank entry is empty, a membership is
//!
//! ```text
//!   u16 version 1, u16 configurations (1, or 2 while it changes), each: u32 voters, each u64
//!   u32 nodes, each: u64 id, u16 + address
//! ```
//!
//! All numbers are little-endian. Every replica hashes these bytes, so that there is one encoding of each membership.

use std::collections::{BTreeMap, BTreeSet};

use base::wire::{Cursor, Malformed, Put};
use openraft::Membership;

use super::Member;

const VERSION: u16 = 1;
/// Far more than a group has.
const NODES_MAX: u32 = 10_000;
const CONFIGURATIONS_MAX: u16 = 16;
/// Far more than the name of a host and a port have.
const ADDRESS_BYTES_MAX: usize = 1_024;

/// Why the bytes of a membership were not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a membership with a wrong {0}: look at the log of the leader that wrote it")]
pub struct MembershipError(#[from] Malformed);

/// Encodes a membership.
pub fn encode_membership(membership: &Membership<u64, Member>) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u16(VERSION);
    let configurations = membership.get_joint_config();
    let count = u16::try_from(configurations.len()).expect("a membership has one or two configurations");
    out.put_u16(count);
    for voters in configurations {
        out.put_length(voters.len());
        voters.iter().for_each(|voter| out.put_u64(*voter));
    }
    let nodes: BTreeMap<_, _> = membership.nodes().collect();
    out.put_length(nodes.len());
    for (id, node) in nodes {
        out.put_u64(*id);
        out.put_text16(&node.address[..node.address.floor_char_boundary(ADDRESS_BYTES_MAX)]);
    }
    out
}

/// Decodes a membership; every length is checked before it is used.
///
/// # Errors
///
/// [`MembershipError`] for anything but one that was encoded.
pub fn decode_membership(bytes: &[u8]) -> Result<Membership<u64, Member>, MembershipError> {
    Ok(decode(Cursor::new(bytes)).and_then(|membership| match encode_membership(&membership) == bytes {
        // One encoding each: no order or repetition but ours.
        true => Ok(membership),
        false => Err(Malformed::new("encoding")),
    })?)
}

fn decode(mut cursor: Cursor<'_>) -> Result<Membership<u64, Member>, Malformed> {
    if cursor.u16("version")? != VERSION {
        return Err(Malformed::new("version"));
    }
    let count = cursor.u16("count")?;
    if count > CONFIGURATIONS_MAX {
        return Err(Malformed::new("count"));
    }
    let mut configurations = Vec::new();
    for _ in 0..count {
        let voters =
            (0..take_count(&mut cursor)?).map(|_| cursor.u64("voter")).collect::<Result<BTreeSet<_>, _>>()?;
        configurations.push(voters);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..take_count(&mut cursor)? {
        let id = cursor.u64("node")?;
        nodes.insert(id, Member { address: cursor.text16("address")?.to_owned() });
    }
    cursor.finish("length")?;
    Membership::new(configurations, nodes).map_err(|_| Malformed::new("configuration"))
}

fn take_count(cursor: &mut Cursor<'_>) -> Result<u32, Malformed> {
    let count = cursor.u32("count")?;
    if count > NODES_MAX { Err(Malformed::new("count")) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Membership<u64, Member> {
        let nodes = (1..=4).map(|id| (id, Member { address: format!("10.0.0.{id}:7000") }));
        Membership::new(vec![[1, 2, 3].into(), [2, 3, 4].into()], nodes.collect::<BTreeMap<_, _>>())
            .expect("every voter is a node")
    }

    #[test]
    fn memberships_round_trip() {
        assert_eq!(decode_membership(&encode_membership(&sample())), Ok(sample()));
        let none = Membership::default();
        assert_eq!(decode_membership(&encode_membership(&none)), Ok(none));
    }

    #[test]
    fn other_bytes_are_refused_without_a_panic() {
        let bytes = encode_membership(&sample());
        for length in 0..bytes.len() {
            assert!(decode_membership(&bytes[..length]).is_err(), "{length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = decode_membership(&flipped) {
                assert_ne!(other, sample(), "bit {bit}");
            }
        }
        assert!(decode_membership(&[bytes, vec![0]].concat()).is_err());
    }
}
