//! What openraft itself writes into a log, in bytes of our own: a blank entry is empty, a membership is
//!
//! ```text
//!   u16 version 0, u16 configurations (1, or 2 while it changes), each: u32 voters, each u64
//!   u32 nodes, each: u64 id, u16 + address
//! ```
//!
//! All numbers are little-endian. Every replica hashes these bytes, so that there is one encoding of each membership.

use std::collections::{BTreeMap, BTreeSet};

use openraft::Membership;

use super::Member;

const VERSION: u16 = 0;
/// Far more than a group has.
const NODES_MAX: u32 = 10_000;
const CONFIGURATIONS_MAX: u16 = 16;

/// Why the bytes of a membership were not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a membership with a wrong {what}: look at the log of the leader that wrote it")]
pub struct MembershipError {
    /// What is wrong.
    pub what: &'static str,
}

/// Encodes a membership.
pub fn encode_membership(membership: &Membership<u64, Member>) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(VERSION.to_le_bytes());
    let configurations = membership.get_joint_config();
    let count = u16::try_from(configurations.len()).expect("a membership has one or two configurations");
    out.extend(count.to_le_bytes());
    for voters in configurations {
        put_count(&mut out, voters.len());
        voters.iter().for_each(|voter| out.extend(voter.to_le_bytes()));
    }
    let nodes: BTreeMap<_, _> = membership.nodes().collect();
    put_count(&mut out, nodes.len());
    for (id, node) in nodes {
        out.extend(id.to_le_bytes());
        let address = &node.address.as_bytes()[..node.address.len().min(usize::from(u16::MAX))];
        out.extend(u16::try_from(address.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(address);
    }
    out
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend(u32::try_from(count).expect("a group has few nodes").to_le_bytes());
}

/// Decodes a membership; every length is checked before it is used.
///
/// # Errors
///
/// [`MembershipError`] for anything but one that was encoded.
pub fn decode_membership(bytes: &[u8]) -> Result<Membership<u64, Member>, MembershipError> {
    let mut rest = bytes;
    if u16::from_le_bytes(take(&mut rest, "version")?) != VERSION {
        return Err(MembershipError { what: "version" });
    }
    let count = u16::from_le_bytes(take(&mut rest, "count")?);
    if count > CONFIGURATIONS_MAX {
        return Err(MembershipError { what: "count" });
    }
    let mut configurations = Vec::new();
    for _ in 0..count {
        let voters = (0..take_count(&mut rest)?)
            .map(|_| Ok(u64::from_le_bytes(take(&mut rest, "voter")?)))
            .collect::<Result<BTreeSet<_>, _>>()?;
        configurations.push(voters);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..take_count(&mut rest)? {
        let id = u64::from_le_bytes(take(&mut rest, "node")?);
        let length = usize::from(u16::from_le_bytes(take(&mut rest, "address")?));
        let (address, behind) = rest.split_at_checked(length).ok_or(MembershipError { what: "address" })?;
        rest = behind;
        let address = String::from_utf8(address.to_vec()).map_err(|_| MembershipError { what: "address" })?;
        nodes.insert(id, Member { address });
    }
    let membership =
        Membership::new(configurations, nodes).map_err(|_| MembershipError { what: "configuration" })?;
    // One encoding each: no order, repetition or rest but ours.
    match encode_membership(&membership) == bytes {
        true => Ok(membership),
        false => Err(MembershipError { what: "encoding" }),
    }
}

fn take<const N: usize>(rest: &mut &[u8], what: &'static str) -> Result<[u8; N], MembershipError> {
    let (taken, behind) = rest.split_first_chunk().ok_or(MembershipError { what })?;
    *rest = behind;
    Ok(*taken)
}

fn take_count(rest: &mut &[u8]) -> Result<u32, MembershipError> {
    let count = u32::from_le_bytes(take(rest, "count")?);
    if count > NODES_MAX { Err(MembershipError { what: "count" }) } else { Ok(count) }
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
